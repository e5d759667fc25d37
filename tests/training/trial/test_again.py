"""Tests of `again`, `child`: networks are built once more elsewhere, whatever they do to their process."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from own_exact import architecture

from bench.training.trial import again, child

NET = architecture("self.n, self.d = nn.BatchNorm2d(4), nn.Dropout(0.5)", "x = self.d(self.n(x))")


def test_a_fingerprint_is_the_same_in_another_process():
    other = architecture("nn.init.zeros_(self.first.weight)", "pass")
    fails = architecture("raise ValueError", "pass")
    ends = architecture("import os; os._exit(0)", "pass")
    found = again.Process().fingerprints([NET, fails, other, ends])
    assert found == [again.fingerprint(NET), "", again.fingerprint(other), ""]


@pytest.mark.slow
def test_nothing_to_build_ends_the_process():
    assert again.Process().fingerprints([]) == []


@pytest.mark.slow
def test_the_other_process_builds_in_another_second():
    clock = architecture("import time; self.first.weight.data.fill_(int(time.time()) % 1000)", "pass")
    before = again.fingerprint(clock)
    assert again.Process().fingerprints([clock]) != [before]


def test_the_other_process_is_elsewhere(monkeypatch):
    monkeypatch.setenv("USER", "somebody")
    texts = ("os.environ['HOME']", "os.environ.get('USER', '')", "os.getcwd()", "__file__", "str(time.localtime())")
    one = replace(
        architecture("self.first.weight.data *= 1 + zlib.crc32(PLACE.encode()) % 9973", "pass"), path="/a/b.py"
    )
    head = "import os, time, zlib\nPLACE = {}\n\n\nclass Net"
    found = [replace(one, source=one.source.replace("class Net", head.format(text))) for text in texts]
    here, there = map(again.fingerprint, found), again.Process().fingerprints(found)
    assert all(one != other and other for one, other in zip(here, there, strict=True))


def test_the_fingerprint_has_everything_that_a_first_pass_depends_on():
    bodies = ("x = self.n(x)", "x = self.n(x) * self.s", "x = F.dropout(self.n(x), self.s, self.training)")
    found = {
        again.fingerprint(architecture(f"self.n = nn.BatchNorm2d(4, momentum={momentum})\nself.s = {s}", body))
        for body in bodies
        for momentum in (0.1, 0.2)
        for s in (0.1, 0.2)
    }
    assert len(found) == 2 + 4 + 4


def test_a_child_that_ends_badly_is_refused():
    assert child.in_child(lambda: os._exit(3)) == {
        "refused": "it ends the process that builds it, with exit code 3: remove the code that does this"
    }
    assert child.in_child(lambda: 1 / 0) == {"refused": "ZeroDivisionError: division by zero"}
