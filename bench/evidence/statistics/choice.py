"""What choosing adds: the best of k seeds, and the best epoch on the images that it is then reported on."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-9
"""The tolerance for an expected best that is equal to the value, because a sum of floats is subject to rounding."""

HALVES = 200
"""The number of times that the images are divided at random into two halves."""

_GENERATOR_SEED = 20_000


def expected_best(values: Sequence[float], k: int) -> float:
    """The expected highest of k of these n values, over all choices without repetition: unbiased for k new draws.

    Raises ValueError unless 1 <= k <= n. Source: Tang et al., arXiv 2004.13705, on Dodge et al., arXiv 1909.03004.
    """
    n = len(values)
    if not 1 <= k <= n:
        raise ValueError(f"the best of {k} cannot be estimated from {n} values")
    expected, weight = 0.0, k / n  # of the n values, the highest is among k of them with this probability
    for place, value in zip(range(n - 1, -1, -1), sorted(values, reverse=True), strict=True):
        expected += weight * value
        weight *= (place - k + 1) / place if place else 0.0
    return expected


def least_choice(value: float, values: Sequence[float]) -> int | None:
    """The least k for which the expected best of k draws is at least `value`. It is None if no k up to n is enough."""
    n = len(values)
    if not n or value > max(values):
        return None
    return 1 + bisect.bisect_left(range(1, n), value, key=lambda k: expected_best(values, k) + _ROUNDING)


def honest_best(missed: Sequence[NDArray[np.integer[Any]]], images: int) -> float:
    """The correct images of the best epoch of a run, if one half of the images chooses it and the other half scores it.

    `missed` has for each epoch the numbers of the images that are wrong. Each image falls into either half with a
    probability of one half, and the score counts twice. Then the halves change places, so that an image that is easier
    or harder than others helps and harms alike. The mean over random halves has no gain from choosing and scoring on
    the same images. Half of the images choose less well than all of them, so the honest best is, if anything, too low.
    The halves depend on nothing but the numbers of the images. Of equally good epochs the first one is chosen. Raises
    ValueError without an epoch.
    """
    if not missed:
        raise ValueError("a run without an epoch has no best one")
    starts = np.cumsum([0, *(1 + len(one) for one in missed[:-1])])
    none = np.array([images])  # the last row of the halves is 0, so that an epoch without misses has a row too
    chooses = _halves(images)[np.concatenate([part for one in missed for part in (none, one)])]
    first = np.add.reduceat(chooses, starts, axis=0, dtype=np.int32)  # misses (epochs, halves)
    second = np.array([[len(one)] for one in missed]) - first
    scores = [np.take_along_axis(b, a.argmin(axis=0)[None], axis=0) for a, b in ((first, second), (second, first))]
    return images - 2 * float(np.mean(scores))


@functools.lru_cache(maxsize=4)
def _halves(images: int) -> NDArray[np.uint8]:
    """Random halves (images + 1, halves), from the raw bits of the generator, which are the same for good.

    An image is 1 in the halves that choose. The last row is 0.
    """
    words = np.random.Philox(_GENERATOR_SEED).random_raw(-(-HALVES * images // 64)).astype("<u8")
    bits = np.unpackbits(words.view(np.uint8))[: HALVES * images].reshape(HALVES, images)
    return np.concatenate([bits.T, np.zeros((1, HALVES), dtype=np.uint8)])
