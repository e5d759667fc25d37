"""Tests of `operations`, `norms`: NaN and infinities pass as they pass through the operations of PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from own_exact import architecture, engine
from torch import nn

from bench.errors import UnusableInput
from bench.training.arithmetic.norms import BatchNorm
from bench.training.arithmetic.operations import Chunk
from bench.training.arithmetic.state import State
from bench.training.arithmetic.trace import trace
from bench.training.exact import ExactTrainer
from bench.training.native import NativeTrainer
from bench.training.randomness import build

CHANNELS, SIDE = 3, 6
PLACES = CHANNELS * SIDE * SIDE
LAYERS = {
    "ReLU": nn.ReLU(),
    "LeakyReLU": nn.LeakyReLU(0.1),
    "ReLU6": nn.ReLU6(),
    "max-pool": nn.MaxPool2d(2),
    "max-pool whose windows overlap": nn.MaxPool2d(3, 2, 1),
    "max-pool with gaps": nn.MaxPool2d(2, 2, dilation=2),
    "average pool": nn.AvgPool2d(2),
    "average pool whose windows overlap": nn.AvgPool2d(3, 2, 1),
    "adaptive average pool": nn.AdaptiveAvgPool2d(4),
    "group norm": nn.GroupNorm(3, CHANNELS),
    "layer norm": nn.LayerNorm([CHANNELS, SIDE, SIDE]),
    "batch norm": nn.BatchNorm2d(CHANNELS),
    "convolution": nn.Conv2d(CHANNELS, 2, 3, padding=1),
}


class Alone(nn.Module):
    """A layer between the least that makes it a network."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.first, self.layer = nn.Conv2d(1, CHANNELS, 8, stride=4), layer
        features = layer(torch.rand(2, CHANNELS, SIDE, SIDE)).flatten(1).shape[1]
        self.last = nn.Linear(features, 10)

    def forward(self, x):
        return self.last(self.layer(self.first(x)).flatten(1)).log_softmax(1)


def taken(layer: nn.Module, x: np.ndarray, dy: np.ndarray, training: bool) -> tuple[np.ndarray, np.ndarray, State]:
    """Output and gradient of a layer in exact arithmetic; all arrays are (N, C, H, W)."""
    network = Alone(layer)
    operation = trace(network).operations[1]
    parameters = {name: one.detach().numpy() for name, one in network.named_parameters()}
    buffers = {name: one.numpy().copy() for name, one in network.named_buffers()}
    state = State(parameters, buffers, frozenset(parameters), 1, images=len(x))
    state.mode = "training" if training else "evaluation"
    operation.begin(state)
    last = [np.ascontiguousarray(one.transpose(0, 2, 3, 1)) for one in (x, dy)]
    y, dx = np.empty_like(last[1]), np.empty_like(last[0])
    chunk = Chunk(slice(0, len(x)), [last[0]], y, last[1], [dx])
    if isinstance(operation, BatchNorm) and training:
        operation.gather(state, chunk)
        operation.finish(state)
    operation.forward(state, chunk)
    if training:
        if isinstance(operation, BatchNorm):
            operation.gather_gradient(state, chunk)
            operation.finish_gradient(state)
        operation.backward(state, chunk)
        operation.end(state)
    return y.transpose(0, 3, 1, 2), dx.transpose(0, 3, 1, 2), state


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=["NaN", "inf", "-inf"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_value_that_is_no_finite_number_passes_as_in_pytorch(name, value):
    """In image k it is at place k. A batch normalisation sees one such image at a time, because it mixes images."""
    layer = LAYERS[name]
    generator = np.random.default_rng(1)
    x = generator.standard_normal((PLACES, CHANNELS, SIDE, SIDE)).astype(np.float32)
    dy = generator.standard_normal(layer(torch.from_numpy(x)).shape).astype(np.float32)
    places = range(0, PLACES, 11) if isinstance(layer, nn.BatchNorm2d) else [slice(None)]
    for place in places:
        changed = x[:3].copy() if isinstance(layer, nn.BatchNorm2d) else x.copy()
        if isinstance(place, int):
            changed[1].reshape(-1)[place] = value
            layer.reset_running_stats()
        else:
            changed.reshape(PLACES, -1)[np.arange(PLACES), np.arange(PLACES)] = value
        y, dx, _ = taken(layer, changed, dy[: len(changed)], training=True)
        given = torch.from_numpy(changed).requires_grad_()
        expected = layer.train()(given)
        expected.backward(torch.from_numpy(dy[: len(changed)]))
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-4, atol=1e-5)
        defined = ~np.isnan(changed) if name == "ReLU6" else np.ones_like(changed, bool)  # PyTorch gives 0 or dy there
        np.testing.assert_allclose(dx[defined], given.grad.numpy()[defined], rtol=1e-4, atol=1e-5)


def test_running_statistics_that_are_no_finite_numbers_pass_as_in_pytorch():
    layer = nn.BatchNorm2d(CHANNELS)
    layer.running_mean[0], layer.running_var[1] = torch.nan, torch.nan
    x = np.random.default_rng(1).standard_normal((2, CHANNELS, SIDE, SIDE)).astype(np.float32)
    y, _, _ = taken(layer, x, x, training=False)
    np.testing.assert_allclose(y, layer.eval()(torch.from_numpy(x)).detach().numpy(), rtol=1e-4)
    assert np.isnan(y[:, :2]).all()
    assert np.isfinite(y[:, 2]).all()


BETWEEN = """self.n, self.m = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
self.d, self.c = nn.Dropout(0.3), nn.Dropout2d(0.3)"""
MERGED = {
    "behind": "x = F.relu(self.n(x))",
    "before": "x = self.n(F.relu(x))",
    "both": "x = self.m(F.relu(self.d(self.n(F.relu(x)))))",
    "whole channels": "x = F.relu(self.c(self.n(x)))",
    "pooled": "x = F.max_pool2d(F.relu(self.n(x)), 2)",
}


@pytest.mark.parametrize("case", MERGED)
@pytest.mark.parametrize("mode", ["training", "evaluation"])
def test_a_merged_pass_hides_no_value_that_is_not_a_number(case, mode):
    network, reference = (build(architecture(BETWEEN, MERGED[case]), 1) for _ in range(2))
    images = np.random.default_rng(1).standard_normal((6, 28, 28, 1)).astype(np.float32)
    images[2, 14, 14] = np.nan
    subject = engine(network)
    if mode == "evaluation":
        scores = subject.scores(images)
        assert np.isnan(scores[2]).all()
        assert np.isfinite(np.delete(scores, 2, axis=0)).all()
        return
    labels = np.arange(6)
    assert np.isnan(subject.step(images, labels, 0.9, 0.1))
    F.nll_loss(reference(torch.from_numpy(images.transpose(0, 3, 1, 2))), torch.from_numpy(labels)).backward()
    expected = {name: one.grad for name, one in reference.named_parameters() if one.grad is not None}
    assert subject.state.gradients.keys() == expected.keys()
    for name, gradient in subject.state.gradients.items():
        assert (np.isnan(gradient) == expected[name].isnan().numpy()).all(), name


def test_scores_that_are_no_numbers_give_the_digit_that_pytorch_predicts(dataset):
    one = architecture("", "pass")
    few = dataset.head(20, 50)
    trainers = ExactTrainer(one, 1), NativeTrainer(one, 1, "cpu")
    predictions = []
    for trainer in trainers:
        with torch.no_grad():
            trainer.network.last.bias[3] = torch.nan
        found = trainer.evaluate(few)
        assert np.isnan(found.loss)
        predictions.append(found.predictions)
    assert torch.equal(*predictions)


@pytest.mark.parametrize("trainer", [ExactTrainer, lambda one, seed: NativeTrainer(one, seed, "cpu")])
def test_a_batch_of_one_value_a_channel_is_an_error_as_in_pytorch(trainer, dataset):
    one = architecture("self.n = nn.BatchNorm2d(4)", "x = self.n(F.adaptive_avg_pool2d(x, 1))")
    few = dataset.head(17, 10)  # batches of 16 and of 1
    with pytest.raises((ValueError, UnusableInput), match=r"more than (1|one) value"):
        trainer(one, 1).train(few, torch.arange(17), 0, 0.1)
