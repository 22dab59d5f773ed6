"""Intervals of proportions."""

import numpy as np
import scipy

from landscape_ray.analysis.landscape import FloatArray, Landscape

__all__ = ["clopper_pearson", "wilson", "wilson_of_points"]


def wilson(num_success: FloatArray, num_trials: FloatArray, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Return the Wilson score interval of a proportion in percent, NaN where there are no trials.

    Its mean coverage is the nominal one, also near 0 and 100 %, where it keeps a width. SciPy has it for one proportion
    of whole counts at a time; here counts are arrays, and those of a mean over draws need not be whole.

    Source: Wilson 1927; Brown, Cai and DasGupta 2001, Eq. 4.
    """
    z = scipy.special.ndtri((1 + level) / 2)
    num = np.where(num_trials > 0, num_trials, np.nan)
    share = num_success / num
    centre = (share + z**2 / (2 * num)) / (1 + z**2 / num)
    half = z / (1 + z**2 / num) * np.sqrt(share * (1 - share) / num + z**2 / (4 * num**2))
    # The ends at 0 and 100 % are exact in the formula, not in floats.
    low, high = np.where(share == 0, 0, centre - half), np.where(share == 1, 1, centre + half)
    return 100 * low, 100 * high


def wilson_of_points(landscape: Landscape) -> tuple[FloatArray, FloatArray]:
    """Return the Wilson 95 % interval of each draw's rate at each grid point, in percent; (D, *G) both.

    Raises:
        ValueError: The landscape is not of a rate.
    """
    if not landscape.metric.is_rate:
        msg = f"Benchmark {landscape.benchmark!r} measures {landscape.metric.label}, which is no proportion."
        raise ValueError(msg)
    return wilson(landscape.num_success.astype(np.float64), landscape.num_scored.astype(np.float64))


def clopper_pearson(num_success: float, num_trials: float, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a proportion, 0 to 1: it never covers less often than the level.

    That of SciPy's `binomtest`, also for counts that are not whole, as effective sample sizes are.

    Source: Clopper and Pearson 1934, as quantiles of beta distributions.
    """
    tail, num_failed = (1 - level) / 2, num_trials - num_success
    low = scipy.stats.beta.ppf(tail, num_success, num_failed + 1) if num_success else 0.0
    high = scipy.stats.beta.ppf(1 - tail, num_success + 1, num_failed) if num_failed else 1.0
    return float(low), float(high)
