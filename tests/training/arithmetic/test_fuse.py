"""The merged passes compute what PyTorch's operators compute, at least as exactly."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.training import randomness
from bench.training.arithmetic.fuse import fuse
from bench.training.arithmetic.passes import MaxPool, Normalise
from bench.training.dropout import Clock, SeededDropout, seed_dropout
from models import ARCHITECTURES

SHAPES = [(6, 10, 28, 28), (5, 12, 26, 26), (3, 16, 7, 7), (4, 20, 1, 1), (2, 3, 17, 1)]


def relative(found, expected):
    return float((found.double() - expected).norm() / expected.norm())


def normal(shape, seed):
    values = torch.empty(shape).normal_(generator=torch.Generator().manual_seed(seed))
    return values.to(memory_format=torch.channels_last)


def batch_norm(channels):
    norm = nn.BatchNorm2d(channels)
    with torch.no_grad():
        norm.weight.copy_(normal((channels, 1, 1, 1), 1).flatten())
        norm.bias.copy_(normal((channels, 1, 1, 1), 2).flatten())
        norm.running_mean.copy_(normal((channels, 1, 1, 1), 3).flatten())
    return norm


# Values are never dropped before a max-pool, and one of nothing is none.
CASES = [
    (shape, dropping, pools)
    for shape in SHAPES
    for dropping in (None, "values", "channels")
    for pools in (False, True)
    if not pools or (dropping != "values" and min(shape[2:]) >= 2)
]


@pytest.mark.parametrize(("shape", "dropping", "pools"), CASES, ids=str)
@pytest.mark.parametrize(("relu_before", "relu_after"), [(False, False), (True, False), (False, True), (True, True)])
def test_result_gradients_and_running_statistics_are_those_of_the_operators_in_float64(
    shape, dropping, relu_before, relu_after, pools
):
    norm = batch_norm(shape[1])
    exact_norm = copy.deepcopy(norm).double()
    dropout = None if dropping is None else SeededDropout(0.3, dropping == "channels", 1, 2, Clock(3))
    merged = Normalise(norm, relu_before, relu_after, dropout, pools).train()
    values = normal(shape, 4).mul_(2).add_(1).requires_grad_()
    exact = values.detach().double().requires_grad_()

    def operators(x):
        x = exact_norm(F.relu(x) if relu_before else x)
        x = F.relu(x) if relu_after else x
        x = x if dropout is None else dropout(x)
        return F.max_pool2d(x, 2) if pools else x

    result, expected = merged(values), operators(exact)
    gradient = normal(tuple(result.shape), 5)
    result.backward(gradient)
    expected.backward(gradient.double())
    assert relative(result.detach(), expected.detach()) < 1e-6
    assert relative(values.grad, exact.grad) < 3e-6
    assert relative(norm.weight.grad, exact_norm.weight.grad) < 3e-6
    assert relative(norm.bias.grad, exact_norm.bias.grad) < 3e-6
    assert relative(norm.running_mean, exact_norm.running_mean) < 1e-6
    assert relative(norm.running_var, exact_norm.running_var) < 1e-6
    assert norm.num_batches_tracked == exact_norm.num_batches_tracked == 1

    merged.eval()
    exact_norm.eval()
    with torch.no_grad():
        assert relative(merged(values), operators(exact)) < 1e-6


def test_a_silent_channel_has_a_variance_of_exactly_zero():
    """That is what leads to a collapse of the evaluation; rounding must not hide it."""
    norm = nn.BatchNorm2d(3)
    merged = Normalise(norm, relu_before=True, relu_after=False, dropout=None).train()
    silent = -normal((8, 3, 6, 6), 1).abs()
    merged(normal((8, 3, 6, 6), 2))
    for _ in range(600):
        merged(silent)
    assert float(norm.running_var.max()) < 1e-25


@pytest.mark.parametrize("shape", [(3, 5, 8, 8), (2, 10, 7, 7), (2, 16, 3, 5)], ids=str)
def test_the_max_pool_is_pytorchs_to_the_bit(shape):
    values = normal(shape, 1).round_().requires_grad_()  # rounded, so that there are equal ones to choose from
    found = MaxPool()(values)
    gradient = normal(tuple(found.shape), 2)
    found.backward(gradient)
    mine, values.grad = values.grad, None
    expected = F.max_pool2d(values, 2)
    expected.backward(gradient)
    assert torch.equal(found, expected)
    assert torch.equal(mine, values.grad)


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
        zero = torch.zeros_like  # a bias that a normalisation takes off again has no gradient
        found = [(zero(p) if p.grad is None else p.grad).double().flatten() for p in network.parameters()]
        return loss.item(), torch.cat(found)

    exact_loss, exact = gradients("exact")
    loss, fused = gradients("fused")
    _, operators = gradients("operators")
    assert loss == pytest.approx(exact_loss, rel=1e-6)
    assert relative(fused, exact) < 1e-2  # a value within its rounding error of 0 may fall on the other side
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
    """The result of a ReLU and of a normalisation is used twice, which must not be merged away."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        cut = F.relu(x)
        normal_ = self.norm(cut)
        return cut + normal_ + F.relu(normal_)


class ValueDependent(nn.Module):
    """Its path depends on values, which no tracing can follow."""

    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_what_is_used_twice_is_computed_as_before():
    network = Branching()
    other = copy.deepcopy(network)
    values = normal((4, 4, 6, 6), 1)
    assert torch.allclose(fuse(network).train()(values), other.train()(values), atol=1e-5)


def test_a_network_that_cannot_be_traced_stays_as_it_is():
    network = ValueDependent()
    assert fuse(network) is network


def test_the_number_of_threads_changes_no_bit_of_a_merged_pass():
    norm, values = batch_norm(16), normal((8, 16, 28, 28), 1)
    results = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(Normalise(copy.deepcopy(norm), True, False, None).train()(values))
    torch.set_num_threads(before)
    assert torch.equal(*results)
