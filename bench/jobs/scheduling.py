"""Train runs on this machine's cores and GPUs, and decide how each run ended.

Each run on the CPU has a process of its own, so if it crashes, hangs or is killed, only that run ends. The exact runs
of a GPU share a process and its end. This module yields events and writes no files.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.children import child_command, child_variables
from bench.errors import one_line
from bench.files import cause
from bench.jobs.events import Ended, EpochFinished, Event, Stage, Started, Stop, Waiting
from bench.jobs.plan import Planned
from bench.jobs.worker.task import Task
from bench.network.specification import DEVICES
from bench.record.rows import Status
from bench.training.environment import worker_variables
from bench.training.loop import Epoch

EPOCH_LIMIT = 3600.0
"""A run that finishes no epoch for so many seconds counts as hanging, unless much longer epochs are expected."""

_PATIENCE = 100.0  # so many times the expected seconds of an epoch

More = Callable[[str | None], Task | None]
"""Gives the next task on a device or in an environment, or anywhere for None, or says that there is none now."""

_TAIL_BYTES = 8192  # the end of a worker's output, kept to explain a crash
_END_LIMIT = 30.0  # seconds that a worker may take to end after its last message
_POLL = 0.5  # seconds between two looks at the clock
_PAUSE = 5.0  # seconds; if more pass between two looks, the job itself was paused


def epoch_limit(plan: Iterable[Planned]) -> float:
    """Return the seconds without a finished epoch after which a run of this plan counts as hanging."""
    return max([EPOCH_LIMIT, *(_PATIENCE * one.seconds / one.left for one in plan if one.left > 0)])


def no_more(where: str | None) -> None:
    """Say that there are no tasks but those given."""


def execute(
    tasks: Sequence[Task],
    slots: Mapping[str, int],
    stop: Stop,
    limit: float = EPOCH_LIMIT,
    more: More = no_more,
) -> Generator[Event, None, None]:
    """Train the run of every task. Each device takes its runs in this order, `slots[device]` at a time, then `more`.

    A run that finishes no epoch for `limit` seconds ends. No worker is left running when the iteration ends, even if it
    ends early.
    """
    waiting = {device: deque(task for task in tasks if task.run.device == device) for device in slots}
    active: list[_Worker] = []
    try:
        while not stop.reason:
            for device, queued in waiting.items():
                while sum(worker.device == device for worker in active) < slots[device]:
                    together = _next_tasks(queued, device, more)
                    if not together:
                        break
                    for task in together:
                        yield Started(task.run)
                    try:
                        active.append(_Worker(together, stop.inbox))
                    except OSError as error:  # for example too many open files, or too many processes
                        for task in together:
                            yield Ended(task.run, "error", f"no process could be started: {cause(error)}")
            if not active:
                return
            looked = time.monotonic()
            yield from _next_events(active, stop)
            if stop.inbox.empty():  # the message of a worker may still wait
                _end_silent_workers(active, limit, time.monotonic() - looked)
        for worker in active:
            worker.kill()
        for worker in active:
            for i, task in enumerate(worker.tasks):
                ending = _said_ending(worker, i) or ("interrupted", stop.reason)
                yield Ended(task.run, *ending, worker.machine)
    finally:
        for worker in active:
            worker.kill()
        for worker in active:
            worker.close()


def _next_tasks(queued: deque[Task], device: str, more: More) -> tuple[Task, ...]:
    """Take the next task, with all others whose runs a GPU trains side by side with it."""
    first = queued.popleft() if queued else more(device)
    if first is None:
        return ()
    found = [first, *(one for one in queued if one.is_beside(first))]
    for one in found[1:]:
        queued.remove(one)
    while first.is_beside(first):
        following = more(device)
        if following is None:
            break
        if not following.is_beside(first):
            queued.append(following)
            break
        found.append(following)
    return tuple(found)


def _next_events(active: list[_Worker], stop: Stop) -> Iterator[Event]:
    try:
        item = stop.inbox.get(timeout=_POLL)
    except queue.Empty:
        yield Waiting()
        return
    if item is None or item[0] not in active:
        return
    worker, message = item
    if message is None:
        active.remove(worker)
        for i, task in enumerate(worker.tasks):
            yield Ended(task.run, *_how_it_ended(worker, i), worker.machine)
        return
    worker.silent = 0.0
    named = message.get("run")
    about = range(len(worker.tasks)) if named is None else (named,)
    if message["kind"] == "ready":
        worker.machine = message["machine"]
    elif message["kind"] == "stage":
        for i in about:
            yield Stage(worker.tasks[i].run, message["stage"])
    elif message["kind"] == "epoch":
        misses = message.get("misses")
        yield EpochFinished(
            worker.tasks[named or 0].run,
            Epoch(**message["epoch"]),
            None if misses is None else tuple((image, label, seen) for image, label, seen in misses),
            worker.machine,
        )
    else:
        for i in about:
            worker.endings.setdefault(i, message)


def _end_silent_workers(active: Sequence[_Worker], epoch_limit: float, passed: float) -> None:
    """Count the seconds that have passed, and end each worker that has been silent for too long.

    A job that was paused has heard nothing meanwhile, although its workers went on. So a pause does not count.
    """
    for worker in active:
        limit = epoch_limit if len(worker.endings) < len(worker.tasks) else _END_LIMIT
        if not worker.timed_out and worker.silent > limit:
            worker.timed_out = True
            worker.limit = limit
            worker.kill()
        worker.silent += passed if passed < _PAUSE else 0.0  # at the end: so its message has one more look to arrive


def _said_ending(worker: _Worker, i: int) -> tuple[Status, str] | None:
    """Return how run number i of a worker ended, if the worker has said it."""
    message = worker.endings.get(i)
    if message is None:
        return None
    return ("ok", "") if message["kind"] == "done" else (message["status"], message["reason"])


def _how_it_ended(worker: _Worker, i: int) -> tuple[Status, str]:
    """Decide how run number i of a worker ended, after its process is gone. Only this function decides it."""
    said_by_itself = _said_ending(worker, i)
    if said_by_itself is not None:
        return said_by_itself
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
    """A process that trains one run, or several side by side, and the threads that read its output.

    `endings` has the final message of each run that has ended, by its number.
    """

    tasks: tuple[Task, ...]
    inbox: queue.SimpleQueue[Any]
    endings: dict[int, dict[str, Any]] = field(default_factory=dict)
    machine: str = ""
    timed_out: bool = False
    limit: float = 0.0
    silent: float = 0.0  # seconds since its last message

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            child_command("bench.jobs.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_variables(worker_variables()),
            cwd=_folder(),
            start_new_session=True,  # Ctrl-C then reaches only this process, and the group can be killed
        )
        self._tail = bytearray()
        self._reader = threading.Thread(target=self._read_messages, daemon=True)
        self._drain = threading.Thread(target=self._drain_output, daemon=True)
        self._waiter = threading.Thread(target=self._wait, daemon=True)
        pipes = self.process.stdin, self.process.stdout, self.process.stderr
        assert pipes[0] is not None
        with contextlib.suppress(BrokenPipeError):  # the process has already ended; its exit code tells why
            pipes[0].write(pickle.dumps(self.tasks))
            pipes[0].flush()  # it stays open: closing it would end the worker
        try:
            for thread in (self._reader, self._drain, self._waiter):
                thread.start()
        except RuntimeError as error:  # there are too many processes or threads
            self.kill()
            self._wait()
            for pipe in filter(None, pipes):
                pipe.close()
            raise OSError(one_line(error)) from error

    @property
    def device(self) -> str:
        return self.tasks[0].run.device

    def kill(self) -> None:
        """Kill the process and all others of its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def output_tail(self) -> str:
        """Return the end of what the process printed."""
        return self._tail.decode("utf-8", errors="replace")

    def _read_messages(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                try:
                    message = json.loads(line)
                except ValueError:
                    continue  # a kill has cut the line short
                self.inbox.put((self, message))

    def _drain_output(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as output:
            while block := output.read1(65_536):  # type: ignore[attr-defined]
                self._tail += block
                del self._tail[:-_TAIL_BYTES]

    def close(self) -> None:
        """Wait until the process, which was killed, is gone and its pipes are closed."""
        self._waiter.join(timeout=5)

    def _wait(self) -> None:
        self.process.wait()
        self.kill()  # and its children: one with an open pipe would block the threads below
        for thread in (self._reader, self._drain):
            if thread.is_alive():
                thread.join(timeout=5)
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # the task that it never read is still in the buffer
            self.process.stdin.close()
        self.inbox.put((self, None))


def _folder() -> str | None:
    """Return the folder in which a worker starts: the current one, unless it was deleted. MKL needs a folder."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return os.path.sep
    return None


def slots(jobs: int) -> dict[str, int]:
    """Return how many runs train at the same time on each kind of device: `jobs` on the CPU, one on any other."""
    return {device: jobs if device == "cpu" else 1 for device in DEVICES}
