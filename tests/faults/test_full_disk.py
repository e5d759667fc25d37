"""On a full disk or with files that may not grow, the error is reported, and a second try completes the job."""

from __future__ import annotations

import errno
import os
import random
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jobs import JOB, ONE, Undisturbed, deterministic, finish, is_sound
from quickly import TRACEBACK, Job, Server

from bench.errors import UnusableInput
from bench.record.record import Writer

SEED = 20260131
NO_SPACE, TOO_LARGE = os.strerror(errno.ENOSPC), os.strerror(errno.EFBIG)

FILES = ("runs.csv", "runs.misses.csv", "runs.environments.json", "report")
"""The files that a job writes."""

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")


def failed_for(job: Job, cause: str, label: int | str) -> None:
    """Check a job that could not write because of the size `label`. It must report this and leave no process."""
    assert job.none_left(), label
    assert job.code in (1, 2), (label, job.errors)
    assert TRACEBACK not in job.errors, label
    if label == len(job.errors.encode()):
        return  # its messages go into a file that may not grow either
    said = [line for line in job.errors.splitlines() if cause in line]
    assert said, (label, job.errors)
    for line in said:  # each names the file
        assert any(name in line for name in FILES), (label, job.errors)


# /dev/full


@needs_full
@pytest.mark.parametrize("words", [("list",), ("plan", "--devices", "cpu"), ("--help",)], ids=" ".join)
def test_results_that_cannot_be_printed_are_said_to_be_lost(
    server: Server, undisturbed: Undisturbed, words: tuple[str, ...]
):
    job = server.run(*words, folder=undisturbed.folder, output="/dev/full")
    assert job.code == 2
    assert job.errors == f"bench: standard output: cannot be written ({NO_SPACE}): redirect it to another file\n"


@needs_full
def test_messages_that_cannot_be_printed_stop_no_job(server: Server, undisturbed: Undisturbed, tmp_path: Path):
    job = server.run("run", *ONE, folder=tmp_path, errors="/dev/full")
    assert job.code == 0
    assert deterministic(tmp_path / "runs.csv") == undisturbed.rows_of_one


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/null")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.parametrize("make", [link_to_a_device, os.mkfifo, make_socket, Path.mkdir])
def test_what_is_no_file_is_no_record_and_nobody_waits_for_it(
    server: Server, tmp_path: Path, make: Callable[[Path], None]
):
    make(tmp_path / "runs.csv")
    for words in (
        ("report",),
        ("check",),
        ("plan", *ONE),
        ("run", *ONE),
        ("verify",),
        ("compare", "runs.csv", "runs.csv"),
    ):
        job = server.run(*words, folder=tmp_path)
        assert job.code == 2
        assert job.errors.startswith("bench: runs.csv: ")
        assert len(job.errors.splitlines()) == 1


@needs_full
def test_a_torn_row_stays_if_there_is_no_space_to_set_it_aside(undisturbed: Undisturbed, tmp_path: Path):
    path = undisturbed.copy(tmp_path)
    path.write_bytes(content := path.read_bytes()[:-9])
    beside = path.with_name("runs.csv.torn")
    beside.symlink_to("/dev/full")
    with pytest.raises(UnusableInput, match=rf"^{beside}: cannot be written \({NO_SPACE}\)"):
        Writer(path).prepare()
    assert path.read_bytes() == content
    beside.unlink()
    Writer(path).prepare()
    assert path.read_bytes() + beside.read_bytes() == content + b"\n"


# Files that may not grow


def limited(server: Server, undisturbed: Undisturbed, folder: Path, limit: int) -> bool:
    """Run a job with a limit on the size of every file, then try again. Return whether the limit mattered."""
    folder.mkdir()
    job = server.run("all", *JOB, folder=folder, limit=limit)
    path = folder / "runs.csv"
    if job.code != 0:
        failed_for(job, TOO_LARGE, limit)
    assert not path.exists() or path.stat().st_size <= limit
    assert is_sound(path), limit
    finish(server, folder, job.errors, "all", *JOB)
    assert deterministic(path) == undisturbed.rows, limit
    return job.code != 0


def sizes(undisturbed: Undisturbed) -> list[int]:
    """The sizes of the files that a job writes, in ascending order."""
    paths = [path for path in undisturbed.folder.rglob("*") if path.is_file()]
    return sorted({path.stat().st_size for path in paths} - {0})


@pytest.mark.faults
def test_a_job_whose_files_may_not_grow_is_completed_by_a_second(
    server: Server, undisturbed: Undisturbed, tmp_path: Path
):
    assert limited(server, undisturbed, tmp_path / "job", sizes(undisturbed)[-1] // 2)


@pytest.mark.faults
def test_whatever_the_size_that_files_may_have_a_second_job_completes_the_first(
    server: Server, undisturbed: Undisturbed, tmp_path: Path
):
    found = sizes(undisturbed)
    chance = random.Random(SEED)
    limits = {0, 1, *(size - 1 for size in found), *(chance.randrange(found[-1]) for _ in range(10))}
    for limit in sorted(limits):
        assert limited(server, undisturbed, tmp_path / str(limit), limit), limit
    assert not limited(server, undisturbed, tmp_path / "enough", 2 * found[-1])


# A small disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes a disk of a size, or changes its size."""
    folder = tmp_path / "disk"

    def make(size: str) -> Path:
        options = f"{'remount,' if folder.exists() else ''}size={size}"
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        return folder

    if not Path("/proc/mounts").exists():
        pytest.skip("no disk of this kind can be mounted here")
    yield make
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def fill_up(server: Server, undisturbed: Undisturbed, disk: Callable[[str], Path], size: str) -> bool:
    """Run a job on a small disk, then again with enough space. Return whether the disk was too small."""
    folder = disk(size)
    job = server.run("all", *JOB, folder=folder)
    path = folder / "runs.csv"
    if job.code != 0:
        failed_for(job, NO_SPACE, size)
    assert is_sound(path), size
    disk("64m")
    finish(server, folder, job.errors, "all", *JOB)
    assert deterministic(path) == undisturbed.rows, size
    return job.code != 0


@pytest.mark.faults
def test_a_job_that_fills_its_disk_is_completed_once_there_is_space(
    server: Server, undisturbed: Undisturbed, disk: Callable[[str], Path]
):
    assert fill_up(server, undisturbed, disk, "200k")


@pytest.mark.faults
@pytest.mark.parametrize(
    "size", ["4k", "8k", "16k", "40k", "100k", "300k", "400k", "600k", "700k", "800k", "900k", "1m"]
)
def test_a_job_is_completed_whatever_the_size_of_the_disk_it_fills(
    server: Server, undisturbed: Undisturbed, disk: Callable[[str], Path], size: str
):
    fill_up(server, undisturbed, disk, size)
