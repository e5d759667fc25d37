"""Tests of `survival`: hits, survival curves and times to target agree with hand-made answers and scipy."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from bench.evidence.statistics import (
    Observation,
    collapses,
    first_hit,
    last_hit,
    observe,
    survival_steps,
    sustained_hit,
    time_to_target,
)

TARGET = 9940
BELOW, HIT = 9939, 9940
BUDGET = 20

# The logs that the authors of four networks printed: correct images by epoch, from epoch 1.
EXPAND_SQUEEZE = [9808, 9878, 9891, 9906, 9919, 9911, 9926, 9916, 9939, 9912]
EXPAND_SQUEEZE += [9925, 9946, 9937, 9941, 9929, 9950, 9949, 9943, 9941]
UNPADDED = [9838, 9886, 9895, 9889, 9888, 9916, 9922, 9906, 9922, 9917]
UNPADDED += [9927, 9930, 9930, 9941, 9931, 9942, 9942, 9937, 9951]
TEN_TWENTY_THIRTY = [9826, 9880, 9890, 9920, 9920, 9926, 9928, 9934, 9933, 9940]
TEN_TWENTY_THIRTY += [9937, 9928, 9940, 9938, 9937, 9937, 9936, 9933, 9936, 9944]
GAP_HEAD = [9775, 9852, 9905, 9922, 9914, 9918, 9926, 9924, 9924, 9941]
GAP_HEAD += [9934, 9939, 9947, 9951, 9945, 9950, 9955, 9944, 9948, 9952]


def observed_throughout(times: Sequence[int | None], budget: int) -> tuple[Observation, ...]:
    """Observations of runs that all lasted the budget. A time beyond the budget counts as never, like None."""
    return tuple(Observation(time if time is not None and time <= budget else None, budget) for time in times)


times_or_never = st.lists(st.none() | st.integers(1, BUDGET + 5), max_size=12)


@st.composite
def observations(draw: st.DrawFn, min_size: int = 0) -> list[Observation]:
    """Runs that hit the target, stopped early, or lasted the budget without a hit."""

    def one() -> Observation:
        observed = draw(st.integers(0, BUDGET + 3))
        time = draw(st.none() | st.integers(1, observed)) if observed else None
        return Observation(time, observed)

    return [one() for _ in range(draw(st.integers(min_size, 12)))]


@pytest.mark.parametrize(
    ("correct", "first", "sustained", "last"),
    [
        ([], None, None, None),
        ([BELOW] * 5, None, None, None),
        ([HIT], 1, None, 1),
        ([BELOW, BELOW, HIT], 3, None, 3),
        ([HIT, BELOW, BELOW], 1, None, 1),
        ([HIT, HIT, BELOW, HIT, HIT], 1, None, 5),
        ([HIT, HIT, HIT, BELOW], 1, 1, 3),
        ([HIT, BELOW, HIT, HIT, HIT], 1, 3, 5),
        ([BELOW, HIT, HIT, HIT, BELOW, HIT, HIT, HIT, HIT], 2, 2, 9),
        (EXPAND_SQUEEZE, 12, 16, 19),
        (UNPADDED, 14, None, 19),
        (TEN_TWENTY_THIRTY, 10, None, 20),
        (GAP_HEAD, 10, 13, 20),
    ],
)
def test_first_sustained_and_last_hit(
    correct: list[int], first: int | None, sustained: int | None, last: int | None
) -> None:
    assert (first_hit(correct, TARGET), sustained_hit(correct, TARGET), last_hit(correct, TARGET)) == (
        first,
        sustained,
        last,
    )


def test_exactly_at_the_target_is_a_hit_and_one_image_below_is_not() -> None:
    assert first_hit([9939, 9940], 9940) == 2
    assert last_hit([9940, 9939], 9940) == 1


@given(st.lists(st.sampled_from([BELOW, HIT]), max_size=12), st.integers(1, 4))
def test_a_sustained_hit_is_the_first_window_without_a_miss(correct: list[int], length: int) -> None:
    starts = [s for s in range(len(correct) - length + 1) if min(correct[s : s + length]) >= TARGET]
    assert sustained_hit(correct, TARGET, length) == (starts[0] + 1 if starts else None)


def test_a_streak_without_an_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one epoch"):
        sustained_hit([HIT], TARGET, length=0)


def test_a_jittering_plateau_below_the_target_hits_it_by_luck_but_does_not_sustain_it() -> None:
    """A plateau at 9936 with a rounded normal jitter of 4 images, over eight epochs: exactly 82 % and 3.5 %."""
    chance = scipy.stats.norm.sf((9939.5 - 9936) / 4)
    once = three_in_a_row = 0.0
    for correct in itertools.product([BELOW, HIT], repeat=8):
        hits = correct.count(HIT)
        probability = chance**hits * (1 - chance) ** (8 - hits)
        once += probability * (first_hit(correct, TARGET) is not None)
        three_in_a_row += probability * (sustained_hit(correct, TARGET) is not None)
    assert round(once, 2) == 0.82
    assert round(three_in_a_row, 3) == 0.035


@pytest.mark.parametrize(
    ("correct", "epochs"),
    [
        ([], ()),
        ([9000], ()),
        ([9900, 9850], ()),
        ([9900, 9849], (2,)),
        ([9900, 9930, 9879, 9880, 9931], (3,)),
        ([9900, 980, 980, 9901, 9800], (2, 3, 5)),
        ([9900, 9860, 9820], (3,)),
        (EXPAND_SQUEEZE, ()),
    ],
)
def test_a_collapse_is_over_fifty_images_below_the_best_so_far(correct: list[int], epochs: tuple[int, ...]) -> None:
    assert collapses(correct, 10_000) == epochs


def test_a_collapse_on_many_images_is_over_half_a_percent_below_the_best_so_far() -> None:
    assert collapses([49_000, 48_750, 48_749], 50_000) == (3,)
    assert collapses([90, 39], 100) == (2,)


@pytest.mark.parametrize(
    ("correct", "expected"),
    [
        ([HIT] + [BELOW] * 19, Observation(1, 20)),
        ([BELOW] * 19 + [HIT], Observation(20, 20)),
        ([BELOW] * 20 + [HIT], Observation(None, 20)),
        ([BELOW] * 20, Observation(None, 20)),
        ([BELOW] * 3, Observation(None, 3)),
        ([BELOW, HIT, BELOW], Observation(2, 3)),
        ([], Observation(None, 0)),
    ],
)
def test_a_run_is_observed_up_to_the_budget(correct: list[int], expected: Observation) -> None:
    assert observe(correct, TARGET, budget=BUDGET) == expected


@pytest.mark.parametrize(
    ("correct", "expected"),
    [
        ([BELOW, HIT, HIT, HIT, BELOW], Observation(2, 5)),
        ([BELOW, BELOW, BELOW, HIT, HIT, HIT], Observation(None, 5)),  # complete only after the budget
        ([BELOW, BELOW, HIT, HIT], Observation(None, 2)),  # stopped in a possible streak from epoch 3
        ([HIT, HIT], Observation(None, 0)),
        ([HIT, BELOW, BELOW], Observation(None, 3)),
    ],
)
def test_a_streak_counts_when_it_is_complete_within_the_budget(correct: list[int], expected: Observation) -> None:
    assert observe(correct, TARGET, budget=5, length=3) == expected


@pytest.mark.parametrize(("time", "observed"), [(0, 5), (6, 5), (-1, 5), (None, -1), (1, 0)])
def test_an_impossible_observation_is_refused(time: int | None, observed: int) -> None:
    with pytest.raises(ValueError, match="observed epochs"):
        Observation(time, observed)


def test_the_summary_of_the_published_example() -> None:
    summary = time_to_target(observed_throughout([12, 15, 17, 19, None], 20), 20)
    assert (summary.budget, summary.runs, summary.hits, summary.undecided) == (20, 5, 4, 0)
    assert summary.restricted_mean == pytest.approx(16.6)
    assert summary.restricted_mean_error == pytest.approx(1.435, abs=5e-4)
    assert summary.median == 17
    assert summary.average_runtime == pytest.approx(20.75)
    assert summary.conditional_mean == pytest.approx(15.75)
    assert summary.conditional_variance == pytest.approx(26.75 / 3)  # deviations -3.75, -0.75, 1.25, 3.25
    assert summary.conditional_deviation == pytest.approx(math.sqrt(26.75 / 3))
    # 4 of 5, by Clopper and Pearson
    assert (summary.share.lower, summary.share.upper) == pytest.approx((0.2836, 0.9949), abs=5e-5)
    assert (summary.share_at_least, summary.share_at_most) == pytest.approx((0.3426, 0.9898), abs=5e-5)


def test_the_curve_of_the_published_example() -> None:
    curve = survival_steps(observed_throughout([12, 15, 17, 19, None], 20), 20)
    assert curve.epochs == (0, 12, 15, 17, 19)
    assert curve.surviving == pytest.approx((1, 0.8, 0.6, 0.4, 0.2))
    assert curve.at_risk == (5, 5, 4, 3, 2)
    assert curve.hits == (0, 1, 1, 1, 1)
    assert curve.end == 20
    assert np.array(curve.marks) == pytest.approx(np.array([(20, 0.2)]))


def test_runs_cut_short_are_censored_where_they_stopped() -> None:
    """By hand: 4 runs at risk in epoch 1 and 2 in epoch 3. There one run stops after the hit of another."""
    runs = [Observation(1, 4), Observation(None, 2), Observation(3, 3), Observation(None, 3)]
    curve = survival_steps(runs, 4)
    assert curve.epochs == (0, 1, 3)
    assert curve.surviving == pytest.approx((1, 0.75, 0.375))
    assert curve.at_risk == (4, 4, 2)
    assert curve.end == 3
    assert np.array(curve.marks) == pytest.approx(np.array([(2, 0.75), (3, 0.375)]))

    seen_longer = [*runs[:3], Observation(None, 4)]
    summary = time_to_target(seen_longer, 4)
    assert summary.undecided == 1
    assert summary.restricted_mean == pytest.approx(1 + 2 * 0.75 + 0.375)
    assert summary.restricted_mean_error == pytest.approx(math.sqrt((1.875**2 / 12 + 0.375**2 / 2) * 4 / 3))
    assert summary.median == 3
    assert summary.average_runtime == pytest.approx((1 + 2 + 3 + 4) / 2)


def test_a_curve_that_ends_above_zero_before_the_budget_has_no_restricted_mean() -> None:
    crashed = [Observation(2, 20), Observation(None, 3), Observation(None, 5)]
    assert time_to_target(crashed, 20).restricted_mean is None
    assert time_to_target(crashed, 20).restricted_mean_error is None
    assert time_to_target(crashed, 5).restricted_mean == pytest.approx(2 + 3 * 2 / 3)
    all_arrived = [Observation(2, 2), Observation(3, 3)]
    assert time_to_target(all_arrived, 20).restricted_mean == pytest.approx(2.5)


def test_a_curve_of_runs_cut_short_that_comes_down_to_zero_has_no_error() -> None:
    # Greenwood's formula has no term for that step. With one run at risk it would call the mean exact.
    cut = time_to_target([Observation(19, 19), Observation(None, 3), Observation(None, 5)], 20)
    assert (cut.restricted_mean, cut.restricted_mean_error) == (19, None)
    whole = time_to_target([Observation(19, 19), Observation(17, 17)], 20)
    assert whole.restricted_mean_error == pytest.approx(1)


def test_an_undecided_run_is_a_failure_in_the_lower_bounds_and_left_out_of_the_upper_ones() -> None:
    decided = [*[Observation(5, 20)] * 3, *[Observation(None, 20)] * 2]
    without = time_to_target(decided, 20)
    summary = time_to_target([*decided, Observation(None, 3)], 20)
    as_failure = time_to_target([*decided, Observation(None, 20)], 20)
    assert (summary.hits, summary.runs, summary.undecided) == (3, 6, 1)
    assert summary.share.lower == as_failure.share.lower < without.share.lower
    assert summary.share.upper == without.share.upper > as_failure.share.upper
    assert summary.share_at_least == as_failure.share_at_least < without.share_at_least
    assert summary.share_at_most == without.share_at_most > as_failure.share_at_most


def test_no_runs_determine_nothing() -> None:
    summary = time_to_target([], BUDGET)
    assert (summary.runs, summary.hits, summary.undecided) == (0, 0, 0)
    assert (summary.share.lower, summary.share.upper) == (0, 1)
    assert (summary.median, summary.restricted_mean, summary.restricted_mean_error) == (None, None, None)
    assert (summary.average_runtime, summary.conditional_mean, summary.conditional_deviation) == (None, None, None)
    assert survival_steps([], BUDGET).epochs == (0,)


def test_one_run_has_a_mean_and_no_error() -> None:
    hit = time_to_target(observed_throughout([7], BUDGET), BUDGET)
    assert (hit.median, hit.restricted_mean, hit.average_runtime, hit.conditional_mean) == (7, 7, 7, 7)
    assert (hit.restricted_mean_error, hit.conditional_variance, hit.conditional_deviation) == (None, None, None)
    never = time_to_target(observed_throughout([None], BUDGET), BUDGET)
    assert (never.median, never.restricted_mean, never.average_runtime) == (None, BUDGET, None)


def test_of_two_runs_the_one_that_arrives_gives_the_median() -> None:
    summary = time_to_target(observed_throughout([3, None], BUDGET), BUDGET)
    assert summary.median == 3
    assert summary.restricted_mean == pytest.approx(11.5)
    assert summary.restricted_mean_error == pytest.approx(8.5)
    assert summary.average_runtime == 23
    assert summary.conditional_variance is None


@pytest.mark.parametrize("runs", range(2, 41, 2))
def test_the_median_is_reached_when_exactly_half_have_arrived(runs: int) -> None:
    assert time_to_target(observed_throughout(range(1, runs + 1), runs), runs).median == runs // 2


def test_when_no_run_arrives_every_run_lasts_the_budget() -> None:
    summary = time_to_target(observed_throughout([None] * 5, BUDGET), BUDGET)
    assert summary.share_at_most == pytest.approx(0.451, abs=5e-4)
    assert (summary.median, summary.average_runtime, summary.conditional_mean) == (None, None, None)
    assert (summary.restricted_mean, summary.restricted_mean_error) == (BUDGET, 0)


def test_when_every_run_arrives_the_restricted_mean_is_the_mean() -> None:
    summary = time_to_target(observed_throughout([3, 5, 10], BUDGET), BUDGET)
    assert summary.restricted_mean == pytest.approx(6)
    assert summary.conditional_mean == pytest.approx(6)
    assert summary.average_runtime == pytest.approx(6)
    assert summary.share.upper == 1


def test_a_time_at_the_budget_counts_and_one_past_it_is_never() -> None:
    assert time_to_target([Observation(20, 25)], 20).hits == 1
    late = time_to_target([Observation(21, 25)], 20)
    assert (late.hits, late.undecided, late.restricted_mean) == (0, 0, 20)
    assert observed_throughout([20, 21], 20) == (Observation(20, 20), Observation(None, 20))


def test_a_budget_without_an_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one epoch"):
        time_to_target([], 0)


@given(times_or_never)
def test_without_runs_cut_short_the_summary_is_elementary(times: list[int | None]) -> None:
    summary = time_to_target(observed_throughout(times, BUDGET), BUDGET)
    limited = sorted(min(math.inf if time is None else time, BUDGET + 1) for time in times)
    restricted = np.minimum(limited, BUDGET)
    n = len(times)
    if n:
        assert summary.restricted_mean == pytest.approx(restricted.mean())
        middle = limited[(n + 1) // 2 - 1]
        assert summary.median == (middle if middle <= BUDGET else None)
    if n > 1:
        error = restricted.std(ddof=1) / math.sqrt(n)
        assert summary.restricted_mean_error == pytest.approx(error, abs=1e-9)
    if summary.hits:
        assert summary.average_runtime == pytest.approx(restricted.sum() / summary.hits)


@given(observations(min_size=1))
def test_the_curve_is_that_of_scipy(runs: list[Observation]) -> None:
    curve = survival_steps(runs, BUDGET)
    hits = [run.time for run in runs if run.time is not None and run.time <= BUDGET]
    censored = [min(run.observed_epochs, BUDGET) for run in runs if run.time is None or run.time > BUDGET]
    reference = scipy.stats.ecdf(scipy.stats.CensoredData(uncensored=hits, right=censored))
    for epoch in range(BUDGET + 1):
        step = max(i for i, start in enumerate(curve.epochs) if start <= epoch)
        assert curve.surviving[step] == pytest.approx(float(reference.sf.evaluate(np.array(epoch))))
    assert [epoch for epoch, _ in curve.marks] == sorted(censored)


@given(observations(), st.randoms(use_true_random=False))
def test_the_order_of_runs_does_not_matter(runs: list[Observation], shuffler: random.Random) -> None:
    shuffled = list(runs)
    shuffler.shuffle(shuffled)
    assert survival_steps(shuffled, BUDGET) == survival_steps(runs, BUDGET)
    summary, other = time_to_target(runs, BUDGET), time_to_target(shuffled, BUDGET)
    assert other.restricted_mean == summary.restricted_mean
    assert other.conditional_variance == pytest.approx(summary.conditional_variance)
    assert (other.share, other.median, other.average_runtime) == (
        summary.share,
        summary.median,
        summary.average_runtime,
    )


@given(observations(min_size=1))
def test_a_failed_run_makes_nothing_look_better(runs: list[Observation]) -> None:
    before = time_to_target(runs, BUDGET)
    after = time_to_target([*runs, Observation(None, BUDGET)], BUDGET)
    assert after.hits == before.hits
    assert after.share_at_least <= before.share_at_least
    assert after.share_at_most <= before.share_at_most
    assert after.share.lower <= before.share.lower
    assert after.share.upper <= before.share.upper
    assert (after.median or math.inf) >= (before.median or math.inf)
    if before.restricted_mean is not None:
        assert after.restricted_mean is not None
        assert after.restricted_mean >= before.restricted_mean - 1e-9
    if before.average_runtime is not None:
        assert after.average_runtime is not None
        assert after.average_runtime > before.average_runtime


@given(observations(), st.integers(0, BUDGET - 1))
def test_a_run_cut_short_raises_no_bound(runs: list[Observation], seen: int) -> None:
    before, after = time_to_target(runs, BUDGET), time_to_target([*runs, Observation(None, seen)], BUDGET)
    assert (after.hits, after.undecided) == (before.hits, before.undecided + 1)
    assert after.share_at_least <= before.share_at_least
    assert after.share_at_most == before.share_at_most


@given(observations())
def test_counts_and_bounds_are_in_order(runs: list[Observation]) -> None:
    summary = time_to_target(runs, BUDGET)
    assert 0 <= summary.hits <= summary.hits + summary.undecided <= summary.runs == len(runs)
    assert 0 <= summary.share.lower <= summary.share_at_least <= summary.share_at_most <= summary.share.upper <= 1
    if summary.restricted_mean is not None:
        assert 1 <= summary.restricted_mean <= BUDGET


def _simulated_runs(generator: np.random.Generator, runs: int) -> Sequence[Observation]:
    """Runs with geometric times (chance 0.05 an epoch). Four runs in ten stop at a random epoch."""
    times = generator.geometric(0.05, runs)
    stops = np.where(generator.random(runs) < 0.4, generator.integers(1, BUDGET, runs), BUDGET)
    return [
        Observation(int(time) if time <= stop else None, int(stop)) for time, stop in zip(times, stops, strict=True)
    ]


def test_the_restricted_mean_and_its_error_are_right_on_runs_cut_short() -> None:
    """The true mean is the sum of 0.95**t over the 20 epochs. The mean of the hits alone is far below it."""
    truth = (1 - 0.95**BUDGET) / 0.05
    generator = np.random.default_rng(1)
    summaries = [time_to_target(_simulated_runs(generator, 40), BUDGET) for _ in range(1000)]
    means = np.array([summary.restricted_mean for summary in summaries], dtype=float)
    errors = np.array([summary.restricted_mean_error for summary in summaries], dtype=float)
    hits_only = np.array([summary.conditional_mean for summary in summaries], dtype=float)

    assert means.mean() == pytest.approx(truth, abs=0.12)
    assert errors.mean() == pytest.approx(means.std(), rel=0.1)
    assert np.mean(np.abs(means - truth) < 1.96 * errors) == pytest.approx(0.94, abs=0.03)
    assert hits_only.mean() < truth - 2
