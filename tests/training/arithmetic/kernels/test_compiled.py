"""Tests of `compiled`: a fused multiply-add rounds once, nothing else is fused or reordered, and bits stay bits."""

from __future__ import annotations

import math

import numba
import numpy
import pytest

from bench.training.arithmetic.kernels import compiled as module
from bench.training.arithmetic.kernels.compiled import bits, fma, fma64, from_bits


@numba.njit(error_model="numpy")
def fused(a, b, c):
    return fma(a, b, c)


@numba.njit(error_model="numpy")
def fused64(a, b, c):
    return fma64(a, b, c)


@numba.njit(error_model="numpy")
def there_and_back(value):
    return from_bits(bits(value))


@module.compiled
def product_and_sum(a, b, c):
    return a * b + c


@module.compiled
def chain(values):
    total = numpy.float32(0)
    for i in range(len(values)):
        total += values[i]
    return total


def test_a_fused_multiply_add_rounds_once_and_a_product_and_a_sum_round_twice():
    a = numpy.float32(1 + 2**-12)
    exact = float(a) * float(a) - 1  # 2^-11 + 2^-24: the product alone loses its last bit
    assert fused(a, a, numpy.float32(-1)) == numpy.float32(exact)
    assert product_and_sum(a, a, numpy.float32(-1)) == a * a - numpy.float32(1) != numpy.float32(exact)
    b = 1 + 2**-27
    assert fused64(b, b, -1.0) == 2**-26 + 2**-54
    assert product_and_sum(b, b, -1.0) == 2**-26


def test_subnormal_results_are_not_flushed():
    tiny = numpy.float32(2**-126)
    assert fused(tiny, numpy.float32(0.5), numpy.float32(0)) == numpy.float32(2**-127)
    assert product_and_sum(tiny, numpy.float32(0.5), numpy.float32(0)) == numpy.float32(2**-127)


def test_a_chain_is_added_in_its_order():
    values = numpy.random.default_rng(1).standard_normal(1000).astype(numpy.float32)
    expected = numpy.float32(0)
    for one in values:
        expected += one
    assert chain(values) == expected
    assert chain(values) != chain(values[::-1].copy())


@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, -math.inf, 2.0**-1074])
def test_a_number_has_the_bits_of_its_format(value):
    assert math.copysign(1, there_and_back(value)) == math.copysign(1, value)
    assert there_and_back(value) == value


def test_a_function_is_compiled_even_where_no_folder_can_keep_it(monkeypatch):
    original = numba.njit

    def without_cache(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return original(**options)

    monkeypatch.setattr(module.numba, "njit", without_cache)
    assert module.compiled(lambda a: a + 1)(1) == 2
