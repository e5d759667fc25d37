"""Tests of `beside`: the files beside a record have names that belong to this record alone."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from bench.errors import UnusableInput
from bench.record import beside, catalogue, environments, misses, record, verifications

PATHS = [misses.path_beside, verifications.path_beside, catalogue.path_beside, record.aside, record.state_folder]
NAMES = ["runs.csv", "runs.txt", "runs", "runs.", ".csv", "runs.CSV", "runs.csv.csv", "runs.txt.csv", "a.runs.csv"]


def test_the_names_are_as_documented():
    assert [path(Path("a/runs.csv")).name for path in PATHS] == [
        "runs.misses.csv",
        "runs.verified.csv",
        "runs.networks.json",
        "runs.kept.csv",
        ".runs.csv.state",
    ]


def test_every_kind_of_file_is_known():
    assert {beside.path(Path("a.csv"), *one) for one in beside.KINDS.items()} == {
        path(Path("a.csv")) for path in (*PATHS[:4], environments.path_beside)
    }


@pytest.mark.parametrize(("one", "other"), [*itertools.combinations(NAMES, 2)])
def test_two_records_share_no_file(one: str, other: str):
    ours, theirs = ({path(Path(name)) for path in PATHS} for name in (one, other))
    assert len(ours) == len(theirs) == len(PATHS)
    assert not ours & theirs


def test_the_files_beside_a_symbolic_link_are_those_of_the_record(tmp_path: Path):
    real = tmp_path / "real" / "runs.csv"
    real.parent.mkdir()
    (tmp_path / "first.csv").symlink_to("second.csv")
    (tmp_path / "second.csv").symlink_to(real)  # the record does not exist yet
    for path in PATHS:
        assert path(tmp_path / "first.csv") == path(real)
    assert beside.real(real) == real


def test_links_that_go_round_in_a_circle_raise_nothing(tmp_path: Path):
    (tmp_path / "a.csv").symlink_to("b.csv")
    (tmp_path / "b.csv").symlink_to("a.csv")
    assert beside.path(tmp_path / "a.csv", "misses").parent == tmp_path


def test_a_file_that_was_left_beside_a_link_when_its_record_moved_is_named(tmp_path: Path):
    old, real = tmp_path / "runs.csv", tmp_path / "moved" / "all.csv"
    real.parent.mkdir()
    old.symlink_to(real)
    left = tmp_path / "runs.misses.csv"
    left.write_text("")
    assert verifications.path_beside(old) == verifications.path_beside(real)
    with pytest.raises(UnusableInput, match=r"runs\.misses\.csv: is beside the link .* move it to .*all\.misses\.csv$"):
        misses.path_beside(old)
    with pytest.raises(UnusableInput, match="is beside the link"), record.exclusive(old):
        pass
    left.rename(misses.path_beside(real))
    assert misses.path_beside(old) == misses.path_beside(real)
