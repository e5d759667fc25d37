"""Tests of `elementwise`, `image_normalisation`, `loss`, `masks`, `normalisation`, `pooling`: masks, unusual values.

The bits of usual values are tested with the operations, one room above.
"""

from __future__ import annotations

import numpy
import pytest

from bench.training import randomness
from bench.training.arithmetic.kernels import elementwise, image_normalisation, loss, masks, normalisation, pooling

UNUSUAL = numpy.array([-numpy.inf, -1, -0.0, 0.0, 2.0**-149, 6, 7, numpy.inf, numpy.nan], numpy.float32)


def applied(kernel, *arguments):
    result = numpy.empty_like(UNUSUAL)
    kernel(*arguments, result)
    return result


def same(found, expected):
    """Equal, with the sign of a zero."""
    expected = numpy.array(expected, numpy.float32)
    is_nan = numpy.isnan(expected)
    assert numpy.array_equal(numpy.isnan(found), is_nan)
    assert found[~is_nan].tobytes() == expected[~is_nan].tobytes()


def test_activations_of_unusual_values():
    inf, nan, tiny = numpy.inf, numpy.nan, 2.0**-149
    same(applied(elementwise.relu, UNUSUAL), [0.0, 0.0, 0.0, 0.0, tiny, 6, 7, inf, nan])
    same(applied(elementwise.relu6, UNUSUAL), [0.0, 0.0, 0.0, 0.0, tiny, 6, 6, 6, nan])
    half = numpy.float32(0.5)
    same(applied(elementwise.leaky_relu, UNUSUAL, half), [-inf, -0.5, -0.0, 0.0, tiny, 6, 7, inf, nan])
    ones = numpy.full_like(UNUSUAL, 3)
    same(applied(elementwise.relu_gradient, UNUSUAL, ones), [0.0, 0.0, 0.0, 0.0, 3, 3, 3, 3, 3])
    same(applied(elementwise.relu6_gradient, UNUSUAL, ones), [0.0, 0.0, 0.0, 0.0, 3, 0.0, 0.0, 0.0, 3])


def test_the_first_of_equal_values_is_the_largest_and_nan_is_larger():
    x = numpy.array([[1, 2], [2, 0]], numpy.float32).reshape(1, 2, 2, 1)
    dx, dy = numpy.empty_like(x), numpy.full((1, 1, 1, 1), 5, numpy.float32)
    shape = (2, 2), (2, 2), (0, 0), (1, 1)
    pooling.max_pool_gradient(x, dy, *shape, dx)
    assert dx.ravel().tolist() == [0, 5, 0, 0]
    x[0, 1, 0] = numpy.nan
    y = numpy.empty_like(dy)
    pooling.max_pool(x, *shape, y)
    assert numpy.isnan(y).all()
    digits = numpy.empty(2, numpy.uint8)
    loss.predicted(numpy.array([[0, 3, 3], [1, 0, 1]], numpy.float32), digits)
    assert digits.tolist() == [1, 0]


def test_a_channel_of_one_value_has_a_variance_of_exactly_zero_around_its_mean():
    """Such a channel makes an evaluation collapse. Rounding must not hide it."""
    x = numpy.full((4, 3, 2), numpy.float32(0.1))
    sums = numpy.zeros((2, 2))
    centre = numpy.full(2, numpy.float32(0.1))
    normalisation.passes(False, False, "nothing", False).add_moments(x, centre, *sums)
    mean, variance = numpy.empty(2), numpy.empty(2)
    normalisation.batch_statistics(*sums, centre, 12.0, mean, variance)
    assert (variance == 0).all()
    assert (mean == numpy.float32(0.1)).all()


def test_sums_do_not_depend_on_how_the_images_are_cut():
    x = numpy.random.default_rng(1).standard_normal((7, 5, 6)).astype(numpy.float32)
    whole, parts = numpy.zeros(6), numpy.zeros(6)
    normalisation.add_sums(x, whole)
    for chunk in (x[:3], x[3:4], x[4:]):
        normalisation.add_sums(chunk, parts)
    assert whole.tobytes() == parts.tobytes()
    values = numpy.random.default_rng(2).standard_normal((7, 2, 3, 4)).astype(numpy.float32)
    weight, bias = numpy.ones(4, numpy.float32), numpy.zeros(4, numpy.float32)
    y, z = numpy.empty_like(values), numpy.empty_like(values)
    image_normalisation.group_norm(values, 2, 1e-5, weight, bias, y)
    for n in range(7):
        image_normalisation.group_norm(values[n : n + 1], 2, 1e-5, weight, bias, z[n : n + 1])
    assert y.tobytes() == z.tobytes()


@pytest.mark.parametrize(
    ("images", "channels", "pixels"), [(3, 16, 784), (5, 12, 676), (3, 7, 16), (3, 5, 9), (2, 33, 17), (9, 1, 25)]
)
@pytest.mark.parametrize("probability", [0.0, 0.05, 0.5, 1.0])
def test_a_mask_keeps_the_values_whose_words_are_below_the_threshold(images, channels, pixels, probability):
    size = images * channels * pixels
    mask = numpy.empty(size + masks.ROOM, numpy.uint8)
    threshold = randomness.keep_threshold(probability)
    stream = (numpy.uint64(number) for number in (2**63 + 7, randomness.Purpose.DROPOUT, 11, 4))
    masks.keep(*stream, threshold, images, channels, pixels, mask)
    drawn = randomness.half_words(2**63 + 7, 11, 4, size) < threshold
    expected = drawn.reshape(images, channels, pixels).transpose(0, 2, 1)
    assert numpy.array_equal(mask[:size].reshape(images, pixels, channels), expected)


def test_pooling_of_windows_of_every_kind_agrees_with_plain_loops():
    generator = numpy.random.default_rng(1)
    for channels in (1, 3, 10, 16, 21, 33):
        for kernel, stride, padding, dilation in (
            ((2, 2), (2, 2), (0, 0), (1, 1)),
            ((2, 2), (1, 1), (0, 0), (1, 1)),
            ((2, 2), (2, 3), (1, 1), (1, 1)),
            ((2, 2), (2, 2), (0, 0), (2, 2)),
            ((3, 2), (2, 1), (1, 0), (1, 2)),
        ):
            x = generator.integers(-3, 3, (2, 7, 9, channels)).astype(numpy.float32)  # many values are equal
            x[0, 3, 4, 0] = numpy.nan
            rows, columns = (
                (x.shape[1 + d] + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1) // stride[d] + 1 for d in (0, 1)
            )
            dy = generator.standard_normal((2, rows, columns, channels)).astype(numpy.float32)
            y, dx, expected_dx = numpy.empty_like(dy), numpy.empty_like(x), numpy.zeros_like(x)
            pooling.max_pool(x, kernel, stride, padding, dilation, y)
            pooling.max_pool_gradient(x, dy, kernel, stride, padding, dilation, dx)
            for n, i, j, c in numpy.ndindex(dy.shape):
                window = [
                    (n, h, w, c)
                    for h in range(i * stride[0] - padding[0], x.shape[1], dilation[0])[: kernel[0]]
                    for w in range(j * stride[1] - padding[1], x.shape[2], dilation[1])[: kernel[1]]
                    if h >= 0 and w >= 0
                ]
                chosen = window[0]
                for place in window[1:]:
                    chosen = place if x[place] > x[chosen] or numpy.isnan(x[place]) else chosen
                assert numpy.array_equal(y[n, i, j, c], x[chosen], equal_nan=True)
                expected_dx[chosen] += dy[n, i, j, c]
            assert dx.tobytes() == expected_dx.tobytes()
