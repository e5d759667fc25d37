"""Tests of `verifications`: the outcomes of training recorded runs again are kept beside the record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import synthetic

from bench.errors import UnusableInput
from bench.record import verifications
from bench.record.rows import format_line
from bench.record.verifications import COLUMNS, Verifications, Verified, Writer, path_beside

ROWS = synthetic.full({"unpadded": 9940}, seeds=(1, 2, 3))


def verified(seed: int = 1, epochs: int = 19, identical: bool = True, verified_in: str = synthetic.CPU) -> Verified:
    run = ("unpadded", synthetic.RECIPE, "cpu", synthetic.CPU, seed)
    return Verified(*run, epochs, identical, "2026-02-01T12:00:00Z", verified_in, "a machine")


def line(*changes: tuple[str, str]) -> str:
    values = [
        "unpadded",
        synthetic.RECIPE,
        "cpu",
        synthetic.CPU,
        "1",
        "19",
        "yes",
        "2026-02-01T12:00:00Z",
        synthetic.CPU,
        "a machine",
    ]
    fields = dict(zip(COLUMNS, values, strict=True)) | dict(changes)
    return format_line([fields[column] for column in COLUMNS])


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    record = synthetic.record(tmp_path, ROWS)
    several = (verified(), verified(2, 3, False), verified(1, 19, True, synthetic.GPU))
    for one in several:
        Writer(record.path).append(one)
    assert verifications.read(record) == Verifications(several)
    assert path_beside(record.path).read_text().splitlines()[:2] == [",".join(COLUMNS), line().strip()]


def test_a_file_of_an_earlier_version_lacks_the_machine_and_is_read_and_continued(tmp_path: Path) -> None:
    record = synthetic.record(tmp_path, ROWS)
    older = format_line(COLUMNS[:-1]) + line().replace(",a machine", "")
    path_beside(record.path).write_text(older)
    Writer(record.path).append(verified(2))
    assert path_beside(record.path).read_text().startswith(older)
    assert verifications.read(record) == Verifications(
        (replace(verified(), machine=""), replace(verified(2), machine=""))
    )


def test_no_file_is_no_verification(tmp_path: Path) -> None:
    assert verifications.read(synthetic.record(tmp_path, ROWS)) == Verifications()


def test_a_verification_of_a_run_without_a_finished_epoch_is_left_out(tmp_path: Path) -> None:
    failed = synthetic.run_rows("unpadded", 9, [], ending=("error", "out of memory"))
    record = synthetic.record(tmp_path, [*ROWS, *failed])
    Writer(record.path).append(verified(9, 1))
    found = verifications.read(record)
    assert (found.found, [problem.line for problem in found.problems]) == ((), [2])
    assert "unpadded seed 9 of this recipe and environment is not in the record" in found.problems[0].reason


def test_an_unreadable_file_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    record = synthetic.record(tmp_path, ROWS)
    path_beside(record.path).mkdir()
    assert "cannot be read" in verifications.read(record).problems[0].reason


def test_a_file_of_another_kind_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "runs.verified.csv").write_text("name,score\n")
    with pytest.raises(UnusableInput, match=r"runs\.verified\.csv:1: not the header of a record's verifications"):
        Writer(tmp_path / "runs.csv").append(verified())


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (line(("identical", "maybe")), "identical is 'maybe', not one of yes, no"),
        (line(("epochs", "0")), "epochs is '0', not a whole number from 1 to 999999999"),
        (line(("epochs", "all")), "epochs is 'all', not a whole number from 1 to 999999999"),
        (line(("verified_in", "here")), "verified_in is 'here', not 8 hex digits"),
        (line(("recorded_at", "today")), "recorded_at is 'today', not a UTC time"),
        (line(("device", "tpu")), "device is 'tpu', not one of"),
        (line(("seed", "9")), "unpadded seed 9 of this recipe and environment is not in the record"),
        (line(("recipe", "ffffffff")), "unpadded seed 1 of this recipe and environment is not in the record"),
        ("yes\n", "the line has 1 field, but the header has 10"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_is_read(tmp_path: Path, bad: str, reason: str) -> None:
    record = synthetic.record(tmp_path, ROWS)
    path_beside(record.path).write_text(format_line(COLUMNS) + bad + line())
    read = verifications.read(record)
    assert read.found == (verified(),)
    (problem,) = read.problems
    assert problem.line == 2
    assert reason in problem.reason
