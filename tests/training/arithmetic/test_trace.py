"""Tests of `trace`, `coverage`, `builder`, `convolution`, `norms`, `operations`: what is covered is PyTorch's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from own_exact import RECIPE, architecture
from torch import nn

from bench.training import agreement
from bench.training.arithmetic.builder import NotCovered
from bench.training.arithmetic.operations import Convolution, Dropout
from bench.training.arithmetic.trace import trace
from bench.training.dropout import Clock, seed_dropout

COVERED = {
    "strides": ("self.a = nn.Conv2d(4, 6, 3, stride=(2, 1), padding=1)", "x = self.a(x)"),
    "paddings": ("self.a = nn.Conv2d(4, 6, 3, padding=(0, 3), bias=False)", "x = self.a(x)"),
    "padding same": ("self.a = nn.Conv2d(4, 6, (5, 3), padding='same')", "x = self.a(x)"),
    "padding valid": ("self.a = nn.Conv2d(4, 6, 2, padding='valid')", "x = self.a(x)"),
    "dilation": ("self.a = nn.Conv2d(4, 6, 3, dilation=(1, 2))", "x = self.a(x)"),
    "groups": ("self.a = nn.Conv2d(4, 6, 3, groups=2)", "x = self.a(x)"),
    "depthwise": ("self.a = nn.Conv2d(4, 8, 3, stride=2, groups=4, bias=False)", "x = self.a(x)"),
    "linear": ("self.a = nn.Linear(256, 12, bias=False)", "x = self.a(x.flatten(1))"),
    "batch norm": ("self.a = nn.BatchNorm2d(4)", "x = self.a(x)"),
    "plain batch norm": ("self.a = nn.BatchNorm2d(4, eps=1e-3, momentum=0.3, affine=False)", "x = self.a(x)"),
    "cumulative batch norm": ("self.a = nn.BatchNorm2d(4, momentum=None)", "x = self.a(x)"),
    "batch norm of features": ("self.a = nn.BatchNorm1d(256)", "x = self.a(x.flatten(1))"),
    "relu": ("self.a = nn.ReLU()", "x = self.a(x).relu()"),
    "functional relu": ("", "x = F.relu(torch.relu(x))"),
    "leaky relu": ("self.a = nn.LeakyReLU(0.2)", "x = F.leaky_relu(self.a(x), negative_slope=0.3)"),
    "relu6": ("self.a = nn.ReLU6()", "x = F.relu6(self.a(x))"),
    "max-pool": ("self.a = nn.MaxPool2d(3, stride=(2, 1), padding=1)", "x = F.max_pool2d(self.a(x), 2)"),
    "dilated max-pool": ("", "x = F.max_pool2d(x, kernel_size=2, stride=1, dilation=3)"),
    "average pool": ("self.a = nn.AvgPool2d(3, 2, 1)", "x = F.avg_pool2d(self.a(x), (2, 1))"),
    "average pool without padding": ("", "x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)"),
    "adaptive pool": ("self.a = nn.AdaptiveAvgPool2d((3, None))", "x = F.adaptive_avg_pool2d(self.a(x), (2, 3))"),
    "mean": ("", "x = x.mean((2, 3))"),
    "mean that keeps its axes": ("", "x = torch.mean(x, dim=[-1, -2], keepdim=True)"),
    "view": ("", "x = x.reshape(x.size(0), 8, 4, 8).flatten(1).view(-1, 16, 4, 4)"),
    "flatten": ("self.a = nn.Flatten()", "x = torch.flatten(torch.reshape(self.a(x), (-1, 2, 8, 16)), 1)"),
    "a view in place": ("", "x = x.flatten(1)\nx = F.relu(x, inplace=True)"),
    "squeeze": ("", "x = F.adaptive_avg_pool2d(x, 1).squeeze((2, 3))"),
    "addition": ("", "y = torch.add(x, x.relu()) + x\ny += x\nx = y.add(y)"),
    "concatenation": ("", "x = torch.cat([x, x.relu(), x], dim=1)"),
    "group norm": ("self.a = nn.GroupNorm(2, 4)", "x = self.a(x)"),
    "layer norm": ("self.a = nn.LayerNorm((4, 8, 8))", "x = self.a(x)"),
    "layer norm of features": ("self.a = nn.LayerNorm(256, elementwise_affine=False)", "x = self.a(x.flatten(1))"),
    "identity": ("self.a = nn.Identity()", "x = self.a(x).contiguous()"),
    "dropout": ("self.a, self.b = nn.Dropout(0.3), nn.Dropout2d(0.4)", "x = self.b(self.a(x))"),
    "two softmaxes": ("self.a = nn.LogSoftmax(1)", "x = self.a(x.flatten(1)).log_softmax(-1)"),
    "unused weights": ("self.a = nn.Linear(3, 3)", "pass"),
    "frozen weights": ("self.a = nn.Conv2d(4, 4, 3)\nself.first.requires_grad_(False)", "x = self.a(x)"),
}

NOT_COVERED = {
    "an operation": ("", "x = F.gelu(x) * x.exp()", "gelu exp mul"),
    "a layer": ("self.a = nn.Sequential(nn.Softplus(), nn.ConvTranspose2d(4, 4, 3))", "x = self.a(x)", "Softplus"),
    "a mirror": (
        "self.a = nn.Conv2d(4, 4, 3, padding=1, padding_mode='reflect')",
        "x = self.a(x)",
        "Conv2d with padding_mode reflect",
    ),
    "uneven padding": (
        "self.a = nn.Conv2d(4, 4, 2, padding='same')",
        "x = self.a(x)",
        "Conv2d with padding that differs",
    ),
    "ceil": ("", "x = F.max_pool2d(x, 3, ceil_mode=True)", "max_pool2d with ceil_mode"),
    "a divisor": (
        "self.a = nn.AvgPool2d(2, divisor_override=3)",
        "x = self.a(x)",
        "avg_pool2d with ceil_mode or divisor",
    ),
    "no statistics": (
        "self.a = nn.BatchNorm2d(4, track_running_stats=False)",
        "x = self.a(x)",
        "BatchNorm2d without running statistics",
    ),
    "rows alone": ("self.a = nn.LayerNorm(8)", "x = self.a(x)", "LayerNorm over a part of an image"),
    "a mean over channels": ("", "x = x.mean(1, keepdim=True)", "mean over other axes"),
    "three axes": ("", "x = x.flatten(2)", "values of the shape (N, 4, 64) in flatten"),
    "broadcasting": ("", "x = x + x.mean((2, 3), keepdim=True)", "an addition of values of different shapes"),
    "a number": ("", "x = x + 1", "an addition of something else than two values"),
    "rows side by side": ("", "x = torch.cat([x, x], 2)", "a concatenation along another axis"),
    "a parameter": ("self.a = nn.Parameter(torch.ones(1))", "x = x * self.a", "that forward uses directly (a)"),
    "a condition": ("", "x = x if x.sum() > 0 else -x", "a forward pass that torch.fx cannot trace (TraceError)"),
    "a mode": ("", "x = -x if self.training else x", "a forward pass that differs between training and evaluation"),
    "a dropout": ("", "x = F.dropout(x, 0.5, self.training)", "F.dropout (nn.Dropout is covered)"),
    "a dropout of channels": (
        "",
        "x = F.dropout2d(x, training=self.training)",
        "F.dropout2d (nn.Dropout2d is covered)",
    ),
    "a draw": ("", "x = x.relu() if torch.rand(1) < 2 else x", "a forward pass that draws random numbers by itself"),
    "an assertion": ("", "torch._assert(x[:, 0].std() > 1e-3, '')", "a forward pass that fails for images of zeros"),
    "no gradients": ("", "with torch.no_grad():\n    x = x.relu()", "a part of forward without gradients"),
    "a hook": ("self.a = nn.ReLU()\nself.a.register_forward_hook(print)", "x = self.a(x)", "a hook on a"),
    "a hook on a weight": ("self.first.weight.register_hook(lambda g: g * 0.9)", "pass", "a hook on first"),
    "a hook after a gradient": (
        "self.first.weight.register_post_accumulate_grad_hook(print)",
        "pass",
        "a hook on first",
    ),
    "a hook before a gradient": (
        "self.a = nn.ReLU()\nself.a.register_full_backward_pre_hook(print)",
        "x = self.a(x)",
        "a hook on a",
    ),
    "another weight": (
        "self.a = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3))",
        "x = self.a(x)",
        "ParametrizedConv2d",
    ),
    "a layer twice": (
        "self.a = nn.Conv2d(4, 4, 3)",
        "x = self.a(self.a(x))",
        "a layer with weights or statistics that is used twice (a)",
    ),
    "one weight for two": (
        "self.a, self.b = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)\nself.b.weight = self.a.weight",
        "x = self.b(self.a(x))",
        "a.weight and b.weight, which share memory",
    ),
    "statistics for two": (
        "self.a, self.b = nn.BatchNorm2d(4), nn.BatchNorm2d(4)\nself.b.running_mean = self.a.running_mean",
        "x = self.b(self.a(x))",
        "a.running_mean and b.running_mean, which share memory",
    ),
    "a keyword": ("", "x = torch.flatten(input=x, start_dim=1)", "a call that names its input (flatten)"),
    "a change in place of a view": (
        "self.a = nn.Conv2d(4, 4, 3)",
        "x = self.a(x)\ny = x.flatten(1)\nF.relu6(x, inplace=True)\nx = y",
        "a change in place of values that have two shapes (relu6)",
    ),
    "a view that is changed in place": (
        "self.a = nn.Conv2d(4, 4, 3)",
        "x = self.a(x)\ny = x.flatten(1).relu_()",
        "a change in place of values that have two shapes (relu_)",
    ),
    "weights in one memory": (
        "self.a, self.b = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)\nself.b.weight.data = self.a.weight.data.mT",
        "x = self.b(self.a(x))",
        "a.weight and b.weight, which share memory",
    ),
    "a computed size": ("", "x = F.avg_pool2d(x, x.size()[2:])", "a size that forward computes"),
    "a computed side": ("", "x = F.avg_pool2d(x, x.shape[-1])", "a size that forward computes"),
}


@pytest.mark.parametrize("case", COVERED)
def test_what_is_covered_gives_pytorchs_results_and_gradients(case, monkeypatch):
    monkeypatch.setattr(agreement, "_PART", 1e-3)
    monkeypatch.setattr(agreement, "_NOISE", 1e-4)
    assert agreement.obstacles(architecture(*COVERED[case])) == ()


@pytest.mark.parametrize("case", NOT_COVERED)
def test_what_is_not_covered_is_named_once(case):
    layers, forward, reason = NOT_COVERED[case]
    network = architecture(layers, forward).build()
    with pytest.raises(NotCovered) as caught:
        trace(network)
    lines = str(caught.value).splitlines()
    if case == "an operation":
        assert lines == reason.split()
    else:
        assert reason in lines[0]
        assert not any("does not come from the images" in line for line in lines)


def test_an_argument_beside_the_images_is_named():
    masked = architecture("", "pass")
    source = masked.source.replace(
        "forward(self, x):", "forward(self, x, mask=None):\n        x = x if mask is None else x * mask"
    )
    with pytest.raises(NotCovered, match=r"a second argument of forward \(mask\)"):
        trace(replace(masked, source=source).build())


def test_scores_that_are_no_log_probabilities_are_named_unless_the_harness_makes_them_so():
    logits = architecture("", "pass")
    logits = replace(
        logits, source=logits.source.replace("F.log_softmax(", "(").replace(".flatten(1)), 1)", ".flatten(1)))")
    )
    with pytest.raises(NotCovered, match="a network that does not end in log_softmax"):
        trace(logits.build())
    assert agreement.obstacles(replace(logits, gives_logits=True)) == ()


def test_a_trace_leaves_the_network_as_it_was():
    network = architecture("self.a, self.b = nn.BatchNorm2d(4), nn.Dropout(0.5)", "x = self.b(self.a(x))").build()
    seed_dropout(network, 1, Clock())
    before = {name: one.clone() for name, one in network.state_dict().items()}
    generator = torch.get_rng_state()
    for mode in (True, False):
        trace(network.train(mode))
        assert all(one.training == mode for one in network.modules())
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)


def test_a_trace_keeps_what_the_scores_depend_on_and_numbers_it_anew():
    network = architecture(
        "self.a, self.b = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)", "self.a(x)\nx = self.b(x)"
    ).build()
    program = trace(network)
    assert [one.weight for one in program.operations if isinstance(one, Convolution)] == [
        "first.weight",
        "b.weight",
        "last.weight",
    ]
    assert program.shapes == ((28, 28, 1), (8, 8, 4), (6, 6, 4), (1, 1, 144), (1, 1, 10), (1, 1, 10))
    assert [one.inputs for one in program.operations] == [(0,), (1,), (2,), (3,), (4,)]


def test_a_dropout_of_probability_zero_is_nothing():
    recipe = replace(RECIPE, dropout=0.0)
    network = architecture("self.a = nn.Dropout(0.5)", "x = self.a(x)", recipe).build()
    seed_dropout(network, 1, Clock(), recipe.dropout)
    assert not any(isinstance(one, Dropout) for one in trace(network).operations)


def test_layers_behind_names_and_lists_are_found():
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([nn.Sequential(nn.Conv2d(1, 2, 3, stride=9), nn.ReLU()), nn.Flatten()])
            self.scores = nn.ModuleDict({"last": nn.Linear(18, 10)})

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return self.scores["last"](x).log_softmax(1)

    found = trace(Nested()).operations
    assert [name for one in found for name in one.parameters] == [
        "blocks.0.0.weight",
        "blocks.0.0.bias",
        "scores.last.weight",
        "scores.last.bias",
    ]
