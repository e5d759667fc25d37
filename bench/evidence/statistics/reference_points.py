"""Reference convergence points: the limit for how much faster than a reference a set of runs may converge.

The rule is MLPerf's (MLCommons, Training Rules, "Reference Convergence Points", with two worked examples; `rcp_checker`
of the MLCommons logging package computes it there). It leaves out the fastest and the slowest runs of each set
("olympic" mean). The limit is the smallest mean that a one-sided two-sample t-test does not find to be faster.

The level is nominal. The deviation is small because the extremes are left out. One in ten normal submissions therefore
fails even if it has the same distribution as its reference (ten runs against five, level 0.05).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special


@dataclass(frozen=True)
class ReferencePoints:
    """The limit that a reference sets, in the unit of the reference (for example, epochs).

    `mean` and `deviation` are over the runs that remain after the `dropped` fastest and the `dropped` slowest runs are
    left out. The deviation divides by the number of these runs, not by one less. `minimum_mean` is the smallest olympic
    mean that `submission_runs` runs may have. `largest_speed_up` is `mean` / `minimum_mean` - 1, as a share. It is None
    if even a mean of zero is allowed.
    """

    mean: float
    deviation: float
    minimum_mean: float
    largest_speed_up: float | None
    submission_runs: int
    dropped: int


def reference_convergence(
    epochs: Sequence[float | None], submission_runs: int = 5, dropped: int = 1, level: float = 0.05
) -> ReferencePoints:
    """The limit for `submission_runs` runs, from the `epochs` to target of the reference runs.

    The t-test assumes equal variances and uses the reference's deviation for both sets. Its sample sizes are the
    numbers of remaining runs. An epoch of None means never: it is slower than any number, and only runs that are left
    out may have it. The deviation is that of the remaining runs, as in the published examples. Since 2024, MLPerf's
    checker uses the deviation of all runs.

    Raises ValueError if no run or a run that never converged remains, if `dropped` is negative, or unless
    0 < `level` < 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"the level must be between 0 and 1, not {level}")
    kept = _without_extremes(epochs, dropped)
    remaining = submission_runs - 2 * dropped
    if remaining < 1:
        raise ValueError(f"no run remains of {submission_runs} submission runs after {dropped} are dropped at each end")
    if not np.isfinite(kept).all():
        raise ValueError(f"more than {dropped} of the reference runs never converged")
    mean, deviation = float(kept.mean()), float(kept.std())
    quantile = float(special.stdtrit(len(kept) + remaining - 2, 1 - level)) if deviation > 0 else 0.0
    minimum = max(0.0, mean - quantile * deviation * math.sqrt(1 / len(kept) + 1 / remaining))
    speed_up = mean / minimum - 1 if minimum > 0 else None
    return ReferencePoints(mean, deviation, minimum, speed_up, submission_runs, dropped)


def submission_passes(reference: ReferencePoints, epochs: Sequence[float | None]) -> bool:
    """Whether the olympic mean of a submission's `epochs` is at or above the limit.

    A submission fails if more than `dropped` of its runs never converged. Raises ValueError if the limit was computed
    for another number of runs.
    """
    if len(epochs) != reference.submission_runs:
        raise ValueError(f"the limit is for {reference.submission_runs} runs, not {len(epochs)}")
    mean = _without_extremes(epochs, reference.dropped).mean()
    return bool(math.isfinite(mean) and mean >= reference.minimum_mean)


def _without_extremes(epochs: Sequence[float | None], dropped: int) -> NDArray[np.float64]:
    if dropped < 0:
        raise ValueError(f"cannot drop {dropped} runs")
    ordered: NDArray[np.float64] = np.sort([math.inf if epoch is None else float(epoch) for epoch in epochs])
    if len(ordered) <= 2 * dropped:
        raise ValueError(f"no run remains of {len(ordered)} runs after {dropped} are dropped at each end")
    return ordered[dropped : len(ordered) - dropped]
