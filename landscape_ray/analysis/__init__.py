"""Arrays in, numbers with intervals out. Pure: no clock, no files, no environment.

Letters for array shapes: `D` draws of the direction(s), `G` grid points (one or two grid axes, in the axes' order),
`P` prompts, `R` repeats of the origin.

SciPy is imported as a whole (`import scipy`), which loads each of its parts when that is first used: an engine's
process counts verdicts with this package, and would otherwise spend a third of its imports on what it never uses.
"""

from landscape_ray.analysis.adaptive import AdaptiveDesign, design_points, planned_design
from landscape_ray.analysis.adaptive_scores import AdaptiveVisage, adaptive_mean, adaptive_visage
from landscape_ray.analysis.agreement import Agreement, Calibration, Share, agreement, calibration
from landscape_ray.analysis.anatomy import Anatomy, GroupLoss, anatomy
from landscape_ray.analysis.basin import Basin, basin
from landscape_ray.analysis.by_kind import Along, KindWall, walls_by_kind
from landscape_ray.analysis.certificate import Certificate, allowed_failures, certificate, lower_bound
from landscape_ray.analysis.certified_plan import certified_plan, chosen_draws
from landscape_ray.analysis.comparison import Change, compare, where_both_are_measured
from landscape_ray.analysis.gate import OriginChange, origin_change, retention_bound
from landscape_ray.analysis.landscape import COLUMNS, Landscape, LogLikelihoods, check_complete
from landscape_ray.analysis.means import mean_margin, mean_margin_of_points, mean_value
from landscape_ray.analysis.metric import METRICS, Metric, Outcome
from landscape_ray.analysis.noise_floor import NoiseFloor, noise_floor
from landscape_ray.analysis.precision import (
    ASSUMED_COMPONENTS,
    MAX_DRAWS,
    PrecisionOption,
    least_half_width,
    num_prompts_for,
    precision_options,
    with_assumed_draws,
)
from landscape_ray.analysis.proportion import clopper_pearson, wilson, wilson_of_points
from landscape_ray.analysis.rank_correlation import RankCorrelation, rank_correlation
from landscape_ray.analysis.samples import asked_text, tally
from landscape_ray.analysis.uncertainty import (
    Estimate,
    Interval,
    Statistic,
    Sums,
    VarianceComponents,
    band_of_mean,
    estimate,
)
from landscape_ray.analysis.visage import VisageScore, visage, visage_statistic
from landscape_ray.analysis.visage_conditions import Definition, VisageConditions, visage_conditions
from landscape_ray.analysis.wall import WallNoise, repeats_plan, wall_noise, with_wall_visits

__all__ = [
    "ASSUMED_COMPONENTS",
    "COLUMNS",
    "MAX_DRAWS",
    "METRICS",
    "AdaptiveDesign",
    "AdaptiveVisage",
    "Agreement",
    "Along",
    "Anatomy",
    "Basin",
    "Calibration",
    "Certificate",
    "Change",
    "Definition",
    "Estimate",
    "GroupLoss",
    "Interval",
    "KindWall",
    "Landscape",
    "LogLikelihoods",
    "Metric",
    "NoiseFloor",
    "OriginChange",
    "Outcome",
    "PrecisionOption",
    "RankCorrelation",
    "Share",
    "Statistic",
    "Sums",
    "VarianceComponents",
    "VisageConditions",
    "VisageScore",
    "WallNoise",
    "adaptive_mean",
    "adaptive_visage",
    "agreement",
    "allowed_failures",
    "anatomy",
    "asked_text",
    "band_of_mean",
    "basin",
    "calibration",
    "certificate",
    "certified_plan",
    "check_complete",
    "chosen_draws",
    "clopper_pearson",
    "compare",
    "design_points",
    "estimate",
    "least_half_width",
    "lower_bound",
    "mean_margin",
    "mean_margin_of_points",
    "mean_value",
    "noise_floor",
    "num_prompts_for",
    "origin_change",
    "planned_design",
    "precision_options",
    "rank_correlation",
    "repeats_plan",
    "retention_bound",
    "tally",
    "visage",
    "visage_conditions",
    "visage_statistic",
    "wall_noise",
    "walls_by_kind",
    "where_both_are_measured",
    "wilson",
    "wilson_of_points",
    "with_assumed_draws",
    "with_wall_visits",
]
