"""Runs for the tests of the schedulers: some train a network that misbehaves, others act out a script."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import misbehaving
import pytest

from bench import children
from bench.jobs import scheduling
from bench.jobs.events import Ended, Event, Stage, Waiting
from bench.jobs.worker.task import Task
from bench.network.specification import Architecture, Recipe
from bench.record.environments import EXACT
from bench.record.rows import Run
from bench.training import environment
from models import ARCHITECTURES

DATA = Path(__file__).parents[2] / "data"
RECIPE = Recipe(learning_rate=0.01, batch_size=256, epochs=1)
SUBSET = (256, 200)
MARK = "BENCH_TEST_MARK"


def execute(*arguments: Any, **keywords: Any) -> Iterator[Event]:
    """The events of `scheduling.execute`, without those that only say that time passes or what a run does."""
    for event in scheduling.execute(*arguments, **keywords):
        if not isinstance(event, Waiting | Stage):
            yield event


def task(folder: Path, network: type[misbehaving.Behaves], seed: int = 1, epochs: int = 1) -> Task:
    """A run of a network of `misbehaving` in native arithmetic, on a few images."""
    name = network.__name__
    source = Path(misbehaving.__file__).read_text()
    architecture = Architecture(name, source, name, RECIPE, ARCHITECTURES["unpadded"].document)
    digest = environment.describe("cpu").digest
    run = Run(name, architecture.digest, "cpu", digest, seed, epochs)
    return Task(architecture, run, DATA, folder / "checkpoints", subset=SUBSET)


def pass_on(patch: pytest.MonkeyPatch, **variables: str) -> None:
    """Set environment variables that reach the workers too."""
    patch.setattr(children, "PASSED", (*children.PASSED, *variables))
    for name, text in variables.items():
        patch.setenv(name, text)


def marked(mark: str) -> list[str]:
    """The command lines of all processes that have a mark among their environment variables."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.name != str(os.getpid()) and f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # the process has ended, or it belongs to somebody else
    return found


def none_left(mark: str, seconds: float = 10) -> bool:
    """Whether all marked processes end in time. The kernel takes a moment to remove a process that was killed."""
    deadline = time.monotonic() + seconds
    while marked(mark):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


ACTOR = r"""#!{python} -IS
import json, os, re, sys, time
named = lambda text: dict(run=int(text)) if text else {{}}
words = re.search(rb"begin (.*?) end", os.read(0, 1 << 20))[1].decode().split(";")
print(json.dumps(dict(kind="ready", machine=os.environ.get("MACHINE", "a stage"))), flush=True)
for word, _, value in (one.strip().partition(" ") for one in words):
    if word == "epoch":
        number, _, run = value.partition(" of run ")
        epoch = dict(epoch=int(number), correct=90, total=100, test_loss=0.5, train_loss=0.5, train_seconds=1.0,
                     eval_seconds=1.0, smallest_variance=None, correct_batch_statistics=None)
        print(json.dumps(dict(kind="epoch", epoch=epoch, **named(run))), flush=True)
    elif word == "done":
        print(json.dumps(dict(kind="done", **named(value))), flush=True)
    elif word == "diverge":
        print(json.dumps(dict(kind="failed", status="diverged", reason="a loss", **named(value))), flush=True)
    elif word == "sleep":
        time.sleep(float(value))
    elif word == "say":
        sys.stderr.buffer.write(eval(value))
        sys.stderr.flush()
    elif word == "tear":
        print('{{"kind": "epoch", "epo', end="", flush=True)
    elif word == "kill":
        os.kill(os.getpid(), int(value))
    elif word == "exit":
        os._exit(int(value))
"""
"""A program in place of the worker's Python: it does what the name of its network says.

Its environment variable MACHINE describes its machine.
"""


def acts(*scripts: str, device: str = "cpu") -> list[Task]:
    """A task for each script. The script says in words what the worker of the task does."""
    architecture = ARCHITECTURES["unpadded"]
    return [
        Task(architecture, Run(f"begin {script} end", "0123abcd", device, "89ef4567", seed, 3), Path(), Path())
        for seed, script in enumerate(scripts)
    ]


def acts_together(script: str, seeds: int, recipe: str = "0123abcd") -> list[Task]:
    """Tasks that a GPU trains side by side. Their worker does what the script says; `of run 1` names the second."""
    architecture = ARCHITECTURES["unpadded"]
    runs = [Run(f"begin {script} end", recipe, "cuda", EXACT.digest, seed, 3) for seed in range(seeds)]
    return [Task(architecture, run, Path(), Path()) for run in runs]


def endings(events: Iterable[Event]) -> list[tuple[int, str, str]]:
    """Seed, status and reason of every run that has ended, by ascending seed."""
    return sorted((event.run.seed, event.status, event.reason) for event in events if isinstance(event, Ended))
