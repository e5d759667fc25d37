"""Time to target over runs, some of which never reach it.

A run that has not reached the target within the budget is censored there, not missing; a run that was cut short is
censored where it stopped. Time is counted in epochs, from 1.

`correct` is everywhere the number of test images that a run classifies correctly, one integer an epoch. Counts are
compared as integers, so that a run at exactly the target has reached it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.evidence.statistics.intervals import Interval, share_of_seeds

_ROUNDING = 1e-9
"""The median is where half of the runs are left, and a product of shares can miss one half by a rounding error."""


def first_hit(correct: Sequence[int], target: int) -> int | None:
    """The first epoch at or above `target`, or None. It rewards a lucky epoch: see `sustained_hit`."""
    return sustained_hit(correct, target, length=1)


def sustained_hit(correct: Sequence[int], target: int, length: int = 3) -> int | None:
    """The first epoch of the first streak of `length` epochs in a row at or above `target`, or None.

    The value is the epoch at which the streak begins, so that it can be compared with `first_hit`; it is known only
    `length` - 1 epochs later. Raises ValueError if `length` is below 1.
    """
    if length < 1:
        raise ValueError(f"a streak has at least one epoch, not {length}")
    streak = 0
    for epoch, count in enumerate(correct, start=1):
        streak = streak + 1 if count >= target else 0
        if streak == length:
            return epoch - length + 1
    return None


def last_hit(correct: Sequence[int], target: int) -> int | None:
    """The last epoch at or above `target`, or None."""
    return max((epoch for epoch, count in enumerate(correct, start=1) if count >= target), default=None)


def collapses(correct: Sequence[int], images: int = 50) -> tuple[int, ...]:
    """The epochs whose count is more than `images` below the best epoch before them, in order."""
    best = 0
    found = []
    for epoch, count in enumerate(correct, start=1):
        if count < best - images:
            found.append(epoch)
        best = max(best, count)
    return tuple(found)


@dataclass(frozen=True)
class Observation:
    """One run: the epoch at which it reached the target (None: not seen to), and how many epochs were seen.

    A run that diverged has no time, whatever it had reached, and the whole budget as observed epochs: it has failed. A
    run that crashed or was interrupted might still have arrived: its observed epochs are those it finished.

    Raises ValueError for negative observed epochs, and for a time outside 1..`observed_epochs`.
    """

    time: int | None
    observed_epochs: int

    def __post_init__(self) -> None:
        if self.observed_epochs < 0:
            raise ValueError(f"observed epochs cannot be negative: {self.observed_epochs}")
        if self.time is not None and not 1 <= self.time <= self.observed_epochs:
            raise ValueError(f"time {self.time} is not one of the {self.observed_epochs} observed epochs")


@dataclass(frozen=True)
class SurvivalCurve:
    """The share of runs not yet at the target, by epoch: the Kaplan-Meier estimate, a step function.

    From `epochs[i]` on, the share is `surviving[i]`; `at_risk[i]` runs were still being watched just before, and
    `hits[i]` of them reached the target there. The first step is epoch 0, where the share is 1. The curve is known up
    to `end`. `marks` holds (epoch, share) of every censored run, in order of the epoch.
    """

    epochs: tuple[int, ...]
    surviving: tuple[float, ...]
    at_risk: tuple[int, ...]
    hits: tuple[int, ...]
    end: int
    marks: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class TimeToTarget:
    """Time to target of one network, in epochs; None wherever the runs do not determine a value.

    `undecided` runs stopped before the budget without a hit; `share_of_seeds` says how they count. `share` is the
    two-sided 95 % interval for the share of seeds that hit, `share_at_least` and `share_at_most` the one-sided bounds.

    `median` is the Kaplan-Meier median. `restricted_mean` is the area under the survival curve up to the budget, and
    `restricted_mean_error` its standard error. `average_runtime` is all epochs spent until hit or end, over the number
    of hits. The `conditional_` values describe the hits alone; they leave out the slowest runs and are biased low.
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
    """One run's counts by epoch as the observation of its first `length` epochs in a row at or above `target`.

    Epochs beyond the budget do not count, and a streak has to be complete within it. A run cut short in the middle of a
    streak is censored before that streak: it might have become the first.
    """
    counts = correct[:budget]
    time = sustained_hit(counts, target, length)
    if time is not None or len(counts) == budget:
        return Observation(time, len(counts))
    below = [epoch for epoch, count in enumerate(counts, start=1) if count < target]
    return Observation(None, max(below, default=0))


def survival_steps(observations: Sequence[Observation], budget: int) -> SurvivalCurve:
    """The Kaplan-Meier curve up to `budget` epochs.

    A run censored at an epoch was still watched in it: it is at risk there. Raises ValueError if `budget` is below 1.
    Source: Kaplan and Meier, J. Am. Stat. Assoc. 53 (1958) 457.
    """
    if budget < 1:
        raise ValueError(f"a budget has at least one epoch, not {budget}")
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
    """Summary of any number of runs, none included, under one common `budget` of epochs.

    Where every run was seen to its hit or to the budget, the restricted mean is the mean of min(T, budget), its error
    s / sqrt(n), and the median that of the empirical distribution. Where runs were cut short it is the area under the
    Kaplan-Meier curve, with Greenwood's variance times n / (n - 1); it is None where the curve ends above zero before
    the budget, and has no error where the curve comes down to zero. Raises ValueError if `budget` is below 1.

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
    """The last epoch that says something about the time to target: that of the hit, or the last one seen."""
    return min(seen.observed_epochs if seen.time is None else seen.time, budget)


def _restricted_mean(curve: SurvivalCurve, budget: int) -> tuple[float | None, float | None]:
    """Area under the curve up to `budget` and its standard error; None where undetermined."""
    surviving = np.array(curve.surviving)
    if curve.end < budget and surviving[-1] > 0:
        return None, None
    areas = surviving * np.diff([*curve.epochs, budget])
    area_from = np.cumsum(areas[::-1])[::-1]
    at_risk, hits = np.array(curve.at_risk, dtype=float), np.array(curve.hits, dtype=float)
    left = hits < at_risk  # a step to zero leaves no area behind it
    greenwood = float(np.sum(area_from[left] ** 2 * hits[left] / (at_risk[left] * (at_risk[left] - hits[left]))))
    runs = curve.at_risk[0]
    # With runs cut short, that step is where Greenwood's formula knows nothing: what is left of it would be too little.
    is_cut = any(epoch < budget for epoch, _ in curve.marks)
    if runs == 1 or (is_cut and surviving[-1] == 0):
        return float(area_from[0]), None
    return float(area_from[0]), (greenwood * runs / (runs - 1)) ** 0.5
