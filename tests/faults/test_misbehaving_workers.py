"""A job of networks that fail in every way: each run ends in the record by itself, and no process is left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import misbehaving
import pytest
from quickly import ROOT, TRACEBACK

from bench.record import record

MARK = "BENCH_TEST_FAULTS_MARK"
LIMIT = 60  # seconds for an epoch; a busy machine needs many of them to start a worker
MEGABYTES = 100

ENDS = {
    "Raises": ("error", "ValueError: first line second line"),
    "Exits": ("error", "the process exited with code 3 before its last epoch"),
    "ExitsAtOnce": ("error", "the process exited with code 1 before its last epoch; it last printed: last words"),
    "ReadsNowhere": ("error", "the process was ended by SIGSEGV"),
    "IsKilled": ("error", "the process was ended by SIGKILL (out of memory?)"),
    "IsNotANumber": ("diverged", "the training loss of epoch 1 is nan"),
    "Hangs": ("timeout", f"no epoch finished within {LIMIT} seconds"),
    "PrintsMuch": ("ok", ""),
    "LeavesAGrandchild": ("ok", ""),
    "Behaves": ("ok", ""),
}

PROGRAM = """
import functools, sys
import misbehaving
import models
from bench import children
from bench.cli import parser
from bench.jobs import job
from bench.jobs import plan
from bench.jobs import scheduling
from bench.network import structure_facts
from bench.network.specification import Architecture, Recipe

document = models.ARCHITECTURES["unpadded"].document
recipe = Recipe(learning_rate=0.01, batch_size=64, epochs=1)
children.PASSED += ("BENCH_TEST_FAULTS_MARK",)
names, limit, data = sys.argv[1].split(","), float(sys.argv[2]), sys.argv[3]
models.ARCHITECTURES.clear()
source = open(misbehaving.__file__).read()
models.ARCHITECTURES.update({name: Architecture(name, source, name, recipe, document) for name in names})
job.run = functools.partial(job.run, subset=(192, 100))
scheduling.EPOCH_LIMIT = limit
structure_facts.load = lambda names: {}
plan.epoch_work = lambda structures: dict.fromkeys(names, 1)
words = ["--arithmetic", "native", "--seeds", "1", "--devices", "cpu", "--jobs", "2", "--data", data]
sys.exit(parser.main(["run", *words]))
"""


def left(mark: str) -> list[str]:
    """The command lines of the job and of its processes that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.mark.faults
@pytest.mark.timeout(700)
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc")
def test_every_run_has_its_own_end_in_the_record_and_nothing_is_left_running(tmp_path: Path):
    path = tmp_path / "misbehaving.py"
    path.write_text(Path(misbehaving.__file__).read_text().replace("MEGABYTES = 20", f"MEGABYTES = {MEGABYTES}"))
    assert f"MEGABYTES = {MEGABYTES}" in path.read_text()
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    paths = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, ",".join(ENDS), str(LIMIT), str(ROOT / "data")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths, MARK: mark},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert TRACEBACK not in done.stderr
    assert len(done.stderr) < 10_000
    found = record.read(tmp_path / "runs.csv")
    assert found.problems == ()
    assert len(found.rows) == len(ENDS)
    for row in found.rows.itertuples():
        status, reason = ENDS[row.model]
        assert row.status == status, row
        assert row.note.startswith(reason), row
        assert (row.note == "") == (status == "ok")
    time.sleep(1)
    assert left(mark) == []
