"""Tests of `choice`: the best of k against every choice of k, and the honest best against images that are known."""

from __future__ import annotations

import itertools
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.evidence.statistics import expected_best, honest_best, least_choice

some = st.lists(st.integers(9900, 9960), min_size=1, max_size=7)


@given(some, st.data())
def test_the_expected_best_is_the_mean_over_every_choice_of_k(values: list[int], data: st.DataObject):
    k = data.draw(st.integers(1, len(values)))
    assert expected_best(values, k) == pytest.approx(fmean(max(few) for few in itertools.combinations(values, k)))


@given(some)
def test_the_best_of_one_is_the_mean_and_the_best_of_all_is_the_highest(values: list[int]):
    assert expected_best(values, 1) == pytest.approx(fmean(values))
    assert expected_best(values, len(values)) == pytest.approx(max(values))


def test_the_estimate_is_unbiased_for_new_draws():
    draw = np.random.default_rng(5)
    estimates = [expected_best(draw.normal(size=8).tolist(), 3) for _ in range(3000)]
    assert fmean(estimates) == pytest.approx(0.8463, abs=0.04)  # the expected highest of three normal draws


@given(some, st.integers(9890, 9970))
def test_the_least_choice_is_the_first_that_is_high_enough(values: list[int], value: int):
    enough = [k for k in range(1, len(values) + 1) if expected_best(values, k) >= value - 1e-9]
    assert least_choice(value, values) == (enough[0] if enough else None)


def test_a_value_above_every_seed_is_the_best_of_no_number_of_them():
    assert least_choice(9951, [9921, 9938]) is None
    assert least_choice(9951, []) is None
    assert least_choice(9900, [9921, 9938]) == 1


@pytest.mark.parametrize("k", [0, 3])
def test_the_best_of_none_or_of_more_than_there_are_is_refused(k: int):
    with pytest.raises(ValueError, match="best of"):
        expected_best([1, 2], k)


def run_of(chances: np.ndarray, epochs: int, seed: int) -> list[np.ndarray]:
    """The images that are missed in each epoch, where every epoch misses an image with the same chance."""
    draw = np.random.default_rng(seed)
    return [np.flatnonzero(draw.random(len(chances)) < chances) for _ in range(epochs)]


def test_of_epochs_that_are_equally_good_the_honest_best_is_their_mean_and_the_best_is_higher():
    chances = np.full(2000, 0.03)
    honest, chosen, mean = [], [], []
    for seed in range(60):
        missed = run_of(chances, 20, seed)
        counts = [2000 - len(one) for one in missed]
        honest.append(honest_best(missed, 2000))
        chosen.append(max(counts))
        mean.append(fmean(counts))
    assert fmean(honest) == pytest.approx(fmean(mean), abs=1.5)
    assert fmean(chosen) - fmean(honest) == pytest.approx(1.87 * 7.6, abs=2)  # the highest of 20 normal draws


def test_an_epoch_that_is_far_better_is_chosen_by_every_half():
    missed = [np.arange(300), np.arange(100, 120), np.arange(400)]
    assert honest_best(missed, 2000) == pytest.approx(1980, abs=1)


def test_other_halves_of_unequal_images_give_the_same_honest_best():
    draw = np.random.default_rng(5)
    chances = draw.beta(0.2, 6, size=2000)
    honest, scores = [], []
    for _ in range(60):
        wrong = draw.random((20, 2000)) < chances
        honest.append(honest_best([np.flatnonzero(epoch) for epoch in wrong], 2000))
        for _ in range(100):
            chooses = draw.random(2000) < 0.5
            for half in (chooses, ~chooses):
                scores.append(int(wrong[wrong[:, half].sum(axis=1).argmin(), ~half].sum()))
    assert fmean(honest) == pytest.approx(2000 - 2 * fmean(scores), abs=0.15)  # without the exchange: 0.28 apart


def test_the_last_bit_is_the_same_every_time_and_a_run_without_misses_is_perfect():
    missed = run_of(np.full(500, 0.05), 5, 1)
    assert honest_best(missed, 500) == honest_best([one.copy() for one in missed], 500)
    assert honest_best([np.array([], dtype=np.int64)], 500) == 500
    with pytest.raises(ValueError, match="without an epoch"):
        honest_best([], 500)


def test_the_halves_are_those_of_every_release():
    missed = [np.arange(0, 90, 3), np.arange(0, 90, 2)]
    assert honest_best(missed, 100) == GOLDEN


GOLDEN = 69.745
"""Computed once. The raw bits of numpy's Philox do not change."""
