"""Keyed Parquet parts: published atomically, listed, validated, read."""

from landscape_ray.store.direction_files import DirectionFiles
from landscape_ray.store.export import POINT_SCHEMA, ExportFormat, export_points, export_rows, points_table
from landscape_ray.store.failures import PointFailure
from landscape_ray.store.filesystem import absolute
from landscape_ray.store.keys import part_key
from landscape_ray.store.lease import LAPSE_S, RENEW_EVERY_S, Lease, LeaseState
from landscape_ray.store.manifest import BenchmarkIdentity, Manifest, check_same_sweep
from landscape_ray.store.planned import keys_by_label, part_keys, planned_keys, planned_sweep
from landscape_ray.store.received import ReceivedAnswer, ReceivedStore
from landscape_ray.store.requests import Request, RequestStore, pause_among, request_of
from landscape_ray.store.result_store import Quarantined, ResultStore
from landscape_ray.store.run_log import RunSummary
from landscape_ray.store.schema import SCHEMA, SCHEMA_VERSION
from landscape_ray.store.shard import Shard
from landscape_ray.store.verdicts import (
    JUDGED_METRICS,
    JudgedResultStore,
    JudgeIdentity,
    VerdictRecord,
    VerdictStore,
    verdict_key,
)

__all__ = [
    "JUDGED_METRICS",
    "LAPSE_S",
    "POINT_SCHEMA",
    "RENEW_EVERY_S",
    "SCHEMA",
    "SCHEMA_VERSION",
    "BenchmarkIdentity",
    "DirectionFiles",
    "ExportFormat",
    "JudgeIdentity",
    "JudgedResultStore",
    "Lease",
    "LeaseState",
    "Manifest",
    "PointFailure",
    "Quarantined",
    "ReceivedAnswer",
    "ReceivedStore",
    "Request",
    "RequestStore",
    "ResultStore",
    "RunSummary",
    "Shard",
    "VerdictRecord",
    "VerdictStore",
    "absolute",
    "check_same_sweep",
    "export_points",
    "export_rows",
    "keys_by_label",
    "part_key",
    "part_keys",
    "pause_among",
    "planned_keys",
    "planned_sweep",
    "points_table",
    "request_of",
    "verdict_key",
]
