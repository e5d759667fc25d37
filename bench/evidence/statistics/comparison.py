"""Comparisons: permutation tests, Holm's correction, and the effects of the seed and of the device."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ARRANGEMENTS = 200_000
"""Up to this number, all arrangements are enumerated (17 pairs; 10 against 10). Otherwise this many are drawn."""

_GENERATOR_SEED = 20_000
"""The seed of the drawn arrangements. It is fixed, so that the same data give the same p-value."""

_TIE = 1e-9
"""Two statistics are equal if they differ by less than this share of the largest possible statistic."""


@dataclass(frozen=True)
class PermutationTest:
    """A two-sided permutation test on the mean.

    `difference` is the mean of the first minus the mean of the second. `smallest_p` is the smallest p-value that any
    arrangement of the same values could give: 2 / 2**n for n pairs that all differ. If it is above 0.05, the test
    cannot reject. `exact` says that every arrangement was enumerated.
    """

    difference: float
    p_value: float
    smallest_p: float
    exact: bool


def paired_permutation_test(first: Sequence[float], second: Sequence[float]) -> PermutationTest:
    """Test whether paired values differ in the mean. An arrangement gives each pair's difference a sign.

    `first` and `second` have the same length n >= 1. For up to 17 pairs, all 2**n arrangements are enumerated. For more
    pairs, 200,000 arrangements are drawn with a fixed seed; the observed arrangement is one of them. Raises ValueError
    for unequal or zero length and for values that are not finite.

    Sources: Fisher, The Design of Experiments (1935), section 21; Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9
    (2010) 39 (why the observed arrangement counts).
    """
    if len(first) != len(second):
        raise ValueError(f"pairs need equal lengths, not {len(first)} and {len(second)}")
    differences = _finite_sample(first) - _finite_sample(second)
    n = len(differences)
    exact = 2**n <= _ARRANGEMENTS
    if exact:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    else:
        signs = np.random.default_rng(_GENERATOR_SEED).choice([-1, 1], size=(_ARRANGEMENTS, n))
        signs[0] = 1
    return _permutation_test(float(differences.mean()), signs @ differences, exact)


def two_sample_permutation_test(first: Sequence[float], second: Sequence[float]) -> PermutationTest:
    """Test whether two independent samples of sizes n, m >= 1 differ in the mean.

    An arrangement is a split of all values into two samples. Up to 200,000 splits (10 against 10), all are enumerated.
    Otherwise 200,000 are drawn with a fixed seed; the observed split is one of them. Raises ValueError for an empty
    sample and for values that are not finite. Source: Pitman, J. R. Stat. Soc. Suppl. 4 (1937) 119.
    """
    n, pooled = len(first), np.concatenate([_finite_sample(first), _finite_sample(second)])
    difference = float(pooled[:n].mean() - pooled[n:].mean())
    splits = math.comb(len(pooled), n)
    exact = splits <= _ARRANGEMENTS
    if exact:
        chosen = np.fromiter(itertools.combinations(range(len(pooled)), n), dtype=(int, n), count=splits)
    else:
        places = np.tile(np.arange(len(pooled)), (_ARRANGEMENTS, 1))
        chosen = np.random.default_rng(_GENERATOR_SEED).permuted(places, axis=1)[:, :n]
        chosen[0] = np.arange(n)
    return _permutation_test(difference, pooled[chosen].sum(axis=1), exact)


def smallest_two_sample_p(n: int, m: int) -> float:
    """The smallest two-sided p-value of `two_sample_permutation_test` for n values against m, if all values differ.

    Of all (n + m choose n) splits, one is the most extreme on either side.
    """
    return min(1.0, 2 / math.comb(n + m, n))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's adjusted p-values, in the given order.

    If all adjusted p-values at or below a level are rejected, the probability of any false rejection is at most that
    level. Raises ValueError for a p-value outside 0..1. Source: Holm, Scand. J. Stat. 6 (1979) 65.
    """
    raw = np.array(p_values, dtype=float)
    if not ((raw >= 0) & (raw <= 1)).all():
        raise ValueError("p-values must be between 0 and 1")
    order = np.argsort(raw, kind="stable")
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1)))
    return tuple(adjusted.tolist())


def _finite_sample(values: Sequence[float]) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=float)
    if len(sample) == 0 or not np.isfinite(sample).all():
        raise ValueError("a comparison needs at least one value, all finite; for a run without a hit, use the budget")
    return sample


def _permutation_test(difference: float, null: NDArray[np.float64], exact: bool) -> PermutationTest:
    """The test from the statistics of all arrangements, the observed one first. It doubles the smaller tail."""
    tie = _TIE * np.abs(null).max()
    p_value = 2 * min(np.mean(null <= null[0] + tie), np.mean(null >= null[0] - tie))
    smallest = 2 * min(np.mean(null <= null.min() + tie), np.mean(null >= null.max() - tie))
    return PermutationTest(difference, min(1.0, float(p_value)), min(1.0, float(smallest)), exact)
