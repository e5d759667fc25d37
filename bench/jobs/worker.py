"""The process that trains one run: `python -m bench.jobs.worker`, a task on its standard input, messages on its output.

A message is a line of JSON with a `kind`: an `epoch` for every finished one, the last with its `misses`, then `done`,
or `failed` with a status and a reason. Whatever a network prints goes to standard error. The process ends itself, and
what it may have started, when its standard input is closed, because then nobody is left to listen.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UnusableInput, one_line
from bench.network.specification import Architecture
from bench.record.rows import Run

if TYPE_CHECKING:
    from torch import Tensor

_COMPILED = Path(__file__).parents[1] / "training" / "arithmetic"
"""The folder of the modules that numba compiles: it keeps the result beside them."""

MissedImages = tuple[tuple[int, int, int], ...]
"""Test image, label and prediction of every image that is classified wrongly, by ascending image."""

Fingerprint = tuple[int, int, float, float]
"""Correct and total images, test and train loss: what training an epoch again must give, bit for bit."""


@dataclass(frozen=True)
class Task:
    """A run to train and where its files are.

    `recorded` has the reproducible part of each epoch that is recorded already, from the first: `fingerprint` of it.
    `subset` keeps only the first training and test images.
    """

    architecture: Architecture
    run: Run
    data: Path
    checkpoints: Path
    recorded: tuple[Fingerprint, ...] = ()
    subset: tuple[int, int] | None = None


def perform(task: Task, send: Callable[[dict[str, Any]], None]) -> None:
    """Train a task's run to its last epoch and send every epoch that is not recorded yet.

    Raises:
        UnusableInput: the data cannot be used, or an epoch comes out otherwise than it is recorded.
        bench.training.loop.Diverged: the loss is no longer finite.
    """
    if not os.access(_COMPILED, os.W_OK):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(task.checkpoints / "compiled"))

    from bench.jobs import checkpoint
    from bench.training import data, environment, loop

    run = task.run
    environment.configure(run.device)
    here = environment.describe(run.device)
    if here.digest != run.environment:
        raise UnusableInput(f"the worker's environment is {here.digest}, not the plan's {run.environment}")
    dataset = data.load(task.data)
    if task.subset is not None:
        dataset = dataset.head(*task.subset)
    start = next(checkpoint.load(task.checkpoints, run), None)

    def emit(epoch: loop.Epoch, state: loop.State) -> None:
        if epoch.epoch > len(task.recorded):
            # A state has the predictions of its own last epoch alone.
            is_last = epoch.epoch == run.epochs == len(state.history)
            misses = _misses(state.predictions, dataset.test_labels) if is_last else None
            send({"kind": "epoch", "epoch": asdict(epoch), "misses": misses})
        elif (trained := (epoch.correct, epoch.total, epoch.test_loss, epoch.train_loss)) != task.recorded[
            epoch.epoch - 1
        ]:
            difference = (
                f"epoch {epoch.epoch} is recorded as {task.recorded[epoch.epoch - 1]}, but training gives {trained}"
            )
            raise UnusableInput(f"{difference}: mend the record, or use another --runs file")

    if start is not None:
        for epoch in start.history[: run.epochs]:
            emit(epoch, start)
    for state in loop.train(task.architecture, run.seed, run.device, dataset.to(run.device), run.epochs, start):
        checkpoint.save(task.checkpoints, run, state)
        emit(state.history[-1], state)
    checkpoint.discard_previous(task.checkpoints, run)


def _misses(predictions: Tensor, labels: Tensor) -> MissedImages:
    """What `predictions` (N,) get wrong of `labels` (N,), both on the CPU."""
    wrong = (predictions != labels).nonzero().flatten()
    return tuple(zip(wrong.tolist(), labels[wrong].tolist(), predictions[wrong].tolist(), strict=True))


def main() -> None:
    """Read the task, perform it, and say how it ended."""
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(message: dict[str, Any]) -> None:
        messages.write(json.dumps(message, allow_nan=False) + "\n")
        messages.flush()

    task: Task = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    try:
        perform(task, send)
    except Exception as error:  # whatever a network does closes its own run, with the reason, and no other
        traceback.print_exc()
        is_divergence = type(error).__name__ == "Diverged"
        reason = one_line(error) if isinstance(error, UnusableInput) or is_divergence else _named(error)
        send({"kind": "failed", "status": "diverged" if is_divergence else "error", "reason": reason})
    else:
        send({"kind": "done"})


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def _end_with_standard_input() -> None:
    while os.read(0, 4096):  # not sys.stdin: Python aborts if a thread holds its lock when the process wants to exit
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
