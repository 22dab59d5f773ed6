"""Which points are visited, with which coefficients on which vectors. Pure: no clock, no files, no environment."""

from landscape_ray.planning.anatomy import cell_of_group, left_by_groups, members, with_groups
from landscape_ray.planning.directions import PlannedDirection, entry_vectors
from landscape_ray.planning.estimate import TIME_ASSUMPTIONS, SweepEstimate, estimate, num_planned_visits
from landscape_ray.planning.geometry import Geometry, Mark, needs_geometry, random_axes, random_vector
from landscape_ray.planning.grid import Axis, Grid
from landscape_ray.planning.kind_costs import SVD_WIDTH, KindCost, kind_costs
from landscape_ray.planning.kinds import (
    Complement,
    Gradient,
    LowRank,
    Pruning,
    QuantizationError,
    RefusalAblation,
    SingularPart,
    TaskVector,
)
from landscape_ray.planning.lines import LineTask, Task, in_lines
from landscape_ray.planning.perturbation import (
    ORIGIN,
    STORED_FILE,
    CheckpointDelta,
    ComputedVector,
    Perturbation,
    RandomVector,
    StoredTensors,
    VectorSpec,
    direction_seed,
)
from landscape_ray.planning.sweep_plan import PlannedPoint, PointTask, SweepPlan
from landscape_ray.planning.tensor_names import default_excluded, is_moved, is_scale, left_out, name_alone

__all__ = [
    "ORIGIN",
    "STORED_FILE",
    "SVD_WIDTH",
    "TIME_ASSUMPTIONS",
    "Axis",
    "CheckpointDelta",
    "Complement",
    "ComputedVector",
    "Geometry",
    "Gradient",
    "Grid",
    "KindCost",
    "LineTask",
    "LowRank",
    "Mark",
    "Perturbation",
    "PlannedDirection",
    "PlannedPoint",
    "PointTask",
    "Pruning",
    "QuantizationError",
    "RandomVector",
    "RefusalAblation",
    "SingularPart",
    "StoredTensors",
    "SweepEstimate",
    "SweepPlan",
    "Task",
    "TaskVector",
    "VectorSpec",
    "cell_of_group",
    "default_excluded",
    "direction_seed",
    "entry_vectors",
    "estimate",
    "in_lines",
    "is_moved",
    "is_scale",
    "kind_costs",
    "left_by_groups",
    "left_out",
    "members",
    "name_alone",
    "needs_geometry",
    "num_planned_visits",
    "random_axes",
    "random_vector",
    "with_groups",
]
