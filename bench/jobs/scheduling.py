"""Train runs on this machine's cores and GPUs, each in a separate process, and decide how each run ended.

If a run crashes, hangs or is killed, only that run ends. This module yields events and writes no files.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.children import child_command, child_variables
from bench.errors import one_line
from bench.files import cause
from bench.jobs.events import Ended, Event, Finished, Started, Stop, Waiting
from bench.jobs.worker import Task
from bench.network.specification import DEVICES
from bench.record.rows import Run, Status
from bench.training.environment import worker_variables
from bench.training.loop import Epoch

EPOCH_LIMIT = 3600.0
"""A run that finishes no epoch for so many seconds counts as hanging. The limit is a hundred times the usual."""

_TAIL_BYTES = 8192  # the end of a worker's output, kept to explain a crash
_END_LIMIT = 30.0  # seconds that a worker may take to end after its last message
_POLL = 0.5  # seconds between two looks at the clock


def execute(
    tasks: Sequence[Task], slots: Mapping[str, int], stop: Stop, epoch_limit: float = EPOCH_LIMIT
) -> Generator[Event, None, None]:
    """Train the run of every task. Each device takes its runs in this order, `slots[device]` at a time.

    No worker is left running when the iteration ends, even if it ends early.
    """
    waiting = {device: deque(task for task in tasks if task.run.device == device) for device in slots}
    active: list[_Worker] = []
    try:
        while not stop.reason:
            for device, queued in waiting.items():
                while queued and sum(worker.run.device == device for worker in active) < slots[device]:
                    task = queued.popleft()
                    yield Started(task.run)
                    try:
                        active.append(_Worker(task, stop.events))
                    except OSError as error:  # for example too many open files
                        yield Ended(task.run, "error", f"no process could be started: {cause(error)}")
            if not active:
                return
            yield from _next_events(active, stop, epoch_limit)
        for worker in active:
            worker.kill()
        for worker in active:
            yield Ended(worker.run, "interrupted", stop.reason, worker.machine)
    finally:
        for worker in active:
            worker.kill()


def _next_events(active: list[_Worker], stop: Stop, epoch_limit: float) -> Iterator[Event]:
    try:
        item = stop.events.get(timeout=_POLL)
    except queue.Empty:
        item = None
        yield Waiting()
    if item is not None:
        worker, message = item
        if worker not in active:
            return
        if message is None:
            active.remove(worker)
            yield Ended(worker.run, *_how_it_ended(worker), worker.machine)
            return
        worker.last_heard = time.monotonic()
        if message["kind"] == "ready":
            worker.machine = message["machine"]
        elif message["kind"] == "epoch":
            misses = message.get("misses")
            yield Finished(
                worker.run,
                Epoch(**message["epoch"]),
                None if misses is None else tuple((image, label, seen) for image, label, seen in misses),
                worker.machine,
            )
        else:
            worker.last_message = message
    for worker in active:
        limit = epoch_limit if worker.last_message is None else _END_LIMIT
        if not worker.timed_out and time.monotonic() - worker.last_heard > limit:
            worker.timed_out = True
            worker.limit = limit
            worker.kill()


def _how_it_ended(worker: _Worker) -> tuple[Status, str]:
    """Decide how a run ended, after its process is gone. Only this function decides it."""
    message = worker.last_message
    if message is not None and message["kind"] == "done":
        return "ok", ""
    if message is not None and message["kind"] == "failed":
        return message["status"], message["reason"]
    if worker.timed_out:
        return "timeout", f"no epoch finished within {worker.limit:g} seconds"
    code = worker.process.returncode
    last_line = (worker.output_tail().strip().splitlines() or [""])[-1]
    said = f"; it last printed: {one_line(last_line)[:200]}" if last_line.strip() else ""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return "error", f"the process was ended by {name}{hint}{said}"
    return "error", f"the process exited with code {code} before its last epoch{said}"


@dataclass(eq=False)
class _Worker:
    """A process that trains one run, and the threads that read its output."""

    task: Task
    events: queue.SimpleQueue[Any]
    last_message: dict[str, Any] | None = None
    machine: str = ""
    timed_out: bool = False
    limit: float = 0.0
    last_heard: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            child_command("bench.jobs.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_variables(worker_variables()),
            start_new_session=True,  # Ctrl-C then reaches only this process, and the group can be killed
        )
        self._tail = bytearray()
        self._reader = threading.Thread(target=self._read_messages, daemon=True)
        self._drain = threading.Thread(target=self._drain_output, daemon=True)
        for thread in (self._reader, self._drain, threading.Thread(target=self._wait, daemon=True)):
            thread.start()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the process has already ended; its exit code tells why
            self.process.stdin.write(pickle.dumps(self.task))
            self.process.stdin.flush()  # it stays open: closing it would end the worker

    @property
    def run(self) -> Run:
        return self.task.run

    def kill(self) -> None:
        """Kill the process and all others of its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def output_tail(self) -> str:
        """Return the end of what the process printed."""
        return self._tail.decode("utf-8", errors="replace")

    def _read_messages(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                continue  # a kill has cut the line short
            self.events.put((self, message))

    def _drain_output(self) -> None:
        assert self.process.stderr is not None
        while block := self.process.stderr.read1(65_536):  # type: ignore[attr-defined]
            self._tail += block
            del self._tail[:-_TAIL_BYTES]

    def _wait(self) -> None:
        self.process.wait()
        self.kill()  # and its children: one with an open pipe would block the threads below
        for thread in (self._reader, self._drain):
            thread.join(timeout=5)
        self.events.put((self, None))


def slots(jobs: int) -> dict[str, int]:
    """Return how many runs train at the same time on each kind of device: `jobs` on the CPU, one on any other."""
    return {device: jobs if device == "cpu" else 1 for device in DEVICES}


def physical_cores() -> int:
    """Return the number of physical cores that this process may use."""
    if sys.platform == "darwin":
        counted = subprocess.run(["sysctl", "-n", "hw.physicalcpu"], capture_output=True, text=True, check=True)
        return int(counted.stdout)
    usable = os.sched_getaffinity(0)
    siblings = set()
    for processor in usable:
        path = Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
        try:
            siblings.add(path.read_text())
        except OSError:
            siblings.add(str(processor))
    return max(1, len(siblings))
