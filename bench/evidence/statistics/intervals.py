"""Intervals for a share of successes, for one new run and for a variance. They describe, and decide nothing.

Quantiles come from `scipy.special`, because it loads four times faster than `scipy.stats`. "Never" is None in arguments
and infinity in results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

Side = Literal["two-sided", "lower", "upper"]

LEVEL = 0.05
"""The level of significance: a p-value at or below it is evidence. Intervals have a confidence of one minus it."""


@dataclass(frozen=True)
class Interval:
    """From `lower` to `upper`, both included. `confidence` is the probability that it covers the estimated quantity."""

    lower: float
    upper: float
    confidence: float


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95, side: Side = "two-sided") -> Interval:
    """The exact interval for the share of successes. `side` "lower" or "upper" puts the whole error on that bound.

    No trials give [0, 1]. Raises ValueError unless 0 <= `successes` <= `trials` and 0 < `confidence` < 1.
    Source: Clopper and Pearson, Biometrika 26 (1934) 404.
    """
    _check_arguments(successes, trials, confidence)
    error = (1 - confidence) / 2 if side == "two-sided" else 1 - confidence
    lower, upper = 0.0, 1.0
    if side != "upper" and successes > 0:
        lower = float(special.betaincinv(successes, trials - successes + 1, error))
    if side != "lower" and successes < trials:
        upper = float(special.betaincinv(successes + 1, trials - successes, 1 - error))
    return Interval(lower, upper, confidence)


def share_of_seeds(
    successes: int, decided: int, undecided: int, confidence: float = 0.95, side: Side = "two-sided"
) -> Interval:
    """The interval for the share of all seeds that succeed. `undecided` runs stopped before they succeeded or failed.

    An undecided run counts as a failure in the lower bound and is left out of the upper bound, so it cannot raise a
    bound. The lower bound is valid for any outcome of the undecided runs. The upper bound is valid only if the reason
    why they stopped has nothing to do with their outcome. The upper bound does not count them as successes, because
    then runs that crash could undo a finding that the share is small.

    Raises ValueError like `clopper_pearson`, and for a negative number of undecided runs.
    """
    if undecided < 0:
        raise ValueError(f"the number of undecided runs cannot be negative: {undecided}")
    lower = clopper_pearson(successes, decided + undecided, confidence, side).lower
    return Interval(lower, clopper_pearson(successes, decided, confidence, side).upper, confidence)


def prediction_interval_t(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """The interval for ONE new value of a normal distribution: mean -+ t s sqrt(1 + 1/n).

    It is None for fewer than two values. Raises ValueError for values that are not finite and unless
    0 < `confidence` < 1.
    Source: Hahn and Meeker, Statistical Intervals (1991), chapter 4.
    """
    _check_arguments(0, 0, confidence)
    sample = np.asarray(values, dtype=float)
    if not np.isfinite(sample).all():
        raise ValueError("a t interval needs finite values; for runs without a hit, use prediction_interval_ranks")
    n = len(sample)
    if n < 2:
        return None
    half = special.stdtrit(n - 1, (1 + confidence) / 2) * sample.std(ddof=1) * math.sqrt(1 + 1 / n)
    return Interval(float(sample.mean() - half), float(sample.mean() + half), confidence)


def prediction_interval_ranks(values: Sequence[float | None]) -> Interval | None:
    """The interval for ONE new value of any distribution: [min, max], with confidence (n - 1) / (n + 1).

    A value of None means never and counts as infinity. Ties only raise the confidence. The result is None for fewer
    than two values. Raises ValueError for NaN. Source: Hahn and Meeker, Statistical Intervals (1991), chapter 5.
    """
    sample = [math.inf if value is None else float(value) for value in values]
    if any(math.isnan(value) for value in sample):
        raise ValueError("NaN has no rank")
    n = len(sample)
    return Interval(min(sample), max(sample), (n - 1) / (n + 1)) if n > 1 else None


def prediction_interval_counts(counts: Sequence[int], total: int) -> Interval | None:
    """The interval for ONE new count of `total` test images: Student's t, or the range of the counts.

    The range holds for any distribution. It is taken once it has the same confidence, from 39 counts on, and where
    Student's t leaves 0 to `total`: then the counts cannot be normally distributed. It is None for fewer than two.
    """
    of_ranks, of_t = prediction_interval_ranks(counts), prediction_interval_t(counts)
    if of_ranks is None or of_t is None:
        return None
    is_possible = of_t.lower >= 0 and of_t.upper <= total
    return of_t if is_possible and of_ranks.confidence < of_t.confidence else of_ranks


def variance_interval(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """The interval for the variance of a normal distribution: (n - 1) s² over two quantiles of chi-squared.

    It is None for fewer than two values. Raises ValueError unless 0 < `confidence` < 1.
    Source: Hahn and Meeker, Statistical Intervals (1991), chapter 4.
    """
    _check_arguments(0, 0, confidence)
    freedom = len(values) - 1
    if freedom < 1:
        return None
    squares = freedom * float(np.var(values, ddof=1))
    beyond = (1 - confidence) / 2
    lower, upper = (squares / float(special.chdtri(freedom, share)) for share in (beyond, 1 - beyond))
    return Interval(lower, upper, confidence)


def _check_arguments(successes: int, trials: int, confidence: float) -> None:
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials are impossible")
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence must be between 0 and 1, not {confidence}")
