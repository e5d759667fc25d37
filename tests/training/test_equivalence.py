"""Tests of `loop`: exact and native arithmetic teach a network equally well.

The two round differently, so the accuracies of a seed differ by chance. Ten seeds of each network train on a shortened
budget in both, with the same initial weights, images and dropout masks. Two one-sided tests (TOST; Schuirmann,
J. Pharmacokinet. Biopharm. 15 (1987) 657) must show that the mean difference is within a bound.

The accuracies are those with the statistics of each batch. After so few steps the running statistics are still far from
them, and this alone moves the accuracy of a seed by hundreds of images.
"""

from __future__ import annotations

import numpy
import pytest
from scipy import stats

from bench.training.exact import ExactTrainer
from bench.training.loop import train
from bench.training.native import NativeTrainer
from models import ARCHITECTURES

SEEDS = range(1, 11)
IMAGES, EPOCHS = 6_400, 3
BOUND = 80
"""Test images of 10,000. Two seeds of one network differ by about as much on this budget (`squeeze_fc`)."""


def p_value_of_equivalence(differences, bound):
    """The larger p-value of two one-sided t-tests; a small one says that the mean is between -bound and bound."""
    below = stats.ttest_1samp(differences, bound, alternative="less").pvalue
    above = stats.ttest_1samp(differences, -bound, alternative="greater").pvalue
    return float(max(below, above))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_ten_seeds_learn_as_much_in_exact_as_in_native_arithmetic(name, dataset):
    short = dataset.head(IMAGES, 10_000)

    def accuracy(seed, arithmetic):
        architecture = ARCHITECTURES[name]
        *_, last = train(architecture, seed, "cpu", short, EPOCHS, arithmetic=arithmetic)
        exact = arithmetic == "exact"
        trainer = ExactTrainer(architecture, seed) if exact else NativeTrainer(architecture, seed, "cpu")
        trainer.load(last.network, last.optimizer)
        return trainer.correct_with_batch_statistics(short)

    exact = [accuracy(seed, "exact") for seed in SEEDS]
    native = [accuracy(seed, "native") for seed in SEEDS]
    differences = numpy.subtract(exact, native)
    p = p_value_of_equivalence(differences, BOUND)
    print(f"{name}: exact {exact}, native {native}, mean difference {differences.mean():+.1f}, p {p:.4f}")
    assert p < 0.05, (exact, native)


def test_equivalence_needs_a_small_mean_and_small_differences():
    assert p_value_of_equivalence([3, -2, 1, 0, -4, 2, 5, -1, 0, 1], BOUND) < 0.001
    assert p_value_of_equivalence([83, 78, 81, 80, 76, 82, 85, 79, 80, 81], BOUND) > 0.05
    assert p_value_of_equivalence([-300, 300, -250, 250, 100, -100, 20, -20, 200, -200], BOUND) > 0.05
