"""The events that a scheduler reports, on this machine or on a cluster, and the request to stop it."""

from __future__ import annotations

import os
import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from bench.jobs.worker.task import MissedImages
from bench.record.rows import Run, Status
from bench.training.loop import Epoch


@dataclass(frozen=True)
class Started:
    """A run has got a slot. On a cluster, `worker` is the name of the worker that trains it."""

    run: Run
    worker: str = ""


@dataclass(frozen=True)
class Stage:
    """What a run does before its first epoch is finished, in a word."""

    run: Run
    name: str


@dataclass(frozen=True)
class EpochFinished:
    """A run has finished an epoch on a machine, which `machine` describes.

    `misses` are None if they are unknown, because the epoch comes from the saved state of a later one.
    """

    run: Run
    epoch: Epoch
    misses: MissedImages | None = None
    machine: str = ""


@dataclass(frozen=True)
class Ended:
    """A run has ended. The status is `ok` if its last epoch is finished; otherwise `reason` says why it is not.

    `machine` describes where it was trained, as far as that is known.
    """

    run: Run
    status: Status
    reason: str
    machine: str = ""


@dataclass(frozen=True)
class Lost:
    """A run has lost its worker and waits for another one."""

    run: Run
    reason: str


@dataclass(frozen=True)
class Waiting:
    """Nothing has happened for a moment."""


Event = Started | Stage | EpochFinished | Ended | Lost | Waiting


class Stop:
    """The request to stop a job, which a signal handler can make.

    It is also where a scheduler waits: `inbox` takes what the workers say, in the form that the scheduler puts in, and
    None for this request.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def request(self, reason: str) -> None:
        """Ask the scheduler to end all runs as interrupted, for this reason."""
        self.reason = reason
        self.inbox.put(None)


@contextmanager
def stopped_by_signals(stop: Stop) -> Iterator[list[int]]:
    """Within this context, the first SIGINT, SIGTERM or SIGHUP requests a stop. The second ends this process at once.

    A signal that was ignored before stays ignored: `nohup` and a shell's `&` ask for that. Yields the list of the
    signals received so far.
    """
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received:
            # The end of this process closes the standard input of the workers. They then end themselves.
            os._exit(128 + number)
        received.append(number)
        stop.request(f"by {signal.Signals(number).name}")

    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handled = [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in handled}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
