"""Tests of `inspection`, `loop`: files as many students leave them are accepted, and train."""

from __future__ import annotations

import pytest
from students import STUDENTS

from bench.cli import networks
from bench.cli.selection import parse_networks
from bench.training import exact, loop


@pytest.fixture(scope="module")
def inspected(tmp_path_factory, request):
    """Every network as it is found in its folder, inspected by name of the student."""
    words = {name: one.write(tmp_path_factory.mktemp(name)) for name, one in STUDENTS.items()}
    chosen = {name: parse_networks(word) for name, word in words.items()}
    assert {name: [one.name for one in found] for name, found in chosen.items()} == {
        name: [one.name] for name, one in STUDENTS.items()
    }
    found = networks.inspect([one for (one,) in chosen.values()])
    return dict(zip(chosen, found, strict=True))


@pytest.mark.parametrize("name", STUDENTS)
def test_a_file_of_a_student_is_accepted(inspected, name):
    assert inspected[name].structure.layers
    assert inspected[name].unused == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDENTS)
def test_a_file_of_a_student_trains(inspected, dataset, name):
    one = inspected[name].architecture
    arithmetic = "native" if exact.uncovered(one) else "exact"
    states = list(loop.train(one, 1, "cpu", dataset.head(3 * 128, 100), 1, None, arithmetic))
    assert states[-1].history[-1].train_loss < 4
