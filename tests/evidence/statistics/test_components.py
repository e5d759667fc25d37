"""Tests of `components`: published numbers, and simulations whose components are known."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.evidence.results import groups
from bench.evidence.statistics import epochs_and_seeds, flips, pooled_flips, rounding
from bench.record import catalogue, misses
from models import ARCHITECTURES

IMAGES = 10_000
OLD = "a5a73a76"
"""The environment of the 25 runs of release 0.1.0, whose components were computed before by other means."""


def missed_by(wrong: np.ndarray) -> np.ndarray:
    """How many runs miss each image that is ever missed, from (runs, images)."""
    counts = wrong.sum(axis=0)
    return counts[counts > 0]


@pytest.fixture(scope="module")
def old(root: Path):
    """The complete runs of the first record: the counts of each network by run, and how many runs miss each image."""
    record = catalogue.read_record(root / "runs.csv")[0]
    found = [one for one in groups(record, ARCHITECTURES) if one.environment == OLD]
    assert [len(one.complete) for one in found] == [5] * 5
    images = defaultdict(list)
    for one in misses.read(record).runs:
        model, _, _, environment, _, epoch = one.key
        if (environment, epoch) == (OLD, ARCHITECTURES[model].recipe.epochs):
            images[model] += one.images[:, 0].tolist()
    return {
        one.model: (
            [run.correct[: one.budget] for run in one.complete],
            np.unique(images[one.model], return_counts=True)[1],
        )
        for one in found
    }


def test_golden_flips_and_rest_of_the_25_runs(old):
    several = [flips([run[-1] for run in runs], missed, IMAGES) for runs, missed in old.values()]
    found = pooled_flips(several, IMAGES)
    assert (found.runs, found.freedom) == (25, 20)
    assert [round(one, 1) for one in (found.whole, found.flips, found.left)] == [69.7, 34.7, 35.0]
    assert found.left_error == pytest.approx(22, abs=0.1)


def test_golden_epoch_and_seed_of_the_25_runs(old):
    found = epochs_and_seeds([[run[-5:] for run in runs] for runs, _ in old.values()])
    assert (found.runs, found.epochs, found.freedom_between, found.freedom_residual) == (25, 5, 20, 80)
    assert (round(math.sqrt(found.epoch), 1), round(math.sqrt(found.seed), 1)) == (6.8, 1.8)


def test_images_that_are_wrong_by_themselves_leave_nothing_to_training():
    draw = np.random.default_rng(1)
    chances = draw.beta(0.05, 6, size=2000)
    left, errors = [], []
    for _ in range(300):
        wrong = draw.random((6, 2000)) < chances
        found = flips((2000 - wrong.sum(axis=1)).tolist(), missed_by(wrong), 2000)
        left.append(found.left)
        errors.append(found.left_error)
    assert np.mean(left) == pytest.approx(0, abs=3 * np.std(left) / math.sqrt(300))
    assert np.mean(errors) == pytest.approx(np.std(left), rel=0.15)


def test_a_variance_of_the_accuracy_over_all_images_is_found_again():
    """Each run has an error rate of its own, and draws its errors on images that are all alike."""
    draw, images, runs = np.random.default_rng(2), 2000, 8
    left = []
    for _ in range(400):
        rates = draw.choice([0.02, 0.06], size=(runs, 1))
        wrong = draw.random((runs, images)) < rates
        left.append(flips((images - wrong.sum(axis=1)).tolist(), missed_by(wrong), images).left)
    expected = images**2 * 0.02**2  # two rates, each 0.02 from the mean
    assert np.mean(left) == pytest.approx(expected, abs=3 * np.std(left) / math.sqrt(400))


@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=2, max_size=6))
def test_the_split_is_the_formula_of_the_paper(rows: list[list[bool]]):
    right = np.array(rows, dtype=float)
    images = right.shape[1]
    whole, single = right.sum(axis=1).var(ddof=1), right.var(axis=0, ddof=1).sum()
    found = flips(right.sum(axis=1).astype(int).tolist(), missed_by(1 - right.astype(int)), images)
    assert found.whole == pytest.approx(whole)
    assert found.flips == pytest.approx(single)
    assert found.left == pytest.approx(images / (images - 1) * (whole - single))


def test_fewer_than_two_runs_have_no_variance_and_other_images_are_refused():
    assert flips([9990], np.array([1] * 10), IMAGES) is None
    assert pooled_flips([], IMAGES) is None
    with pytest.raises(ValueError, match="not those of the counts"):
        flips([9990, 9991], np.array([1] * 10), IMAGES)


def test_pooling_weighs_groups_by_their_degrees_of_freedom():
    wrong = np.eye(3, 50, dtype=int)
    one = flips([49] * 3, missed_by(wrong), 50)
    other = flips([49, 45], np.array([1] * 6), 50)
    found = pooled_flips([one, other], 50)
    assert found.whole == pytest.approx((2 * one.whole + 1 * other.whole) / 3)
    assert (found.runs, found.freedom) == (5, 3)


def test_the_variances_of_epochs_and_of_seeds_are_found_again():
    draw = np.random.default_rng(3)
    trend = np.arange(5) * 8.0
    found = []
    for _ in range(400):
        several = [9930 + draw.normal(0, 4, (6, 1)) + trend + draw.normal(0, 7, (6, 5)) for _ in range(2)]
        found.append(epochs_and_seeds([group.tolist() for group in several]))
    for values, expected in (([one.epoch for one in found], 49), ([one.seed for one in found], 16)):
        assert np.mean(values) == pytest.approx(expected, abs=3 * np.std(values) / math.sqrt(400))


def test_one_run_or_one_epoch_has_no_components():
    assert epochs_and_seeds([]) is None
    assert epochs_and_seeds([[[9930, 9931]]]) is None
    assert epochs_and_seeds([[[9930], [9931]]]) is None
    with pytest.raises(ValueError, match="same number of epochs"):
        epochs_and_seeds([[[1, 2], [3, 4]], [[1, 2, 3], [4, 5, 6]]])


def test_rounding_that_moves_a_run_as_far_as_a_new_seed_has_the_same_variance():
    draw = np.random.default_rng(4)
    shared, own = draw.normal(9930, 3, 4000), draw.normal(0, 4, (2, 4000))
    first, second = ([[one] for one in (shared + part).tolist()] for part in own)
    found = rounding(first, second)
    assert (found.pairs, found.equal) == (4000, 0)
    assert found.own == pytest.approx(16, rel=0.1)
    assert found.seeds == pytest.approx(25, rel=0.1)
    unrelated = rounding(first, second[::-1])
    assert unrelated.own == pytest.approx(unrelated.seeds, rel=0.1)


def test_pairs_are_equal_if_every_epoch_is():
    runs = [[9900, 9930], [9901, 9940], [9902, 9950]]
    changed = [[9900, 9930], [9909, 9940], [9902, 9953]]
    found = rounding(runs, changed)
    assert (found.pairs, found.equal, found.difference, found.own) == (3, 2 - 1, -1.0, 1.5)
    assert rounding(runs, runs).own == 0
    assert rounding([], []) is None
    single = rounding(runs[:1], changed[:1])
    assert (single.pairs, single.equal, single.own, single.seeds) == (1, 1, None, None)
    with pytest.raises(ValueError, match="zip"):
        rounding(runs, runs[:2])


def test_the_mean_squares_are_those_of_a_table_by_hand():
    table = [[1, 2, 6], [3, 6, 6]]
    found = epochs_and_seeds([table])
    grand = 4
    cells = itertools.product(enumerate((3, 5)), enumerate((2, 4, 6)))
    residual = sum((table[i][j] - run - epoch + grand) ** 2 for (i, run), (j, epoch) in cells)
    assert (found.between, found.residual) == (3 * 2 / 1, residual / 2)
