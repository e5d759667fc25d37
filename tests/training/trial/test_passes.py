"""Tests of `passes`: what a pass of a few images shows of a network, and errors of its code as one line."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from bench.errors import UnusableInput
from bench.training.trial import passes

IMAGES = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


@pytest.mark.parametrize("error", [ValueError("no\nsuch thing"), SystemExit("no\nsuch thing")])
def test_an_error_of_a_network_becomes_one_line_that_says_when(error):
    def fail():
        raise error

    with pytest.raises(UnusableInput) as caught:
        passes.attempt("in training", fail)
    assert str(caught.value).startswith("it fails in training (")
    assert str(caught.value).endswith(f"{type(error).__name__}: no such thing)")


def test_a_refusal_stays_as_it_is():
    def refuse():
        raise UnusableInput("for a reason")

    with pytest.raises(UnusableInput, match=r"^for a reason$"):
        passes.attempt("in training", refuse)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (nn.Flatten(), r"it gives scores \(8, 784\) for images \(8, 1, 28, 28\), not scores \(8, 10\)"),
        (lambda images: [images], "it gives a list, not a tensor of scores"),
        (
            lambda images: images.new_full((8, 10), torch.nan),
            "before any training, it gives scores that are not finite",
        ),
    ],
)
def test_scores_that_no_loss_can_use_are_refused(network, said):
    with pytest.raises(UnusableInput, match=said):
        passes.scores_of(network, IMAGES)


class Taking(nn.Module):
    """A network that takes images of one shape only."""

    def __init__(self, *shape):
        super().__init__()
        self.shape, self.scores = shape, nn.LazyLinear(10)

    def forward(self, x):
        assert x.shape[1:] == self.shape
        return self.scores(x.flatten(1))


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Taking(784), "(N, 784), and images here are (N, 1, 28, 28): begin its forward pass with `x = x.flatten(1)`"),
        (Taking(28, 28), "`x = x.squeeze(1)`"),
        (
            Taking(1, 32, 32),
            "(N, 1, 32, 32), and images here are (N, 1, 28, 28): begin its forward pass with `x = F.pad(",
        ),
        (Taking(3, 28, 28), "`x = x.expand(-1, 3, -1, -1)`"),
        (Taking(3, 32, 32), "`x = F.pad(x, (2, 2, 2, 2)).expand(-1, 3, -1, -1)`"),
        (nn.Sequential(nn.Linear(784, 10)), "begin it with nn.Flatten()"),
        (nn.Sequential(nn.Flatten(), nn.Linear(1024, 10)), "begin it with nn.ZeroPad2d(2)"),
        (nn.Sequential(nn.Conv2d(3, 10, 28), nn.Flatten()), "give its first layer one input channel"),
        (nn.Sequential(nn.Flatten(), nn.Linear(5, 10)), "it fails in evaluation (RuntimeError: mat1 and mat2 shapes"),
        (nn.LSTM(3, 10), "got 4D instead): images here are (N, 1, 28, 28)"),
    ],
)
def test_a_network_for_other_images_is_refused_with_what_makes_them(network, said):
    with pytest.raises(UnusableInput) as caught:
        passes.evaluated_scores(network, IMAGES)
    assert said in str(caught.value)


def test_a_failure_that_is_not_about_the_images_keeps_its_own_line():
    def without_finite_scores(x):
        return linear()(x) / (0 if x.dim() == 4 else 1)

    def fails_at_first(x, calls=[]):  # noqa: B006
        calls.append(x)
        return linear()(x) / (len(calls) > 1 or "a")

    for function, said in ((without_finite_scores, "that are not finite"), (fails_at_first, "TypeError")):
        network = linear()
        network.forward = function
        with pytest.raises(UnusableInput, match=said):
            passes.evaluated_scores(network, IMAGES)


def test_what_makes_other_images_makes_them():
    for shape, (change, statement, layer) in passes._OTHER_IMAGES.items():
        wanted = (len(IMAGES), *map(int, re.findall(r"\d+", shape)))
        names = {"x": IMAGES, "F": nn.functional, "nn": nn}
        exec(statement, names)
        assert change(IMAGES).shape == names["x"].shape == wanted
        if layer:
            assert eval(layer, names)(IMAGES).shape == wanted


def test_probable_mistakes_are_named():
    scores = linear()(IMAGES).detach().double()
    assert passes.are_log_probabilities(scores.log_softmax(1))
    assert not passes.are_log_probabilities(scores)
    assert passes.probable_mistakes(scores) == []
    assert "return scores without a softmax" in passes.probable_mistakes(scores.softmax(1))[0]
    assert "dimension 1, not 0" in passes.probable_mistakes(scores.log_softmax(0))[0]


def test_parameters_without_a_gradient_are_named_and_hidden_ones_are_refused():
    network = nn.ModuleDict({"used": linear(), "idle": nn.Linear(1, 1)})
    named = dict(network.named_parameters())
    assert passes.unused_parameters(named, network["used"](IMAGES)) == ["idle.weight", "idle.bias"]
    with pytest.raises(
        UnusableInput, match=r"it hides 2 parameter tensors \(\(10, 784\), \(10,\)\) from the optimizer"
    ):
        passes.unused_parameters(named, linear()(IMAGES))


def test_a_network_with_its_own_eval_is_refused():
    class Own(nn.Sequential):
        def eval(self):
            return self

    passes.require_methods(linear())
    with pytest.raises(UnusableInput, match="its own method eval"):
        passes.require_methods(Own(*linear()))
