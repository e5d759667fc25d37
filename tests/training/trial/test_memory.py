"""Tests of `memory`: all that a network can remember beside its saved state is found, under its author's name."""

from __future__ import annotations

import pytest
import torch
from own_exact import architecture

from bench.training.trial.memory import remembered

HELPER = "class Helper:\n    __slots__ = ('n',)\nself.s = Helper()\nself.s.n = 0"
MEMORY = {
    "an attribute": ("self.s = 0", "self.s += 1", "s"),
    "a list": ("self.s = []", "self.s.append(0)", "s"),
    "a set": ("self.s = set()", "self.s.add(len(self.s))", "s"),
    "a dictionary of lists": ("self.s = {'a': [0]}", "self.s['a'][0] += 1", "s"),
    "a global name": ("global S\nS = 0", "global S\nS += 1", "S"),
    "an attribute of the class": ("type(self).s = 0", "type(self).s += 1", "Net.s"),
    "an attribute of a function": ("type(self).body.s = 0", "type(self).body.s += 1", "Net.body.s"),
    "an attribute of a weight": ("self.first.weight.s = 0", "self.first.weight.s += 1", "first.weight"),
    "a closure": ("s = [0]\nself.f = lambda: s.append(0)", "self.f()", "s"),
    "a variable of a closure": (
        "s = 0\ndef later():\n    nonlocal s\n    s += 1\nself.f = later",
        "self.f()",
        "s",
    ),
    "a default value": ("self.f = lambda s=[]: s.append(0)", "self.f()", "f"),
    "a method of another object": ("self.f = [].append", "self.f(0)", "f"),
    "an argument": ("import functools\nself.f = functools.partial(lambda s: s.append(0), [])", "self.f()", "f"),
    "an object": (HELPER, "self.s.n += 1", "s"),
    "an array": ("import numpy\nself.s = numpy.zeros(2)", "self.s[1] += 1", "s"),
    "an array of objects": ("import numpy\nself.s = numpy.array([[]], dtype=object)", "self.s = [*self.s, 0]", "s"),
    "a tensor": ("self.s = torch.zeros(2)", "self.s[1] += 1", "s"),
    "a buffer that is not saved": ("self.register_buffer('s', torch.zeros(2), False)", "self.s[1] += 1", "s"),
    "bytes": ("self.s = bytearray(1)", "self.s[0] += 1", "s"),
    "a queue": ("import collections\nself.s = collections.deque(maxlen=2)", "self.s.append(len(self.s))", "s"),
    "a counter": ("import collections\nself.s = collections.Counter()", "self.s['a'] += 1", "s"),
    "an iterator": ("self.s = iter([1, 2, 3])", "next(self.s)", "s"),
    "a count": ("import itertools\nself.s = itertools.count()", "next(self.s)", "s"),
    "a generator": ("self.s = (i for i in range(9))", "next(self.s)", "s"),
    "numpy's generator": ("import numpy\nself.s = numpy.random.default_rng(1)", "self.s.random()", "s"),
    "Python's generator": ("import random\nself.s = random.Random(1)", "self.s.random()", "s"),
    "PyTorch's generator": ("self.s = torch.Generator()", "torch.rand(1, generator=self.s)", "s"),
    "a layer that is hidden": ("self.s = [nn.BatchNorm2d(4)]", "self.s[0](x)", "s"),
    "a hook": (
        "s = []\nself.first.register_forward_hook(lambda m, i, o: s.append(0))",
        "self.first(torch.zeros(1, 1, 28, 28))",
        "s",
    ),
    "itself": ("self.s = [0]\nself.s.append(self.s)", "self.s[0] += 1", "s"),
}


@pytest.mark.parametrize("case", MEMORY)
def test_what_a_pass_changes_has_another_digest(case):
    layers, forward, name = MEMORY[case]
    network = architecture(layers, forward).build()
    first = remembered(network)
    assert remembered(network) == first
    network(torch.zeros(2, 1, 28, 28))
    second = remembered(network)
    assert [key for key in second if second[key] != first.get(key)] == [name]


def test_the_saved_state_and_other_peoples_modules_are_no_memory():
    network = architecture(
        "self.n = nn.BatchNorm2d(4)", "self.n(x)\ntorch.later = getattr(torch, 'later', 0) + 1"
    ).build()
    before = remembered(network)
    network(torch.rand(4, 1, 28, 28))[0, 0].backward()
    with torch.no_grad():
        network.first.weight.add_(1)
    assert remembered(network) == before
    del torch.later
