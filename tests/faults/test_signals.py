"""A job ends in good order when a signal asks it to, and goes on when nobody listens any more."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
from cases import few_by_default
from jobs import JOB, ONE, Undisturbed, deterministic, finish, none_trained_again
from quickly import TRACEBACK, Server

from bench.record import record

SEED = 20260131
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def interrupt_and_go_on(
    server: Server, undisturbed: Undisturbed, folder: Path, number: int, share: float, twice: bool
) -> bool:
    """Send a job one or two signals after a share of its time. Return whether this closed a run."""
    folder.mkdir()
    label = f"seed {SEED}, {signal.Signals(number).name} after {share:.3f} of the job"
    job = server.start("all", *JOB, folder=folder)
    while not job.begun:
        time.sleep(0.001)
    time.sleep(0.02 + share * undisturbed.seconds)
    job.kill(number)
    if twice:
        job.kill(number)
    asked = time.monotonic()
    # Before and after training the system alone handles SIGTERM and SIGHUP.
    assert job.wait() in (0, 128 + number, -number), (label, job.errors)
    assert time.monotonic() - asked < 10, label
    assert job.none_left(), label
    path = folder / "runs.csv"
    found = record.read(path)
    assert found.problems == (), label
    closing = found.rows[found.rows["status"] != "ok"]
    assert set(closing["status"]) <= {"interrupted"}, label
    assert set(closing["note"]) <= {f"by {signal.Signals(number).name}"}, label
    assert set(deterministic(path) if path.exists() else []) <= set(undisturbed.rows), label
    finish(server, folder, job.errors, "all", *JOB)
    assert deterministic(path) == undisturbed.rows, label
    return len(closing) > 0


@pytest.mark.parametrize(
    ("number", "rounds", "twice"),
    [
        (signal.SIGINT, 1, False),
        *(pytest.param(one, 20, twice, marks=pytest.mark.faults) for one in SIGNALS for twice in (False, True)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_job_interrupted_at_any_instant_ends_in_good_order_and_goes_on(
    server: Server, undisturbed: Undisturbed, tmp_path: Path, number: int, rounds: int, twice: bool
):
    chance = random.Random(SEED)
    closed = [
        interrupt_and_go_on(
            server, undisturbed, tmp_path / str(one), number, (one + chance.random()) / (rounds + 1), twice
        )
        for one in range(rounds)
    ]
    assert any(closed) or twice or rounds == 1


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_at_most_the_epoch_in_progress_is_lost(server: Server, undisturbed: Undisturbed, tmp_path: Path, number: int):
    job = server.start("run", *ONE, folder=tmp_path)
    path = tmp_path / "runs.csv"
    while not path.exists() or path.read_bytes().count(b"\n") < 2:
        time.sleep(0.002)
    before = path.read_bytes()
    job.kill(number)
    assert job.wait() == 128 + number
    kept = path.read_bytes()
    assert kept.startswith(before)
    closing = record.read(path).rows.iloc[-1]
    assert (closing["status"], closing["note"]) == ("interrupted", f"by {signal.Signals(number).name}")
    second = server.run("run", *ONE, folder=tmp_path)
    assert second.code == 0
    assert path.read_bytes().startswith(kept)
    assert deterministic(path) == undisturbed.rows_of_one
    assert none_trained_again(path)


# Nobody listens

COMMANDS = (
    ("list",),
    ("plan", *ONE),
    ("report",),
    ("compare", "runs.csv", "runs.csv"),
    ("verify", "--models", "unpadded", "--seeds", "1-1", "--epochs", "1"),
    ("run", *ONE),
    ("all", *ONE),
    ("--help",),
    ("run", "--help"),
)
QUICK = (("list",), ("run", *ONE), ("--help",))


@pytest.mark.parametrize("words", few_by_default(COMMANDS, QUICK, pytest.mark.faults), ids=" ".join)
@pytest.mark.parametrize("output", ["broken", "closed"])
def test_a_reader_that_closes_standard_output_early_does_no_harm(
    server: Server, undisturbed: Undisturbed, tmp_path: Path, words: tuple[str, ...], output: str
):
    undisturbed.copy(tmp_path)
    job = server.run(*words, folder=tmp_path, output=output)
    assert job.code == 0, job.errors
    assert TRACEBACK not in job.errors
    assert "Broken pipe" not in job.errors


@pytest.mark.parametrize("errors", ["broken", "closed"])
def test_a_job_that_nobody_listens_to_goes_on(server: Server, undisturbed: Undisturbed, tmp_path: Path, errors: str):
    job = server.run("run", *ONE, folder=tmp_path, output=errors, errors=errors)
    assert job.code == 0
    assert record.read(tmp_path / "runs.csv").problems == ()
    assert deterministic(tmp_path / "runs.csv") == undisturbed.rows_of_one


def test_no_message_is_ever_written_into_the_record(server: Server, undisturbed: Undisturbed, tmp_path: Path):
    """If the standard streams are closed, an opened file could get the number of one of them."""
    path = undisturbed.copy(tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    job = server.run("run", *JOB, folder=tmp_path, output="closed", errors="closed")
    assert job.code == 0
    assert record.read(path).problems == ()
    assert b"torn" not in path.read_bytes()
    assert deterministic(path) == undisturbed.rows


def test_a_wrong_word_gives_no_traceback_even_if_nobody_listens(server: Server, tmp_path: Path):
    for errors in ("broken", "closed"):
        assert server.run("run", "--seeds", "none", folder=tmp_path, errors=errors).code == 2
