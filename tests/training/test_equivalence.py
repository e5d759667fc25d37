"""Tests of `loop`: the merged passes and PyTorch's own operators teach a network equally well.

The merged passes round in other places than PyTorch's operators. This must not change how well a network learns. Ten
seeds of each network train on a shortened budget by both paths, with the same initial weights, images and dropout
masks. An exact paired permutation test compares the accuracies of each seed.
"""

from __future__ import annotations

import pytest
import torch

from bench.evidence.statistics import paired_permutation_test
from bench.training.loop import train
from models import ARCHITECTURES

SEEDS = range(1, 11)
IMAGES, EPOCHS = 6_400, 3


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_ten_seeds_learn_as_much_by_both_paths(name, dataset):
    torch.set_num_threads(1)
    short = dataset.head(IMAGES, 10_000)

    def accuracy(seed, fused):
        *_, last = train(ARCHITECTURES[name], seed, "cpu", short, EPOCHS, fused=fused)
        # A collapse of the evaluation belongs to the network. It would hide every other difference.
        return last.history[-1].correct_batch_statistics or last.history[-1].correct

    merged = [accuracy(seed, True) for seed in SEEDS]
    operators = [accuracy(seed, False) for seed in SEEDS]
    test = paired_permutation_test(merged, operators)
    print(f"{name}: merged {merged}, operators {operators}, difference {test.difference:+.1f}, p {test.p_value:.3f}")
    assert test.p_value > 0.01, (merged, operators)
