"""Comparisons: permutation tests, Holm's correction, and what the device adds to what the seed does."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ARRANGEMENTS = 200_000
"""Up to this many arrangements are enumerated (17 pairs; 10 against 10); beyond, this many are drawn."""

_GENERATOR_SEED = 20_000
"""Of the drawn arrangements: the same data give the same p-value."""

_TIE = 1e-9
"""Statistics closer than this, as a share of the largest possible one, are equal."""


@dataclass(frozen=True)
class PermutationTest:
    """A two-sided permutation test on the mean.

    `difference` is the mean of the first minus that of the second. `smallest_p` is the least p-value that any
    arrangement of these very values could give: 2 / 2**n for n pairs that all differ. Where it is above 0.05, the test
    cannot reject. `exact` says that every arrangement was enumerated.
    """

    difference: float
    p_value: float
    smallest_p: float
    exact: bool


@dataclass(frozen=True)
class DeviceDifference:
    """First device minus second over the `seeds` that both ran: mean, and standard deviation (None below two seeds)."""

    first: str
    second: str
    seeds: int
    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Variation:
    """How much the seed moves a result, and how much the device does at the same seed.

    `over_seeds` holds (device, variance over its seeds), the variance None below two seeds. `differences` holds every
    pair of devices that share a seed, in the order given.
    """

    over_seeds: tuple[tuple[str, float | None], ...]
    differences: tuple[DeviceDifference, ...]


def paired_permutation_test(first: Sequence[float], second: Sequence[float]) -> PermutationTest:
    """Whether paired values differ in the mean: each pair's difference changes its sign, or does not.

    `first` and `second` have the same length n >= 1. Up to 17 pairs all 2**n arrangements are enumerated; beyond,
    200,000 are drawn from a generator of fixed seed, the observed one among them. Raises ValueError for unequal or zero
    length and for values that are not finite.

    Sources: Fisher, The Design of Experiments (1935), section 21; Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9
    (2010) 39 (why the observed one counts).
    """
    if len(first) != len(second):
        raise ValueError(f"pairs need equal lengths, not {len(first)} and {len(second)}")
    differences = _finite(first) - _finite(second)
    n = len(differences)
    exact = 2**n <= _ARRANGEMENTS
    if exact:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    else:
        signs = np.random.default_rng(_GENERATOR_SEED).choice([-1, 1], size=(_ARRANGEMENTS, n))
        signs[0] = 1
    return _test(float(differences.mean()), signs @ differences, exact)


def two_sample_permutation_test(first: Sequence[float], second: Sequence[float]) -> PermutationTest:
    """Whether two independent samples, of any sizes n, m >= 1, differ in the mean: all values change places.

    Up to 200,000 splits (10 against 10) all are enumerated; beyond, as many are drawn from a generator of fixed seed,
    the observed one among them. Raises ValueError for an empty sample and for values that are not finite.
    Source: Pitman, J. R. Stat. Soc. Suppl. 4 (1937) 119.
    """
    n, pooled = len(first), np.concatenate([_finite(first), _finite(second)])
    difference = float(pooled[:n].mean() - pooled[n:].mean())
    splits = math.comb(len(pooled), n)
    exact = splits <= _ARRANGEMENTS
    if exact:
        chosen = np.fromiter(itertools.combinations(range(len(pooled)), n), dtype=(int, n), count=splits)
    else:
        places = np.tile(np.arange(len(pooled)), (_ARRANGEMENTS, 1))
        chosen = np.random.default_rng(_GENERATOR_SEED).permuted(places, axis=1)[:, :n]
        chosen[0] = np.arange(n)
    return _test(difference, pooled[chosen].sum(axis=1), exact)


def smallest_two_sample_p(n: int, m: int) -> float:
    """The least two-sided p-value that `two_sample_permutation_test` can give n values against m, where none are equal.

    One split in all (n + m choose n) is the most extreme on either side.
    """
    return min(1.0, 2 / math.comb(n + m, n))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's adjusted p-values, in the order given.

    Rejecting those at or below a level keeps the chance of any false rejection at that level. Raises ValueError for
    a p-value outside 0..1. Source: Holm, Scand. J. Stat. 6 (1979) 65.
    """
    raw = np.array(p_values, dtype=float)
    if not ((raw >= 0) & (raw <= 1)).all():
        raise ValueError("a p-value is between 0 and 1")
    order = np.argsort(raw, kind="stable")
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1)))
    return tuple(adjusted.tolist())


def variation(values: Mapping[str, Mapping[int, float]]) -> Variation:
    """Variance over seeds on each device, and the mean difference between devices at the same seed.

    `values` holds device -> seed -> value; devices may have run different seeds. Raises ValueError for values that are
    not finite and for a device without any.
    """
    over_seeds = []
    for device, by_seed in values.items():
        sample = _finite(list(by_seed.values()))
        over_seeds.append((device, float(sample.var(ddof=1)) if len(sample) > 1 else None))
    differences = []
    for one, other in itertools.combinations(values, 2):
        shared = sorted(values[one].keys() & values[other].keys())
        if shared:
            change = np.array([values[one][seed] - values[other][seed] for seed in shared], dtype=float)
            deviation = float(change.std(ddof=1)) if len(shared) > 1 else None
            differences.append(DeviceDifference(one, other, len(shared), float(change.mean()), deviation))
    return Variation(tuple(over_seeds), tuple(differences))


def _finite(values: Sequence[float]) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=float)
    if len(sample) == 0 or not np.isfinite(sample).all():
        raise ValueError("a comparison needs finite values, at least one; for a run that never arrives take the budget")
    return sample


def _test(difference: float, null: NDArray[np.float64], exact: bool) -> PermutationTest:
    """From the statistic of every arrangement, the observed one first. Two-sided is twice the smaller tail."""
    tie = _TIE * np.abs(null).max()
    p_value = 2 * min(np.mean(null <= null[0] + tie), np.mean(null >= null[0] - tie))
    smallest = 2 * min(np.mean(null <= null.min() + tie), np.mean(null >= null.max() - tie))
    return PermutationTest(difference, min(1.0, float(p_value)), min(1.0, float(smallest)), exact)
