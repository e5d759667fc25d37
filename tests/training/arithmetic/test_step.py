"""Tests of `engine`, `program`, `state`: whole steps of training are what docs/arithmetic.md says of the layers.

The network has what the tests of single operations cannot see: values with several users, one that a user takes twice,
normalisations that merge with their neighbours and ones that cannot, and a short last batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
import torch
from bits import Array, assert_same_bits, values
from torch import Tensor, nn

from bench.training.arithmetic import engine, work
from bench.training.arithmetic.merging import merged
from bench.training.arithmetic.state import State
from bench.training.arithmetic.trace import trace
from bench.training.dropout import Clock, seed_dropout, seeded
from bench.training.randomness import dropout_mask

SEED, MOMENTUM, RATE = 3, 0.9, 0.05
BATCHES = (5, 4, 2)


class Network(nn.Module):
    """Small, and with all that is difficult."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 4, stride=3)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.25)
        self.second = nn.Conv2d(6, 6, 3, padding=1, groups=2, bias=False)
        self.other = nn.BatchNorm2d(6, momentum=None)
        self.groups = nn.GroupNorm(3, 18)
        self.channels = nn.Dropout2d(0.5)
        self.layer = nn.LayerNorm((18, 2, 2))
        self.linear = nn.Linear(72, 10)
        self.last = nn.BatchNorm1d(10)

    def forward(self, images: Tensor) -> Tensor:
        a = self.drop(torch.relu(self.norm(self.first(images))))
        b = torch.relu(self.other(self.second(a)))
        c = a + b
        d = torch.cat([a, nn.functional.leaky_relu(c, 0.1), a], 1)
        e = nn.functional.max_pool2d(self.groups(d), 3, 2, 1)
        f = self.channels(nn.functional.avg_pool2d(e, 3, 2, 1, count_include_pad=False))
        g = self.layer(nn.functional.adaptive_avg_pool2d(f, (2, 2)))
        return nn.functional.log_softmax(self.last(self.linear(g.flatten(1))), 1)


def by_the_page(x: Array, labels: Array, p: dict[str, Array], b: dict[str, Array], step: int) -> tuple[float, Any]:
    """The sum of the losses and the gradients of a step; running statistics move."""
    r, n = reference, len(x)

    def moved(name: str, forward: reference.Normalised, m: int, momentum: float | None) -> None:
        b[f"{name}.num_batches_tracked"] += 1
        used = 1 / int(b[f"{name}.num_batches_tracked"]) if momentum is None else momentum
        running = b[f"{name}.running_mean"], b[f"{name}.running_var"]
        new = r.running_statistics(*running, forward.mean, forward.variance, m, used)
        running[0][:], running[1][:] = new

    def norm(value: Array, name: str, momentum: float | None = 0.1) -> reference.Normalised:
        forward = r.batch_norm(value, p[f"{name}.weight"], p[f"{name}.bias"], b[f"{name}.running_mean"], 1e-5)
        moved(name, forward, value.size // value.shape[1], momentum)
        return forward

    first_geometry, second_geometry = ((3, 3), (0, 0), (1, 1), 1), ((1, 1), (1, 1), (1, 1), 2)
    x1 = r.convolution(x, p["first.weight"], p["first.bias"], *first_geometry)
    n1 = norm(x1, "norm")
    kept = dropout_mask(SEED, step, 0, n1.y.shape, 0.25) != 0
    a = r.dropout(r.relu(n1.y), kept, 0.25)
    x2 = r.convolution(a, p["second.weight"], None, *second_geometry)
    n2 = norm(x2, "other", None)
    c = r.addition(a, r.relu(n2.y))
    leaky = r.leaky_relu(c, 0.1)
    d = r.concatenation([a, leaky, a])
    n3 = r.group_norm(d, p["groups.weight"], p["groups.bias"], 3, 1e-5)
    e, chosen = r.max_pool(n3.y, (3, 3), (2, 2), (1, 1), (1, 1))
    windows = r.windows(e.shape[2], 3, 2, 1, False)
    averaged = r.average_pool(e, windows, windows)
    kept_channels = dropout_mask(SEED, step, 1, (n, 18, 1, 1), 0.5) != 0
    f = r.dropout(averaged, kept_channels, 0.5)
    adaptive = r.adaptive_windows(f.shape[2], 2)
    g = r.average_pool(f, adaptive, adaptive)
    n4 = r.layer_norm(g, p["layer.weight"], p["layer.bias"], 1e-5)
    flat = n4.y.reshape(n, -1)
    scores = r.linear(flat, p["linear.weight"], p["linear.bias"])
    n5 = norm(scores, "last")
    y = r.log_softmax(n5.y[:, :, 0, 0])

    found: dict[str, Array] = {}
    back = r.log_softmax_gradient(y, r.negative_log_likelihood_gradient(y, labels))
    back, found["last.weight"], found["last.bias"] = r.batch_norm_gradients(scores, back, n5)
    back, found["linear.weight"], found["linear.bias"] = r.linear_gradients(flat, p["linear.weight"], back[:, :, 0, 0])
    back, found["layer.weight"], found["layer.bias"] = r.layer_norm_gradients(
        g, back.reshape(g.shape), p["layer.weight"], n4
    )
    back = r.average_pool_gradient(back, adaptive, adaptive, f.shape)
    back = r.average_pool_gradient(r.dropout(back, kept_channels, 0.5), windows, windows, e.shape)
    back = r.max_pool_gradient(back, chosen, n3.y.shape)
    back, found["groups.weight"], found["groups.bias"] = r.group_norm_gradients(d, back, p["groups.weight"], 3, n3)
    earlier_a, of_leaky, later_a = r.concatenation_gradients([a, leaky, a], back)
    of_c = r.leaky_relu_gradient(c, of_leaky, 0.1)
    back, found["other.weight"], found["other.bias"] = r.batch_norm_gradients(x2, r.relu_gradient(n2.y, of_c), n2)
    found["second.weight"] = r.convolution_filter_gradient(a, back, p["second.weight"].shape, *second_geometry)
    of_second = r.convolution_input_gradient(back, p["second.weight"], a.shape, *second_geometry)
    of_a = r.sum_of_users([of_second, of_c, earlier_a, later_a])
    back, found["norm.weight"], found["norm.bias"] = r.batch_norm_gradients(
        x1, r.relu_gradient(n1.y, r.dropout(of_a, kept, 0.25)), n1
    )
    found["first.weight"] = r.convolution_filter_gradient(x, back, p["first.weight"].shape, *first_geometry)
    found["first.bias"] = r.bias_gradient(back)
    return r.loss_sum(y, labels), found


def made() -> tuple[nn.Module, dict[str, Array], dict[str, Array]]:
    """A network with its parameters and buffers, which are none of the simple ones of an initialisation."""
    network = Network()
    seed_dropout(network, SEED, Clock())
    generator = np.random.default_rng(1)
    with torch.no_grad():
        for one in network.parameters():
            one.copy_(torch.from_numpy(values(generator, tuple(one.shape), "normal") * np.float32(0.4)))
    parameters = {name: one.detach().numpy() for name, one in network.named_parameters()}
    return network, parameters, {name: one.numpy() for name, one in network.named_buffers()}


def copied(arrays: dict[str, Array]) -> dict[str, Array]:
    return {name: value.copy() for name, value in arrays.items()}


@pytest.mark.parametrize("merging", [False, True])
@pytest.mark.parametrize("cache", [1, 1 << 17, 1 << 30], ids=["an image at a time", "a few images", "whole batches"])
def test_steps_of_a_network(cache, merging, monkeypatch):
    monkeypatch.setattr(work, "CACHE", cache)
    network, parameters, buffers = made()
    program = merged(trace(network)) if merging else trace(network)
    w, b = copied(parameters), copied(buffers)
    v = {name: np.zeros_like(value) for name, value in w.items()}
    state = State(parameters, buffers, frozenset(parameters), SEED)
    subject = engine.Engine(program, state)
    generator = np.random.default_rng(2)
    for step, images in enumerate(BATCHES):
        x = values(generator, (images, 1, 28, 28), "normal")
        labels = generator.integers(0, 10, images)
        state.step = step
        found = subject.step(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), labels, MOMENTUM, RATE)
        expected, gradients = by_the_page(x, labels, w, b, step)
        assert_same_bits(np.float64(found), np.float64(expected), f"loss of step {step}")
        assert state.gradients.keys() == gradients.keys()
        for name, gradient in gradients.items():
            assert_same_bits(state.gradients[name], gradient, f"gradient of {name} in step {step}")
            w[name], v[name] = reference.step(w[name], gradient, v[name], MOMENTUM, RATE)
            assert_same_bits(state.velocities[name], v[name], f"velocity of {name} in step {step}")
            assert_same_bits(parameters[name], w[name], f"{name} in step {step}")
        for name, buffer in b.items():
            assert_same_bits(buffers[name], buffer, f"{name} in step {step}")


def test_dropouts_are_numbered_as_they_were_registered():
    network, *_ = made()
    assert [found.layer for one in network.modules() if (found := seeded(one))] == [0, 1]
