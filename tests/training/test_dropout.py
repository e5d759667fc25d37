"""Tests of `dropout`: masks follow from seed, step, layer and call alone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import count

import pytest
import torch
import torch.nn.functional as F
from own_exact import architecture
from own_networks import DRAWS, write
from torch import nn

from bench.errors import UnusableInput
from bench.network.network_file import read
from bench.training import agreement, randomness
from bench.training.arithmetic.operations import Dropout
from bench.training.arithmetic.trace import trace
from bench.training.dropout import Clock, seed_dropout, seeded
from bench.training.exact import ExactTrainer
from bench.training.native import NativeTrainer
from models import ARCHITECTURES


def alone(module, clock):
    """A dropout module that is the only one of its network, in training."""
    seed_dropout(nn.Sequential(module), 1, clock)
    return module.train()


def layers(network):
    return [found.layer for module in network.modules() if (found := seeded(module))]


def test_dropout_masks_are_the_same_for_both_memory_formats_and_change_with_the_step():
    clock = Clock()
    dropout = alone(nn.Dropout(0.5), clock)
    values = torch.ones(4, 3, 8, 8)
    plain = dropout(values)
    clock.begin(0)
    assert torch.equal(plain, dropout(values.to(memory_format=torch.channels_last)))
    clock.begin(1)
    assert not torch.equal(plain, dropout(values))
    assert torch.equal(dropout.eval()(values), values)


def test_every_call_of_a_step_has_a_mask_of_its_own_and_the_first_one_is_the_layers():
    clock = Clock()
    dropout = alone(nn.Dropout(0.5), clock)
    seeded(dropout).layer = 3
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


@pytest.mark.parametrize(
    "statements", ["self.a = self.b = nn.Dropout(0.5)", "self.a = nn.Dropout(0.5); self.b = self.a"]
)
def test_a_dropout_with_two_names_is_seeded_under_both(statements):
    one = architecture(statements, "x = self.a(self.b(x))")
    network = ExactTrainer(one, 1).network
    assert layers(network) == [0, 1]
    assert agreement.obstacles(one) == ()


@pytest.mark.parametrize(("name", "value"), [("p", 0.1), ("training", False), ("inplace", True)])
def test_a_dropout_with_two_names_that_changes_under_one_of_them_is_refused(name, value):
    network = ExactTrainer(architecture("self.a = self.b = nn.Dropout(0.5)", "x = self.b(x)"), 1).network.train()
    network(torch.zeros(2, 1, 28, 28))
    setattr(network.a, name, value)
    with pytest.raises(UnusableInput, match="give each place a dropout of its own"):
        network(torch.zeros(2, 1, 28, 28))


def test_dropout2d_drops_whole_channels():
    dropped = alone(nn.Dropout2d(0.5), Clock())(torch.ones(16, 8, 4, 4))
    per_channel = dropped.flatten(2)
    assert (per_channel == per_channel[..., :1]).all()
    assert set(per_channel.unique().tolist()) == {0.0, 2.0}


D = "self.d = nn.Dropout(0.5)"
WRITTEN = {
    "in place, as a statement": ("self.d = nn.Dropout(0.5, inplace=True)", "self.d(x)", ""),
    "in place, of channels": ("self.d = nn.Dropout2d(0.5, True)", "self.d(x)\nx = F.relu(x)", ""),
    "in place, and its input once more": ("self.d = nn.Dropout(0.5, True)", "x = x + self.d(x)", ""),
    "in place, of probability zero": ("self.d = nn.Dropout(0, True)", "y = x\nself.d(y)", ""),
    "as a statement": (D, "self.d(x)", ""),
    "found by its class": (D, "for m in self.children():\n    x = m(x) if type(m) is nn.Dropout else x", ""),
    "found in a list": (f"{D}\nself.all = [self.d]", "x = self.all[0](x)", ""),
    "a subclass": ("self.d = type('D', (nn.Dropout,), {})(0.5)", "x = self.d(x)", ""),
    "another probability in forward": (D, "self.d.p = 0.2\nx = self.d(x)", ""),
    "two probabilities": (D, "self.d.p = 0.2\nx = self.d(x)\nself.d.p = 0.6\nx = self.d(x)", "another loss"),
    "in evaluation for ever": (
        f"{D}.eval()\nself.d.train = lambda mode=True: self.d",
        "x = self.d(x)",
        "another train",
    ),
    "turned off by forward": (D, "x = self.d.eval()(x)", "operators that torch.fx does not show"),
    "another forward": (f"{D}\nself.d.forward = lambda x: x * 2", "x = self.d(x)", "another forward of d"),
    "a subclass with another forward": (
        "self.d = type('D', (nn.Dropout,), {'forward': lambda self, x: nn.Dropout.forward(self, x) * 3})()",
        "x = self.d(x)",
        "F.dropout (nn.Dropout is covered)",
    ),
    "a subclass with another call": (
        "self.d = type('D', (nn.Dropout,), {'__call__': lambda self, x: nn.Module.__call__(self, x) * 3})()",
        "x = self.d(x)",
        "mul",
    ),
    "a hook": (f"{D}\nself.d.register_forward_hook(lambda m, i, o: o * 2)", "x = self.d(x)", "a hook on d"),
    "a hook on its gradient": (
        f"{D}\nself.d.register_full_backward_hook(lambda m, i, o: (i[0] * 3,))",
        "x = self.d(x)",
        "a hook on d",
    ),
    "called by its forward": (D, "x = self.d.forward(x)", "a forward pass that torch.fx cannot trace"),
}
"""Ways to write a dropout, and what keeps the exact arithmetic from it."""


@pytest.mark.parametrize("case", WRITTEN)
def test_a_dropout_does_what_pytorchs_does_with_the_same_masks(case, monkeypatch):
    layers, forward, reason = WRITTEN[case]
    one = architecture(layers, forward)
    found = agreement.obstacles(one)
    assert (found or ("",))[0].startswith(reason)
    assert bool(found) == bool(reason)
    calls = count()

    def masked(x, p, training, inplace, whole_channels=False):
        if not training or p == 0:
            return x
        shape = (*x.shape[:2], 1, 1) if whole_channels else tuple(x.shape)
        mask = torch.from_numpy(randomness.dropout_mask(1, 0, randomness.dropout_stream(0, next(calls)), shape, p))
        return x.mul_(mask) if inplace else x * mask

    monkeypatch.setattr(F, "dropout", masked)
    monkeypatch.setattr(F, "dropout2d", partial(masked, whole_channels=True))
    network, plain = randomness.build(one, 1), randomness.build(one, 1)
    calls = count()
    expected = results(plain)
    calls = count()
    seed_dropout(network, 1, Clock())
    assert all(map(torch.equal, results(network), expected))


def results(network):
    """Scores in training and in evaluation, and gradients."""
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    scores = network.train()(images)
    scores.square().sum().backward()
    return [scores, network.eval()(images), *(one.grad for one in network.parameters())]


def test_a_probability_that_pytorch_refuses_is_refused():
    dropout = alone(nn.Dropout(0.5), Clock())
    dropout.p = 1.1
    with pytest.raises(ValueError, match=r"has to be between 0 and 1, but got 1\.1"):
        dropout(torch.ones(2))


def test_every_dropout_of_a_network_has_a_stream_of_its_own():
    network = randomness.build(ARCHITECTURES["unpadded"], 1)
    seed_dropout(network, 1, Clock())
    assert layers(network) == list(range(7))
    assert all(seeded(one) for one in network.modules() if isinstance(one, nn.Dropout | nn.Dropout2d))


def test_the_dropout_of_a_recipe_replaces_the_probability_of_every_layer(tmp_path):
    own = NativeTrainer(read(write(tmp_path, net=DRAWS)[0]), 1, "cpu").network
    documented = ARCHITECTURES["unpadded"]
    other = replace(documented, recipe=replace(documented.recipe, dropout=0.3))
    for network, expected in ((own, [0.2]), (ExactTrainer(other, 1).network, [0.3] * 7)):
        assert [one.p for one in network.modules() if isinstance(one, nn.Dropout | nn.Dropout2d)] == expected
