"""Tests of `merging`: a merged program has fewer operations and gives the same bits."""

from __future__ import annotations

from collections import Counter

import pytest
from own_exact import architecture, batch, bits, engine

from bench.training.arithmetic.merging import merged
from bench.training.arithmetic.norms import BatchNorm
from bench.training.arithmetic.operations import Activation, Dropout
from bench.training.arithmetic.trace import trace
from bench.training.dropout import Clock, seed_dropout
from bench.training.randomness import build
from models import ARCHITECTURES

LAYERS = """self.a, self.b = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
self.d, self.c = nn.Dropout(0.3), nn.Dropout2d(0.3)
nn.init.normal_(self.a.bias)"""

# What stands in the forward pass, and how many of its activations, dropouts and normalisations a merged program keeps.
CASES = {
    "all": ("x = F.relu(self.d(self.a(F.relu(x))))", (0, 0, 1)),
    "whole channels": ("x = self.c(F.relu(self.a(x)))", (0, 0, 1)),
    "one after the other": ("x = self.b(F.relu(self.a(x)))", (0, 0, 2)),
    "one after the other with a dropout": ("x = self.b(F.relu(self.d(self.a(x))))", (0, 0, 2)),
    "side by side": ("x = self.a(x) + F.relu(self.b(x))", (0, 0, 2)),
    "too many": ("x = F.relu(self.c(self.d(F.relu(F.relu(self.a(x))))))", (2, 2, 1)),
    "another activation": ("x = F.leaky_relu(self.a(F.relu6(x)))", (2, 0, 1)),
    "a ReLU with two users": ("y = F.relu(x)\nx = self.a(y) + y", (1, 0, 1)),
    "a ReLU before, whose input has two users": ("y = x\nx = self.a(F.relu(x)) + F.relu(y) + y", (2, 0, 1)),
    "a normalisation with two users": ("y = self.a(x)\nx = F.relu(y) + y", (1, 0, 1)),
}


def kinds(program):
    count = Counter(type(one) for one in program.operations)
    return count[Activation], count[Dropout], count[BatchNorm]


@pytest.mark.parametrize("case", CASES)
def test_a_normalisation_takes_in_its_neighbours_and_no_bit_changes(case):
    forward, kept = CASES[case]
    one = architecture(LAYERS, forward)
    subjects = [engine(build(one, 1), merging) for merging in (False, True)]
    assert kinds(subjects[1].program) == kept
    losses = [[], []]
    for subject, found in zip(subjects, losses, strict=True):
        for step in range(2):
            subject.state.step = step
            found.append(subject.step(*batch(6 - step, step), 0.9, 0.05))
        found.append(subject.evaluate(*batch(6))[0])
        found.append(subject.evaluate(*batch(6), "batch statistics")[0])
    assert losses[0] == losses[1]
    assert bits(subjects[0]) == bits(subjects[1])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_relu_and_dropout_around_a_normalisation_of_the_five_is_merged(name):
    network = ARCHITECTURES[name].build()
    seed_dropout(network, 1, Clock())
    program = trace(network)
    found = merged(program)
    assert len(found.operations) < len(program.operations)
    assert kinds(found)[2] == kinds(program)[2]
    norms = {i + 1 for i, one in enumerate(found.operations) if isinstance(one, BatchNorm)}
    assert not any(one.inputs[0] in norms for one in found.operations if isinstance(one, Activation | Dropout))


def test_a_program_without_normalisations_stays_as_it_is():
    program = trace(architecture("", "x = F.relu(x)").build())
    found = merged(program)
    assert found.shapes == program.shapes
    assert [type(one) for one in found.operations] == [type(one) for one in program.operations]
