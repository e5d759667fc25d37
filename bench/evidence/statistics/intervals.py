"""Intervals: for a share of successes, for one new run, and how many seeds it takes to decide.

Quantiles come from `scipy.special`, which loads four times faster than `scipy.stats`. "Never" is None on the way in and
infinity on the way out.
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


@dataclass(frozen=True)
class Interval:
    """From `lower` to `upper`, both included; `confidence` is the probability of covering what is estimated."""

    lower: float
    upper: float
    confidence: float


@dataclass(frozen=True)
class Rank:
    """Where a value stands in a sample of `n`: how many are below it, tied with it, above it.

    `p_value` is two-sided, for the hypothesis that the value is one more draw of the same kind; `smallest_p` is the
    least that any value could get against this many, and `can_reject` whether that is at most 0.05 (n of 39 or more).
    """

    n: int
    below: int
    ties: int
    above: int
    p_value: float
    smallest_p: float
    can_reject: bool


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95, side: Side = "two-sided") -> Interval:
    """Exact interval for the share of successes; `side` "lower" or "upper" puts all of the error on that bound.

    No trials give [0, 1]. Raises ValueError unless 0 <= `successes` <= `trials` and 0 < `confidence` < 1.
    Source: Clopper and Pearson, Biometrika 26 (1934) 404.
    """
    _check(successes, trials, confidence)
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
    """Interval for the share of all seeds that succeed, where `undecided` runs stopped before they had done either.

    A run without an end counts as a failure in the lower bound and not at all in the upper one, so that none can raise
    a bound. The lower one holds whatever the undecided runs would have become; the upper one, if why they stopped has
    nothing to do with that. Counted as successes, runs that crash could undo a finding that the share is small.

    Raises ValueError as `clopper_pearson`, and for a negative number of undecided runs.
    """
    if undecided < 0:
        raise ValueError(f"{undecided} undecided runs")
    lower = clopper_pearson(successes, decided + undecided, confidence, side).lower
    return Interval(lower, clopper_pearson(successes, decided, confidence, side).upper, confidence)


def smallest_deciding_n(
    threshold: float = 0.5, confidence: float = 0.95, side: Literal["either", "above", "below"] = "either"
) -> int:
    """The fewest seeds whose unanimous outcome puts the share of successes above (or below) `threshold`.

    Decided means that a one-sided Clopper-Pearson bound at `confidence` is beyond the threshold: 5 for "more likely
    than not", 29 for "above 0.9". Raises ValueError unless both numbers are between 0 and 1.
    """
    _check_threshold(threshold)
    _check(0, 0, confidence)
    return next(
        n
        for n in itertools.count(1)
        if (side != "below" and clopper_pearson(n, n, confidence, "lower").lower > threshold)
        or (side != "above" and clopper_pearson(0, n, confidence, "upper").upper < threshold)
    )


def seeds_to_decide(
    successes: int, trials: int, threshold: float = 0.5, confidence: float = 0.95, cap: int = 1000
) -> int | None:
    """How many further seeds decide whether the share is above or below `threshold`, if it stays as seen.

    0 if it is decided already. The successes expected of the further seeds are rounded towards the undecided side. None
    if the share seen is the threshold itself, if there are no trials, or if more than `cap` further seeds are needed.
    Raises ValueError for an impossible count and unless both probabilities are between 0 and 1.
    """
    _check(successes, trials, confidence)
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
    """Where ONE new value of a normal distribution falls: mean -+ t s sqrt(1 + 1/n). None for fewer than two values.

    Raises ValueError for values that are not finite and unless 0 < `confidence` < 1.
    Source: Hahn and Meeker, Statistical Intervals (1991), chapter 4.
    """
    _check(0, 0, confidence)
    sample = np.asarray(values, dtype=float)
    if not np.isfinite(sample).all():
        raise ValueError("a t interval needs finite values; for runs that never arrive use prediction_interval_ranks")
    n = len(sample)
    if n < 2:
        return None
    half = special.stdtrit(n - 1, (1 + confidence) / 2) * sample.std(ddof=1) * math.sqrt(1 + 1 / n)
    return Interval(float(sample.mean() - half), float(sample.mean() + half), confidence)


def prediction_interval_ranks(values: Sequence[float | None]) -> Interval | None:
    """Where ONE new value of any distribution falls: [min, max], with confidence (n - 1) / (n + 1).

    None among the values is never and counts as infinity; ties only raise the confidence. None for fewer than two
    values. Raises ValueError for NaN. Source: Hahn and Meeker, Statistical Intervals (1991), chapter 5.
    """
    sample = _with_never(values)
    n = len(sample)
    return Interval(float(sample.min()), float(sample.max()), (n - 1) / (n + 1)) if n > 1 else None


def rank_of(value: float | None, sample: Sequence[float | None]) -> Rank:
    """The rank of one new value in `sample`, None being never, with a two-sided p-value that ties can only raise.

    Raises ValueError for NaN. Source: the rank of an exchangeable draw is uniform on 1..n + 1.
    """
    others, (new,) = _with_never(sample), _with_never([value])
    n = len(others)
    below, above = int(np.count_nonzero(others < new)), int(np.count_nonzero(others > new))
    tail = min(n - above, n - below)
    smallest = min(1.0, 2 / (n + 1))
    return Rank(n, below, n - below - above, above, min(1.0, 2 * (tail + 1) / (n + 1)), smallest, smallest <= 0.05)


def _with_never(values: Sequence[float | None]) -> NDArray[np.float64]:
    sample = np.array([math.inf if value is None else value for value in values], dtype=float)
    if np.isnan(sample).any():
        raise ValueError("NaN has no rank")
    return sample


def _check(successes: int, trials: int, confidence: float) -> None:
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is between 0 and 1, not {confidence}")


def _check_threshold(threshold: float) -> None:
    if not 0 < threshold < 1:
        raise ValueError(f"a threshold is between 0 and 1, not {threshold}")
