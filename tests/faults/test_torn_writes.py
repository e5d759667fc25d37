"""A power failure may tear the record anywhere: a job goes on from the whole rows and loses none of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from jobs import JOB, Undisturbed, deterministic, finish
from quickly import Server

SEED = 20260131


def tear_and_go_on(server: Server, undisturbed: Undisturbed, folder: Path, size: int, tail: bytes = b"") -> None:
    """Cut the record of a job to a size, add a tail in place of the rest, and start the job again."""
    path = undisturbed.copy(folder)
    whole = path.read_bytes()
    left = whole[:size] + tail
    path.write_bytes(left)
    kept, _, torn = left.rpartition(b"\n")
    label = f"torn after {size} bytes and {tail!r}"
    job = finish(server, folder, "", "run", *JOB)
    assert path.read_bytes().startswith(kept), label
    assert deterministic(path) == undisturbed.rows, label
    beside = path.with_name("runs.csv.torn")
    assert (beside.read_bytes() if beside.exists() else b"") == (torn + b"\n" if torn else b""), label
    assert (f"the last line was cut off and was moved to {beside.name}" in job.errors) == bool(torn), label


def last_three_rows(undisturbed: Undisturbed) -> range:
    """The offsets in the last three rows of the record, each with a newline at its end."""
    content = (undisturbed.folder / "runs.csv").read_bytes()
    return range(len(content) - sum(map(len, content.splitlines(keepends=True)[-3:])), len(content))


def test_a_job_goes_on_from_a_torn_record(server: Server, undisturbed: Undisturbed, tmp_path: Path):
    sizes = random.Random(SEED).sample(last_three_rows(undisturbed), 2)
    for size in sizes:
        tear_and_go_on(server, undisturbed, tmp_path / str(size), size)


def test_a_job_goes_on_from_a_record_that_ends_in_zeros(server: Server, undisturbed: Undisturbed, tmp_path: Path):
    """Some file systems leave zeros in place of lost data."""
    tear_and_go_on(server, undisturbed, tmp_path, last_three_rows(undisturbed)[100], b"\0" * 300)


@pytest.mark.faults
def test_a_job_goes_on_from_a_record_torn_anywhere_in_its_last_three_rows(
    server: Server, undisturbed: Undisturbed, tmp_path: Path
):
    for size in last_three_rows(undisturbed)[::5]:
        tear_and_go_on(server, undisturbed, tmp_path / str(size), size)
