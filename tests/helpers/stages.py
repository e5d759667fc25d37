"""A cluster whose workers act out scripts: they train nothing, need no PyTorch and start fast."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from actors import ACTOR, MARK, acts, marked
from clusters import Processes

from bench.jobs.cluster import scheduling, workers
from bench.jobs.events import Event, Stop, Waiting
from bench.jobs.worker.task import Task
from bench.training.loop import Epoch
from models import ARCHITECTURES

FIELDS = [field.name for field in dataclasses.fields(Epoch)]
OTHERWISE = "f\"begin {os.environ.get('SCRIPT', 'epoch 1; sleep 600')} end\".encode()"
"""What an actor reads where the name of its network has no script."""
ENDS_WITH_ITS_INPUT = (
    "import threading; threading.Thread(target=lambda: os.read(0, 1) or os._exit(1), daemon=True).start()"
)

PRELOAD = """
import dataclasses, os, sys, types
sys.executable = {actor!r}

from bench import children
from bench.record.environments import Environment

children.PASSED += ({mark!r}, "MACHINE", "SCRIPT")

def describe(device):
    platform = os.environ.get("PLATFORM", "a stage")
    return Environment((("platform", platform), ("processor", "m"), ("pytorch", "none")))

def machine(device):
    return os.environ.get("MACHINE", "a stage")

for name, values in dict(
    environment=dict(describe=describe, machine=machine, available_devices=lambda: ("cpu",), worker_variables=dict),
    loop=dict(Epoch=dataclasses.make_dataclass("Epoch", {fields!r})),
).items():
    sys.modules["bench.training." + name] = module = types.ModuleType("bench.training." + name)
    vars(module).update(values)
"""
"""What a worker of a stage loads first: a small program trains, and stand-ins replace what imports PyTorch."""


class Stage(Processes):
    """A cluster whose workers start the acting program in place of the Python that trains."""

    def __init__(self, folder: Path) -> None:
        self.mark = f"{os.getpid()}-cluster-{time.monotonic_ns()}"
        actor = folder / "actor"
        text = ACTOR.format(python=sys.executable).replace("for word", f"{ENDS_WITH_ITS_INPUT}\nfor word", 1)
        actor.write_text(text.replace("os.read(0, 1 << 20)", f"os.read(0, 1 << 20) + {OTHERWISE}"))
        actor.chmod(0o755)
        (folder / "preload.py").write_text(PRELOAD.format(actor=str(actor), mark=MARK, fields=FIELDS))
        super().__init__(folder)

    def start(self, name: str, *words: str, **variables: str) -> None:
        """Start a scheduler or a worker, marked with `mark`."""
        acting = () if name == "scheduler" else ("--preload", str(self.folder / "preload.py"))
        super().start(name, *acting, *words, **{MARK: self.mark, **variables})

    def is_idle(self) -> bool:
        """Whether no run is in progress."""
        return not any("actor" in line for line in marked(self.mark))


def execute(
    address: str,
    *scripts: str,
    stop: Stop | None = None,
    digest: str = "",
    one_by_one: bool = False,
    **options: float,
) -> Iterator[Event]:
    """The events of acted runs, without those that only say that time passes.

    The runs are in the environment `digest`, or in the native environment of the first worker. With `one_by_one`, they
    are not given at the start, but one by one when the scheduler asks for more.
    """
    with workers.connect(address, [ARCHITECTURES["unpadded"]]) as connected:
        tasks = _moved(acts(*scripts), digest or connected.workers[0].environment.digest)
        at_once, later = ([], tasks) if one_by_one else (tasks, [])

        def more(where: str | None) -> Task | None:
            return later.pop(0) if later and where in (None, later[0].run.environment) else None

        for event in scheduling.execute(at_once, connected, stop or Stop(), more=more, **options):
            if not isinstance(event, Waiting):
                yield event


def _moved(tasks: list[Task], digest: str) -> list[Task]:
    """The same tasks in another environment."""
    return [
        dataclasses.replace(one, run=dataclasses.replace(one.run, environment=digest), checkpoints=Path("states"))
        for one in tasks
    ]
