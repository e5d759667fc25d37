"""Tests of `inspection`, `loop`: files as many students leave them are accepted, and train."""

from __future__ import annotations

import pytest
from students import STUDENTS

from bench.cli import networks
from bench.cli.selection import parse_networks
from bench.training import exact, loop

QUICK = list(STUDENTS)[::16]


def inspect(tmp_path_factory, names):
    """The networks as they are found in their folders, inspected, by name of the student."""
    words = {name: STUDENTS[name].write(tmp_path_factory.mktemp(name)) for name in names}
    chosen = {name: parse_networks(word) for name, word in words.items()}
    assert {name: [one.name for one in found] for name, found in chosen.items()} == {
        name: [STUDENTS[name].name] for name in names
    }
    found = networks.inspect([one for (one,) in chosen.values()])
    return dict(zip(chosen, found, strict=True))


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    return inspect(tmp_path_factory, QUICK)


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    return inspect(tmp_path_factory, list(STUDENTS))


@pytest.mark.parametrize("name", QUICK)
def test_a_file_of_a_student_is_accepted(some, name):
    assert some[name].structure.layers
    assert some[name].unused == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDENTS)
def test_a_file_of_a_student_trains(every, dataset, name):
    assert every[name].unused == ()
    one = every[name].architecture
    arithmetic = "native" if exact.uncovered(one) else "exact"
    states = list(loop.train(one, 1, "cpu", dataset.head(3 * 128, 100), 1, None, arithmetic))
    assert states[-1].history[-1].train_loss < 4
