"""A record that git, an editor or a user changes while a job runs has every epoch of the job in the end, once."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cases import few_by_default
from jobs import JOB, Undisturbed, deterministic, finish
from quickly import TRACEBACK, Job, Server

from bench.record import misses, record
from bench.record.merging import merge

Change = Callable[[Path], None]


def git(folder: Path, *words: str) -> None:
    settings = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "core.hooksPath=/dev/null")
    subprocess.run(["git", *settings, *words], cwd=folder, check=True, capture_output=True)


def stash(path: Path) -> None:
    git(path.parent, "stash")


def check_out(path: Path) -> None:
    git(path.parent, "checkout", "--", "runs.csv")


def stash_and_pop(path: Path) -> None:
    git(path.parent, "stash")
    git(path.parent, "stash", "pop")


def remove(path: Path) -> None:
    path.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("moved.csv"))


def clean(path: Path) -> None:
    """Remove all that a job has written, but for the states that its workers are writing."""
    for one in (
        path,
        misses.path_beside(path),
        record.state_folder(path) / "lock",
        record.state_folder(path) / "holder",
    ):
        one.unlink(missing_ok=True)


def cut_to_the_header(path: Path) -> None:
    with path.open("r+") as file:
        file.readline()
        file.truncate(file.tell())


def empty(path: Path) -> None:
    path.write_text("")


def save_without_the_first_row(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    beside = path.with_name("edited")
    beside.write_text("".join([lines[0], *lines[2:]]))
    beside.replace(path)


def add_a_comment(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:1], "# only the first rows\n", *lines[1:]]))


def mangle_dates(path: Path) -> None:
    path.write_text(re.sub(r"(\d{4})-(\d\d)-(\d\d)T(\d\d:\d\d):\d\dZ", r"\3.\2.\1 \4", path.read_text()))


def lose_the_misses(path: Path) -> None:
    misses.path_beside(path).unlink(missing_ok=True)


def save_by_a_spreadsheet(path: Path) -> None:
    text = re.sub(r"(\d{4})-(\d\d)-(\d\d)T(\d\d:\d\d):\d\dZ", r"\3.\2.\1 \4", path.read_text())
    path.write_text(text.replace(",", ";").replace(".", ",").replace("\n", "\r\n"), encoding="utf-8-sig")


CHANGES: list[Change] = [
    stash,
    remove,
    cut_to_the_header,
    check_out,
    stash_and_pop,
    move,
    clean,
    empty,
    save_without_the_first_row,
    add_a_comment,
    mangle_dates,
    lose_the_misses,
]


def stop_after(job: Job, path: Path, rows: int) -> None:
    """Stop a job as soon as its record has so many rows. It runs in short pieces until then."""
    while True:
        job.kill(signal.SIGSTOP)
        while job.poll() is None and Path(f"/proc/{job.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.001)
        if path.read_bytes().count(b"\n") > rows:
            return
        job.kill(signal.SIGCONT)
        time.sleep(0.002)


def changed(server: Server, folder: Path, change: Change) -> Job:
    """A job whose record was changed after three rows. Git has the record as it was after the first job, of one run."""
    git(folder, "init")
    path = folder / "runs.csv"
    job = server.run("run", *JOB, "--seeds", "1-1", "--models", "unpadded", "--epochs", "2", folder=folder)
    assert job.code == 0, job.errors
    git(folder, "add", "runs.csv", "runs.misses.csv")
    git(folder, "commit", "-m", "one run")
    while True:
        job = server.start("run", *JOB, folder=folder)
        stop_after(job, path, rows=5)
        if path.read_bytes().count(b"\n") <= 10:
            break
        job.kill(signal.SIGCONT)  # the job was nearly over before it stopped: once more
        job.wait()
        git(folder, "checkout", "--", ".")
        shutil.rmtree(record.state_folder(path))
    change(path)
    job.kill(signal.SIGCONT)
    job.wait()
    assert TRACEBACK not in job.errors
    assert job.none_left()
    return job


@pytest.mark.parametrize("change", few_by_default(CHANGES, [stash], pytest.mark.faults))
def test_no_epoch_is_lost_or_written_twice(server: Server, undisturbed: Undisturbed, tmp_path: Path, change: Change):
    job = changed(server, tmp_path, change)
    path = tmp_path / "runs.csv"
    assert job.code == 0, job.errors
    assert (
        change in (stash_and_pop, lose_the_misses) or "runs.csv: has changed while this job is running: " in job.errors
    )
    before = path.read_bytes()
    assert sorted(set(deterministic_and_sound(path))) == undisturbed.rows
    again = server.run("run", *JOB, folder=tmp_path)
    assert again.code == 0, again.errors
    assert path.read_bytes() == before
    assert misses.read(record.read(path)).problems == ()
    assert len(misses.read(record.read(path)).runs) >= 4


def deterministic_and_sound(path: Path) -> list[str]:
    """The deterministic columns of the rows, without the lines that a change has made unusable."""
    bad = {problem.line for problem in record.read(path).problems}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    assert not any("the same run" in problem.reason for problem in record.read(path).problems)
    sound = path.with_name("sound.csv")
    sound.write_text("".join(line for number, line in enumerate(lines, start=1) if number not in bad), encoding="utf-8")
    return deterministic(sound)


@pytest.mark.faults
def test_what_a_spreadsheet_has_saved_is_left_alone_and_a_record_beside_it_has_the_rows(
    server: Server, undisturbed: Undisturbed, tmp_path: Path
):
    job = changed(server, tmp_path, save_by_a_spreadsheet)
    path, kept = tmp_path / "runs.csv", tmp_path / "runs.kept.csv"
    assert job.code == 1
    said = f"bench: runs.csv: lacks 12 rows of this job, which {kept.name} has: correct the file, and append these"
    assert said in job.errors
    assert path.read_bytes().startswith("\ufeffmodel;recipe".encode())
    assert deterministic(kept) == undisturbed.rows
    git(tmp_path, "checkout", "--", "runs.csv")
    merge.merge([path, kept], tmp_path / "all.csv")
    assert deterministic(tmp_path / "all.csv") == undisturbed.rows


def test_a_second_job_appends_no_epoch_that_stands_after_a_gap(
    server: Server, undisturbed: Undisturbed, tmp_path: Path
):
    path = undisturbed.copy(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if line.split(",")[5] == "1")
    path.write_text("".join([*lines[:first], *lines[first + 1 :]]))
    finish(server, tmp_path, "", "run", *JOB)
    assert deterministic(path) == undisturbed.rows
    assert len(path.read_text().splitlines()) == len(lines)
