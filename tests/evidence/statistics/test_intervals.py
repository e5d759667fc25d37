"""Tests of `intervals`: intervals agree with published values and scipy, and cover as often as they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from bench.evidence.statistics import (
    Interval,
    clopper_pearson,
    prediction_interval_counts,
    prediction_interval_ranks,
    share_of_seeds,
    variance_interval,
)
from bench.evidence.statistics.intervals import prediction_interval_t

counts = st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
confidences = st.sampled_from([0.5, 0.8, 0.95, 0.99])
finite = st.floats(-1e6, 1e6)


def test_published_intervals_for_five_seeds() -> None:
    assert clopper_pearson(5, 5, side="lower").lower == pytest.approx(0.549, abs=5e-4)
    assert clopper_pearson(5, 5).lower == pytest.approx(0.478, abs=5e-4)
    assert clopper_pearson(0, 5, side="upper").upper == pytest.approx(0.451, abs=5e-4)


def test_a_claim_of_nine_in_ten_needs_29_of_29() -> None:
    assert clopper_pearson(29, 29, side="lower").lower >= 0.9
    assert clopper_pearson(28, 28, side="lower").lower < 0.9
    assert clopper_pearson(28, 29, side="lower").lower < 0.9


def test_a_one_sided_interval_is_open_on_the_other_side() -> None:
    assert clopper_pearson(3, 5, side="lower").upper == 1
    assert clopper_pearson(3, 5, side="upper").lower == 0


@given(counts, st.integers(0, 20), st.sampled_from(["two-sided", "lower", "upper"]))
def test_undecided_seeds_are_failures_below_and_nothing_above(
    count: tuple[int, int], undecided: int, side: str
) -> None:
    successes, decided = count
    found = share_of_seeds(successes, decided, undecided, side=side)
    assert found.lower == clopper_pearson(successes, decided + undecided, side=side).lower
    assert found.upper == clopper_pearson(successes, decided, side=side).upper
    assert 0 <= found.lower <= found.upper <= 1


def test_a_negative_number_of_undecided_seeds_is_refused() -> None:
    with pytest.raises(ValueError, match="undecided runs cannot be negative: -1"):
        share_of_seeds(2, 3, -1)


@given(counts, confidences)
def test_clopper_pearson_is_that_of_scipy(count: tuple[int, int], confidence: float) -> None:
    successes, trials = count
    if trials == 0:
        assert (clopper_pearson(0, 0).lower, clopper_pearson(0, 0).upper) == (0, 1)
        return
    both = scipy.stats.binomtest(successes, trials).proportion_ci(confidence, "exact")
    above = scipy.stats.binomtest(successes, trials, alternative="greater").proportion_ci(confidence, "exact")
    below = scipy.stats.binomtest(successes, trials, alternative="less").proportion_ci(confidence, "exact")
    ours = clopper_pearson(successes, trials, confidence)
    assert (ours.lower, ours.upper) == pytest.approx((both.low, both.high), abs=1e-9)
    assert clopper_pearson(successes, trials, confidence, "lower").lower == pytest.approx(above.low, abs=1e-9)
    assert clopper_pearson(successes, trials, confidence, "upper").upper == pytest.approx(below.high, abs=1e-9)


@given(counts)
def test_bounds_of_a_share_are_ordered(count: tuple[int, int]) -> None:
    successes, trials = count
    both = clopper_pearson(successes, trials)
    share = successes / trials if trials else 0.5
    assert 0 <= both.lower <= clopper_pearson(successes, trials, side="lower").lower <= share
    assert share <= clopper_pearson(successes, trials, side="upper").upper <= both.upper <= 1
    assert both.confidence == 0.95


@pytest.mark.parametrize("trials", [1, 5, 12])
def test_clopper_pearson_covers_every_share_at_least_as_often_as_it_says(trials: int) -> None:
    intervals = [clopper_pearson(k, trials) for k in range(trials + 1)]
    for share in np.linspace(0.001, 0.999, 333):
        inside = [k for k, interval in enumerate(intervals) if interval.lower <= share <= interval.upper]
        covered = np.sum(scipy.stats.binom.pmf(inside, trials, share))
        assert covered >= 0.95 - 1e-12


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5), (1, 0), (0, -1)])
def test_impossible_counts_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="successes"):
        clopper_pearson(successes, trials)


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 95])
def test_a_confidence_is_a_probability(confidence: float) -> None:
    for refuses in (
        lambda: clopper_pearson(1, 2, confidence),
        lambda: prediction_interval_t([1, 2], confidence),
    ):
        with pytest.raises(ValueError, match="confidence"):
            refuses()


def test_the_t_interval_for_one_new_value_by_hand() -> None:
    interval = prediction_interval_t([1, 2, 3])
    assert interval is not None
    half = 4.302653 * math.sqrt(4 / 3)  # the 0.975 quantile of t with two degrees of freedom, and s = 1
    assert (interval.lower, interval.upper) == pytest.approx((2 - half, 2 + half), abs=1e-5)


@given(st.lists(finite, min_size=2, max_size=9), confidences)
def test_the_t_interval_follows_its_formula(values: list[float], confidence: float) -> None:
    interval = prediction_interval_t(values, confidence)
    assert interval is not None
    n = len(values)
    scale = float(np.std(values, ddof=1)) * math.sqrt(1 + 1 / n)
    new = scipy.stats.t(n - 1, loc=np.mean(values), scale=max(scale, 1e-300))
    assert (interval.lower, interval.upper) == pytest.approx(new.interval(confidence), rel=1e-6, abs=1e-6)


@given(st.lists(finite, min_size=2, max_size=9), finite)
def test_a_constant_shifts_the_t_interval(values: list[float], shift: float) -> None:
    interval, shifted = prediction_interval_t(values), prediction_interval_t([value + shift for value in values])
    assert interval is not None
    assert shifted is not None
    assert (shifted.lower, shifted.upper) == pytest.approx(
        (interval.lower + shift, interval.upper + shift), rel=1e-6, abs=1e-3
    )


def test_the_t_interval_catches_a_new_normal_value_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    caught = 0
    for *values, new in generator.normal(9940, 6, size=(10_000, 6)):
        interval = prediction_interval_t(values)
        assert interval is not None
        caught += interval.lower <= new <= interval.upper
    assert caught / 10_000 == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("values", [[], [9940]])
def test_fewer_than_two_values_predict_nothing(values: list[float]) -> None:
    assert prediction_interval_t(values) is None
    assert prediction_interval_ranks(values) is None


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_t_interval_needs_finite_values(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        prediction_interval_t([1, 2, bad])


def test_equal_values_predict_that_value() -> None:
    interval = prediction_interval_t([9940, 9940])
    assert interval is not None
    assert (interval.lower, interval.upper) == (9940, 9940)


def test_the_range_of_the_sample_with_never_at_infinity() -> None:
    interval = prediction_interval_ranks([14, 12, None, 19])
    assert interval is not None
    assert (interval.lower, interval.upper, interval.confidence) == pytest.approx((12, math.inf, 3 / 5))
    never = prediction_interval_ranks([None, None])
    assert never is not None
    assert (never.lower, never.upper) == (math.inf, math.inf)


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=10, unique=True))
def test_the_range_catches_exactly_as_many_new_draws_as_it_says(draws: list[int]) -> None:
    """Each of n + 1 exchangeable draws is equally likely to be the new one."""
    caught = 0
    for i, new in enumerate(draws):
        interval = prediction_interval_ranks(draws[:i] + draws[i + 1 :])
        assert interval is not None
        caught += interval.lower <= new <= interval.upper
        assert interval.confidence == pytest.approx((len(draws) - 2) / len(draws))
    assert caught == len(draws) - 2


def test_a_new_count_has_students_t_while_that_is_possible_and_the_range_of_few_seeds_says_less() -> None:
    normal = [9930 + seed % 7 for seed in range(38)]
    assert prediction_interval_counts(normal, 10_000) == prediction_interval_t(normal)
    with_39 = prediction_interval_counts([*normal, 9933], 10_000)
    assert with_39 == Interval(9930, 9936, 0.95)


@pytest.mark.parametrize("counts", [[8020, 9944, 9930, 9935], [3, 80, 1, 2]])
def test_counts_that_no_normal_distribution_has_predict_their_range(counts: list[int]) -> None:
    interval = prediction_interval_counts(counts, 10_000)
    assert interval == Interval(min(counts), max(counts), 3 / 5)


@pytest.mark.parametrize("counts", [[], [9940]])
def test_fewer_than_two_counts_predict_nothing(counts: list[int]) -> None:
    assert prediction_interval_counts(counts, 10_000) is None


def test_nan_has_no_rank() -> None:
    with pytest.raises(ValueError, match="NaN"):
        prediction_interval_ranks([1, math.nan])


def test_the_interval_of_a_variance_has_the_tabulated_quantiles_of_chi_squared() -> None:
    """Tables of chi-squared with 7 degrees of freedom have 16.013 and 1.690 for 2.5 % and 97.5 %."""
    values = [1.0, 2, 3, 4, 5, 6, 7, 8]  # their squares around the mean add up to 42
    found = variance_interval(values)
    assert found is not None
    assert (42 / found.lower, 42 / found.upper) == pytest.approx((16.013, 1.690), abs=5e-4)
    assert variance_interval([5.0]) is None
    with pytest.raises(ValueError, match="confidence"):
        variance_interval(values, 1.0)


@given(st.lists(finite, min_size=2, max_size=12), confidences)
def test_the_interval_of_a_variance_is_that_of_scipy(values: list[float], confidence: float) -> None:
    found = variance_interval(values, confidence)
    assert found is not None
    squares = (len(values) - 1) * np.var(values, ddof=1)
    bounds = squares / scipy.stats.chi2(len(values) - 1).ppf([(1 + confidence) / 2, (1 - confidence) / 2])
    assert (found.lower, found.upper) == pytest.approx(tuple(bounds))
