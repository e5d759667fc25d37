"""Values of every kind for the tests of the exact arithmetic, and a comparison to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

Array = np.ndarray[Any, np.dtype[Any]]

KINDS = ("normal", "wide", "powers", "ties", "zeros", "tiny", "extreme")
SEEDS = st.integers(0, 2**32 - 1)
UNUSUAL = np.array(
    [0.0, -0.0, 2.0**-149, -(2.0**-149), 2.0**-126, -(2.0**-127), 3e38, -3e38, np.inf, -np.inf, np.nan], np.float32
)


def values(generator: np.random.Generator, shape: tuple[int, ...], kind: str) -> Array:
    """Binary32 values in which a mistake of the kind shows.

    "wide" has many exponents, so that a sum in another order is another sum. The sums of "powers" cancel, so that this
    is seen of a sum in binary64 too. "ties" has few values, so that many are
    equal. The products of "tiny" are subnormal or nothing. "extreme" has an infinity, NaN or the like in every twenty,
    or in every five hundred, so that not all sums are NaN.
    """
    normal = generator.standard_normal(shape)
    if kind == "wide":
        normal = normal * 2.0 ** generator.integers(-15, 16, shape)
    elif kind == "powers":
        normal = np.copysign(2.0 ** generator.choice([0, 30, 60], shape), normal)
    elif kind == "ties":
        normal = generator.integers(-2, 3, shape).astype(float)
    elif kind == "zeros":
        normal = np.where(generator.random(shape) < 0.5, np.copysign(0.0, normal), normal)
    elif kind == "tiny":
        normal = normal * 2.0 ** generator.choice([-72, -74, -76, -140, -148], shape)
    elif kind == "extreme":
        share = generator.choice([0.05, 0.002])
        normal = np.where(generator.random(shape) < share, generator.choice(UNUSUAL, shape), normal)
    return np.ascontiguousarray(normal, np.float32)


def assert_same_bits(found: Any, expected: Any, what: str = "") -> None:
    """Equal to the bit, where one NaN is as good as another."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape), what
    words = {4: np.uint32, 8: np.uint64}[found.dtype.itemsize]
    found, expected = np.ascontiguousarray(found), np.ascontiguousarray(expected)
    differs = (found.view(words) != expected.view(words)) & ~(np.isnan(found) & np.isnan(expected))
    if differs.any():
        places = [tuple(int(i) for i in place) for place in np.argwhere(differs)[:3]]
        shown = [f"{place}: {float(found[place]).hex()}, not {float(expected[place]).hex()}" for place in places]
        raise AssertionError(f"{what}: {differs.sum()} of {differs.size} differ; {'; '.join(shown)}")
