"""What a worker of a cluster reports of its run, as JSON. The job reads it as data, so it cannot run code there.

Dask has pickles in its own protocol. So whoever can reach a scheduler can still run code in its workers and clients.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

from bench.errors import one_line
from bench.jobs.events import Ended, EpochFinished, Event, Stage, Started
from bench.record import schema
from bench.record.rows import BOUNDS, Run, Status
from bench.training.loop import Epoch


@dataclass(frozen=True)
class _Message:
    """An event without its run, which the job knows. A field has its default if the event has no such value."""

    kind: Literal["started", "stage", "finished", "ended"]
    stage: str = ""
    epoch: Epoch | None = None
    misses: tuple[tuple[int, ...], ...] | None = None
    status: Status = "ok"
    reason: str = ""
    machine: str = ""


def write(event: Event) -> str:
    """Write an event of a run as JSON."""
    match event:
        case Started():
            message = _Message("started")
        case Stage(_, name):
            message = _Message("stage", stage=name)
        case EpochFinished(_, epoch, misses, machine):
            message = _Message("finished", epoch=epoch, misses=misses, machine=machine)
        case Ended(_, status, reason, machine):
            message = _Message("ended", status=status, reason=one_line(reason) if reason else "", machine=machine)
        case _:
            raise TypeError(f"a worker does not report {event}")
    return json.dumps(asdict(message), allow_nan=False)


def read(content: str, run: Run) -> Event:
    """Read an event of this run.

    Raises:
        schema.Mismatch: the content is not what `write` writes, or a number is out of bounds.
    """
    message: _Message = schema.read(content.encode(errors="replace"), _Message)
    if message.kind == "started":
        return Started(run)
    if message.kind == "stage":
        return Stage(run, message.stage)
    if message.kind == "ended":
        return Ended(run, message.status, message.reason, message.machine)
    if message.epoch is None:
        raise schema.Mismatch("the epoch is missing")
    _check(message.epoch, run)
    if message.misses is None:
        return EpochFinished(run, message.epoch, None, message.machine)
    try:
        misses = tuple((image, label, seen) for image, label, seen in message.misses)
    except ValueError as error:
        raise schema.Mismatch("a missed image is not three numbers") from error
    return EpochFinished(run, message.epoch, misses, message.machine)


def _check(epoch: Epoch, run: Run) -> None:
    for name, value in asdict(epoch).items():
        low, high = BOUNDS[name]
        if value is not None and not low <= value <= high:
            raise schema.Mismatch(f"{name} is {value}, not a number from {low:g} to {high:g}")
    if epoch.correct > epoch.total or epoch.epoch > run.epochs:
        raise schema.Mismatch(f"epoch {epoch.epoch} of {run.epochs} has {epoch.correct} of {epoch.total} correct")
