"""The shipped dashboard shows exactly what is exported. That Ray exports it so is tested in test_submit.py."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES
from ray.util.metrics import Histogram, Metric

from landscape_ray.engine import EngineFacts
from landscape_ray.evaluation import Verdict
from landscape_ray.sweep.reports import EngineReady, VisitReport
from landscape_ray.sweep.watching.metrics import Metrics

DASHBOARD = json.loads(
    (Path(__file__).parents[4] / "jobs" / "grafana-dashboard.json").read_text(encoding="utf-8"),
)


def queries(node: Any) -> Iterator[str]:
    """Yield each expression of a dashboard."""
    if isinstance(node, dict):
        yield from (node[key] for key in ("expr", "definition") if key in node)
        for value in node.values():
            yield from queries(value)
    if isinstance(node, list):
        for value in node:
            yield from queries(value)


def exported() -> dict[str, Metric]:
    metrics = [metric for metric in vars(Metrics("0")).values() if isinstance(metric, Metric)]
    return {metric.info["name"]: metric for metric in metrics}


def series(name: str, metric: Metric) -> set[str]:
    if isinstance(metric, Histogram):
        return {f"ray_{name}_{suffix}" for suffix in ("bucket", "count", "sum")}
    return {f"ray_{name}"}


def test_the_dashboard_shows_each_metric_and_no_other() -> None:
    shown = {name for query in queries(DASHBOARD) for name in re.findall(r"\bray_\w+", query)}
    ours = {name for name in shown if name.startswith("ray_landscape_ray_")}
    known = exported()
    assert ours <= set().union(*(series(name, metric) for name, metric in known.items()))
    assert {name for name, metric in known.items() if not series(name, metric) & ours} == set()
    rays_own = shown - ours
    assert rays_own == {"ray_node_gram_used"}
    assert "node_gram_used" in METRICS_GAUGES


def test_labels_that_expressions_use_exist() -> None:
    for query in queries(DASHBOARD):
        for name in re.findall(r"\bray_landscape_ray_\w+", query):
            metric = exported()[re.sub(r"^ray_|_(bucket|count|sum)$", "", name)]
            used = {label for by in re.findall(r"by \(([^)]*)\)", query) for label in by.split(", ")} - {"le"}
            assert used <= set(metric.info["tag_keys"]), query


def test_panels_are_what_grafana_needs_them_to_be() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)  # none lies over another
    assert max(x for x, _ in cells) < 24
    for panel in panels:
        assert [target["refId"] for target in panel["targets"]] == ["A", "B"][: len(panel["targets"])]
        assert panel["description"]


def test_recording_needs_no_cluster() -> None:
    metrics = Metrics("0")
    metrics.count(None)
    metrics.count(EngineReady(node="n", facts=EngineFacts(engine="e", torch_version="", device="d"), start_s=1.0))
    for num_tokens in (0, 5):  # a counter of Ray takes no zero
        metrics.count(
            VisitReport(
                label="d0",
                verdicts={"harmful": {Verdict.REFUSED: 1}},
                num_tokens=num_tokens,
                place_s=0.0,
                generate_s=0.1,
                judge_s=0.0,
                publish_s=0.0,
            )
        )
