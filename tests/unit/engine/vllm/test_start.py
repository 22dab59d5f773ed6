import gc
import importlib.util
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from landscape_ray.engine.vllm.start import HELD_BY_OTHERS, start_error, start_vllm, stop_vllm
from landscape_ray.errors import GenerationError, LandscapeError, ResourceError, TransientError

GPU = (
    "Free memory on device cuda:0 (2.1/79.2 GiB) on startup is less than desired GPU memory utilization (0.9, 71.3 "
    "GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."
)
PROFILING = (
    "Error in memory profiling. Initial free memory 2.1 GiB, current free memory 40.0 GiB. This happens when other "
    "processes sharing the same container release GPU memory while vLLM is profiling during initialization."
)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError(GPU), TransientError),
        (AssertionError(PROFILING), TransientError),
        (RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"), TransientError),
        (ValueError("No available memory for the cache blocks."), ResourceError),
        (NotImplementedError("not on this device"), ResourceError),
        (RuntimeError("CUDA error: unspecified launch failure"), GenerationError),
        (AssertionError(), GenerationError),
    ],
)
def test_what_vllm_says_tells_whether_another_start_may_go_better(error: Exception, kind: type[LandscapeError]) -> None:
    found = start_error(error, "/models/mine")
    assert type(found) is kind
    assert "/models/mine" in str(found)


def test_the_installed_vllm_still_says_so_in_these_words() -> None:
    spec = importlib.util.find_spec("vllm")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("vLLM is not installed")
    worker = Path(spec.submodule_search_locations[0], "v1", "worker")
    source = " ".join(" ".join(file.read_text(encoding="utf-8") for file in worker.glob("*.py")).split())
    # Broken into lines as the source has them.
    for words in HELD_BY_OTHERS[:2]:
        assert words in source.replace('" "', "").replace('" f"', "")


@pytest.fixture
def num_frozen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Stand in for vLLM, which freezes what it has built and unfreezes all as it ends; what is frozen is counted."""
    counts: list[int] = []

    def shutdown() -> None:
        gc.unfreeze()
        counts.append(gc.get_freeze_count())

    def start(**settings: Any) -> Any:
        before = gc.get_freeze_count()
        built = [[] for _ in range(1000)]  # type: ignore[var-annotated]
        gc.freeze()
        counts.extend([before, gc.get_freeze_count()])
        if settings:
            raise ValueError(settings)
        return SimpleNamespace(built=built, llm_engine=SimpleNamespace(engine_core=SimpleNamespace(shutdown=shutdown)))

    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=start))
    yield counts
    gc.unfreeze()


def test_what_was_imported_stays_frozen_and_what_vllm_builds_does_not(num_frozen: list[int]) -> None:
    gc.unfreeze()
    stop_vllm(start_vllm({}, "a model"))
    before, built, ended = num_frozen
    assert before > 10_000
    assert before - 100 < built <= before  # a few of them have gone meanwhile
    assert before - 100 < ended <= before
    # What others freeze and unfreeze is theirs again.
    gc.unfreeze()
    assert gc.get_freeze_count() == 0


def test_an_engine_that_has_ended_is_not_frozen_with_the_next_ones_imports(num_frozen: list[int]) -> None:
    class Engine:
        """Refers to itself, as vLLM's do, so that only the collector finds it."""

    stop_vllm(start_vllm({}, "a model"))
    left = Engine()
    left.itself = left  # type: ignore[attr-defined]
    gone = weakref.ref(left)
    del left
    stop_vllm(start_vllm({}, "the next"))
    assert gone() is None
    assert len(num_frozen) == 6


def test_a_failed_start_leaves_the_collector_as_it_was(num_frozen: list[int]) -> None:
    with pytest.raises(ResourceError, match="a model"):
        start_vllm({"unknown": 1}, "a model")
    assert num_frozen[0] > 10_000
    gc.unfreeze()
    assert gc.get_freeze_count() == 0
