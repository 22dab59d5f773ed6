"""Results for the Hugging Face Hub: what is uploaded, made as files first, and how it gets there.

What models answered is harmful by design of the prompts, so texts stay here unless they are asked for.
"""

import contextlib
import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import yaml
from huggingface_hub import CommitOperationAdd, HfApi, get_token

from landscape_ray import __version__
from landscape_ray.analysis import Estimate, VisageScore
from landscape_ray.errors import ConfigError, LandscapeError, OutputError, TransientError, in_brief
from landscape_ray.report.caveats import caveats
from landscape_ray.report.export import export
from landscape_ray.report.folder import write_report
from landscape_ray.report.results import Results
from landscape_ray.report.scores import Scores
from landscape_ray.store.redaction import redacted
from landscape_ray.store.schema import MEASURED, SCHEMA
from landscape_ray.transience import is_transient

__all__ = ["HubRepo", "Publication", "check_token", "eval_results", "make_publication", "offer_eval_results", "upload"]

Kind: TypeAlias = Literal["dataset", "space", "model"]
ADDRESS = re.compile(r"hf://(dataset|space|model)s/([\w.-]+/[\w.-]+)")
TEXT_COLUMNS = MEASURED.compressed
HOST_COLUMNS = frozenset({"node"})
"""Names of machines are never published."""


@dataclass(frozen=True, slots=True)
class HubRepo:
    """A repository of the Hub."""

    kind: Kind
    name: str
    """Such as `me/landscapes`."""

    @classmethod
    def at(cls, address: str, kind: Kind) -> "HubRepo":
        """Return the repository at an address such as `hf://datasets/me/landscapes`.

        Raises:
            ConfigError: It is the address of no repository of this kind.
        """
        found = ADDRESS.fullmatch(address.rstrip("/"))
        if found is None or found[1] != kind:
            msg = f"{redacted(address)!r} is the address of no {kind}; give it as hf://{kind}s/OWNER/NAME."
            raise ConfigError(msg)
        return cls(kind, found[2])

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return redacted(f"{HfApi().endpoint}/{'' if self.kind == 'model' else f'{self.kind}s/'}{self.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Files by their paths in a repository, and what they are of."""

    dataset: Mapping[str, Path]
    space: Mapping[str, Path]
    """A static Space: the page of the report."""
    results: Results
    scores: Mapping[str, Scores]


def make_publication(
    out: str,
    folder: Path,
    *,
    judge: str | None = None,
    with_answers: bool = False,
    allow_missing: bool = False,
    license_id: str | None = None,
) -> Publication:
    """Write what is to be uploaded into an empty folder.

    Args:
        out: Path or URL of the results folder.
        folder: Where to.
        judge: Whose verdicts count, see `load_results`.
        with_answers: Whether prompts, thinking and answers go with it, in rows and on the page.
        allow_missing: Whether an unfinished sweep may be published.
        license_id: License of the data by its name on the Hub; None: the card names none.

    Raises:
        IncompleteError: Points are missing, and `allow_missing` is false.
        OutputError: There is no sweep, it cannot be read, or the files cannot be written.
    """
    data, space = folder / "dataset", folder / "space"
    report = write_report(out, data, judge, with_texts=with_answers, allow_missing=allow_missing)
    without = HOST_COLUMNS if with_answers else HOST_COLUMNS | TEXT_COLUMNS
    export(out, data / "rows.parquet", "parquet", judge=judge, without=without)
    export(out, data / "points.parquet", "parquet", points=True, judge=judge)
    images = [file.name for file in report.files if file.suffix == ".png"]
    header = {
        "pretty_name": f"Safety landscape of {report.results.config.model.id}",
        **({"license": license_id} if license_id else {}),
        "tags": ["landscape-ray", "safety", "robustness", *(["not-for-all-audiences"] if with_answers else [])],
        "configs": [{"config_name": name, "data_files": f"{name}.parquet"} for name in ("points", "rows")],
    }
    body = "\n".join(_card(report.results, report.scores, images, without))
    (data / "README.md").write_text(_with_header(header, body), encoding="utf-8")
    space.mkdir()
    report.files[0].rename(space / "index.html")
    of_page = {"title": "Safety landscape", "sdk": "static", "tags": header["tags"]}
    (space / "README.md").write_text(_with_header(of_page, "Made by landscape-ray."), encoding="utf-8")
    dataset, page = ({file.name: file for file in sorted(each.iterdir())} for each in (data, space))
    return Publication(dataset=dataset, space=page, results=report.results, scores=report.scores)


def _with_header(header: Mapping[str, object], body: str) -> str:
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n\n{body}\n"


def _card(results: Results, scores: Mapping[str, Scores], images: list[str], without: frozenset[str]) -> Iterator[str]:
    """Yield the lines of a data set's card."""
    model, revision = results.config.model.id, results.manifest.model_revision
    yield f"# Safety landscape of {html.escape(model)}\n"
    yield f"Measured with landscape-ray {__version__}, sweep `{results.manifest.sweep_id}`, revision `{revision}`."
    yield "`points` has a row for each point of weight space, `rows` one for each prompt at each point.\n"
    if without >= TEXT_COLUMNS:
        yield "Prompts and what the model answered are left out.\n"
    else:
        yield "> [!WARNING]\n> This holds harmful requests and what a model answered to them, unfiltered.\n"
    yield "| Benchmark | Metric | VISAGE | Mean over the grid | Prompts | Draws |\n|---|---|---|---|---|---|"
    for name, found in scores.items():
        landscape = results.scored(name)
        cells = (name, landscape.metric.label, _cell(found.visage), _cell(found.mean_value))
        yield f"| {' | '.join(map(html.escape, cells))} | {landscape.num_prompts} | {landscape.num_draws} |"
    yield "\nIntervals are of 95 %, nominally. VISAGE is from 0 to 100; higher is safer.\n"
    yield from (f"- {html.escape(note)}" for note in caveats(results))
    yield from (f"\n![{image}]({image})" for image in images)
    yield "\n| Column of rows | Meaning |\n|---|---|"
    for column in SCHEMA:
        if column.name not in without:
            yield f"| `{column.name}` | {html.escape(column.metadata[b'meaning'].decode())} |"


def _cell(score: VisageScore | Estimate | None) -> str:
    if score is None or score.value is None:
        return "none"
    interval = score.interval
    return f"{score.value:.4g}" + ("" if interval is None else f" ({interval.low:.4g} to {interval.high:.4g})")


def check_token() -> None:
    """Refuse to publish without a token, before anything is made.

    Raises:
        ConfigError: There is none.
    """
    if get_token() is None:
        msg = "The Hub takes uploads with a token only. Run `hf auth login`, or set HF_TOKEN to one that may write."
        raise ConfigError(msg)


def upload(repo: HubRepo, files: Mapping[str, Path], *, public: bool, message: str) -> None:
    """Make a repository, if it is not there, and upload files in one commit.

    Raises:
        OutputError: The Hub refuses, or the repository is public and `public` is false.
        TransientError: The Hub does not answer.
    """
    api = HfApi()
    with _explained(repo):
        sdk = "static" if repo.kind == "space" else None
        api.create_repo(repo.name, repo_type=repo.kind, private=not public, exist_ok=True, space_sdk=sdk)
        if not public and not api.repo_info(repo.name, repo_type=repo.kind).private:
            msg = f"{repo.url} is public already, so nothing was uploaded. Allow that with --public, or name another."
            raise OutputError(msg)
        operations = [CommitOperationAdd(name, path) for name, path in files.items()]
        api.create_commit(repo.name, operations, commit_message=message, repo_type=repo.kind)


def eval_results(publication: Publication, benchmark: str, source: str) -> str:
    """Return the YAML of a model's `.eval_results/` with the VISAGE score of the headline benchmark.

    Args:
        publication: What is published.
        benchmark: Of the Hub's benchmarks the data set and task, `OWNER/NAME:TASK`.
        source: Where the results can be found.

    Raises:
        ConfigError: There is no such score, or the benchmark is none.
    """
    results = publication.results
    dataset, _, task = benchmark.partition(":")
    headline = results.headline or next(iter(results.landscapes))
    visage = publication.scores[headline].visage
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", dataset) or not task:
        msg = f"--eval-results {benchmark!r} is no benchmark of the Hub; give its data set and task, OWNER/NAME:TASK."
        raise ConfigError(msg)
    if visage is None or visage.value is None:
        msg = f"The benchmark {headline} has no VISAGE score, so there is nothing for --eval-results."
        raise ConfigError(msg)
    axes = " x ".join(f"[{low:g}, {high:g}]" for low, high in visage.axes)
    notes = f"VISAGE {_cell(visage)}, {visage.num_prompts} prompts, {visage.num_draws} draws on {axes}"
    entry = {
        "dataset": {"id": dataset, "task_id": task},
        "value": visage.value,
        "source": {"url": source, "name": f"landscape-ray {__version__}"},
        "notes": f"{notes}, judge {results.judge_of(headline)}",
    }
    return yaml.safe_dump([entry], sort_keys=False)


def offer_eval_results(repo: HubRepo, content: str) -> str:
    """Open a pull request that adds evaluation results to a model's repository; return its address.

    Raises:
        OutputError: The Hub refuses.
        TransientError: The Hub does not answer.
    """
    with _explained(repo):
        file = CommitOperationAdd(".eval_results/visage.yaml", content.encode())
        commit = HfApi().create_commit(repo.name, [file], commit_message="Add VISAGE of landscape-ray", create_pr=True)
    return str(commit.pr_url)


@contextlib.contextmanager
def _explained(repo: HubRepo) -> Iterator[None]:
    """Explain what the Hub's client raises."""
    try:
        yield
    except LandscapeError:
        raise
    except Exception as error:
        reason = redacted(in_brief(error))
        if is_transient(error):
            msg = f"The Hub did not take {repo.url}: {reason}. Nothing is lost; give the same command again later."
            raise TransientError(msg) from error
        msg = f"The Hub refuses {repo.url}: {reason}. Check the name, and that your token may write there."
        raise OutputError(msg) from error
