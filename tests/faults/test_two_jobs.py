"""Several jobs on one record: one trains, the others name it, and a killed job leaves no lock."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from jobs import JOB, Undisturbed, deterministic, finish
from quickly import Job, Server

from bench.record import record

SEED = 20260131
HELD = re.compile(r"bench: (.+): (?:process (\d+) on \S+|another process) is training into it: wait for it, or name ")


def symbolic(path: Path, other: Path) -> None:
    other.symlink_to(path.name)


def hard(path: Path, other: Path) -> None:
    path.touch()
    other.hardlink_to(path)


def crowd(
    server: Server,
    undisturbed: Undisturbed,
    folder: Path,
    chance: random.Random,
    link: Callable[[Path, Path], None] | None,
) -> None:
    """Run four jobs at once and kill some of them. Each is started again until nothing is left to do."""
    folder.mkdir()
    names = ["runs.csv", "runs.csv" if link is None else "another name.csv"]
    if link is not None:
        link(folder / names[0], folder / names[1])
    label = f"seed {SEED}"
    jobs: dict[int, Job] = {}
    kills, told, finished = 4, 0, 0
    deadline = time.monotonic() + 120
    while finished < 4:
        assert time.monotonic() < deadline, label
        for number in range(4 - finished):
            if number not in jobs:
                jobs[number] = server.start("run", *JOB, "--runs", names[number % len(names)], folder=folder)
        time.sleep(chance.random() * 0.2)
        if kills and chance.random() < 0.2:
            kills -= 1
            jobs[chance.choice(list(jobs))].kill()
        for number, job in list(jobs.items()):
            if job.poll() is None:
                continue
            del jobs[number]
            assert job.code in (0, 2, -signal.SIGKILL), (label, job.errors)
            if job.code == 2:
                held = HELD.match(job.errors)
                assert held, (label, job.errors)
                told += 1
            finished += job.code == 0
    assert told > 0, label
    for job in jobs.values():
        job.kill()
        job.wait()
    assert record.read(folder / names[0]).problems == (), label
    assert deterministic(folder / names[0]) == undisturbed.rows, label


@pytest.mark.faults
@pytest.mark.parametrize("link", [symbolic, None, hard])
@pytest.mark.parametrize("rounds", [1, 10])
def test_jobs_that_are_started_at_once_record_each_epoch_once(
    server: Server,
    undisturbed: Undisturbed,
    tmp_path: Path,
    link: Callable[[Path, Path], None] | None,
    rounds: int,
):
    chance = random.Random(SEED)
    for number in range(rounds):
        crowd(server, undisturbed, tmp_path / str(number), chance, link)


def test_a_job_whose_state_folder_is_deleted_keeps_others_out(server: Server, undisturbed: Undisturbed, tmp_path: Path):
    first = server.start("run", *JOB, folder=tmp_path)
    while not (tmp_path / "runs.csv").exists():
        time.sleep(0.001)
    shutil.rmtree(tmp_path / ".runs.csv.state", ignore_errors=True)
    second = server.run("run", *JOB, folder=tmp_path)
    assert (second.code, HELD.match(second.errors) is not None) == (2, True), second.errors
    assert first.wait() == 0, first.errors
    assert deterministic(tmp_path / "runs.csv") == undisturbed.rows


def test_the_second_of_two_jobs_names_the_process_of_the_first(server: Server, tmp_path: Path):
    first = server.start("run", *JOB, folder=tmp_path)
    while not (tmp_path / "runs.csv").exists():
        time.sleep(0.01)
    second = server.run("run", *JOB, folder=tmp_path)
    assert second.code == 2
    held = HELD.match(second.errors)
    assert held
    assert (held[1], int(held[2])) == ("runs.csv", first.pid)
    assert first.wait() == 0


def test_a_worker_that_outlives_its_killed_job_keeps_nobody_out(
    server: Server, undisturbed: Undisturbed, tmp_path: Path
):
    first = server.start("run", *JOB, folder=tmp_path)
    while not first.workers():
        time.sleep(0.005)
    stopped = first.workers()
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)  # a stopped worker does not see that its job is gone
        first.kill()
        first.wait()
        assert first.workers() == stopped
        finish(server, tmp_path, first.errors, "run", *JOB)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert first.none_left()
    assert deterministic(tmp_path / "runs.csv") == undisturbed.rows
