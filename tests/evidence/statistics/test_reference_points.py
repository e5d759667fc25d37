"""Tests of `reference_points`: they agree with MLPerf's two published examples and with a t-test."""

from __future__ import annotations

import random

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from bench.evidence.statistics import reference_convergence, submission_passes

FIRST = [16, 14, 16, 17, 16, 16, 15, 16, 15, 16]
SECOND = [20, 21, 21, 20, 22, 22, 21, 21, 20, 20]
epochs = st.lists(st.integers(5, 20), min_size=4, max_size=12)


@pytest.mark.parametrize(
    ("reference", "mean", "deviation", "percent"), [(FIRST, 15.75, 0.43, 3.53), (SECOND, 20.75, 0.66, 4.12)]
)
def test_the_published_examples(reference: list[int], mean: float, deviation: float, percent: float) -> None:
    points = reference_convergence(reference, submission_runs=5)
    assert points.mean == mean
    assert round(points.deviation, 2) == deviation
    assert points.largest_speed_up is not None
    assert round(100 * points.largest_speed_up, 2) == percent


def test_the_published_submissions() -> None:
    assert submission_passes(reference_convergence(FIRST), [15, 15, 15, 16, 16])
    assert not submission_passes(reference_convergence(SECOND), [19, 19, 19, 20, 21])


@given(epochs, st.integers(3, 10), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_smallest_mean_allowed_is_where_a_t_test_starts_to_reject(
    reference: list[int], runs: int, level: float
) -> None:
    points = reference_convergence(reference, submission_runs=runs, level=level)
    if points.deviation == 0:
        assert points.minimum_mean == points.mean
    elif points.minimum_mean > 0:
        arguments = (points.minimum_mean, points.deviation, runs - 2, points.mean, points.deviation, len(reference) - 2)
        # As in the published rule, both deviations count as sample deviations.
        p_value = scipy.stats.ttest_ind_from_stats(*arguments, equal_var=True, alternative="less").pvalue
        assert p_value == pytest.approx(level)


@given(epochs, st.randoms(use_true_random=False))
def test_the_order_of_reference_runs_does_not_matter(reference: list[int], shuffler: random.Random) -> None:
    shuffled = list(reference)
    shuffler.shuffle(shuffled)
    assert reference_convergence(shuffled) == reference_convergence(reference)


@given(epochs, st.lists(st.integers(5, 20), min_size=5, max_size=5), st.integers(0, 4))
def test_a_slower_run_never_fails_a_submission(reference: list[int], submission: list[int], slowed: int) -> None:
    points = reference_convergence(reference)
    slower = [epoch + 3 * (i == slowed) for i, epoch in enumerate(submission)]
    assert submission_passes(points, slower) >= submission_passes(points, submission)


def test_one_submission_in_ten_that_is_like_the_reference_fails() -> None:
    """Normal times, ten reference runs, five submission runs. The trimmed deviation turns 5 % into 9.5 %."""
    generator = np.random.default_rng(3)
    alarms = 0
    for _ in range(2000):
        points = reference_convergence(generator.normal(15, 1, 10).tolist())
        alarms += not submission_passes(points, generator.normal(15, 1, 5).tolist())
    assert alarms / 2000 == pytest.approx(0.095, abs=0.025)


def test_a_run_that_never_converges_is_the_slowest() -> None:
    assert reference_convergence([14, 15, 16, 16, None]) == reference_convergence([14, 15, 16, 16, 99])
    points = reference_convergence(FIRST)
    assert submission_passes(points, [16, 16, 16, 16, None])
    assert not submission_passes(points, [16, 16, 16, None, None])
    with pytest.raises(ValueError, match="never converged"):
        reference_convergence([14, 15, 16, None, None])


def test_a_reference_without_spread_allows_no_speed_up() -> None:
    points = reference_convergence([12] * 6)
    assert (points.deviation, points.minimum_mean, points.largest_speed_up) == (0, 12, 0)
    assert submission_passes(points, [12] * 5)
    assert not submission_passes(points, [12, 12, 12, 11, 11])
    single = reference_convergence([11, 12, 13], submission_runs=3)  # one run is left on either side
    assert (single.minimum_mean, single.largest_speed_up) == (12, 0)


def test_a_reference_all_spread_allows_any_speed() -> None:
    points = reference_convergence([1, 1, 1, 100, 100])
    assert (points.minimum_mean, points.largest_speed_up) == (0, None)
    assert submission_passes(points, [1] * 5)


def test_more_runs_can_be_dropped() -> None:
    points = reference_convergence([1, 2, 10, 11, 12, 90, 99], submission_runs=5, dropped=2)
    assert points.mean == 11
    assert points.deviation == pytest.approx((2 / 3) ** 0.5)
    assert submission_passes(points, [1, 1, 11, None, None])


def test_numbers_that_set_no_limit_are_refused() -> None:
    with pytest.raises(ValueError, match="no run remains of 2 runs"):
        reference_convergence([14, 15])
    with pytest.raises(ValueError, match="no run remains of 0 runs"):
        reference_convergence([], dropped=0)
    with pytest.raises(ValueError, match="no run remains of 2 submission runs"):
        reference_convergence(FIRST, submission_runs=2)
    with pytest.raises(ValueError, match="cannot drop"):
        reference_convergence(FIRST, dropped=-1)
    with pytest.raises(ValueError, match="level"):
        reference_convergence(FIRST, level=5)
    with pytest.raises(ValueError, match="the limit is for 5 runs, not 4"):
        submission_passes(reference_convergence(FIRST), [16] * 4)
