"""Tests of `convolution` and `winograd`: Winograd's way agrees with PyTorch in float64, and wide layers take it."""

from __future__ import annotations

import numpy
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tensors import normal, relative
from torch import nn

from bench.training.arithmetic import winograd
from bench.training.arithmetic.convolution import Convolution, pays, small_padding
from bench.training.arithmetic.fuse import fuse
from bench.training.dropout import Clock, seed_dropout
from bench.training.randomness import build
from models import ARCHITECTURES


def gradients(convolve, images, weight, bias, gradient, dtype):
    leaves = [None if one is None else one.detach().to(dtype).requires_grad_() for one in (images, weight, bias)]
    result = convolve(*leaves)
    result.backward(gradient.to(dtype))
    return [result.detach(), *(one.grad for one in leaves if one is not None)]


def both_ways(images, outs, padding, with_bias=True):
    """Result and gradients by `Convolution` with Winograd's way forced, and by PyTorch in float64."""
    convolution = nn.Conv2d(images.shape[1], outs, 3, padding=padding, bias=with_bias)
    with torch.no_grad():
        convolution.weight.copy_(normal(tuple(convolution.weight.shape), 2))
        if with_bias:
            convolution.bias.copy_(normal((outs, 1, 1, 1), 3).flatten())
    module = Convolution(convolution, bias_is_absorbed=False)

    def winograds_way(x, weight, bias):
        convolution.weight, convolution.bias = nn.Parameter(weight), None if bias is None else nn.Parameter(bias)
        result = module(x)
        kept.extend([convolution.weight, convolution.bias])
        return result

    kept: list[torch.Tensor] = []
    x = images.detach().requires_grad_()
    result = winograds_way(x, convolution.weight.detach(), convolution.bias.detach() if with_bias else None)
    gradient = normal(tuple(result.shape), 4)
    result.backward(gradient)
    found = [result.detach(), x.grad, *(one.grad for one in kept if one is not None)]
    expected = gradients(
        lambda x, w, b: F.conv2d(x, w, b, padding=padding), images, *(kept[0], kept[1]), gradient, torch.float64
    )
    return found, expected


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("shape", [(6, 16, 28, 28), (5, 3, 9, 14), (3, 5, 3, 3), (2, 1, 5, 31), (70, 4, 6, 6)], ids=str)
def test_result_and_gradients_are_those_of_pytorch_in_float64(shape, padding, with_bias, monkeypatch):
    monkeypatch.setattr("bench.training.arithmetic.convolution.pays", lambda *_: True)
    found, expected = both_ways(normal(shape, 1), 7, padding, with_bias)
    assert len(found) == len(expected) == 3 + with_bias
    for one, exact in zip(found, expected, strict=True):
        assert relative(one, exact) < 1e-5


@settings(max_examples=40)
@given(
    images=st.integers(1, 5),
    ins=st.integers(1, 6),
    outs=st.integers(1, 6),
    height=st.integers(3, 20),
    width=st.integers(3, 20),
    padding=st.integers(0, 2),
)
def test_any_shape_gives_what_pytorch_gives(images, ins, outs, height, width, padding):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.training.arithmetic.convolution.pays", lambda *_: True)
        found, expected = both_ways(normal((images, ins, height, width), 1), outs, padding)
    for one, exact in zip(found, expected, strict=True):
        assert relative(one, exact) < 3e-5


def test_a_filter_and_its_tiles_are_transposed_maps():
    """<U(g), t> = <g, Uᵀ(t)> for every g and t. A gradient needs this."""
    random = numpy.random.default_rng(1)
    weight = random.standard_normal((5, 4, 3, 3)).astype(numpy.float32)
    tiles = random.standard_normal((36, 4, 5)).astype(numpy.float32)
    there = (winograd.filter_to_tiles(weight).astype(float) * tiles).sum()
    assert (weight.astype(float) * winograd.filter_gradient_from_tiles(tiles)).sum() == pytest.approx(there, rel=1e-5)


def test_the_images_of_a_batch_do_not_change_each_others_results(monkeypatch):
    monkeypatch.setattr("bench.training.arithmetic.convolution.pays", lambda *_: True)
    module = Convolution(nn.Conv2d(4, 6, 3, padding=1), bias_is_absorbed=False)
    images = normal((40, 4, 12, 12), 1)
    with torch.no_grad():
        together = module(images)
        assert torch.allclose(together, torch.cat([module(one) for one in images.split(1)]), rtol=1e-5, atol=1e-5)
        assert torch.equal(together, module(images))


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(16, 16, 5),
        nn.Conv2d(16, 16, (3, 1)),
        nn.Conv2d(16, 16, 3, stride=2),
        nn.Conv2d(16, 16, 3, dilation=2),
        nn.Conv2d(16, 16, 3, groups=4),
        nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(16, 16, 3, padding=(0, 1)),
        nn.Conv2d(16, 16, 3, padding="same"),
        nn.Conv2d(16, 16, 3, padding=3),
    ],
    ids=str,
)
def test_every_other_convolution_is_pytorchs_to_the_bit(convolution):
    assert small_padding(convolution) is None
    images = normal((4, 16, 28, 28), 1)
    assert torch.equal(Convolution(convolution, bias_is_absorbed=False)(images), convolution(images))


def test_winograds_way_pays_for_wide_layers_and_not_for_narrow_or_small_ones():
    assert small_padding(nn.Conv2d(16, 64, 3, padding=1)) == 1
    assert pays((128, 16, 28, 28), 64, 1)
    assert pays((128, 16, 28, 28), 16, 1)
    assert not pays((128, 1, 28, 28), 16, 1)
    assert not pays((128, 16, 7, 7), 16, 1)
    assert not pays((128, 16, 2, 2), 16, 0)
    assert pays((1, 16, 28, 28), 64, 1)  # the number of images makes no difference


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_every_one_of_the_five_has_a_layer_that_takes_winograds_way(name, monkeypatch):
    taken = []

    def noting(shape, outs, padding):
        taken.append(pays(shape, outs, padding))
        return taken[-1]

    monkeypatch.setattr("bench.training.arithmetic.convolution.pays", noting)
    network = build(ARCHITECTURES[name], 1)
    seed_dropout(network, 1, Clock())
    with torch.no_grad():
        fuse(network)(normal((2, 1, 28, 28), 1))
    assert True in taken
    assert False in taken
