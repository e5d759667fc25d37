"""Tests of `operators`: what a network does beside its graph is found, whether it has an effect or not."""

from __future__ import annotations

import numpy
import pytest
import torch
from torch import nn

from bench.training.arithmetic.operators import unseen
from bench.training.arithmetic.trace import graph_of
from models import ARCHITECTURES


class Net(nn.Module):
    """A network that also does what a test says, with itself and its values."""

    def __init__(self, also):
        super().__init__()
        self.conv, self.norm, self.scores = nn.Conv2d(1, 2, 9, stride=4), nn.BatchNorm2d(2), nn.Linear(50, 10)
        self.also = also

    def forward(self, x):
        x = self.conv(x)
        self.also(self, x)
        y = self.norm(x)
        y += x
        return self.scores(y.flatten(1)).log_softmax(1)


SEEN = {
    "nothing": lambda net, x: None,
    "sizes": lambda net, x: (x.shape, x.size(0), x.dim(), net.conv.weight.shape, next(net.parameters()).device),
    "a value without a user": lambda net, x: x.relu(),
}
UNSEEN = {
    "a number": (lambda net, x: net.norm.running_mean.sum().item(), "sum"),
    "a list": (lambda net, x: net.norm.running_mean.tolist(), "tolist"),
    "an array": (lambda net, x: numpy.asarray(net.norm.running_mean), "__array__"),
    "a constant": (lambda net, x: torch.ones(3), "ones"),
    "a weight that stays as it is": (lambda net, x: [one.data.mul_(1) for one in net.parameters()], "mul"),
    "a count": (lambda net, x: net.norm.num_batches_tracked.add_(0), "add"),
}


@pytest.mark.parametrize("case", SEEN)
def test_what_a_graph_shows_or_does_nothing_is_not_named(case):
    network = Net(SEEN[case])
    assert unseen(network, graph_of(network)) == ()


@pytest.mark.parametrize("case", UNSEEN)
def test_what_a_graph_does_not_show_is_named(case):
    also, name = UNSEEN[case]
    network = Net(also)
    assert name in unseen(network, graph_of(network))


def test_the_same_operators_in_another_order_are_no_graph():
    conv, norm, relu, scores = nn.Conv2d(1, 2, 9), nn.BatchNorm2d(2), nn.ReLU(), nn.Linear(800, 10)
    network = nn.Sequential(conv, norm, relu, nn.Flatten(), scores)
    graph = graph_of(nn.Sequential(conv, relu, norm, nn.Flatten(), scores))
    assert unseen(network, graph) == ("the same ones in another order",)


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_the_graphs_of_the_documented_networks_show_all(architecture):
    network = architecture.build()
    assert unseen(network, graph_of(network)) == ()
