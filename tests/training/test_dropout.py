"""Tests of `dropout`: masks follow from seed, step, layer and call alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from own_exact import architecture
from own_networks import DRAWS, write
from torch import nn

from bench.network.network_file import read
from bench.training import agreement, randomness
from bench.training.arithmetic.operations import Dropout
from bench.training.arithmetic.trace import trace
from bench.training.dropout import Clock, SeededDropout, seed_dropout
from bench.training.exact import ExactTrainer
from bench.training.native import NativeTrainer
from models import ARCHITECTURES


def test_dropout_masks_are_the_same_for_both_memory_formats_and_change_with_the_step():
    clock = Clock()
    dropout = SeededDropout(0.5, whole_channels=False, seed=1, layer=0, clock=clock).train()
    values = torch.ones(4, 3, 8, 8)
    plain = dropout(values)
    clock.begin(0)
    assert torch.equal(plain, dropout(values.to(memory_format=torch.channels_last)))
    clock.begin(1)
    assert not torch.equal(plain, dropout(values))
    assert torch.equal(dropout.eval()(values), values)


def test_every_call_of_a_step_has_a_mask_of_its_own_and_the_first_one_is_the_layers():
    clock = Clock()
    dropout = SeededDropout(0.5, whole_channels=False, seed=1, layer=3, clock=clock).train()
    values = torch.ones(4, 3, 8, 8)
    first, second = dropout(values), dropout(values)
    assert not torch.equal(first, second)
    assert torch.equal(first, torch.from_numpy(randomness.dropout_mask(1, 0, 3, (4, 3, 8, 8), 0.5)))
    dropout.eval()(values)
    clock.begin(0)
    dropout.train()
    assert torch.equal(dropout(values), first)
    assert torch.equal(dropout(values), second)


def test_a_dropout_that_is_used_twice_draws_anew_in_both_arithmetics():
    twice = architecture("self.d = nn.Dropout(0.5)", "x = self.d(self.d(x))")
    assert agreement.obstacles(twice) == ()  # the masks are the same ones in both
    found = [one for one in trace(ExactTrainer(twice, 1).network).operations if isinstance(one, Dropout)]
    assert [one.layer for one in found] == [0, 1 << 32]


@pytest.mark.parametrize("layers", ["self.a = self.b = nn.Dropout(0.5)", "self.a = nn.Dropout(0.5); self.b = self.a"])
def test_a_dropout_with_two_names_is_seeded_under_both(layers):
    one = architecture(layers, "x = self.a(self.b(x))")
    network = ExactTrainer(one, 1).network
    assert [module.layer for module in network.modules() if isinstance(module, SeededDropout)] == [0, 1]
    assert agreement.obstacles(one) == ()


def test_dropout2d_drops_whole_channels():
    dropped = SeededDropout(0.5, whole_channels=True, seed=1, layer=0, clock=Clock()).train()(torch.ones(16, 8, 4, 4))
    per_channel = dropped.flatten(2)
    assert (per_channel == per_channel[..., :1]).all()
    assert set(per_channel.unique().tolist()) == {0.0, 2.0}


def test_every_dropout_of_a_network_has_a_stream_of_its_own():
    network = randomness.build(ARCHITECTURES["unpadded"], 1)
    seed_dropout(network, 1, Clock())
    layers = [module.layer for module in network.modules() if isinstance(module, SeededDropout)]
    assert layers == list(range(7))
    assert not any(isinstance(module, nn.Dropout | nn.Dropout2d) for module in network.modules())


def test_the_dropout_of_a_recipe_replaces_the_probability_of_every_layer(tmp_path):
    own = NativeTrainer(read(write(tmp_path, net=DRAWS)[0]), 1, "cpu").network
    documented = ARCHITECTURES["unpadded"]
    other = replace(documented, recipe=replace(documented.recipe, dropout=0.3))
    for network, expected in ((own, [0.2]), (ExactTrainer(other, 1).network, [0.3] * 7)):
        assert [one.probability for one in network.modules() if isinstance(one, SeededDropout)] == expected
