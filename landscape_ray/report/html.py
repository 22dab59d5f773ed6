"""The report as one HTML file that opens offline: scores, figures, checks, answers, setup.

Model text is untrusted. It is put into the page compressed, as base64, and taken out as text, never as HTML. Everything
else goes through a template that escapes, or into one JSON block in which `<`, `>` and `&` are escapes. A Content
Security Policy names the two scripts by their hashes and forbids everything else, the network included.
"""

import base64
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from landscape_ray import __version__
from landscape_ray.analysis import Landscape, band_of_mean
from landscape_ray.report import html_text, trade_off
from landscape_ray.report.anatomy_page import anatomy_tables
from landscape_ray.report.caveats import caveats
from landscape_ray.report.certificates import own_certificates
from landscape_ray.report.checks import Check
from landscape_ray.report.html_text import SYMBOLS
from landscape_ray.report.inline import svg_uri
from landscape_ray.report.kinds_table import kinds_tables
from landscape_ray.report.results import Results
from landscape_ray.report.scores import Scores
from landscape_ray.report.texts import Texts
from landscape_ray.report.visits import Visits, grid_places

__all__ = ["TEMPLATES", "asset", "page", "policy"]


def page(
    results: Results,
    scores: Mapping[str, Scores],
    visits: Mapping[str, Visits],
    checks: Sequence[Check],
    texts: Mapping[str, Texts],
    *,
    live: str = "",
) -> str:
    """Return the page.

    Args:
        results: What was measured.
        scores: Of each benchmark.
        visits: What the rows say beside verdicts, by benchmark.
        checks: What a reader should know before believing a number.
        texts: Prompts and answers by benchmark; may be empty.
        live: Where it is served while a sweep runs: its version, with which it asks its server for a newer one.
    """
    landscapes = [results.scored(name) for name in results.landscapes]
    certified = own_certificates(results)
    script, plotly = asset("page.js"), get_plotlyjs().replace("\r\n", "\n")
    follow = asset("live.js") if live else ""
    axes = results.plan.grid.axes
    return TEMPLATES.get_template("page.html.jinja").render(
        policy=policy(plotly, script, follow, asks_server=bool(live)),
        live=live,
        follow=follow,
        title=f"{results.config.model.id}: safety landscape",
        model=results.config.model.id,
        lead=html_text.lead(results),
        tally=Counter(check.state for check in checks),
        tally_text=html_text.TALLY,
        mark=html_text.MARK,
        word=html_text.WORD,
        cards=[
            html_text.card(landscape, scores[landscape.benchmark], certified.get(landscape.benchmark))
            for landscape in sorted(landscapes, key=lambda landscape: landscape.benchmark != results.headline)
        ],
        headline=results.headline,
        pairs=html_text.pairs(results, scores),
        caveats=caveats(results),
        overview=html_text.overview(results) if len(landscapes) > 1 else None,
        planes=len(axes) == 2,
        draw_names=html_text.draw_names(results),
        kinds=list(kinds_tables(results, scores)),
        anatomies=list(anatomy_tables(results, scores)),
        figures=[_figure(number, landscape, scores) for number, landscape in enumerate(landscapes)],
        trade_offs=[
            {"title": stem.replace(".", " "), "image": svg_uri(figure)} for stem, figure in trade_off.draw_all(results)
        ],
        diagnosis=html_text.diagnosis(results),
        checks=checks,
        axes=[
            {"symbol": symbol, "options": [html_text.number(value) for value in axis.coordinates]}
            for symbol, axis in zip(SYMBOLS, axes, strict=False)
        ],
        texts_note=html_text.texts_note(results, texts),
        tables=html_text.tables(results, visits),
        configuration=yaml.safe_dump(
            results.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100
        ),
        version=__version__,
        data=_json(_data(results, scores, visits)),
        blocks=list(_blocks(results, texts)),
        plotly=plotly,
        script=script,
        style=asset("page.css"),
    )


def _figure(number: int, landscape: Landscape, scores: Mapping[str, Scores]) -> dict[str, Any]:
    return {
        "number": number,
        "title": landscape.benchmark,
        "caption": html_text.caption(landscape, scores[landscape.benchmark]),
        "answered": landscape.metric.name in html_text.ANSWERED,
    }


TEMPLATES = Environment(
    loader=PackageLoader("landscape_ray.report", "page"),
    autoescape=True,
    undefined=StrictUndefined,
    keep_trailing_newline=True,
)
"""All of them escape what is put into them."""


def asset(name: str) -> str:
    """Return the text of a file that goes into a page."""
    return resources.files("landscape_ray.report").joinpath("page", name).read_text(encoding="utf-8")


def policy(*scripts: str, asks_server: bool = False) -> str:
    """Return a Content Security Policy that lets these scripts run and nothing else, and reaches at most its server."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts if script)
    hashes = (f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    server = "connect-src 'self'; " if asks_server else ""
    # plotly writes style elements of its own. Styles cannot run, and what they might load is forbidden, too.
    return (
        f"default-src 'none'; script-src {' '.join(hashes)}; {server}"
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def _json(value: Any) -> str:
    """Return JSON that may stand in a script element, whatever its strings hold."""
    return json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":")).translate(ESCAPES)


def _data(results: Results, scores: Mapping[str, Scores], visits: Mapping[str, Visits]) -> dict[str, Any]:
    """Return the numbers behind the figures. Arrays on the grid are flat in C order, missing values null."""
    return {
        "axes": [
            {"values": axis.coordinates, "symbol": symbol, "title": title}
            for symbol, title, axis in zip(
                SYMBOLS, html_text.axis_titles(results), results.plan.grid.axes, strict=False
            )
        ],
        "draws": results.plan.draws,
        "names": html_text.draw_names(results),
        "place": grid_places(results.plan).ravel().tolist(),
        "marks": html_text.marks(results),
        "benchmarks": [
            _benchmark_data(landscape, results.scored(name), scores[name], visits[name])
            for name, landscape in results.landscapes.items()
        ],
    }


def _benchmark_data(landscape: Landscape, scored: Landscape, scores: Scores, visits: Visits) -> dict[str, Any]:
    """Return the numbers of a benchmark: of all draws, and the means of those that are scored."""
    band = band_of_mean(scored)
    low, high = (None, None) if band is None else map(_numbers, band)
    metric = landscape.metric
    apart = landscape.broken is not None and metric.name == "asr"
    return {
        "name": landscape.benchmark,
        "label": metric.label,
        "unit": metric.unit,
        "better": metric.better,
        "answered": metric.name in html_text.ANSWERED,
        "values": _numbers(landscape.values),
        "mean": _numbers(scored.mean_values),
        "low": low,
        "high": high,
        "origin": _numbers(landscape.origin_values[:1])[0],
        "counts": _counts(landscape),
        "broken": None if landscape.broken is None else _numbers(scored.broken_pct.mean(axis=0)),
        "unbroken": _numbers(scored.success_unbroken_pct.mean(axis=0)) if apart else None,
        "basin": html_text.basin_mark(scores.basin),
        "tokens": _numbers(visits.mean_tokens),
        "thinking": _numbers(visits.mean_thinking),
        "cutOff": _numbers(visits.cut_off),
    }


def _counts(landscape: Landscape) -> list[str]:
    """Return in words what each value is of, flat; empty where nothing was measured."""
    if not landscape.metric.is_rate:
        what = "texts" if landscape.metric.name == "perplexity" else "prompts"
        return [f"{num:,} {what}" if num else "" for num in landscape.num_scored.ravel().tolist()]
    pairs = zip(landscape.num_success.ravel().tolist(), landscape.num_scored.ravel().tolist(), strict=True)
    return [f"{success:,} of {scored:,}" if scored else "" for success, scored in pairs]


def _numbers(values: npt.NDArray[np.float64]) -> list[float | None]:
    """Return numbers for JSON, flat, to six digits, NaN as null."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values.ravel().tolist()]


def _blocks(results: Results, texts: Mapping[str, Texts]) -> Iterator[tuple[str, str]]:
    """Yield the id and content of each block of prompts and answers."""
    for number, name in enumerate(results.landscapes):
        if name in texts:
            yield f"prompts-{number}", texts[name].prompts
            for place, block in texts[name].answers.items():
                yield f"answers-{number}-{place}", block
