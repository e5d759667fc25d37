"""Tests of `comparison`: permutation tests agree with Fisher's published count, scipy and exact distributions."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.evidence.statistics import (
    holm,
    paired_permutation_test,
    smallest_two_sample_p,
    two_sample_permutation_test,
)

small = st.integers(-5, 5)
sample = st.lists(small, min_size=1, max_size=5)
pairs = st.lists(st.tuples(small, small), min_size=1, max_size=8)


def test_the_paired_test_counts_what_fisher_counted() -> None:
    """Darwin's maize, 15 pairs in eighths of an inch: on each side 863 of 32,768 sums are at least as extreme."""
    differences = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    result = paired_permutation_test(differences, [0] * 15)
    assert result.p_value == 2 * 863 / 2**15
    assert result.difference == pytest.approx(314 / 15)
    assert result.exact


@pytest.mark.parametrize(("n", "smallest"), [(1, 1.0), (2, 0.5), (5, 0.0625), (6, 0.03125)])
def test_n_pairs_cannot_do_better_than_two_in_two_to_the_n(n: int, smallest: float) -> None:
    result = paired_permutation_test(range(10, 10 + n), range(n))
    assert result.p_value == result.smallest_p == smallest


def test_a_pair_that_does_not_differ_is_no_evidence() -> None:
    result = paired_permutation_test([1, 2, 3, 7], [0, 0, 0, 7])
    assert result.p_value == result.smallest_p == 2 / 2**3
    alike = paired_permutation_test([4, 5], [4, 5])
    assert (alike.difference, alike.p_value, alike.smallest_p) == (0, 1, 1)


@pytest.mark.parametrize(("n", "m", "p_value"), [(1, 1, 1.0), (1, 3, 2 / 4), (3, 3, 2 / 20), (4, 2, 2 / 15)])
def test_two_samples_that_do_not_overlap_get_the_smallest_p(n: int, m: int, p_value: float) -> None:
    values = [2.0**i for i in range(n + m)]
    result = two_sample_permutation_test(values[:n], values[n:])
    assert result.p_value == pytest.approx(p_value)
    assert result.smallest_p == pytest.approx(p_value)
    assert smallest_two_sample_p(n, m) == pytest.approx(p_value)
    assert result.difference < 0


@given(pairs.filter(lambda pair: len(pair) > 1))
@settings(max_examples=40, deadline=None)
def test_the_paired_test_is_that_of_scipy(values: list[tuple[int, int]]) -> None:
    first, second = zip(*values, strict=True)
    reference = scipy.stats.permutation_test(
        (first, second), lambda x, y, axis: np.sum(x - y, axis=axis), permutation_type="samples", vectorized=True
    )
    assert paired_permutation_test(first, second).p_value == pytest.approx(reference.pvalue)


@given(sample.filter(lambda s: len(s) > 1), sample.filter(lambda s: len(s) > 1))
@settings(max_examples=40, deadline=None)
def test_the_two_sample_test_is_that_of_scipy(first: list[int], second: list[int]) -> None:
    reference = scipy.stats.permutation_test((first, second), lambda x, y, axis: np.sum(x, axis=axis), vectorized=True)
    assert two_sample_permutation_test(first, second).p_value == pytest.approx(reference.pvalue)


@given(st.lists(small, min_size=4, max_size=7), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_two_equal_samples_are_rejected_no_more_often_than_the_level(values: list[int], n: int) -> None:
    """This counts over all splits of the same values. They are equally likely if nothing differs."""
    results = []
    for chosen in itertools.combinations(range(len(values)), n):
        rest = [values[i] for i in range(len(values)) if i not in chosen]
        results.append(two_sample_permutation_test([values[i] for i in chosen], rest))
    for result in results:
        assert sum(r.p_value <= result.p_value + 1e-12 for r in results) <= result.p_value * len(results) + 1e-9
    assert {round(r.smallest_p, 9) for r in results} == {round(min(r.p_value for r in results), 9)}


@given(pairs)
@settings(deadline=None)
def test_the_smallest_p_of_pairs_is_that_of_equal_signs(values: list[tuple[int, int]]) -> None:
    first, second = zip(*values, strict=True)
    result = paired_permutation_test(first, second)
    ordered = paired_permutation_test([max(pair) for pair in values], [min(pair) for pair in values])
    assert result.p_value >= result.smallest_p == ordered.p_value


@given(pairs, st.sampled_from([0.1, 1e-4, 3.3]), st.sampled_from([0, 0.7, 1e3]))
@settings(deadline=None)
def test_ties_are_found_whatever_the_unit(values: list[tuple[int, int]], scale: float, shift: float) -> None:
    """Sums of 0.1, 0.2 and 0.3 may be equal on paper and differ in the last bit."""
    first, second = zip(*values, strict=True)
    scaled_first, scaled_second = [x * scale + shift for x in first], [x * scale + shift for x in second]
    paired, scaled = paired_permutation_test(first, second), paired_permutation_test(scaled_first, scaled_second)
    assert (scaled.p_value, scaled.smallest_p) == (paired.p_value, paired.smallest_p)
    split = two_sample_permutation_test(first, second[:3])
    rescaled = two_sample_permutation_test(scaled_first, scaled_second[:3])
    assert (rescaled.p_value, rescaled.smallest_p) == (split.p_value, split.smallest_p)


@given(sample, sample)
@settings(deadline=None)
def test_swapping_the_samples_changes_the_sign_alone(first: list[int], second: list[int]) -> None:
    there, back = two_sample_permutation_test(first, second), two_sample_permutation_test(second, first)
    assert back.p_value == there.p_value
    assert back.smallest_p == there.smallest_p
    assert back.difference == pytest.approx(-there.difference)


def test_the_order_of_values_does_not_matter() -> None:
    result = two_sample_permutation_test([3, 9, 4], [8, 8, 1, 12])
    assert two_sample_permutation_test([9, 4, 3], [12, 8, 1, 8]) == result


def test_ten_against_ten_and_seventeen_pairs_are_still_exact() -> None:
    assert two_sample_permutation_test(range(10), range(5, 15)).exact
    assert not two_sample_permutation_test(range(10), range(5, 16)).exact
    assert paired_permutation_test(range(17), [3] * 17).exact
    assert not paired_permutation_test(range(18), [3] * 18).exact


def test_many_pairs_are_drawn_close_to_the_exact_answer_and_always_alike() -> None:
    differences = [3, -1, 4, 1, -5, 9, 2, 6, -5, 3, 5, 8, -9, 7, 9, -3, 2, 3, 8, -4]
    sums = Counter({0: 1})  # sums of the arrangements so far, and how many have each sum
    for difference in differences:
        sums, shorter = Counter(), sums
        for total, count in shorter.items():
            sums[total + difference] += count
            sums[total - difference] += count
    exact = 2 * sum(count for total, count in sums.items() if total >= sum(differences)) / 2**20

    result = paired_permutation_test(differences, [0] * 20)
    assert not result.exact
    assert result.p_value == pytest.approx(exact, abs=0.003)
    assert result == paired_permutation_test(differences, [0] * 20)


def test_large_samples_are_drawn_close_to_the_exact_answer() -> None:
    """Zeros and ones make the split hypergeometric: 12 of 15 against 5 of 15."""
    first, second = [1] * 12 + [0] * 3, [1] * 5 + [0] * 10
    exact = 2 * scipy.stats.hypergeom.sf(11, 30, 17, 15)
    result = two_sample_permutation_test(first, second)
    assert not result.exact
    assert result.p_value == pytest.approx(exact, abs=0.002)


def test_a_drawn_p_value_is_never_zero() -> None:
    result = paired_permutation_test([1.0] * 40, [0.0] * 40)
    assert 0 < result.p_value < 1e-4


def test_values_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="equal lengths"):
        paired_permutation_test([1, 2], [1])
    for bad in ([], [math.inf], [math.nan]):
        with pytest.raises(ValueError, match="finite"):
            paired_permutation_test(bad, bad)
        with pytest.raises(ValueError, match="finite"):
            two_sample_permutation_test([1.0], bad)
        with pytest.raises(ValueError, match="finite"):
            two_sample_permutation_test(bad, [1.0])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.6, 0.9]) == (1, 1)
    assert holm([0.02]) == (0.02,)
    assert holm([]) == ()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10), st.floats(0.001, 0.5))
def test_holm_is_monotone_and_rejects_step_by_step(raw: list[float], level: float) -> None:
    adjusted = holm(raw)
    assert all(p <= a <= min(1, p * len(raw)) or a == max(adjusted) for p, a in zip(raw, adjusted, strict=True))
    assert all(a >= p for p, a in zip(raw, adjusted, strict=True))
    by_raw = sorted(range(len(raw)), key=lambda i: raw[i])
    assert all(adjusted[i] <= adjusted[j] for i, j in itertools.pairwise(by_raw))

    rejected = 0  # in Holm's words: from the smallest p on, until one is above level / (number left)
    while rejected < len(raw) and raw[by_raw[rejected]] * (len(raw) - rejected) <= level:
        rejected += 1
    assert sum(a <= level for a in adjusted) == rejected


@pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan])
def test_holm_refuses_a_number_that_is_no_p_value(bad: float) -> None:
    with pytest.raises(ValueError, match="p-value"):
        holm([0.5, bad])
