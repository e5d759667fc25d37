"""A job that is killed at any instant and started again until it is done has the bits of an undisturbed one."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from injection import AFTER, BEFORE
from jobs import JOB, ONE, Undisturbed, deterministic, finish
from quickly import TRACEBACK, Server

from bench.record import record
from bench.record.rows import COLUMNS, format_line

SEED = 20260131
ROUNDS = 60
AGAIN = 0.5  # the chance that a job that was killed and started again is killed again
HEADER = format_line(COLUMNS).encode()


def looks_sound(folder: Path, label: object) -> None:
    """Check what a killed job leaves: at most a torn last line in the record, and whole files in the report."""
    path = folder / "runs.csv"
    left_out = record.read(path).problems
    content = path.read_bytes() if path.exists() else b""
    is_torn = bool(content) and not content.endswith(b"\n")
    assert [problem.line for problem in left_out] in ([], [content.count(b"\n") + 1] if is_torn else [1]), label
    assert content.count(HEADER[:20]) <= 1, label


def written(folder: Path) -> dict[str, bytes]:
    """The files of a report, by name."""
    return {path.name: path.read_bytes() for path in (folder / "report").iterdir() if path.is_file()}


def report_of(folder: Path) -> dict[str, bytes]:
    """The figures of a report, without that of the times: no two jobs share these."""
    return {name: one for name, one in written(folder).items() if name.endswith(".svg") and "seconds" not in name}


def kill_and_go_on(server: Server, undisturbed: Undisturbed, folder: Path, share: float, chance: random.Random) -> str:
    """Kill a job after a share of its time, perhaps several times. Return its phase at the first kill."""
    folder.mkdir()
    label = f"seed {SEED}, killed after {share:.3f} of the job"
    instant, phase = share * undisturbed.seconds, ""
    while True:
        job = server.start("all", *JOB, folder=folder)
        time.sleep(instant)
        job.kill()
        is_killed = job.wait() == -signal.SIGKILL
        assert is_killed or job.code == 0, (label, job.errors)
        assert job.none_left(), f"{label}: a worker outlives its job"
        looks_sound(folder, label)
        rows = len(deterministic(folder / "runs.csv")) if (folder / "runs.csv").exists() else 0
        phase = phase or ("over" if not is_killed else "reporting" if rows == len(undisturbed.rows) else "training")
        if chance.random() > AGAIN:
            break
        instant = chance.random() * undisturbed.seconds
    finish(server, folder, job.errors, "all", *JOB)
    assert deterministic(folder / "runs.csv") == undisturbed.rows, label
    assert report_of(folder) == report_of(undisturbed.folder), label
    return phase


@pytest.mark.faults
@pytest.mark.parametrize("rounds", [ROUNDS])
def test_a_job_killed_at_any_instant_ends_with_the_same_bits(
    server: Server, undisturbed: Undisturbed, tmp_path: Path, rounds: int
):
    chance = random.Random(SEED)
    phases = [
        kill_and_go_on(server, undisturbed, tmp_path / str(number), (number + chance.random()) / rounds, chance)
        for number in range(rounds)
    ]
    if rounds == ROUNDS:
        assert {"training", "reporting"} <= set(phases), phases


def kill_at(server: Server, undisturbed: Undisturbed, folder: Path, where: str, fault: tuple[str, int, str]) -> bool:
    """Kill a job, or its worker, just before or after one call. Return whether it came to that call."""
    folder.mkdir()
    label = f"the {where} {fault[2]} {fault[0]} number {fault[1]}"
    job = server.run("run", *ONE, folder=folder, where=where, fault=fault)
    assert job.none_left(), label
    assert TRACEBACK not in job.errors, label
    if job.fired:
        assert job.code == (-signal.SIGKILL if where == "job" else 1), label
    if where == "workers" and job.fired:
        assert "the process was ended by SIGKILL (out of memory?)" in job.errors, label
    looks_sound(folder, label)
    finish(server, folder, job.errors, "run", *ONE)
    assert deterministic(folder / "runs.csv") == undisturbed.rows_of_one, label
    return job.fired


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("job", ("open", 8, BEFORE)),  # between a saved state and its row
        pytest.param("job", ("write", 4, AFTER), marks=pytest.mark.faults),  # after a row is written, not yet on disk
        ("workers", ("replace", 2, BEFORE)),  # between two states
    ],
)
def test_a_job_killed_between_two_calls_ends_with_the_same_bits(
    server: Server, undisturbed: Undisturbed, tmp_path: Path, where: str, fault: tuple[str, int, str]
):
    assert kill_at(server, undisturbed, tmp_path / "job", where, fault)


@pytest.mark.faults
@pytest.mark.parametrize("where", ["job", "workers"])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_job_killed_at_any_call_ends_with_the_same_bits(
    server: Server, undisturbed: Undisturbed, tmp_path: Path, where: str, call: str
):
    for which in itertools.count(1):
        assert which < 100
        found = [
            kill_at(server, undisturbed, tmp_path / f"{which} {kind}", where, (call, which, kind))
            for kind in (BEFORE, AFTER)
        ]
        if not any(found):
            break
    assert which > 1


@pytest.mark.faults
def test_a_report_killed_at_any_call_has_whole_files_and_is_completed(
    server: Server, undisturbed: Undisturbed, tmp_path: Path
):
    path = undisturbed.copy(tmp_path)
    rows = path.read_bytes()
    path.write_bytes(rows[: rows.rindex(b"\n", 0, -1) + 1])
    assert server.run("report", folder=tmp_path).code == 0
    old = written(tmp_path)
    path.write_bytes(rows)
    assert server.run("report", folder=tmp_path).code == 0
    new = written(tmp_path)
    assert old.keys() == new.keys()
    assert old != new
    struck = 0
    for call in ("open", "write", "fsync", "replace"):
        for which in itertools.count(1):
            for name, content in old.items():
                (tmp_path / "report" / name).write_bytes(content)
            job = server.run("report", folder=tmp_path, where="job", fault=(call, which, BEFORE))
            if not job.fired:
                break
            struck += 1
            found = written(tmp_path)
            assert all(found[name] in (old[name], new[name]) for name in new), (call, which)
            assert server.run("report", folder=tmp_path).code == 0
            found = written(tmp_path)
            assert {name: found[name] for name in new} == new, (call, which)
    assert struck > 3 * len(new)


@pytest.mark.faults
def test_a_job_in_interpreters_of_its_own_killed_at_any_instant_ends_with_the_same_bits(
    undisturbed: Undisturbed, tmp_path: Path
):
    """The same without forks. This takes longer."""
    program = Path(__file__).with_name("few_images.py")

    def start(folder: Path) -> subprocess.Popen[str]:
        command = [sys.executable, str(program), "all", *JOB]
        errors = (folder / "errors").open("a")
        return subprocess.Popen(command, cwd=folder, stdout=errors, stderr=errors, text=True)

    def workers(folder: Path) -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if b"bench.jobs.worker" in (path / "cmdline").read_bytes() and (path / "cwd").resolve() == folder:
                    found.append(path.name)
            except OSError:
                continue
        return found

    started = time.monotonic()
    (tmp_path / "first").mkdir()
    assert start(tmp_path / "first").wait() == 0
    seconds = time.monotonic() - started
    assert deterministic(tmp_path / "first" / "runs.csv") == undisturbed.rows
    chance = random.Random(SEED)
    rounds = 8
    for number in range(rounds):
        folder = tmp_path / str(number)
        folder.mkdir()
        job = start(folder)
        time.sleep((number + chance.random()) / rounds * seconds)
        job.kill()
        job.wait()
        deadline = time.monotonic() + 20
        while workers(folder):
            assert time.monotonic() < deadline, "a worker outlives its job"
            time.sleep(0.02)
        looks_sound(folder, number)
        assert start(folder).wait() == 0, (folder / "errors").read_text()
        assert TRACEBACK not in (folder / "errors").read_text()
        assert deterministic(folder / "runs.csv") == undisturbed.rows, f"seed {SEED}, round {number}"
