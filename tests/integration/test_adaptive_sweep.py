"""Sweeps whose points are chosen as results come, on a local Ray cluster with the synthetic engine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.analysis import AdaptiveVisage
from landscape_ray.config import CertifyConfig, SweepConfig
from landscape_ray.errors import IncompleteError
from landscape_ray.report.certificates import certificates
from landscape_ray.report.results import Results, load_results
from landscape_ray.report.scores import score
from landscape_ray.report.status import load_status
from landscape_ray.sweep import run_sweep

pytestmark = pytest.mark.usefixtures("local_ray")

Make = Callable[..., SweepConfig]

# 11 x 11 points, two draws: a lattice of 4 x 4 and the origin, then at most 36 points, in the end 0.5 of 121.
NUM_LATTICE, NUM_CHOSEN = 2 * 17, 2 * 61
ORIGIN_REPEATS = 2
# Of 20 draws 6 may fail.
CERTIFIED = CertifyConfig(radius=0.3, share=0.5, confidence=0.9)
# The origin counts in each draw, and is one visit.
NUM_ROUND_1 = ORIGIN_REPEATS + NUM_LATTICE - 2
NUM_VISITS = ORIGIN_REPEATS + NUM_CHOSEN - 2


@pytest.fixture
def adaptive_config(synthetic_config: Make) -> Make:
    def make(*, full: bool = False, **settings: Any) -> SweepConfig:
        data = synthetic_config(**settings).model_dump(mode="json")
        data["landscape"]["axes"] = [{"num": 11}, {"num": 11}]
        data["adaptive"] = None if full else {"fraction": 0.5}
        return SweepConfig.model_validate(data)

    return make


def scored(out: Path) -> tuple[Results, AdaptiveVisage]:
    results = load_results(str(out))
    estimate = score(results)["harmful"].visage
    assert isinstance(estimate, AdaptiveVisage)
    return results, estimate


def parts(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.parquet")}


def log_lines(out: Path, event: str) -> int:
    return sum(path.read_text(encoding="utf-8").count(f'"event": "{event}"') for path in (out / "log").iterdir())


def test_a_sweep_killed_between_rounds_makes_the_same_choice_and_estimate(
    tmp_path: Path, adaptive_config: Make, killed_after: Callable[[int, SweepConfig, Path], None]
) -> None:
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    outcome = run_sweep(adaptive_config(engines=2), str(undisturbed))
    assert (outcome.num_points, outcome.num_done, outcome.num_unchosen) == (NUM_VISITS, NUM_VISITS, 0)
    assert outcome.exit_code == 0

    slow = adaptive_config(faults={"delay_s": 0.03})
    killed_after(NUM_ROUND_1, slow, disturbed)
    first = parts(disturbed)
    assert NUM_ROUND_1 <= len(first) < NUM_VISITS
    assert run_sweep(adaptive_config(engines=2), str(disturbed)).exit_code == 0
    second = parts(disturbed)
    assert {name: second[name] for name in first} == first
    assert second.keys() == parts(undisturbed).keys()
    (one, estimate), (other, again) = scored(undisturbed), scored(disturbed)
    assert estimate == again
    assert one.design is not None
    assert other.design is not None
    assert (one.design.chosen == other.design.chosen).all()
    assert (estimate.num_points_measured, estimate.num_points) == (NUM_CHOSEN, 242)

    # Rounds share their engines; one may do it all before the other is up.
    assert log_lines(undisturbed, "tasks_added") == 2
    assert log_lines(undisturbed, "engine_up") in {1, 2}


def test_a_sweep_killed_while_it_certifies_ends_with_the_same_draws(
    tmp_path: Path, synthetic_config: Make, killed_after: Callable[[int, SweepConfig, Path], None]
) -> None:
    def certifying(**settings: Any) -> SweepConfig:
        data = synthetic_config(num=7, **settings).model_dump(mode="json")
        data["directions"]["draws"] = 20
        data["certify"] = CERTIFIED.model_dump()
        return SweepConfig.model_validate(data)

    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    outcome = run_sweep(certifying(engines=2), str(undisturbed))
    num_draws, rest = divmod(outcome.num_done - ORIGIN_REPEATS, 6)
    assert (rest, outcome.num_points, outcome.exit_code) == (0, outcome.num_done, 0)
    assert num_draws == 16  # the eight of the first round did not settle it

    killed_after(50, certifying(faults={"delay_s": 0.03}), disturbed)
    assert 50 <= len(parts(disturbed)) < outcome.num_done
    assert run_sweep(certifying(), str(disturbed)) == outcome
    assert parts(disturbed).keys() == parts(undisturbed).keys()
    lines, in_lines = certifying(points_per_visit=4).model_dump(mode="json"), tmp_path / "lines"
    lines["batching"], lines["benchmarks"][0]["decoding"]["early_verdict"] = "line", True
    assert run_sweep(SweepConfig.model_validate(lines), str(in_lines)) == outcome
    one, *others = (
        certificates(load_results(str(out)), CERTIFIED)["harmful"] for out in (undisturbed, disturbed, in_lines)
    )
    assert others == [one, one]
    assert not one.certified
    assert sum(wall.draw < 8 for wall in one.walls) < 7 <= len(one.walls)
    assert (one.num_draws, log_lines(undisturbed, "tasks_added")) == (16, 2)


@pytest.mark.long
def test_a_full_run_reuses_the_parts_and_an_adaptive_one_after_it_measures_nothing(
    tmp_path: Path, adaptive_config: Make
) -> None:
    out = tmp_path / "out"
    run_sweep(adaptive_config(), str(out))
    first, (_, estimate) = parts(out), scored(out)
    status = load_status(str(out))
    assert (status.exit_code, status.num_grid_points) == (0, 242)
    assert status.benchmarks["harmful"].num_points == status.benchmarks["harmful"].num_done == NUM_VISITS

    assert run_sweep(adaptive_config(full=True), str(out)).num_points == ORIGIN_REPEATS + 240
    everything = parts(out)
    assert {name: everything[name] for name in first} == first
    assert len(everything) == ORIGIN_REPEATS + 240
    full = score(load_results(str(out)))["harmful"].visage
    assert full is not None
    assert not isinstance(full, AdaptiveVisage)
    assert full.value is not None
    assert estimate.value is not None
    assert estimate.design_se is not None
    assert 0 < abs(estimate.value - full.value) < 4 * estimate.design_se

    assert run_sweep(adaptive_config(), str(out)).num_points == NUM_VISITS
    assert parts(out) == everything
    assert scored(out)[1] == estimate


@pytest.mark.long
def test_the_choice_waits_for_a_point_that_was_given_up(tmp_path: Path, adaptive_config: Make) -> None:
    out = tmp_path / "out"
    poisoned = adaptive_config(faults={"poison_coordinates": [[-0.5, -0.5]]}, max_attempts=1)
    outcome = run_sweep(poisoned, str(out))
    # Neither draw can go on without its corner; draws go from round to round together.
    assert (outcome.num_points, outcome.num_done, outcome.num_failed) == (NUM_ROUND_1, NUM_ROUND_1 - 2, 2)
    assert outcome.exit_code == load_status(str(out)).exit_code == 4
    with pytest.raises(IncompleteError, match="adaptive sweep"):
        score(load_results(str(out)))
    assert run_sweep(adaptive_config(), str(out)).exit_code == 4
    assert run_sweep(adaptive_config(), str(out), retry_failed=True).num_done == NUM_VISITS
    assert scored(out)[1].num_points_measured == NUM_CHOSEN
