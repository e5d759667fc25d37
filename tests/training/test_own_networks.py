"""Tests of `loop` and `inspection`: users' own networks train to the same bits again, resumed or in any order."""

from __future__ import annotations

import dataclasses
import random

import numpy
import pytest
import torch
from own_networks import DRAWS, PLAIN, changed, generated, write

from bench.network.network_file import read
from bench.training import exact, inspection, loop
from bench.training.native import NativeTrainer
from bench.training.randomness import Purpose, seed_generators

SUBSET = (192, 100)


def trained(architecture, dataset, epochs=2, seed=1, start=None):
    """The reproducible part of every epoch, and the last state; in exact arithmetic wherever it covers the network."""
    arithmetic = "native" if exact.uncovered(architecture) else "exact"
    states = list(loop.train(architecture, seed, "cpu", dataset, epochs, start, arithmetic))
    history = states[-1].history
    return [(one.correct, one.test_loss, one.train_loss) for one in history], states[-1]


@pytest.fixture(scope="module")
def few(dataset):
    return dataset.head(*SUBSET)


@pytest.mark.slow
def test_ten_generated_networks_give_the_same_bits_again_in_another_order(tmp_path, few):
    write(tmp_path, **{f"net{number}": generated(number) for number in range(10)})
    chosen = [read(path) for path in sorted(tmp_path.iterdir())]
    assert len({one.digest for one in chosen}) == 10
    found = [inspection.inspect(one) for one in chosen]
    assert [one["uncovered"] == () for one in found] == [number % 3 != 1 for number in range(10)]
    chosen = [
        dataclasses.replace(one, gives_logits=facts["gives_logits"]) for one, facts in zip(chosen, found, strict=True)
    ]
    first = {one.name: trained(one, few)[0] for one in chosen}
    torch.rand(5)
    random.random()
    again = {one.name: trained(one, few)[0] for one in reversed(chosen)}
    assert first == again
    assert len({str(one) for one in first.values()}) == 10


def test_random_draws_of_network_and_augmentation_follow_from_seed_and_step_even_when_resumed(tmp_path, few):
    one = read(write(tmp_path, net=DRAWS)[0])
    straight, _ = trained(one, few, 3)
    _, middle = trained(one, few, 1)
    torch.manual_seed(5)
    resumed, _ = trained(one, few, 3, start=middle)
    assert resumed == straight
    assert trained(one, few, 1, seed=2)[0] != straight[:1]


def test_training_leaves_every_global_generator_as_it_was(tmp_path, few):
    one = read(write(tmp_path, net=DRAWS)[0])
    before = torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].copy()
    trained(one, few, 1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert (numpy.random.get_state()[1] == before[2]).all()


@pytest.mark.parametrize(
    "draw",
    [
        "F.dropout(x, 0.5, self.training)",
        "x + random.random() * self.training",
        "x + numpy.random.rand() * self.training",
    ],
)
def test_the_draws_of_a_network_differ_between_steps_and_not_in_evaluation(tmp_path, few, draw):
    source = changed(
        "        return self", f"        x = {draw}\n        return self", "import random, numpy\n" + PLAIN
    )
    network = NativeTrainer(read(write(tmp_path, net=source)[0]), 1, "cpu").network
    images = few.train_images[:4]

    def scores(step):
        seed_generators(1, Purpose.NETWORK, step)
        with torch.no_grad():
            return network(images)

    network.train()
    assert torch.equal(scores(1), scores(1))
    assert not torch.equal(scores(1), scores(2))
    network.eval()
    assert torch.equal(scores(1), scores(2))


def test_a_path_that_depends_on_values_cannot_be_traced_and_goes_native(tmp_path, few):
    source = changed("        return self", "        x = x if x.sum() > 0 else -x\n        return self")
    one = read(write(tmp_path, net=source)[0])
    found = inspection.inspect(one)
    assert found["uncovered"] == ("a forward pass that torch.fx cannot trace (TraceError)",)
    native = dataclasses.replace(one, gives_logits=found["gives_logits"])
    assert trained(native, few)[0] == trained(native, few)[0]


def test_a_relu_in_place_whose_input_is_used_again_is_exact_and_right(tmp_path):
    source = """
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.scores = nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.Linear(4, 10)

    def forward(self, x):
        x = self.conv(x)
        return self.scores((self.norm(F.relu(x, inplace=True)) + x).mean((2, 3)))
"""
    assert inspection.inspect(read(write(tmp_path, net=source)[0]))["uncovered"] == ()
