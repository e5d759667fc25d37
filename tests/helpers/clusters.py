"""A real cluster for the tests: a scheduler and its workers are processes on the loopback address."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

HELPERS = Path(__file__).parent
IMPORTED = os.pathsep.join([str(HELPERS), str(HELPERS.parents[1])])
"""The folders that every process imports from: the helpers, and the package under test."""
ENDS_WITH_US = (
    "import os, runpy, sys, threading; "
    "threading.Thread(target=lambda: os.read(0, 1) or os._exit(1), daemon=True).start(); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__')"
)
# Without an address of its own the dashboard would listen everywhere.
LOCAL = ("--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0")


def until(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    """Wait until a condition is true; `what` names it in the error."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.05)


class Processes:
    """A scheduler and its workers. A folder has what each of them prints. All of them end with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.start("scheduler", "--port", "0")
        until(lambda: self._address(), "a scheduler")
        self.address = self._address()

    def start(self, name: str, *words: str, **variables: str) -> None:
        """Start a scheduler or, with any other name, a worker with one thread and without a nanny."""
        kind = "dask_scheduler" if name == "scheduler" else "dask_worker"
        mine = () if name == "scheduler" else (self.address, "--nthreads", "1", "--no-nanny", "--name", name)
        scratch = () if name == "scheduler" else ("--local-directory", str(self.folder / f"scratch-{name}"))
        with (self.folder / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-c", ENDS_WITH_US, f"distributed.cli.{kind}", *LOCAL, *mine, *scratch, *words],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": IMPORTED, **variables},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def workers(self, *names: str, **variables: str) -> None:
        """Start workers, and wait until the scheduler knows them."""
        before = {name: self.known(name) for name in names}
        for name in names:
            self.start(name, **variables)
        for name in names:
            until(lambda name=name: self.known(name) > before[name], f"worker {name}")

    def known(self, name: str) -> int:
        """How often a worker of this name has registered with the scheduler."""
        return self.log("scheduler").count(f"name: {name}\n")

    def only(self, *names: str) -> None:
        """Start and end workers so that just these are there. Those already there stay."""
        for name in set(self.running) - {"scheduler", *names}:
            self.kill(name)
        self.workers(*(name for name in names if name not in self.running))

    def log(self, name: str) -> str:
        """The text that a process has printed so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def kill(self, name: str) -> None:
        """End a process as a power cut would."""
        process = self.running.pop(name)
        process.kill()
        process.wait()
        if name != "scheduler":
            pattern = rf"Remove worker .*name: {name}\b"
            until(lambda: len(re.findall(pattern, self.log("scheduler"))) == self.known(name), f"the end of {name}")

    def close(self) -> None:
        """End all of them."""
        for process in self.running.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
        for process in self.running.values():
            process.wait()

    def _address(self) -> str:
        found = re.search(r"Scheduler at:\s+(tcp://127\.0\.0\.1:[0-9]+)", self.log("scheduler"))
        return found[1] if found else ""


Kind = TypeVar("Kind", bound=Processes)


@contextmanager
def processes(folder: Path, kind: type[Kind] = Processes) -> Iterator[Kind]:  # type: ignore[assignment]
    """Keep a scheduler running, at first without workers."""
    one = kind(folder)
    try:
        yield one
    finally:
        one.close()


def listening(pid: int) -> set[str]:
    """The addresses on which a process listens, in hexadecimal, from /proc."""
    inodes = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found = re.fullmatch(r"socket:\[([0-9]+)\]", str(path.readlink()))
        except OSError:
            continue
        inodes |= {found[1]} if found else set()
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return {fields[1].split(":")[0] for fields in lines if fields[3] == "0A" and fields[9] in inodes}
