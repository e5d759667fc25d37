"""Tests of `rank`: the tests with 39 and 19 seeds, and that looking early changes no verdict."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.evidence.statistics import SEEDS, Tested, expected_draws, rank_test

BOTH: Tested = "on both sides"
HIGH: Tested = "too high"
tests = st.sampled_from([BOTH, HIGH])
values = st.none() | st.integers(0, 6)


def test_a_rank_by_hand() -> None:
    test = rank_test(12, [10, 12, 12, 15, None], BOTH)
    assert (test.n, test.below, test.ties, test.above, test.p_value) == (5, 1, 2, 2, 1)
    lowest = rank_test(9, [10, 12, 12, 15, None], BOTH)
    assert (lowest.below, lowest.above, lowest.p_value) == (0, 5, pytest.approx(2 / 6))
    assert rank_test(10, [10, 12, 12, 15, None], BOTH).p_value == pytest.approx(4 / 6)
    assert rank_test(16, [10, 12, 12, 15], HIGH).p_value == pytest.approx(1 / 5)
    assert rank_test(15, [10, 12, 12, 15], HIGH).p_value == pytest.approx(2 / 5)


@pytest.mark.parametrize(("tested", "seeds"), [(BOTH, 39), (HIGH, 19)])
def test_the_fixed_number_of_seeds_is_the_fewest_that_can_reject(tested: Tested, seeds: int) -> None:
    assert SEEDS[tested] == seeds
    test = rank_test(9, [1] * seeds, tested)
    assert (test.is_rejected, test.p_value) == (True, pytest.approx(0.05))
    early = rank_test(9, [1] * (seeds - 1), tested)
    assert (early.is_rejected, early.is_decided, early.further) == (False, False, 1)
    assert early.p_value > 0.05


def test_one_seed_on_the_other_side_or_equal_decides_early() -> None:
    # the claimed epoch 14 of a documented network: 1 seed earlier, 1 equal, 3 later or never
    assert rank_test(14, [None, 12, None, 14, 17], BOTH).is_decided
    assert rank_test(14, [14], BOTH).is_decided
    assert not rank_test(14, [12, 13], BOTH).is_decided
    assert rank_test(9941, [9930, 9941], HIGH).is_decided


def test_an_accuracy_below_every_seed_is_not_too_high() -> None:
    test = rank_test(9900, [9930], HIGH)
    assert (test.is_decided, test.is_rejected) == (True, False)


@given(values.filter(lambda one: one is not None), st.lists(values, max_size=19), st.integers(0, 20), tests)
def test_what_is_decided_early_is_what_the_whole_sample_decides(
    value: int, sample: list[int | None], seen: int, tested: Tested
) -> None:
    early = rank_test(value, sample[:seen], tested)
    completions = [
        rank_test(value, [*sample[:seen], *([end] * 39)][: SEEDS[tested]], tested) for end in (-1, None, value)
    ]
    assert all(whole.is_decided for whole in completions)
    outcomes = {whole.is_rejected for whole in completions}
    assert early.is_decided == (len(outcomes) == 1)
    if early.is_decided:
        assert outcomes == {early.is_rejected}


@pytest.mark.parametrize(("tested", "seeds"), [(BOTH, 39), (HIGH, 19)])
def test_one_more_draw_is_rejected_in_at_most_5_percent(tested: Tested, seeds: int) -> None:
    """Of n + 1 exchangeable draws, each is the published one equally often."""
    draw = random.Random(3)
    for spread in (2, 30, 10**6):
        draws = [draw.randrange(spread) for _ in range(seeds + 1)]
        rejected = [rank_test(new, draws[:i] + draws[i + 1 :], tested).is_rejected for i, new in enumerate(draws)]
        assert sum(rejected) / len(rejected) <= 0.05


@given(st.integers(0, 6), st.lists(values, max_size=12), st.integers(1, 5), tests)
def test_a_failed_seed_never_decides_in_favour_of_the_value(
    value: int, sample: list[int | None], failed: int, tested: Tested
) -> None:
    before, after = rank_test(value, sample, tested), rank_test(value, sample, tested, failed)
    assert after.n == before.n + failed
    if after.is_decided and not after.is_rejected:
        assert before.is_decided
    assert rank_test(value, [], tested, SEEDS[tested]).is_rejected


@pytest.mark.parametrize("tested", [BOTH, HIGH])
@pytest.mark.parametrize(("n", "at_most"), [(0, 40), (0, 1), (1, 40), (5, 40), (5, 12), (12, 8)])
def test_the_expected_seeds_are_those_of_a_simulation(tested: Tested, n: int, at_most: int) -> None:
    draw = random.Random(11)
    test, spent = rank_test(9, [1] * n, tested), []
    while len(spent) < 4000:
        draws = [draw.random() for _ in range(n)]
        value = draw.random()
        if n and (max(draws) > value):
            continue  # keep only what agrees with the seeds so far
        further = 0
        while n + further < min(at_most, SEEDS[tested]) and not rank_test(value, draws, tested).is_decided:
            draws.append(draw.random())
            further += 1
        spent.append(further)
    assert expected_draws(test, tested, at_most) == pytest.approx(sum(spent) / len(spent), abs=0.4)


def test_nothing_is_expected_where_nothing_is_open() -> None:
    assert expected_draws(rank_test(9, [9], HIGH), HIGH, 40) == 0


def test_nan_has_no_rank() -> None:
    for value, sample in ((math.nan, [1.0]), (1.0, [math.nan])):
        with pytest.raises(ValueError, match="NaN"):
            rank_test(value, sample, HIGH)


def test_more_seeds_than_the_test_has_are_refused() -> None:
    with pytest.raises(ValueError, match="19 seeds, not 20"):
        rank_test(1, [0] * 19, HIGH, 1)
