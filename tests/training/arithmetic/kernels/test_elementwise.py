"""Tests of `elementwise`, `image_normalisation`, `loss`, `normalisation` and `pooling`: unusual values, and chunks.

The bits of usual values are tested with the operations, one room above.
"""

from __future__ import annotations

import numpy

from bench.training.arithmetic.kernels import elementwise, image_normalisation, loss, normalisation, pooling

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
