"""Tests of `recipe`: the schedule of learning rates, and the augmentation of each batch."""

from __future__ import annotations

import pytest
import torch
from own_networks import DRAWS, write

from bench.errors import UnusableInput
from bench.network.network_file import read
from bench.network.specification import Recipe
from bench.network.values import DEFAULT_RECIPE
from bench.training import loop
from bench.training.data import MEAN, STANDARD_DEVIATION
from bench.training.recipe import Augmentation, learning_rates


def test_a_schedule_gives_every_epoch_its_rate_however_many_are_trained(tmp_path, dataset):
    recipe = Recipe(0.1, 64, 6, schedule="StepLR(step_size=2, gamma=0.5)")
    assert learning_rates(recipe, 6) == [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]
    assert learning_rates(recipe, 3) == [0.1, 0.1, 0.05]
    assert learning_rates(DEFAULT_RECIPE, 3) == [0.01] * 3
    *_, state = loop.train(
        read(write(tmp_path, net=DRAWS)[0]), 1, "cpu", dataset.head(192, 100), 3, arithmetic="native"
    )
    assert state.optimizer["param_groups"][0]["lr"] == 0.05 * 0.5 * 0.5


def test_an_augmentation_that_would_normalise_a_second_time_is_refused():
    with pytest.raises(UnusableInput) as caught:
        Augmentation(["Normalize((0.1307,), (0.3081,))"])
    assert str(caught.value) == (
        "RECIPE has augmentation 'Normalize((0.1307,), (0.3081,))': the harness normalises training and test images "
        "itself: remove it"
    )


def test_an_augmentation_sees_images_from_0_to_1_and_keeps_them_normalised(dataset):
    images = dataset.train_images[:8]
    upside_down = Augmentation(["RandomVerticalFlip(p=1.0)"])(images)
    assert torch.allclose(upside_down, images.flip(2), atol=1e-6)
    black = Augmentation(["RandomErasing(p=1.0, scale=(0.99, 1.0), ratio=(1, 1))"])(images).min()
    assert float(black) == pytest.approx(-MEAN / STANDARD_DEVIATION, abs=1e-6)
