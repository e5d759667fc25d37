"""Tests of `passes`, `normalisation` and `pooling`: merged passes are at least as exact as PyTorch's operators."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from tensors import normal, relative
from torch import nn

from bench.training.arithmetic.passes import MaxPool, Normalise
from bench.training.dropout import Clock, SeededDropout

SHAPES = [(6, 10, 28, 28), (5, 12, 26, 26), (3, 16, 7, 7), (4, 20, 1, 1), (2, 3, 17, 1)]


def batch_norm(channels):
    norm = nn.BatchNorm2d(channels)
    with torch.no_grad():
        norm.weight.copy_(normal((channels, 1, 1, 1), 1).flatten())
        norm.bias.copy_(normal((channels, 1, 1, 1), 2).flatten())
        norm.running_mean.copy_(normal((channels, 1, 1, 1), 3).flatten())
    return norm


# A max-pool never follows a dropout of single values, and it needs two rows and columns.
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
    """Such a channel makes the evaluation collapse. Rounding must not hide it."""
    norm = nn.BatchNorm2d(3)
    merged = Normalise(norm, relu_before=True, relu_after=False, dropout=None).train()
    silent = -normal((8, 3, 6, 6), 1).abs()
    merged(normal((8, 3, 6, 6), 2))
    for _ in range(600):
        merged(silent)
    assert float(norm.running_var.max()) < 1e-25


@pytest.mark.parametrize("shape", [(3, 5, 8, 8), (2, 10, 7, 7), (2, 16, 3, 5)], ids=str)
def test_the_max_pool_is_pytorchs_to_the_bit(shape):
    values = normal(shape, 1).round_().requires_grad_()  # rounded, so that some values are equal
    found = MaxPool()(values)
    gradient = normal(tuple(found.shape), 2)
    found.backward(gradient)
    mine, values.grad = values.grad, None
    expected = F.max_pool2d(values, 2)
    expected.backward(gradient)
    assert torch.equal(found, expected)
    assert torch.equal(mine, values.grad)


def test_the_number_of_threads_changes_no_bit_of_a_merged_pass():
    norm, values = batch_norm(16), normal((8, 16, 28, 28), 1)
    results = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(Normalise(copy.deepcopy(norm), True, False, None).train()(values))
    torch.set_num_threads(before)
    assert torch.equal(*results)
