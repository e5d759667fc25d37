"""Tests of `golden`: this machine computes the bits that the exact arithmetic defines, and would notice others."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy
import pytest

from bench.errors import UnusableInput
from bench.training import golden
from bench.training.arithmetic.kernels import elementwise, loss, normalisation, packing
from bench.training.exact import ExactTrainer
from models import ARCHITECTURES

CHEAP = "ten_twenty_thirty"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_this_machine_computes_the_bits_of_the_exact_arithmetic(name):
    assert golden.digest(ExactTrainer(ARCHITECTURES[name], 1).engine) == golden.DIGESTS[name]


def descend_without_fma(weight, velocity, gradient, momentum, rate):
    velocity[:] = momentum * velocity + gradient
    weight[:] = weight - rate * velocity


def passes_from_the_last_row(*kinds, original=normalisation.passes):
    found = original(*kinds)

    def add_moments(x, *others):
        found.add_moments(numpy.ascontiguousarray(x[:, ::-1]), *others)

    return replace(found, add_moments=add_moments)


def exponential_in_numpy(y, dy, dx):
    dx[:] = dy - numpy.exp(y) * dy.sum(axis=1, keepdims=True)


def move_in_binary32(running, momentum, batch, numerator, denominator):
    value = (batch * numerator / denominator).astype(numpy.float32)
    running[:] = running + numpy.float32(momentum) * (value - running)


def unpack_towards_zero(rows, weight):
    outputs, inputs, height, width = weight.shape
    values = rows[:, :outputs].reshape(height, width, inputs, outputs).transpose(3, 2, 0, 1)
    rounded = values.astype(numpy.float32)
    weight[:] = numpy.where(abs(rounded) > abs(values), numpy.nextafter(rounded, numpy.float32(0)), rounded)


@pytest.mark.parametrize(
    ("module", "kernel", "other"),
    [
        (elementwise, "descend", descend_without_fma),
        (normalisation, "passes", passes_from_the_last_row),
        (loss, "log_softmax_gradient", exponential_in_numpy),
        (normalisation, "move_running", move_in_binary32),
        (packing, "unpack_gradient", unpack_towards_zero),
    ],
    ids=["no fused multiply-add", "another order of rows", "another exponential", "binary32", "another rounding"],
)
def test_a_kernel_that_rounds_differently_is_noticed(module, kernel, other, monkeypatch):
    monkeypatch.setattr(module, kernel, other)
    assert golden.differing((CHEAP,)) == (CHEAP,)


def test_what_differs_is_required_with_one_line(monkeypatch):
    asked = []
    monkeypatch.setattr(
        golden, "ExactTrainer", lambda one, seed: asked.append(one.name) or SimpleNamespace(engine=one.name)
    )
    monkeypatch.setattr(golden, "DIGESTS", {name: name for name in golden.DIGESTS})
    monkeypatch.setattr(golden, "digest", str)
    golden.require(ARCHITECTURES["gap_head"])
    golden.require(replace(ARCHITECTURES["gap_head"], name="a network of a user"))
    assert asked == ["gap_head", CHEAP]
    monkeypatch.setattr(golden, "digest", lambda engine: "0")
    with pytest.raises(UnusableInput) as caught:
        golden.require(ARCHITECTURES["gap_head"])
    assert str(caught.value) == (
        "this machine computes other bits for gap_head than the exact arithmetic defines: "
        "if models/gap_head.py was changed, undo that; otherwise use --arithmetic native, and report it"
    )


def test_the_command_prints_each_network_and_fails_if_one_differs(monkeypatch, capsys):
    monkeypatch.setattr(golden, "digest", lambda engine: "0123456789abcdef")
    monkeypatch.setattr(golden, "DIGESTS", {"unpadded": "0123456789abcdef"})
    assert golden.main() == 0
    assert capsys.readouterr().out == "unpadded: 0123456789abcdef\n"
    monkeypatch.setattr(golden, "DIGESTS", {"unpadded": "fedcba9876543210"})
    assert golden.main() == 1
    assert capsys.readouterr().out == "unpadded: 0123456789abcdef, defined is fedcba9876543210\n"
