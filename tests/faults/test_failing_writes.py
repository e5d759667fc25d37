"""Any call about a file may fail: nothing is lost, the error is reported, and a second try completes the job."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import synthetic
import torch
from injection import CALLS, FULL, SHORT, Injector, faults_of
from jobs import JOB, ONE, Undisturbed, deterministic, finish, is_sound
from quickly import TRACEBACK, Server

from bench.cli import parser
from bench.errors import UnusableInput
from bench.jobs.worker import checkpoint
from bench.network import structure_facts
from bench.record import record
from bench.record.record import Writer
from bench.record.rows import COLUMNS, Row, Run, format_line, format_row
from bench.report.files import render
from bench.training.loop import Epoch, State

MOST = 300  # the most calls of one kind in any test below
LOST = ("open", "write", "fsync", "replace", "ftruncate")  # if one of these calls fails, something is lost


def cause_of(fault: str) -> str:
    """The words of the operating system for a fault."""
    return os.strerror(errno.ENOSPC if fault == FULL else getattr(errno, fault))


def in_turn(call: str, which: int) -> str:
    """The fault for a call. It changes from one call to the next."""
    return faults_of(call)[which % len(faults_of(call))]


def each_fault(
    folder: Path,
    prepare: Callable[[Path], object],
    act: Callable[[Path], object],
    error: type[Exception],
    in_every_way: bool = True,
    step: int = 1,
) -> Iterator[tuple[Path, Injector, str]]:
    """Let the first, second, … call of each kind fail, each in a folder of its own, until no call is left to fail.

    Yields each folder afterwards, with the fault that struck there and the error that was reported.
    """
    struck = 0
    for call in CALLS:
        for fault in faults_of(call) if in_every_way else ("",):
            for which in itertools.count(1, step):
                assert which < MOST, f"{call} never stops being called"
                place = folder / f"{call}-{fault}-{which}"
                place.mkdir()
                prepare(place)
                said = ""
                with Injector(place, call, which, fault or in_turn(call, which)).installed() as injector:
                    try:
                        act(place)
                    except error as raised:
                        said = str(raised)
                if not injector.fired:
                    assert not said, said
                    break
                struck += 1
                if injector.fault == SHORT:
                    assert not said, injector
                elif said or call in LOST:
                    assert cause_of(injector.fault) in said, injector
                    assert str(place) in said, injector
                    assert "\n" not in said, injector
                yield place, injector, said
    assert struck >= 10


# A row


def row(epoch: int) -> Row:
    numbers = (9000 + epoch, 10_000, 0.5, 0.25, 10.0, 1.0)
    return Row("unpadded", "0123abcd", "cpu", "89ef4567", 1, epoch, *numbers, "ok", "", "2026-01-31T12:00:00Z")


def lines(rows: int) -> str:
    return format_line(COLUMNS) + "".join(format_row(row(epoch)) for epoch in range(1, rows + 1))


@pytest.mark.parametrize(("rows", "torn"), [(None, ""), (0, ""), (2, ""), (2, "unpadded,0123abcd,cp")])
def test_a_row_that_cannot_be_appended_costs_none_before_it_and_can_be_appended_again(
    tmp_path: Path, rows: int | None, torn: str
):
    def prepare(folder: Path) -> None:
        if rows is not None:
            (folder / "runs.csv").write_text(lines(rows) + torn)

    new = (rows or 0) + 1
    for folder, injector, said in each_fault(
        tmp_path, prepare, lambda folder: Writer(folder / "runs.csv").append(row(new)), UnusableInput
    ):
        path = folder / "runs.csv"
        if said:
            left = path.read_text() if path.exists() else ""
            assert lines(rows or 0).startswith(left) if rows is None else left.startswith(lines(rows)), injector
            assert len(record.read(path).epochs) < new, injector
            Writer(path).append(row(new))
        assert path.read_text() == lines(new), injector
        aside = path.with_name("runs.csv.torn")
        assert {line for line in aside.read_text().splitlines() if line} == {torn} if torn else not aside.exists()


# A saved state


def state(epochs: int) -> State:
    """A small state, like that of a run after some epochs."""
    history = tuple(Epoch(number, 90, 100, 0.5, 0.25, 1.0, 1.0, None, None) for number in range(1, epochs + 1))
    tensor = torch.full((3,), float(epochs))
    return State({"weight": tensor}, {"state": {0: {"momentum_buffer": tensor}}}, history, tensor.byte())


def test_a_state_that_cannot_be_saved_leaves_one_to_go_on_from_and_can_be_saved_again(tmp_path: Path):
    run = Run("unpadded", "0123abcd", "cpu", "89ef4567", 1, 19)
    saved = [state(epochs) for epochs in (1, 2, 3)]

    def prepare(folder: Path) -> None:
        checkpoint.save(folder, run, saved[0])
        checkpoint.save(folder, run, saved[1])

    def found(folder: Path) -> list[int]:
        return [len(one.history) for one in checkpoint.load(folder, run)]

    for folder, injector, said in each_fault(
        tmp_path, prepare, lambda folder: checkpoint.save(folder, run, saved[2]), OSError
    ):
        assert found(folder)[0] in (2, 3), injector
        assert not list(folder.glob(".*")), injector
        if said:
            checkpoint.save(folder, run, saved[2])
        assert found(folder)[0] == 3, injector
        assert found(folder)[1] in (2, 3), injector


# The report


class CommandFailed(Exception):
    """The command line has reported an error and ended with another exit code than 0."""


@pytest.mark.parametrize("in_every_way", [False, pytest.param(True, marks=pytest.mark.faults)])
def test_a_report_that_cannot_be_written_has_whole_files_and_can_be_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], in_every_way: bool
):
    def rendered(rows: list[Row]) -> dict[str, bytes]:
        name = f"{len(rows)} rows"
        (tmp_path / name).mkdir()
        one = synthetic.record(tmp_path / name, rows)
        return render(one, synthetic.architectures("unpadded"), structure_facts.load())

    old = rendered(synthetic.run_rows("unpadded", 1, [9000]))
    new = rendered(synthetic.run_rows("unpadded", 1, [9000, 9950]))
    assert set(old) == set(new)
    assert sum(old[name] != new[name] for name in old) > 3

    monkeypatch.setattr("bench.report.files.render", lambda *_: new)

    def prepare(folder: Path) -> None:
        synthetic.record(folder, [])
        (folder / "report").mkdir()
        for name, content in old.items():
            (folder / "report" / name).write_bytes(content)

    def act(folder: Path) -> None:
        code = parser.main(["report", "--runs", str(folder / "runs.csv"), "--report", str(folder / "report")])
        printed = capsys.readouterr()
        assert TRACEBACK not in printed.err
        if code != 0:
            assert code in (1, 2)
            raise CommandFailed(printed.err.rstrip("\n"))
        assert not printed.err

    def files(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (folder / "report").iterdir()}

    for folder, injector, said in each_fault(
        tmp_path, prepare, act, CommandFailed, in_every_way, 1 if in_every_way else 8
    ):
        found = files(folder)
        assert set(found) == set(old), injector
        assert all(content in (old[name], new[name]) for name, content in found.items()), injector
        if said:
            act(folder)
        assert files(folder) == new, injector


# A whole job


def try_a_job(
    server: Server,
    undisturbed: Undisturbed,
    folder: Path,
    where: str,
    words: tuple[str, ...],
    fault: tuple[str, int, str],
) -> bool:
    """Run a job with one fault, then try again without. Return whether the fault struck."""
    call, which, kind = fault
    expected = undisturbed.rows if words == JOB else undisturbed.rows_of_one
    job = server.run("run", *words, folder=folder, where=where, fault=fault)
    label = f"in the {where}: {call} number {which}: {kind}"
    assert job.none_left(), label
    assert TRACEBACK not in job.errors, label
    path = folder / "runs.csv"
    assert is_sound(path), label
    if not job.fired:
        assert job.code == 0, job.errors
    elif kind == SHORT or (job.code == 0 and call not in LOST):
        assert job.code == 0, job.errors
        assert deterministic(path) == expected, label
    else:
        assert job.code in (1, 2), label
        assert set(deterministic(path) if path.exists() else []) <= set(expected), label
        assert cause_of(kind) in job.errors, (label, job.errors)
        named = [line for line in job.errors.splitlines() if cause_of(kind) in line]
        names = ("runs.csv", "runs.misses.csv", "runs.networks.json", "environments")
        assert any(name in line for line in named for name in names), (label, job.errors)
    finish(server, folder, job.errors, "run", *words)
    assert deterministic(path) == expected, label
    return job.fired


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("job", ("write", 3, FULL)),
        pytest.param("job", ("fsync", 5, "EIO"), marks=pytest.mark.faults),
        pytest.param("workers", ("write", 2, FULL), marks=pytest.mark.faults),
        ("workers", ("replace", 2, "EIO")),
    ],
)
def test_a_job_that_a_failing_call_has_ended_is_completed_by_a_second(
    server: Server, undisturbed: Undisturbed, tmp_path: Path, where: str, fault: tuple[str, int, str]
):
    assert try_a_job(server, undisturbed, tmp_path, where, ONE, fault)


@pytest.mark.faults
@pytest.mark.parametrize(("where", "words"), [("job", JOB), ("workers", ONE)], ids=["job", "workers"])
@pytest.mark.parametrize("call", CALLS)
def test_whichever_call_of_a_job_fails_a_second_completes_it(
    server: Server, undisturbed: Undisturbed, tmp_path: Path, where: str, words: tuple[str, ...], call: str
):
    for which in itertools.count(1):
        assert which < MOST
        folder = tmp_path / str(which)
        folder.mkdir()
        if not try_a_job(server, undisturbed, folder, where, words, (call, which, in_turn(call, which))):
            break
    assert which > 1 or call == "ftruncate"  # a job makes this call only after another failure
