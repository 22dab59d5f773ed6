"""Sweeps on a Ray cluster of several nodes on this machine: nodes die, drain, and join."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private.test_utils import RayletKiller, get_and_run_resource_killer
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2

from landscape_ray.config import SweepConfig
from landscape_ray.store import ResultStore
from landscape_ray.sweep import SweepStatus, run_sweep

pytestmark = pytest.mark.slow

LONG = (pytest.mark.long, pytest.mark.timeout(1200))

MakeConfig = Callable[..., SweepConfig]
Rows = dict[tuple[Any, ...], str]
ExpectedRows = Callable[[SweepConfig], Rows]
StoredRows = Callable[[Path], Rows]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Start a head without cores, so that only drivers run there; tests add nodes with pretend GPUs."""
    ray.shutdown()  # that of `local_ray`, if there is one
    started = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            # A dead node is noticed in seconds instead of half a minute.
            "_system_config": {
                "health_check_initial_delay_ms": 500,
                "health_check_period_ms": 300,
                "health_check_timeout_ms": 1000,
                "health_check_failure_threshold": 5,
            },
        },
    )
    ray.init(address=started.address, log_to_driver=False, logging_level="ERROR")
    yield started
    ray.shutdown()
    started.shutdown()


class At:
    """Progress that does something to the cluster each time so many further points are done."""

    def __init__(self, every: int, actions: list[Callable[[], None]]) -> None:
        self._every = every
        self._actions = actions
        self._num_taken = 0
        self.most_up = 0
        self.most_starting_after = 0

    def update(self, status: SweepStatus) -> None:
        self.most_up = max(self.most_up, status.num_up)
        if self._num_taken:
            self.most_starting_after = max(self.most_starting_after, status.num_starting)
        due = self._num_taken < len(self._actions) and status.num_done_now >= self._every * (self._num_taken + 1)
        if due:
            self._actions[self._num_taken]()
            self._num_taken += 1

    def close(self, status: SweepStatus) -> None:
        assert self._num_taken == len(self._actions), f"the sweep ended before its trials: {status}"


def attempts(out: Path) -> set[int]:
    store = ResultStore(str(out))
    return set(store.columns(list(store.parts()))["attempt"])


def test_nodes_that_die_and_join_change_no_row(
    tmp_path: Path, cluster: Cluster, synthetic_config: MakeConfig, expected_rows: ExpectedRows, stored_rows: StoredRows
) -> None:
    nodes = [cluster.add_node(num_cpus=1, num_gpus=1) for _ in range(2)]

    def replace() -> None:
        cluster.remove_node(nodes.pop(0), allow_graceful=False)
        nodes.append(cluster.add_node(num_cpus=1, num_gpus=1))

    config = synthetic_config(num=31, engines=2, accelerator="gpu", faults={"delay_s": 0.2}, max_attempts=5)
    trials = At(12, [replace, replace, replace])
    outcome = run_sweep(config, str(tmp_path / "out"), progress=trials)
    assert (outcome.num_done, outcome.exit_code) == (62, 0)
    assert stored_rows(tmp_path / "out") == expected_rows(config)
    for node in nodes:
        cluster.remove_node(node)


def test_a_drained_node_costs_no_attempt_and_a_new_node_is_used(
    tmp_path: Path, cluster: Cluster, synthetic_config: MakeConfig, expected_rows: ExpectedRows, stored_rows: StoredRows
) -> None:
    spot = cluster.add_node(num_cpus=1, labels={"ray.io/market-type": "spot"})
    others: list[Any] = []

    def take_away() -> None:
        others.append(cluster.add_node(num_cpus=1, labels={"ray.io/market-type": "on-demand"}))
        deadline_ms = int((time.time() + 60) * 1000)
        reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        accepted, why_not = GcsClient(address=cluster.address).drain_node(spot.node_id, reason, "spot", deadline_ms)
        assert accepted, why_not

    # With one attempt each, a point charged for the drain would be given up.
    labels = [{"ray.io/market-type": "spot"}, {"ray.io/market-type": "on-demand"}]
    config = synthetic_config(num=101, node_labels=labels, max_attempts=1, faults={"delay_s": 0.1})
    trials = At(10, [take_away])
    assert run_sweep(config, str(tmp_path / "out"), progress=trials).exit_code == 0
    assert stored_rows(tmp_path / "out") == expected_rows(config)
    assert attempts(tmp_path / "out") == {1}
    assert trials.most_starting_after == 1, "no engine was started to take over"
    for node in [spot, *others]:
        cluster.remove_node(node)


def test_engines_join_as_nodes_come(
    tmp_path: Path, cluster: Cluster, synthetic_config: MakeConfig, expected_rows: ExpectedRows, stored_rows: StoredRows
) -> None:
    nodes = [cluster.add_node(num_cpus=1)]
    config = synthetic_config(num=201, engines=None, faults={"delay_s": 0.1})
    trials = At(10, [lambda: nodes.append(cluster.add_node(num_cpus=1))])
    assert run_sweep(config, str(tmp_path / "out"), progress=trials).exit_code == 0
    assert trials.most_up == 2
    assert stored_rows(tmp_path / "out") == expected_rows(config)
    for node in nodes:
        cluster.remove_node(node)


class Replenish:
    """Progress that keeps three nodes alive, whatever is killed."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.num_done_now = 0
        self.nodes: list[Any] = []
        self.replenish()

    def replenish(self) -> None:
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        for _ in range(3 - sum(node.node_id in alive for node in self.nodes)):
            self.nodes.append(self._cluster.add_node(num_cpus=1, num_gpus=1))

    def update(self, status: SweepStatus) -> None:
        self.num_done_now = status.num_done_now
        self.replenish()

    def close(self, status: SweepStatus) -> None:
        """Nothing is left to do."""


@pytest.mark.parametrize(("num", "num_kills"), [(31, 4), pytest.param(151, 20, marks=LONG)])
def test_rays_own_chaos_killer_changes_no_row(  # noqa: PLR0917  (pytest passes them by name)
    num: int,
    num_kills: int,
    tmp_path: Path,
    cluster: Cluster,
    synthetic_config: MakeConfig,
    expected_rows: ExpectedRows,
    stored_rows: StoredRows,
) -> None:
    replenish = Replenish(cluster)
    config = synthetic_config(
        num=num, engines=3, accelerator="gpu", faults={"delay_s": 0.7}, max_attempts=9, max_engine_restarts=99
    )
    killer = get_and_run_resource_killer(RayletKiller, 3, max_to_kill=num_kills, kill_delay_s=1)
    outcome = run_sweep(config, str(tmp_path / "out"), progress=replenish)
    killed = ray.get(killer.get_killed_nodes.remote())
    ray.kill(killer)
    assert len(killed) == num_kills
    assert (outcome.num_done, outcome.exit_code) == (2 * num, 0)
    assert replenish.num_done_now == 2 * num
    assert stored_rows(tmp_path / "out") == expected_rows(config)
    assert ResultStore(str(tmp_path / "out")).quarantined() == []
    dead = {node_id for node_id, *_ in killed}
    for node in replenish.nodes:
        if node.node_id not in dead:
            cluster.remove_node(node)
