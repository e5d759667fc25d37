"""The time to target over several runs. Some runs may never reach the target.

A run that does not reach the target within the budget is not missing: it is censored at the budget. A run that was cut
short is censored at the epoch where it stopped. Time is counted in epochs, from 1.

`correct` is always the number of test images that a run classifies correctly, one integer for each epoch. Counts are
compared as integers, so a run at exactly the target has reached it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.evidence.statistics.intervals import Interval, share_of_seeds
from bench.network.specification import largest_fall

_ROUNDING = 1e-9
"""The tolerance for the median, where half of the runs are left. A product of shares is subject to rounding."""


def first_hit(correct: Sequence[int], target: int) -> int | None:
    """The first epoch at or above `target`, or None. A single lucky epoch is enough; see `sustained_hit`."""
    return sustained_hit(correct, target, length=1)


def sustained_hit(correct: Sequence[int], target: int, length: int = 3) -> int | None:
    """The first epoch of the first streak of `length` epochs in a row at or above `target`, or None.

    The value is the epoch at which the streak begins, so that it can be compared with `first_hit`. It is known only
    `length` - 1 epochs later. Raises ValueError if `length` is below 1.
    """
    if length < 1:
        raise ValueError(f"a streak must have at least one epoch, not {length}")
    streak = 0
    for epoch, count in enumerate(correct, start=1):
        streak = streak + 1 if count >= target else 0
        if streak == length:
            return epoch - length + 1
    return None


def last_hit(correct: Sequence[int], target: int) -> int | None:
    """The last epoch at or above `target`, or None."""
    return max((epoch for epoch, count in enumerate(correct, start=1) if count >= target), default=None)


def collapses(correct: Sequence[int], total: int) -> tuple[int, ...]:
    """The epochs, in order, whose count, of `total`, is more than `largest_fall` below the best count before them."""
    best = 0
    found = []
    for epoch, count in enumerate(correct, start=1):
        if count < best - largest_fall(total):
            found.append(epoch)
        best = max(best, count)
    return tuple(found)


@dataclass(frozen=True)
class Observation:
    """One run: the epoch at which it was observed to reach the target, or None, and the number of observed epochs.

    A run that diverged has failed. It has no time, even if it reached the target before, and its observed epochs are
    the whole budget. A run that crashed or was interrupted might still have reached the target. Its observed epochs are
    those that it finished.

    Raises ValueError for negative observed epochs, and for a time outside 1..`observed_epochs`.
    """

    time: int | None
    observed_epochs: int

    def __post_init__(self) -> None:
        if self.observed_epochs < 0:
            raise ValueError(f"the number of observed epochs cannot be negative: {self.observed_epochs}")
        if self.time is not None and not 1 <= self.time <= self.observed_epochs:
            raise ValueError(f"time {self.time} is not one of the {self.observed_epochs} observed epochs")


@dataclass(frozen=True)
class SurvivalCurve:
    """The share of runs that have not yet reached the target, by epoch: the Kaplan-Meier estimate, a step function.

    From `epochs[i]` on, the share is `surviving[i]`. Just before this epoch, `at_risk[i]` runs were still observed. In
    this epoch, `hits[i]` of them reached the target. The first step is epoch 0, where the share is 1. The curve is
    known up to `end`. `marks` holds (epoch, share) of every censored run, by ascending epoch.
    """

    epochs: tuple[int, ...]
    surviving: tuple[float, ...]
    at_risk: tuple[int, ...]
    hits: tuple[int, ...]
    end: int
    marks: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class TimeToTarget:
    """The time to target of one network, in epochs. A value is None if the runs do not determine it.

    `undecided` runs stopped before the budget without a hit. `share_of_seeds` says how they count. `share` is the
    two-sided 95 % interval for the share of seeds that hit. `share_at_least` and `share_at_most` are the one-sided
    bounds.

    `median` is the Kaplan-Meier median. `restricted_mean` is the area under the survival curve up to the budget, and
    `restricted_mean_error` is its standard error. `average_runtime` is the number of all epochs until a hit or the end,
    divided by the number of hits. The `conditional_` values describe only the hits. They leave out the slowest runs and
    are biased low.
    """

    budget: int
    runs: int
    hits: int
    undecided: int
    share: Interval
    share_at_least: float
    share_at_most: float
    median: int | None
    restricted_mean: float | None
    restricted_mean_error: float | None
    average_runtime: float | None
    conditional_mean: float | None
    conditional_variance: float | None
    conditional_deviation: float | None


def observe(correct: Sequence[int], target: int, budget: int, length: int = 1) -> Observation:
    """Observe when a run first has `length` epochs in a row at or above `target`, from its counts by epoch.

    Epochs beyond the budget do not count, so a streak must be complete within the budget. A run that was cut short in
    the middle of a streak is censored before that streak, because it might have become the first complete streak.
    """
    counts = correct[:budget]
    time = sustained_hit(counts, target, length)
    if time is not None or len(counts) == budget:
        return Observation(time, len(counts))
    below = [epoch for epoch, count in enumerate(counts, start=1) if count < target]
    return Observation(None, max(below, default=0))


def survival_steps(observations: Sequence[Observation], budget: int) -> SurvivalCurve:
    """The Kaplan-Meier curve up to `budget` epochs.

    A run that is censored at an epoch was still observed in that epoch, so it is at risk there. Raises ValueError if
    `budget` is below 1. Source: Kaplan and Meier, J. Am. Stat. Assoc. 53 (1958) 457.
    """
    if budget < 1:
        raise ValueError(f"the budget must have at least one epoch, not {budget}")
    hit_times = np.array([seen.time for seen in observations if _is_hit(seen, budget)], dtype=int)
    censored = np.array([_end(seen, budget) for seen in observations if not _is_hit(seen, budget)], dtype=int)
    ends = np.concatenate([hit_times, censored])

    steps, hits = np.unique(hit_times, return_counts=True)
    at_risk = np.array([np.count_nonzero(ends >= step) for step in steps], dtype=int)
    surviving = np.concatenate([[1.0], np.cumprod(1 - hits / at_risk)])
    censored.sort()
    shares = surviving[np.searchsorted(steps, censored, side="right")]
    return SurvivalCurve(
        epochs=(0, *steps.tolist()),
        surviving=tuple(surviving.tolist()),
        at_risk=(len(ends), *at_risk.tolist()),
        hits=(0, *hits.tolist()),
        end=int(ends.max(initial=0)),
        marks=tuple(zip(censored.tolist(), shares.tolist(), strict=True)),
    )


def time_to_target(observations: Sequence[Observation], budget: int) -> TimeToTarget:
    """Summarise any number of runs (also no runs) under one common `budget` of epochs.

    If every run was observed until its hit or until the budget, the restricted mean is the mean of min(T, budget), its
    error is s / sqrt(n), and the median is that of the empirical distribution. If runs were cut short, the restricted
    mean is the area under the Kaplan-Meier curve, with Greenwood's variance times n / (n - 1). Then it is None if the
    curve ends above zero before the budget, and it has no error if the curve falls to zero. Raises ValueError if
    `budget` is below 1.

    Sources: Klein and Moeschberger, Survival Analysis (2003), section 4.5 (restricted mean); Hansen et al., COCO,
    Optim. Methods Softw. 36 (2021) 114 (average runtime).
    """
    curve = survival_steps(observations, budget)
    times = np.array([seen.time for seen in observations if _is_hit(seen, budget)], dtype=float)
    spent = sum(_end(seen, budget) for seen in observations)
    runs, hits = len(observations), len(times)
    undecided = sum(epoch < budget for epoch, _ in curve.marks)
    counts = (hits, runs - undecided, undecided)
    mean, error = _restricted_mean(curve, budget)
    variance = float(times.var(ddof=1)) if hits > 1 else None
    return TimeToTarget(
        budget=budget,
        runs=runs,
        hits=hits,
        undecided=undecided,
        share=share_of_seeds(*counts),
        share_at_least=share_of_seeds(*counts, side="lower").lower,
        share_at_most=share_of_seeds(*counts, side="upper").upper,
        median=next((t for t, s in zip(curve.epochs, curve.surviving, strict=True) if s <= 0.5 + _ROUNDING), None),
        restricted_mean=mean,
        restricted_mean_error=error,
        average_runtime=spent / hits if hits else None,
        conditional_mean=float(times.mean()) if hits else None,
        conditional_variance=variance,
        conditional_deviation=variance**0.5 if variance is not None else None,
    )


def _is_hit(seen: Observation, budget: int) -> bool:
    return seen.time is not None and seen.time <= budget


def _end(seen: Observation, budget: int) -> int:
    """The last epoch with information on the time to target: the epoch of the hit, or the last observed epoch."""
    return min(seen.observed_epochs if seen.time is None else seen.time, budget)


def _restricted_mean(curve: SurvivalCurve, budget: int) -> tuple[float | None, float | None]:
    """The area under the curve up to `budget`, and its standard error. Each is None if it is undetermined."""
    surviving = np.array(curve.surviving)
    if curve.end < budget and surviving[-1] > 0:
        return None, None
    areas = surviving * np.diff([*curve.epochs, budget])
    area_from = np.cumsum(areas[::-1])[::-1]
    at_risk, hits = np.array(curve.at_risk, dtype=float), np.array(curve.hits, dtype=float)
    left = hits < at_risk  # a step to zero has no area after it
    greenwood = float(np.sum(area_from[left] ** 2 * hits[left] / (at_risk[left] * (at_risk[left] - hits[left]))))
    runs = curve.at_risk[0]
    # Greenwood's formula has no term for a step to zero. With runs cut short, its other terms alone are too small.
    is_cut = any(epoch < budget for epoch, _ in curve.marks)
    if runs == 1 or (is_cut and surviving[-1] == 0):
        return float(area_from[0]), None
    return float(area_from[0]), (greenwood * runs / (runs - 1)) ** 0.5
