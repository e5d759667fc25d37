"""Intervals for a share of successes and for one new run, and the number of seeds that a decision needs.

Quantiles come from `scipy.special`, because it loads four times faster than `scipy.stats`. "Never" is None in arguments
and infinity in results.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
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


@dataclass(frozen=True)
class Rank:
    """The rank of a value in a sample of `n` values: how many are below it, equal to it (`ties`) and above it.

    `p_value` is two-sided, for the hypothesis that the value is one more draw of the same kind. `smallest_p` is the
    smallest p-value that any value could have with this `n`. `can_reject` says whether `smallest_p` is at most
    `LEVEL`, that is, whether n >= 39.
    """

    n: int
    below: int
    ties: int
    above: int
    p_value: float
    smallest_p: float
    can_reject: bool


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


def smallest_deciding_n(
    threshold: float = 0.5, confidence: float = 0.95, side: Literal["either", "above", "below"] = "either"
) -> int:
    """The smallest number of seeds that decide, if all agree, whether the share of successes is above `threshold`.

    They decide if a one-sided Clopper-Pearson bound at `confidence` is above (or below) the threshold. It takes 5 seeds
    for "more likely than not" and 29 for "above 0.9". Raises ValueError unless both numbers are between 0 and 1.
    """
    _check_threshold(threshold)
    _check_arguments(0, 0, confidence)
    return next(
        n
        for n in itertools.count(1)
        if (side != "below" and clopper_pearson(n, n, confidence, "lower").lower > threshold)
        or (side != "above" and clopper_pearson(0, n, confidence, "upper").upper < threshold)
    )


def seeds_to_decide(
    successes: int, trials: int, threshold: float = 0.5, confidence: float = 0.95, cap: int = 1000
) -> int | None:
    """The number of further seeds that decide whether the share is above `threshold`, if the share stays the same.

    It is 0 if the trials decide already. The expected successes of the further seeds are rounded towards the undecided
    side. It is None if the share is exactly the threshold, if there are no trials, or if more than `cap` further seeds
    are needed. Raises ValueError for an impossible count and unless both probabilities are between 0 and 1.
    """
    _check_arguments(successes, trials, confidence)
    _check_threshold(threshold)
    if trials == 0 or successes / trials == threshold:
        return None
    above = successes / trials > threshold
    for further in range(cap + 1):
        n = trials + further
        if above and clopper_pearson(successes * n // trials, n, confidence, "lower").lower > threshold:
            return further
        if not above and clopper_pearson(-(-successes * n // trials), n, confidence, "upper").upper < threshold:
            return further
    return None


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
    sample = _never_as_infinity(values)
    n = len(sample)
    return Interval(float(sample.min()), float(sample.max()), (n - 1) / (n + 1)) if n > 1 else None


def rank_of(value: float | None, sample: Sequence[float | None]) -> Rank:
    """The rank of one new value in `sample`. None means never. Ties can only raise the two-sided p-value.

    Raises ValueError for NaN. Source: the rank of an exchangeable draw is uniform on 1..n + 1.
    """
    others, (new,) = _never_as_infinity(sample), _never_as_infinity([value])
    n = len(others)
    below, above = int(np.count_nonzero(others < new)), int(np.count_nonzero(others > new))
    tail = min(n - above, n - below)
    smallest = min(1.0, 2 / (n + 1))
    return Rank(n, below, n - below - above, above, min(1.0, 2 * (tail + 1) / (n + 1)), smallest, smallest <= LEVEL)


def _never_as_infinity(values: Sequence[float | None]) -> NDArray[np.float64]:
    sample = np.array([math.inf if value is None else value for value in values], dtype=float)
    if np.isnan(sample).any():
        raise ValueError("NaN has no rank")
    return sample


def _check_arguments(successes: int, trials: int, confidence: float) -> None:
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials are impossible")
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence must be between 0 and 1, not {confidence}")


def _check_threshold(threshold: float) -> None:
    if not 0 < threshold < 1:
        raise ValueError(f"the threshold must be between 0 and 1, not {threshold}")
