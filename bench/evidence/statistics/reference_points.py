"""Reference convergence points: how much faster than a reference may a set of runs converge before it is not the same.

The rule is MLPerf's (MLCommons, Training Rules, "Reference Convergence Points", with two worked examples; computed
there by `rcp_checker` of the MLCommons logging package). The fastest and the slowest runs of each set are left out
("olympic" mean); the smallest mean that a one-sided two-sample t-test does not call faster is the limit.

The level is nominal. Leaving out the extremes makes the deviation small: of normal submissions that are just like their
reference (ten runs against five, level 0.05), one in ten fails.
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
    """What a reference allows, in its own unit (epochs, say).

    `mean` and `deviation` are over the runs that remain when the `dropped` fastest and slowest are left out; the
    deviation divides by their number, not by one less. `minimum_mean` is the smallest olympic mean allowed to
    `submission_runs` runs, and `largest_speed_up` is `mean` / `minimum_mean` - 1, as a share; None if even zero is
    allowed.
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
    """The limit that the reference runs' `epochs` to target set for `submission_runs` runs.

    The t-test assumes equal variances and takes the reference's deviation for both sets, with the runs that remain on
    either side. None is never: slower than any number, allowed among the runs left out. The deviation is the trimmed
    one of the published examples; since 2024 MLPerf's checker takes that of all runs.

    Raises ValueError if nothing, or a run that never converged, remains after dropping, if `dropped` is negative, or
    unless 0 < `level` < 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"a level is between 0 and 1, not {level}")
    kept = _olympic(epochs, dropped)
    remaining = submission_runs - 2 * dropped
    if remaining < 1:
        raise ValueError(f"nothing remains of {submission_runs} submission runs without {dropped} at either end")
    if not np.isfinite(kept).all():
        raise ValueError(f"more than {dropped} of the reference runs never converged")
    mean, deviation = float(kept.mean()), float(kept.std())
    quantile = float(special.stdtrit(len(kept) + remaining - 2, 1 - level)) if deviation > 0 else 0.0
    minimum = max(0.0, mean - quantile * deviation * math.sqrt(1 / len(kept) + 1 / remaining))
    speed_up = mean / minimum - 1 if minimum > 0 else None
    return ReferencePoints(mean, deviation, minimum, speed_up, submission_runs, dropped)


def submission_passes(reference: ReferencePoints, epochs: Sequence[float | None]) -> bool:
    """Whether the olympic mean of a submission's `epochs` is no faster than allowed, with at most `dropped` nevers.

    Raises ValueError if it has another number of runs than the limit was computed for.
    """
    if len(epochs) != reference.submission_runs:
        raise ValueError(f"the limit is for {reference.submission_runs} runs, not {len(epochs)}")
    mean = _olympic(epochs, reference.dropped).mean()
    return bool(math.isfinite(mean) and mean >= reference.minimum_mean)


def _olympic(epochs: Sequence[float | None], dropped: int) -> NDArray[np.float64]:
    if dropped < 0:
        raise ValueError(f"cannot drop {dropped} runs")
    ordered: NDArray[np.float64] = np.sort([math.inf if epoch is None else float(epoch) for epoch in epochs])
    if len(ordered) <= 2 * dropped:
        raise ValueError(f"nothing remains of {len(ordered)} runs without {dropped} at either end")
    return ordered[dropped : len(ordered) - dropped]
