"""What schedulers say of their runs, whether they train here or on a cluster, and how they are told to stop."""

from __future__ import annotations

import os
import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from bench.jobs.worker import MissedImages
from bench.record.rows import Run, Status
from bench.training.loop import Epoch


@dataclass(frozen=True)
class Started:
    """A run has got a slot; `worker` names the one of a cluster that trains it."""

    run: Run
    worker: str = ""


@dataclass(frozen=True)
class Finished:
    """A run has finished an epoch; `misses` are those of its last one, where they are known."""

    run: Run
    epoch: Epoch
    misses: MissedImages | None = None


@dataclass(frozen=True)
class Ended:
    """A run is over; the status is `ok` when its last epoch is finished, else the reason says why it is not."""

    run: Run
    status: Status
    reason: str


@dataclass(frozen=True)
class Lost:
    """A run has lost its worker, and waits for another one."""

    run: Run
    reason: str


@dataclass(frozen=True)
class Waiting:
    """Nothing has happened for a moment."""


Event = Started | Finished | Ended | Lost | Waiting


class Stop:
    """A request to stop, which may come from a signal handler."""

    def __init__(self) -> None:
        self.reason = ""
        self.events: queue.SimpleQueue[Any] = queue.SimpleQueue()  # what happens to the runs, None for this request

    def request(self, reason: str) -> None:
        """End all runs as interrupted, for this reason."""
        self.reason = reason
        self.events.put(None)


@contextmanager
def stopped_by_signals(stop: Stop) -> Iterator[list[int]]:
    """While this lasts, a first SIGINT or SIGTERM requests a stop, a second ends the process; yields those received."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received:
            # The workers end themselves when their standard input closes with this process.
            os._exit(128 + number)
        received.append(number)
        stop.request(f"by {signal.Signals(number).name}")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
