"""What `import landscape_ray as lr` has, and all that the command line stands on; `__init__.pyi` has their types.

Each name is loaded when it is first used, with what it needs: Ray by `run`, matplotlib by figures, torch by `verify`.
"""

import importlib
from typing import Any

ROOMS = {
    "engine.checkpoints.dequantize": {"dequantize"},
    "engine.preflight": {"as_run"},
    "engine.proof.proven": {"require_way"},
    "evaluation.judge_config": {"load_judge"},
    "evaluation.inspect_package": {"require_inspect"},
    "inspecting.logs": {"export_logs"},
    "library.comparing": {"SweepComparison", "compare"},
    "library.measuring": {"load_config", "run"},
    "library.planned": {"PlannedSweep", "num_visits", "plan"},
    "library.planned_words": {"duration_text"},
    "library.results": {"MeasuredLandscape", "ShownFigure", "SweepResults", "SweepScores", "open_results"},
    "library.verifying": {"verify"},
    "report.agreement": {"compare_judges"},
    "report.export": {"export"},
    "report.folder": {"WrittenReport", "write_report"},
    "report.live": {"LiveReport"},
    "report.publishing": {"HubRepo", "check_token", "eval_results", "make_publication", "offer_eval_results", "upload"},
    "report.server": {"LiveServer"},
    "report.status": {"load_status"},
    "report.table": {"csv_text", "read_outcomes", "sweeps_table"},
    "report.table_page": {"table_page"},
    "report.words": {"Fact", "columns"},
    "store": {"LeaseState", "Request", "ResultStore", "Shard", "request_of"},
    "sweep.campaign": {"EndedSweep", "prepare_campaign", "run_campaign", "worst"},
    "sweep": {"ProfiledProgress", "Progress", "SweepOutcome", "kept_engines", "progress_for"},
    "sweep.cluster.submit": {"forwarded", "submit_sweep"},
    "sweep.judging": {"run_judge"},
    "tracking": {"check_tracker"},
    "tracking.listener": {"Tracking", "tracked_run"},
    "weights": {"direction"},
}
"""Where each name is."""


def __getattr__(name: str) -> Any:
    for room, names in ROOMS.items():
        if name in names:
            return getattr(importlib.import_module(f"landscape_ray.{room}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
