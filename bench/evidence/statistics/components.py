"""Where the variance between runs comes from: estimates of its components, with standard errors.

All values are counts of correct test images, so a variance is in images squared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Flips:
    """The variance of `runs` runs (or of several groups of runs, pooled), split by the test images.

    `whole` is the variance of the number of correct images. `flips` is what it would be if each image were right or
    wrong by itself, as often as it is. `left` is the rest: the variance of the accuracy over all possible images, which
    training causes. `left_error` is the standard error of `whole` for normal counts, with `freedom` degrees of freedom;
    the error of `flips` is much smaller, and left out.
    """

    runs: int
    freedom: int
    whole: float
    flips: float
    left: float
    left_error: float


def flips(correct: Sequence[int], misses: NDArray[np.int64], images: int) -> Flips | None:
    """Split the variance of the `correct` images of at least two runs. It is None for fewer.

    `misses` (images that any run misses,) has the number of runs that miss each of them. Raises ValueError if the two
    do not agree. Source: Jordan, arXiv 2304.01910, whose unbiased estimator for n images is
    n / (n - 1) * (Var(A) - sum over images of Var(C_i)), with A the count and C_i the correctness of image i.
    """
    runs = len(correct)
    if int(misses.sum()) != sum(images - one for one in correct):
        raise ValueError("the missed images are not those of the counts")
    if runs < 2:
        return None
    whole = float(np.var(correct, ddof=1))
    flipping = float((misses * (runs - misses)).sum()) / (runs * (runs - 1))
    return _split(runs, runs - 1, whole, flipping, images)


def pooled_flips(groups: Sequence[Flips], images: int) -> Flips | None:
    """Pool the variances of several groups by their degrees of freedom. It is None without a group.

    The standard error assumes that all groups have the same variance.
    """
    freedom = sum(one.freedom for one in groups)
    if not freedom:
        return None
    whole, flipping = (
        sum(value * one.freedom for value, one in zip(values, groups, strict=True)) / freedom
        for values in ([one.whole for one in groups], [one.flips for one in groups])
    )
    return _split(sum(one.runs for one in groups), freedom, whole, flipping, images)


def _split(runs: int, freedom: int, whole: float, flipping: float, images: int) -> Flips:
    left = images / (images - 1) * (whole - flipping)
    return Flips(runs, freedom, whole, flipping, left, whole * math.sqrt(2 / freedom))


@dataclass(frozen=True)
class EpochsAndSeeds:
    """The variance of the last `epochs` epochs of `runs` runs: from epoch to epoch within a run, and from seed to seed.

    `residual` and `between` are the mean squares, with `freedom_residual` and `freedom_between` degrees of freedom.
    """

    runs: int
    epochs: int
    residual: float
    between: float
    freedom_residual: int
    freedom_between: int

    @property
    def epoch(self) -> float:
        """The variance of one epoch, beside the mean of its run and what all seeds have in common in that epoch."""
        return self.residual

    @property
    def seed(self) -> float:
        """The variance of the runs' means, without what the epochs add to it. It can be negative by chance."""
        return (self.between - self.residual) / self.epochs


def epochs_and_seeds(groups: Sequence[Sequence[Sequence[int]]]) -> EpochsAndSeeds | None:
    """The analysis of variance of runs by epochs, pooled over groups of runs with the same number of epochs each.

    What all runs of a group have in common in an epoch is removed. It is None if no group has two runs, or for fewer
    than two epochs. Raises ValueError for different numbers of epochs. Source: Searle, Casella and McCulloch, Variance
    Components (1992), chapter 4: two-way crossed classification without replication.
    """
    several = [np.array(group, dtype=float) for group in groups if len(group) > 1]
    if not several or several[0].shape[1] < 2:
        return None
    epochs = several[0].shape[1]
    if any(group.shape[1] != epochs for group in several):
        raise ValueError("all runs need the same number of epochs")
    between = residual = 0.0
    for group in several:
        of_runs = group.mean(axis=1, keepdims=True) - group.mean()
        of_epochs = group.mean(axis=0, keepdims=True) - group.mean()
        between += epochs * float((of_runs**2).sum())
        residual += float(((group - group.mean() - of_runs - of_epochs) ** 2).sum())
    freedom = sum(len(group) - 1 for group in several)
    runs = sum(len(group) for group in several)
    freedom_residual = freedom * (epochs - 1)
    return EpochsAndSeeds(runs, epochs, residual / freedom_residual, between / freedom, freedom_residual, freedom)


@dataclass(frozen=True)
class Rounding:
    """The same seeds in two arithmetics. `difference` is the mean of first minus second, in images.

    `own` is half of the variance of the differences: what one run owes to its arithmetic's rounding, at the same seed.
    `seeds` is the mean of the two variances over seeds. If rounding moves a run as far as a new seed does, both are the
    same. `equal` counts the pairs whose counts are equal in every epoch.
    """

    pairs: int
    equal: int
    difference: float
    own: float | None
    seeds: float | None


def rounding(first: Sequence[Sequence[int]], second: Sequence[Sequence[int]]) -> Rounding | None:
    """Compare the last counts of the same seeds in two arithmetics, one sequence of counts by epoch for each run.

    It is None without a pair. A single pair has no variances. Raises ValueError if the numbers of runs differ.
    """
    pairs = list(zip(first, second, strict=True))
    if not pairs:
        return None
    one, other = (np.array([run[-1] for run in runs], dtype=float) for runs in (first, second))
    apart = one - other
    several = len(pairs) > 1
    return Rounding(
        len(pairs),
        sum(tuple(left) == tuple(right) for left, right in pairs),
        float(apart.mean()),
        float(apart.var(ddof=1)) / 2 if several else None,
        float(one.var(ddof=1) + other.var(ddof=1)) / 2 if several else None,
    )
