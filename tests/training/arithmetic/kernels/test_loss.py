"""Tests of `loss`: the bits of the exponential, the logarithm and the loss, and how near they are to the truth.

Bounds are relative errors, with u = 2^-53, half the distance from 1 to the next binary64.

exp. The first step of the reduction is exact, the second is one rounding: with |r| < 0.347 it changes r by 2^-55, and
the result by u / 4. What the polynomial lacks is |r|^14 / 14! < 0.06 u of the result. Of the thirteen roundings of the
polynomial the last is u, the one before it u * |r| * 1.2, and all others together with those of the coefficients are
below 0.11 u. That is less than 1.9 u: EXP_BOUND is 2 u.

log. m - 1 is exact; m + 1 and the quotient give f two roundings, the polynomial 1.1 u, the product u: 4.1 u in all, and
that is the error where n = 0. Else the chain has two roundings more, and |log t| is at least 0.346: in the worst case
n = +-1 and m = sqrt(2), the terms cancel to half of log 2, and the sum of the errors is below 6 u. LOG_BOUND is 6 u.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import numba
import numpy as np
import pytest
import reference
from bits import KINDS, SEEDS, assert_same_bits, values
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.training.arithmetic.kernels import loss

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # infinities and NaN are values like others

U = 2.0**-53
EXP_BOUND, LOG_BOUND = 2 * U, 6 * U
NUMPY_BOUND = 4 * U  # of numpy.exp, numpy.log and the C library's: less than two units in the last place

few = settings(max_examples=100, derandomize=True)


# ---------------------------------------------------------------------------------------------------------------------
# Exponential and logarithm
# ---------------------------------------------------------------------------------------------------------------------

NAMES = ("LOG2E", "SHIFTER", "LN2_HIGH", "LN2_LOW", "SQRT2")


def of_the_page(root: Path) -> dict[str, float]:
    """The table of constants of docs/arithmetic.md."""
    rows = re.findall(
        r"^\| ([A-Z0-9_]+) \| (0x\S+) \|$", (root / "docs/arithmetic.md").read_text(encoding="utf-8"), re.M
    )
    return {name: float.fromhex(value) for name, value in rows}


@pytest.mark.parametrize("name", NAMES)
def test_page_code_and_reference_have_the_same_constants(name, root):
    assert of_the_page(root).keys() == set(NAMES)
    assert of_the_page(root)[name] == getattr(loss, f"_{name}") == getattr(reference, name)


def test_the_coefficients_are_the_nearest():
    """A quotient of integers is the nearest binary64 in Python, and a fraction becomes the nearest too."""
    factorials = [float(Fraction(1, math.factorial(i))) for i in range(14)]
    assert factorials == list(loss._EXPONENTIAL) == list(reference.ONE_BY_FACTORIAL)
    odd = [float(Fraction(1, i)) for i in range(1, 24, 2)]
    assert odd == list(loss._LOGARITHM) == list(reference.ONE_BY[1::2])


def test_the_constants_are_what_their_names_say():
    with localcontext() as context:
        context.prec = 60
        ln2 = Decimal(2).ln()
        assert abs(Decimal(reference.LOG2E) * ln2 - 1) < Decimal(U)
        assert abs(Decimal(reference.SQRT2) - Decimal(2).sqrt()) < Decimal(2 * U)
        assert abs(Decimal(reference.LN2_HIGH) + Decimal(reference.LN2_LOW) - ln2) < Decimal(2.0**-86)
    assert (reference.LN2_HIGH * 2.0**32).is_integer()  # so that n * LN2_HIGH is exact, and z - n * LN2_HIGH as well


@numba.njit(error_model="numpy")  # nothing is kept on disk: numba would not see that `loss` has changed
def differing(first, last, stride, sign):
    """Of the patterns of bits from first to last: how many have another exponential in the code than in the reference,
    the last of them, and the largest relative difference from the C library's, with the pattern that has it.
    """
    wrong, example, largest, where = 0, -1, 0.0, -1
    for pattern in range(first, last + 1, stride):
        z = sign * np.float32(np.int32(pattern).view(np.float32))
        found, expected, library = loss.exp(z), reference.exp(z), math.exp(np.float64(z))
        if np.float64(found).view(np.int64) != np.float64(expected).view(np.int64):
            wrong, example = wrong + 1, pattern
        difference = abs(found - library) / library
        if difference > largest:
            largest, where = difference, pattern
    return wrong, example, largest, where


def pattern(value: float) -> int:
    return int(np.float32(value).view(np.int32))


@pytest.mark.parametrize(("sign", "end"), [(-1.0, 104.0), (1.0, 89.0)])
def test_a_sample_of_all_exponentials(sign, end):
    """Every 2,999th binary32, and all near the edges of the range and of the reduction by multiples of log 2."""
    sign = np.float32(sign)
    ranges = [(0, pattern(end), 2999), (0, 2000, 1), (pattern(end) - 2000, pattern(end), 1)]
    ranges += [(pattern((i + 0.5) * math.log(2)) - 40, pattern((i + 0.5) * math.log(2)) + 40, 1) for i in range(128)]
    ranges += [(pattern(i * math.log(2)) - 40, pattern(i * math.log(2)) + 40, 1) for i in range(1, 128)]
    for first, last, stride in ranges:
        wrong, example, largest, where = differing(first, last, stride, sign)
        assert wrong == 0, f"{wrong} differ, one of them at {float(sign) * float(np.int32(example).view(np.float32))}"
        assert largest <= EXP_BOUND + NUMPY_BOUND, where


@pytest.mark.slow
@pytest.mark.parametrize(("sign", "end"), [(-1.0, 104.0), (1.0, 89.0)])
def test_every_exponential(sign, end):
    """All of [-104, 0] and of [0, 89]: more than two thousand million."""
    wrong, example, largest, where = differing(0, pattern(end), 1, np.float32(sign))
    print(f"{sign * end}: largest relative difference from the C library's {largest / U:.3f} u, at pattern {where:#x}")
    assert wrong == 0, f"{wrong} differ, one of them at {example:#x}"
    assert largest <= EXP_BOUND + NUMPY_BOUND, where


def test_exponentials_against_numpy():
    generator = np.random.default_rng(5)
    z = np.concatenate([generator.uniform(-708, 709, 200_000), generator.uniform(-20, 1, 200_000)]).astype(np.float32)
    found = np.array([loss.exp(one) for one in z])
    expected = np.exp(z.astype(np.float64))
    assert (np.abs(found - expected) <= (EXP_BOUND + NUMPY_BOUND) * expected).all()


def test_exponentials_and_logarithms_against_sixty_decimals():
    generator = np.random.default_rng(6)
    with localcontext() as context:
        context.prec = 60
        near_halves = (np.arange(-20, 20) + 0.5) * math.log(2)
        for z in (*generator.uniform(-104, 89, 1000), *generator.uniform(-0.4, 0.4, 500), *near_halves):
            z32 = np.float32(z)
            exact = Decimal(float(z32)).exp()
            assert abs(Decimal(loss.exp(z32)) - exact) <= Decimal(EXP_BOUND) * exact, z32
        worst = math.sqrt(2) * (1 + generator.uniform(-1e-3, 1e-3, 300))
        for t in (
            *generator.uniform(1, 10, 700),
            *(1 + 2.0 ** -generator.uniform(1, 52, 300)),
            *worst,
            *(worst / 2),
            *(worst * 4),
            *(2.0 ** generator.uniform(-1022, 1023, 300)),
        ):
            exact = Decimal(float(t)).ln()
            assert abs(Decimal(loss.log(t)) - exact) <= Decimal(LOG_BOUND) * abs(exact), t


def test_edges_of_the_exponential():
    below, above = np.nextafter(np.float32(-708), np.float32(-709)), np.nextafter(np.float32(709), np.float32(710))
    for z in (0.0, -0.0, -708.0, 709.0, below, above, -np.inf, np.inf, np.nan, 2.0**-149, -(2.0**-149), -3e38, 3e38):
        assert_same_bits(np.float64(loss.exp(np.float32(z))), np.float64(reference.exp(np.float32(z))), str(z))
    assert loss.exp(np.float32(0)) == loss.exp(np.float32(-0.0)) == 1
    assert loss.exp(below) == 0
    assert loss.exp(above) == math.inf
    assert 0 < loss.exp(np.float32(-708)) < 4e-308
    assert 8e307 < loss.exp(np.float32(709)) < math.inf
    assert math.isnan(loss.exp(np.float32(math.nan)))


@numba.njit(error_model="numpy")
def logarithms(t):
    """Those of the code and of the reference."""
    found, expected = np.empty_like(t), np.empty_like(t)
    for i in range(len(t)):
        found[i], expected[i] = loss.log(t[i]), reference.log(t[i])
    return found, expected


def test_logarithms():
    """Of sums as log-softmax has them, near 1 and near sqrt(2), and of every exponent."""
    generator = np.random.default_rng(7)
    t = np.concatenate(
        [
            generator.uniform(1, 40, 400_000),
            1 + 2.0 ** -generator.uniform(1, 53, 100_000),
            1 - 2.0 ** -generator.uniform(1, 54, 100_000),
            2.0 ** generator.uniform(-1022, 1023.9, 300_000),
            math.sqrt(2) * (1 + generator.uniform(-1e-6, 1e-6, 100_000)),
            [1.0, 2.0, 0.5, 2.0**-1022, 2.0**1023, np.finfo(float).max, reference.SQRT2, math.nan],
            [math.nextafter(reference.SQRT2, 2.0), math.nextafter(reference.SQRT2, 1.0), math.nextafter(1.0, 0.0)],
        ]
    )
    found, expected = logarithms(t)
    assert_same_bits(found, expected, "log")
    library = np.log(t)
    whole = ~np.isnan(t)
    assert (np.abs(found - library) <= (LOG_BOUND + NUMPY_BOUND) * np.abs(library))[whole].all()
    assert loss.log(1.0) == 0


# ---------------------------------------------------------------------------------------------------------------------
# Log-softmax and the loss
# ---------------------------------------------------------------------------------------------------------------------

counts = st.integers(1, 20)
kinds = st.sampled_from(KINDS)


@few
@given(counts, counts, kinds, kinds, st.sampled_from([1, 10, 100]), SEEDS)
@example(1, 1, "normal", "normal", 1, 0)
@example(3, 10, "extreme", "extreme", 1, 0)
def test_log_softmax_and_its_gradient(images, scores, kind, other, scale, seed):
    generator = np.random.default_rng(seed)
    x = values(generator, (images, scores), kind) * np.float32(scale)
    dy = values(generator, (images, scores), other)
    y, dx = np.empty_like(x), np.empty_like(x)
    loss.log_softmax(x, y)
    assert_same_bits(y, reference.log_softmax(x), "log-softmax")
    loss.log_softmax_gradient(y, dy, dx)
    assert_same_bits(dx, reference.log_softmax_gradient(y, dy), "gradient of log-softmax")


@pytest.mark.parametrize(
    "scores",
    [
        [np.nan, 1, 2],
        [1, np.nan, 2],
        [1, 2, np.nan],
        [np.inf, 1, 2],
        [1, -np.inf, 2],
        [-np.inf, -np.inf, -np.inf],
        [np.inf, np.nan, -np.inf],
        [3e38, -3e38, 0],
        [0.0, -0.0, -0.0],
        [-709, 0, -708],
        [2.0**-149, -(2.0**-149), 0],
    ],
    ids=str,
)
def test_log_softmax_of_unusual_scores(scores):
    x = np.array([scores], np.float32)
    y, dx = np.empty_like(x), np.empty_like(x)
    loss.log_softmax(x, y)
    assert_same_bits(y, reference.log_softmax(x))
    loss.log_softmax_gradient(y, np.ones_like(x), dx)
    assert_same_bits(dx, reference.log_softmax_gradient(y, np.ones_like(x)))
    assert np.isnan(y).all() or not np.isnan(y).any()


@few
@given(counts, counts, st.sampled_from(["normal", "wide", "ties", "zeros"]), SEEDS)
def test_log_softmax_is_that_of_float64_but_for_three_roundings(images, scores, kind, seed):
    """z is rounded, which moves z itself and each exponential of the sum, and so is the result."""
    x = values(np.random.default_rng(seed), (images, scores), kind)
    y = np.empty_like(x)
    loss.log_softmax(x, y)
    z = x.astype(np.float64) - x.max(1, keepdims=True).astype(np.float64)
    total = np.exp(z).sum(1, keepdims=True)
    exact = z - np.log(total)
    bound = 2.0**-24 * (np.abs(z) + (np.exp(z) * np.abs(z)).sum(1, keepdims=True) / total + np.abs(exact))
    assert (np.abs(y - exact) <= 1.001 * bound + scores * 2.0**-50).all()


@few
@given(st.integers(1, 300), counts, kinds, SEEDS)
def test_the_loss_and_its_gradient(images, scores, kind, seed):
    generator = np.random.default_rng(seed)
    y, labels = values(generator, (images, scores), kind), generator.integers(0, scores, images)
    assert_same_bits(np.float64(loss.likelihood(y, labels)), np.float64(reference.loss_sum(y, labels)), "loss")
    dy = np.full_like(y, 7)
    loss.likelihood_gradient(labels, dy)
    assert_same_bits(dy, reference.negative_log_likelihood_gradient(y, labels), "gradient of the loss")


@few
@given(st.integers(1, 30), counts, st.sampled_from(["normal", "ties", "zeros"]), SEEDS)
def test_the_predicted_digit_is_the_first_of_the_largest(images, scores, kind, seed):
    y = values(np.random.default_rng(seed), (images, scores), kind)
    found = np.full(images, 77, np.uint8)
    loss.predicted(y, found)
    assert found.tolist() == [reference.predicted_digit(one) for one in y] == np.argmax(y, 1).tolist()


def test_of_equal_scores_the_first_is_predicted():
    y = np.array([[0, 3, 3, 1], [-0.0, 0.0, -1, -2], [-np.inf] * 4, [np.inf, 1, np.inf, 2], [1, 2, 2, 2]], np.float32)
    found = np.empty(5, np.uint8)
    loss.predicted(y, found)
    assert found.tolist() == [1, 0, 0, 0, 1]
