"""A whole report in one folder: the page, figures for papers, and scores for other programs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from landscape_ray.errors import OutputError
from landscape_ray.report import figures, html, html_text, scores, trade_off
from landscape_ray.report.anatomy_figure import draw_anatomy
from landscape_ray.report.certificates import Certificates, own_certificates
from landscape_ray.report.checks import checks_of
from landscape_ray.report.kinds_figure import draw_kinds
from landscape_ray.report.results import Results, load_results, open_results
from landscape_ray.report.scores import Scores
from landscape_ray.report.status import load_status
from landscape_ray.report.texts import load_texts
from landscape_ray.report.visits import load_visits
from landscape_ray.report.words import Fact, Told
from landscape_ray.report.words.scores import scores_text

__all__ = ["WrittenReport", "figure_of", "write_report"]


TOGETHER = "all.benchmarks"
"""Stem of the figure of all benchmarks; with its dot it is the name of none."""
KINDS = ".kinds"
"""What the stem of a figure of all kinds of directions ends in."""
ANATOMY = ".anatomy"
"""What the stem of a figure of an anatomy ends in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenReport(Told):
    """What was written, and what it is of."""

    files: tuple[Path, ...]
    """The page first."""
    results: Results
    """What was measured."""
    scores: dict[str, Scores]
    """By benchmark."""
    document: dict[str, Any]
    """The content of scores.json."""

    def certificates(self) -> Certificates:
        """Return the certificates that the sweep's own configuration asks for; empty if it asks for none."""
        return own_certificates(self.results)

    def facts(self) -> Iterator[Fact]:
        """Yield the scores, and the files that were written."""
        yield from scores_text(self.results, self.scores)
        yield from (("written", str(file)) for file in self.files)


def write_report(
    out: str | Path,
    folder: str | Path,
    judge: str | None = None,
    *,
    with_texts: bool = True,
    allow_missing: bool = True,
) -> WrittenReport:
    """Write `report.html`, `scores.json` and the figures of what was measured.

    Args:
        out: Path or URL of the results folder.
        folder: Where to; made if it is not there.
        judge: Whose verdicts count, see `load_results`.
        with_texts: Whether the page holds prompts and answers.
        allow_missing: Whether the sweep may be unfinished.

    Raises:
        IncompleteError: Points are missing, and `allow_missing` is false.
        OutputError: There is no sweep, it cannot be read, or the report cannot be written.
        PartError: Rows contradict the plan or each other.
    """
    out, folder = str(out), Path(folder)
    results, store = load_results(out, judge), open_results(out, judge)
    computed = scores.score(results, allow_missing=allow_missing)
    document = scores.scores_document(results, computed)
    visits = load_visits(store, results)
    texts = load_texts(store, results) if with_texts else {}
    page = html.page(results, computed, visits, checks_of(results, visits, load_status(out)), texts)
    files = [folder / "report.html"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files[0].write_text(page, encoding="utf-8")
        files.append(scores.write_scores(document, folder))
        for name, landscape in results.landscapes.items():
            title = _title(results, name)
            files.extend(figures.save(figure_of(results, name, computed[name]), folder, name))
            if (anatomy := computed[name].anatomy) is not None:
                crossed = results.is_crossed
                figure = draw_anatomy(landscape, results.along, anatomy, is_crossed=crossed, title=title)
                files.extend(figures.save(figure, folder, f"{name}{ANATOMY}"))
            elif results.along and not results.is_anatomy:
                figure = draw_kinds(landscape, results.along, title=title)
                files.extend(figures.save(figure, folder, f"{name}{KINDS}"))
        for stem, figure in trade_off.draw_all(results):
            files.extend(figures.save(figure, folder, stem))
        if len(results.landscapes) > 1:
            together = [results.scored(name) for name in results.landscapes]
            figure = figures.draw_together(together, title=results.config.model.id, **_axes(results))
            files.extend(figures.save(figure, folder, TOGETHER))
    except OSError as error:
        msg = f"Cannot write the report to {folder}: {error.strerror or error}. Choose another folder with --into."
        raise OutputError(msg) from error
    return WrittenReport(files=tuple(files), results=results, scores=computed, document=document)


def figure_of(results: Results, benchmark: str, of_benchmark: Scores) -> Figure:
    """Draw the landscape of a benchmark with its scores, as the report has it."""
    title = _title(results, benchmark)
    return figures.draw(results.scored(benchmark), of_benchmark.visages, title=title, **_axes(results))


def _title(results: Results, benchmark: str) -> str:
    return f"{results.config.model.id}, {benchmark}"


def _axes(results: Results) -> dict[str, Any]:
    """Return what figures say of the axes of the grid."""
    return {"axis_titles": html_text.axis_titles(results), "marks": results.plan.marks}
