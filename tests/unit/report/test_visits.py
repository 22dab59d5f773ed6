"""What rows say beside verdicts ends up at its place in the plan."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from landscape_ray.config import SweepConfig
from landscape_ray.evaluation import Verdict, VisitFacts
from landscape_ray.planning import PlannedPoint, SweepPlan
from landscape_ray.report.results import load_results
from landscape_ray.report.visits import Visits, grid_places, load_visits
from landscape_ray.store import ResultStore


def refused(*_: Any) -> Verdict:
    return Verdict.REFUSED


def visits_of(out: Path) -> dict[str, Visits]:
    return load_visits(ResultStore(str(out)), load_results(str(out)))


def test_lengths_are_means_over_prompts(tmp_path: Path, config: SweepConfig, publish: Callable[..., None]) -> None:
    # Answers of 1, 2, 0 and 8 words; the limit is 8. The third is empty, the fourth cut off.
    answers = ("one", "one two", " \n", "a b c d e f g h")
    there = lambda point: point.coordinates != (0.5,)  # noqa: E731
    publish(tmp_path, config, refused, answer=lambda *place: answers[place[2]], there=there)
    found = visits_of(tmp_path)["harmful"]
    measured = np.array([0, 1, 2, 3, 4, 6, 7, 8])
    assert (found.mean_tokens[measured] == 11 / 4).all()
    assert (found.cut_off[measured] == 0.25).all()
    assert (found.empty[measured] == 0.25).all()
    for values in (found.mean_tokens, found.cut_off, found.empty):
        assert np.flatnonzero(np.isnan(values)).tolist() == [5, 9]
    assert found.weights_digest[5] is None


def test_tokens_of_thinking_are_means_over_all_answers(
    tmp_path: Path, config: SweepConfig, publish: Callable[..., None]
) -> None:
    publish(tmp_path, config, refused, thinking=lambda name, _, i: "a b" if name == "other" and i else None)
    found = visits_of(tmp_path)
    assert (found["other"].num_thought == 3).all()
    assert (found["other"].mean_thinking == 6 / 4).all()
    assert np.isnan(found["harmful"].mean_thinking).all()


def test_what_visits_ran_on_is_counted_by_point(
    tmp_path: Path, config: SweepConfig, publish: Callable[..., None], visit_facts_of: Callable[..., VisitFacts]
) -> None:
    def facts(point: PlannedPoint) -> VisitFacts:
        return replace(visit_facts_of(point), device="A" if point.draw == 1 else "B")

    publish(tmp_path, config, refused, facts=facts)
    assert visits_of(tmp_path)["other"].ran_on == {
        "judge": {"keyword/1": 10},
        "engine": {"synthetic 1": 10},
        "torch_version": {"": 10},
        "device": {"A": 4, "B": 6},
    }


def test_every_grid_point_of_every_draw_knows_its_place(make_config: Callable[..., SweepConfig]) -> None:
    plan = SweepPlan.from_config(make_config(3, 2, draws=2))
    places = grid_places(plan)
    assert places.shape == (2, 3, 2)
    for draw in range(2):
        for coordinates in plan.grid:
            found = plan.points[places[(draw, *plan.grid.place(coordinates))]]
            assert (found.coordinates, found.draw) == (coordinates, draw)


def test_the_origin_is_at_one_place_for_all_draws(make_config: Callable[..., SweepConfig]) -> None:
    places = grid_places(SweepPlan.from_config(make_config(3, draws=2)))
    assert places.tolist() == [[2, 0, 3], [4, 0, 5]]
