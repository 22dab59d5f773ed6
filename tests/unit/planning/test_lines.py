"""Which points are visited together."""

from landscape_ray.planning import ORIGIN, LineTask, PlannedPoint, PointTask, in_lines


def task(draw: int | None, coordinate: float, *, repeat: int = 0, benchmarks: tuple[str, ...] = ("a",)) -> PointTask:
    point = PlannedPoint(draw=draw, repeat=repeat, coordinates=(coordinate,), perturbation=ORIGIN)
    return PointTask(point=point, benchmarks=benchmarks)


ORIGINS = [task(None, 0.0, repeat=repeat) for repeat in range(2)]
# As sweeps have them: draws by turns.
POINTS = [task(draw, float(step)) for step in range(5, 0, -1) for draw in (0, 1)]


def test_points_of_a_draw_are_put_together_near_and_far_ones_alike() -> None:
    visits = list(in_lines([*ORIGINS, *POINTS], 3))
    steps = [[each.point.coordinates[0] for each in visit.tasks] for visit in visits]
    assert steps == [[0.0], [0.0], [5.0, 3.0, 1.0], [4.0, 2.0], [5.0, 3.0, 1.0], [4.0, 2.0]]
    assert [{each.point.draw for each in visit.tasks} for visit in visits] == [{None}, {None}, {0}, {0}, {1}, {1}]
    assert visits[2].label == "d0_a+5.0 and 2 more"


def test_one_point_at_a_time_is_every_task_as_it_was() -> None:
    assert list(in_lines([*ORIGINS, *POINTS], 1)) == [*ORIGINS, *POINTS]


def test_points_that_lack_other_benchmarks_are_visited_apart() -> None:
    both = [task(0, 1.0, benchmarks=("a", "b")), task(0, 2.0), task(0, 3.0, benchmarks=("a", "b")), task(0, 4.0)]
    first, second = in_lines(both, 8)
    assert (first.tasks, first.benchmarks) == ((both[0], both[2]), ("a", "b"))
    assert (second.tasks, second.benchmarks) == ((both[1], both[3]), ("a",))


def test_halves_are_halved_down_to_single_tasks() -> None:
    (line,) = in_lines([task(0, float(step)) for step in range(5)], 5)
    assert isinstance(line, LineTask)
    first, second = line.halves()
    assert (*first.tasks, *second.tasks) == line.tasks
    assert isinstance(first, LineTask)
    assert first.halves() == line.tasks[:2]
