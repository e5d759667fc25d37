"""The job that the tests disturb, and the results that it must still have."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

from quickly import TRACEBACK, Job, Server

from bench.jobs.worker import checkpoint
from bench.record import misses, record
from bench.record.rows import EPOCH_KEY, REPRODUCIBLE, RUN_KEY, Run

JOB = ("--models", "unpadded,ten_twenty_thirty", "--seeds", "2", "--epochs", "3", "--devices", "cpu", "--jobs", "2")
"""Four runs of three epochs."""
ONE = ("--models", "unpadded", "--seeds", "1", "--epochs", "3", "--devices", "cpu", "--jobs", "1")
"""One of them."""


def deterministic(path: Path) -> list[str]:
    """The deterministic columns of the finished epochs, byte for byte as in the record, sorted."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "ok"]
    keys = [tuple(row[name] for name in EPOCH_KEY) for row in rows]
    assert len(set(keys)) == len(keys), "an epoch is recorded twice"
    return sorted(",".join(row[name] for name in (*EPOCH_KEY, *REPRODUCIBLE)) for row in rows)


def none_trained_again(path: Path) -> bool:
    """Whether the last state of each run has every recorded epoch with its seconds: another training has others."""
    states = record.state_folder(path) / "checkpoints"
    for key, rows in record.read(path).epochs.groupby(list(RUN_KEY)):
        state = next(checkpoint.load(states, Run(*key, len(rows))))
        if [one.train_seconds for one in state.history] != list(rows.sort_values("epoch")["train_seconds"]):
            return False
    return True


def is_sound(path: Path) -> bool:
    """Whether a record has no problem. An empty file counts as sound, as it still gets its header."""
    return record.read(path).problems == () or path.stat().st_size == 0


@dataclass(frozen=True)
class Undisturbed:
    """The folder of an undisturbed job, with its record, states and report, and the seconds that it took."""

    folder: Path
    seconds: float

    @property
    def rows(self) -> list[str]:
        """The `deterministic` columns of its record."""
        return deterministic(self.folder / "runs.csv")

    @property
    def rows_of_one(self) -> list[str]:
        """The same for the run that `ONE` selects."""
        return [row for row in self.rows if row.startswith("unpadded,") and row.split(",")[4] == "1"]

    def copy(self, folder: Path) -> Path:
        """Copy the folder, to be disturbed, and return the path of the record."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return folder / "runs.csv"


def finish(server: Server, folder: Path, said: str, *words: str) -> Job:
    """Start a job again after a fault. It must end well, with a sound record and the misses of its last epochs."""
    assert TRACEBACK not in said, said
    job = server.run(*words, folder=folder)
    assert job.code == 0, job.errors
    assert TRACEBACK not in job.errors, job.errors
    found = record.read(folder / "runs.csv")
    assert found.problems == ()
    beside = misses.read(found)
    assert beside.problems == ()
    last = found.epochs.groupby(list(RUN_KEY))["epoch"].max()
    assert {(*key, epoch) for key, epoch in last.items()} <= {one.key for one in beside.runs}
    return job
