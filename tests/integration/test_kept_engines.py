"""Engines that outlive a sweep: on a cluster of this machine, taken over by drivers that are processes of their own."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from landscape_ray.config import SweepConfig
from landscape_ray.errors import ResourceError
from landscape_ray.planning import ORIGIN
from landscape_ray.store import ResultStore
from landscape_ray.sweep import run_sweep
from landscape_ray.sweep.cluster import kept
from landscape_ray.sweep.cluster.kept import KeptEngines, kept_engines

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cluster")]

MakeConfig = Callable[..., SweepConfig]
Rows = dict[tuple[Any, ...], str]
ExpectedRows = Callable[[SweepConfig], Rows]
StoredRows = Callable[[Path], Rows]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    ray.shutdown()  # that of `local_ray`, if there is one
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    ray.init(address=started.address, log_to_driver=False, logging_level="ERROR")
    yield started
    ray.shutdown()
    started.shutdown()


@pytest.fixture
def no_engines(cluster: Cluster) -> None:  # noqa: ARG001  (it must be there)
    kept_engines(stop=True)
    wait_until(lambda: not engine_names(), "engines are left over")


def engine_names() -> set[str]:
    """Return the names of the kept engines that are up, in use or idle."""
    named: Any = ray.util.list_named_actors(all_namespaces=True)
    return {each["name"] for each in named if each["name"].startswith("engine-")}


def wait_until(done: Callable[[], bool], otherwise: str) -> None:
    for _ in range(600):
        if done():
            return
        time.sleep(0.05)
    pytest.fail(otherwise)


def starts(out: Path) -> list[set[str]]:
    """Return the stages through which each engine of the last run has come up."""
    log = max((out / "log").iterdir())
    events = [json.loads(line) for line in log.read_text(encoding="ascii").splitlines()]
    return [set(event["stages_s"]) for event in events if event["event"] == "engine_up"]


NEW, TAKEN_OVER = {"fetch", "load", "prove", "start"}, {"adopt"}


def two_ready(config: SweepConfig, out: Path) -> set[str]:
    """Sweep until two engines lie ready, and return their names: a busy machine may end a sweep before both are up."""
    for attempt in range(20):
        assert run_sweep(config, str(out / str(attempt))).exit_code == 0
        if len(kept_engines(stop=False)) == 2:
            return engine_names()
    pytest.fail("two engines never came up")


def test_the_next_sweep_takes_the_engines_over(
    tmp_path: Path, synthetic_config: MakeConfig, expected_rows: ExpectedRows, stored_rows: StoredRows
) -> None:
    first = synthetic_config(num=31, engines=2, keep_engines_s=240, faults={"delay_s": 0.1})
    names = two_ready(first, tmp_path / "first")
    assert starts(tmp_path / "first" / "0")[0] == NEW

    second = synthetic_config(
        num=31, engines=2, keep_engines_s=240, faults={"delay_s": 0.1}, seed=7, benchmarks=("other", "more")
    )
    assert run_sweep(second, str(tmp_path / "second")).exit_code == 0
    assert {frozenset(stages) for stages in starts(tmp_path / "second")} == {frozenset(TAKEN_OVER)}
    assert (len(names), engine_names()) == (2, names)
    for config, out in ((first, tmp_path / "first" / "0"), (second, tmp_path / "second")):
        assert stored_rows(out) == expected_rows(config)


def test_an_engine_that_is_being_taken_over_as_its_sweep_ends_is_kept(
    tmp_path: Path, synthetic_config: MakeConfig, expected_rows: ExpectedRows, stored_rows: StoredRows
) -> None:
    long, short = (synthetic_config(num=num, engines=2, keep_engines_s=240, faults={"delay_s": 0.1}) for num in (31, 3))
    names = two_ready(long, tmp_path)
    slow = ray.get_actor(min(names), namespace=kept.NAMESPACE)
    ray.get(slow.__ray_call__.remote(be_slow_to_adopt))
    assert run_sweep(short, str(tmp_path / "short")).exit_code == 0
    assert starts(tmp_path / "short") == [TAKEN_OVER]
    assert (len(names), len(kept_engines(stop=False)), engine_names()) == (2, 2, names)
    assert stored_rows(tmp_path / "short") == expected_rows(short)


def test_an_engine_amid_a_visit_that_another_has_repeated_is_kept(
    tmp_path: Path, synthetic_config: MakeConfig, expected_rows: ExpectedRows, stored_rows: StoredRows
) -> None:
    config = synthetic_config(num=31, engines=2, keep_engines_s=240, faults={"delay_s": 0.1})
    names = two_ready(config, tmp_path)
    slow = ray.get_actor(min(names), namespace=kept.NAMESPACE)
    ray.get(slow.__ray_call__.remote(be_slow_to_answer))
    began = time.monotonic()
    assert run_sweep(config, str(tmp_path / "again")).exit_code == 0
    assert time.monotonic() - began > SLOW_S
    assert (len(names), len(kept_engines(stop=False)), engine_names()) == (2, 2, names)
    assert stored_rows(tmp_path / "again") == expected_rows(config)


def test_an_engine_that_a_slow_keeper_hands_out_late_is_taken_over(
    tmp_path: Path, synthetic_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = synthetic_config(num=31, engines=2, keep_engines_s=240, faults={"delay_s": 0.1})
    names = two_ready(config, tmp_path)
    monkeypatch.setattr(kept, "ANSWER_S", 0.5)
    ray.get_actor(kept.KEEPER, namespace=kept.NAMESPACE).__ray_call__.remote(lambda _: time.sleep(4))
    assert run_sweep(config, str(tmp_path / "again")).exit_code == 0
    assert {frozenset(stages) for stages in starts(tmp_path / "again")} == {frozenset(TAKEN_OVER)}
    monkeypatch.undo()
    assert (len(names), len(kept_engines(stop=False)), engine_names()) == (2, 2, names)


SLOW_S = 8


def be_slow_to_answer(actor: Any) -> None:
    place = actor._engine.place

    def slowly(point: Any) -> Any:
        if point != ORIGIN:
            actor._engine.place = place
            time.sleep(SLOW_S)
        return place(point)

    actor._engine.place = slowly


def be_slow_to_adopt(actor: Any) -> None:
    adopt = actor._adopt

    def slowly() -> None:
        actor._adopt = adopt
        time.sleep(8)
        adopt()

    actor._adopt = slowly


def test_two_drivers_share_engines_and_never_one_engine(
    tmp_path: Path,
    synthetic_config: MakeConfig,
    start_driver: Callable[[SweepConfig, Path], "subprocess.Popen[bytes]"],
    expected_rows: ExpectedRows,
    stored_rows: StoredRows,
) -> None:
    """Two engines lie ready, and each of two drivers wants two: none may wait for engines that the other has."""
    config = synthetic_config(num=31, engines=2, keep_engines_s=240, faults={"delay_s": 0.1})
    two_ready(config, tmp_path / "before")
    drivers = [start_driver(config, tmp_path / name) for name in ("one", "two")]
    assert [driver.wait(120) for driver in drivers] == [0, 0]
    for name in ("one", "two"):
        assert stored_rows(tmp_path / name) == expected_rows(config)
        store = ResultStore(str(tmp_path / name))
        assert set(store.columns(list(store.parts()))["attempt"]) == {1}
        assert {frozenset(stages) for stages in starts(tmp_path / name)} == {frozenset(TAKEN_OVER)}
    assert len(kept_engines(stop=False)) == len(engine_names()) == 2


@pytest.mark.usefixtures("no_engines")
def test_engines_built_otherwise_make_room(tmp_path: Path, synthetic_config: MakeConfig) -> None:
    assert run_sweep(synthetic_config(engines=2, keep_engines_s=60), str(tmp_path / "first")).exit_code == 0
    names = engine_names()
    other = synthetic_config(engines=2, keep_engines_s=60, cpus_per_engine=2)  # which takes both cores
    assert run_sweep(other, str(tmp_path / "second")).exit_code == 0
    assert starts(tmp_path / "second") == [NEW]
    assert not engine_names() & names


@pytest.mark.usefixtures("no_engines")
def test_a_kept_engine_that_died_is_replaced(tmp_path: Path, synthetic_config: MakeConfig) -> None:
    config = synthetic_config(keep_engines_s=60)
    assert run_sweep(config, str(tmp_path / "first")).exit_code == 0
    (name,) = engine_names()
    ray.kill(ray.get_actor(name, namespace=kept.NAMESPACE))
    assert run_sweep(config, str(tmp_path / "second")).exit_code == 0
    assert starts(tmp_path / "second") == [NEW]


@pytest.mark.usefixtures("no_engines")
def test_an_engine_whose_weights_have_changed_is_replaced(tmp_path: Path, synthetic_config: MakeConfig) -> None:
    config = synthetic_config(keep_engines_s=60)
    assert run_sweep(config, str(tmp_path / "first")).exit_code == 0
    (name,) = engine_names()
    engine = ray.get_actor(name, namespace=kept.NAMESPACE)
    ray.get(engine.__ray_call__.remote(lambda actor: setattr(actor, "_origin", "another digest")))
    assert run_sweep(config, str(tmp_path / "second")).exit_code == 0
    assert starts(tmp_path / "second") == [NEW]
    assert name not in engine_names()


@pytest.mark.usefixtures("no_engines")
def test_an_engine_that_nobody_wants_leaves(tmp_path: Path, synthetic_config: MakeConfig) -> None:
    assert run_sweep(synthetic_config(keep_engines_s=1.5), str(tmp_path)).exit_code == 0
    assert len(engine_names()) == 1
    wait_until(lambda: not engine_names(), "the engine did not leave")
    assert KeptEngines("any", model="", keep_s=0).take() is None


@pytest.mark.long
@pytest.mark.usefixtures("no_engines")
def test_a_kept_vllm_engine_measures_what_a_new_one_does(
    tmp_path: Path, letters_config: MakeConfig, measured: Callable[[Path], list[tuple[str, ...]]]
) -> None:
    config = letters_config(num=3, keep_engines_s=60)
    assert run_sweep(config, str(tmp_path / "new")).exit_code == 0
    assert run_sweep(config, str(tmp_path / "kept")).exit_code == 0
    assert (starts(tmp_path / "kept"), starts(tmp_path / "new")[0] > NEW) == ([TAKEN_OVER], True)
    rows = measured(tmp_path / "new")
    assert (len(rows), len({row[-1] for row in rows})) == (3 * 24, 3)
    assert measured(tmp_path / "kept") == rows


def test_a_cluster_that_ends_with_the_run_keeps_no_engines(
    tmp_path: Path, synthetic_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ResourceError, match="Engines are kept by a running Ray cluster, and RAY_ADDRESS names none"):
        run_sweep(synthetic_config(keep_engines_s=60), str(tmp_path))
