"""Tests of `fuse`: it merges what it can in a network, and leaves the results as they were."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from tensors import normal, relative
from torch import nn

from bench.training import randomness
from bench.training.arithmetic.convolution import Convolution
from bench.training.arithmetic.fuse import fuse
from bench.training.arithmetic.passes import MaxPool, Normalise
from bench.training.dropout import Clock, seed_dropout
from models import ARCHITECTURES


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_a_whole_networks_gradients_are_closer_to_float64_than_those_of_the_operators(name, small):
    architecture = ARCHITECTURES[name]
    images = small.train_images[:64].contiguous(memory_format=torch.channels_last)
    labels = small.train_labels[:64]

    def gradients(kind):
        network = randomness.build(architecture, 1).to(memory_format=torch.channels_last)
        seed_dropout(network, 1, Clock(5))
        forward = fuse(network) if kind == "fused" else network
        forward.train()
        x = images
        if kind == "exact":
            network.double()
            x = images.double()
        loss = F.nll_loss(forward(x), labels)
        loss.backward()
        zero = torch.zeros_like  # a bias before a normalisation has no gradient
        found = [(zero(p) if p.grad is None else p.grad).double().flatten() for p in network.parameters()]
        return loss.item(), torch.cat(found)

    exact_loss, exact = gradients("exact")
    loss, fused = gradients("fused")
    _, operators = gradients("operators")
    assert loss == pytest.approx(exact_loss, rel=1e-6)
    assert relative(fused, exact) < 1e-2  # rounding may move a value across 0
    assert relative(fused, exact) < 2 * relative(operators, exact) + 1e-6


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_every_normalisation_and_every_two_by_two_max_pool_of_the_five_is_merged(name):
    network = randomness.build(ARCHITECTURES[name], 1)
    seed_dropout(network, 1, Clock())
    forward = fuse(network)
    called = [dict(forward.named_modules())[node.target] for node in forward.graph.nodes if node.op == "call_module"]
    assert not [module for module in called if isinstance(module, nn.BatchNorm2d | nn.MaxPool2d)]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert [module.norm for module in called if isinstance(module, Normalise)] == norms
    pools = [
        module for module in called if isinstance(module, MaxPool) or (isinstance(module, Normalise) and module.pools)
    ]
    assert len(pools) == len([module for module in network.modules() if isinstance(module, nn.MaxPool2d)])


class Branching(nn.Module):
    """A network that uses the results of a ReLU and of a normalisation twice. Neither may be merged away."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        cut = F.relu(x)
        normal_ = self.norm(cut)
        return cut + normal_ + F.relu(normal_)


class ValueDependent(nn.Module):
    """A network whose path depends on values. No tracing can follow it."""

    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_a_result_that_is_used_twice_stays_the_same():
    network = Branching()
    other = copy.deepcopy(network)
    values = normal((4, 4, 6, 6), 1)
    assert torch.allclose(fuse(network).train()(values), other.train()(values), atol=1e-5)


def test_a_network_that_cannot_be_traced_stays_as_it_is():
    network = ValueDependent()
    assert fuse(network) is network


def test_a_bias_before_a_normalisation_has_no_gradient_and_every_other_has_one():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3)
    )
    fuse(network).train()(normal((8, 1, 12, 12), 1)).sum().backward()
    assert [network[place].bias.grad is None for place in (0, 2, 5)] == [True, False, False]


def test_a_convolution_with_a_hook_or_another_parametrisation_is_left_alone():
    hooked, weighted = nn.Conv2d(1, 4, 3), nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3))
    calls = []
    hooked.register_forward_hook(lambda *_: calls.append(1))
    forward = fuse(nn.Sequential(hooked, weighted))
    forward(normal((2, 1, 12, 12), 1))
    assert calls == [1]
    assert not [module for module in forward.modules() if isinstance(module, Convolution)]
