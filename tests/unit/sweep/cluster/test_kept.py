import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from landscape_ray.config import RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.sweep.cluster.kept import IdleEngine, IdleTimer, Keeper, engine_key
from landscape_ray.sweep.cluster.resources import Allotment

SPEC = EngineSpec(engine="vllm", model="folder", revision=None, dtype="float32", run=RunConfig())
ALLOTMENT = Allotment(num_engines=2, num_cpus=1, num_gpus=0, node_labels=())


def test_the_timer_runs_while_nothing_is_done(clock: Any) -> None:
    timer = IdleTimer(60, clock=clock)
    clock.pass_s(40)
    assert timer.left_s() == 20
    with timer.busy():
        clock.pass_s(1000)
        assert timer.left_s() == float("inf")
    assert timer.left_s() == 60
    clock.pass_s(70)
    assert timer.left_s() == -10
    timer.limit_s = 600
    assert timer.left_s() == 530


def test_the_timer_leaves_once_the_time_is_over(clock: Any) -> None:
    left = threading.Event()
    timer = IdleTimer(60, leave=left.set, clock=clock)
    clock.pass_s(61)
    timer.watch()
    assert left.wait(10)


def test_the_keeper_hands_each_engine_out_once_and_only_for_its_key(clock: Any) -> None:
    keeper = Keeper(clock)
    for actor in ("first", "second"):
        keeper.give("key", "model", 60, actor)
    assert keeper.take("key") == ("second", [])
    assert keeper.take("key") == ("first", [])
    assert keeper.take("key") == (None, [])


def test_engines_that_nobody_can_use_make_room_for_others(clock: Any) -> None:
    keeper = Keeper(clock)
    keeper.give("one", "model", 60, "mine")
    keeper.give("other", "model", 60, "in the way")
    assert keeper.take("one") == ("mine", [])
    assert keeper.take("one") == (None, ["in the way"])
    assert keeper.idle() == []


def test_the_keeper_forgets_engines_that_have_ended(clock: Any) -> None:
    keeper = Keeper(clock)
    keeper.give("key", "small", 60, "short")
    keeper.give("key", "large", 600, "long")
    clock.pass_s(90)
    assert keeper.idle() == [IdleEngine(model="large", left_s=510)]
    assert keeper.take("key") == ("long", [])
    assert keeper.take("key") == (None, [])


def key(spec: EngineSpec = SPEC, environment: Mapping[str, str] | None = None, **facts: Any) -> str:
    return engine_key(spec, ALLOTMENT, environment or {}, **{"fingerprint": "f", **facts})


@pytest.mark.parametrize(
    "other",
    [
        key(replace(SPEC, model="elsewhere")),
        key(replace(SPEC, dtype="bfloat16")),
        key(replace(SPEC, run=RunConfig(kv_cache_gib=2))),
        key(fingerprint="g"),
        key(versions={"vllm": "0.33"}),
        key(environment={"VLLM_BATCH_INVARIANT": "1"}),
        engine_key(SPEC, replace(ALLOTMENT, num_cpus=2), {}, fingerprint="f"),
    ],
)
def test_engines_built_otherwise_have_another_key(other: str) -> None:
    assert other != key()


def test_how_a_sweep_goes_about_its_points_changes_no_key() -> None:
    run = RunConfig(engines=7, max_attempts=9, visit_timeout_s=5, keep_engines_s=60)
    assert key(replace(SPEC, run=run), {"HF_TOKEN": "secret"}) == key()
