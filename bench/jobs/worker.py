"""The process that trains one run: `python -m bench.jobs.worker`.

It reads a pickled task from standard input and writes messages to standard output. A message is a line of JSON with a
`kind`. The first is `ready`. Messages `stage` then say what takes time before the first epoch is finished. Every
finished epoch gets a message `epoch` with its `misses`. The final message is `done`, or `failed` with a status and a
reason. What a network prints goes to standard error. When standard input is closed, nobody reads the messages any more.
The process then kills its whole process group.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UnusableInput, one_line
from bench.network.specification import Architecture, Arithmetic
from bench.record.environments import EXACT
from bench.record.rows import Fingerprint, Run, fingerprint

if TYPE_CHECKING:
    from torch import Tensor

_COMPILED_MODULES = Path(__file__).parents[1] / "training" / "arithmetic" / "kernels"
"""The folder of the modules that numba compiles. Numba stores the compiled code beside them."""

MissedImages = tuple[tuple[int, int, int], ...]
"""Number, label and prediction of every test image that is classified wrongly, in the order of the images."""


@dataclass(frozen=True)
class Task:
    """A run to train, and where its files are.

    `data` is the data's folder, `checkpoints` the folder of the states. `recorded` has the fingerprints of the epochs
    that are already recorded, from the first. `subset` keeps only the first training and test images.
    """

    architecture: Architecture
    run: Run
    data: Path
    checkpoints: Path
    recorded: tuple[Fingerprint, ...] = ()
    subset: tuple[int, int] | None = None


def perform(task: Task, send: Callable[[dict[str, Any]], None]) -> None:
    """Train a task's run to its last epoch. Send every epoch that is not recorded yet.

    If code must be compiled first, a message `stage` says so. Another one says when training begins.

    Raises:
        UnusableInput: the data cannot be used, the environment is not the planned one, this machine computes other
            bits, or an epoch differs from its record.
        bench.training.loop.Diverged: the loss is no longer finite.
    """
    if not os.access(_COMPILED_MODULES, os.W_OK):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(task.checkpoints / "compiled"))

    from bench.training import agreement, environment

    run = task.run
    arithmetic: Arithmetic = "exact" if run.environment == EXACT.digest else "native"
    environment.configure(run.device)
    native = environment.describe(run.device, "native")
    here = EXACT if arithmetic == "exact" else native
    if here.digest != run.environment:
        raise UnusableInput(f"the worker's environment is {here.digest}, but the plan has {run.environment}")
    send({"kind": "ready", "machine": environment.machine(native)})
    with _compiling_said(send) if arithmetic == "exact" else nullcontext():
        if arithmetic == "exact":
            agreement.require(task.architecture)
        _train(task, arithmetic, send)


def _train(task: Task, arithmetic: Arithmetic, send: Callable[[dict[str, Any]], None]) -> None:
    from bench.jobs import checkpoint
    from bench.training import data, loop

    run = task.run
    dataset = data.load(task.data)
    if task.subset is not None:
        dataset = dataset.head(*task.subset)
    start = next(checkpoint.load(task.checkpoints, run), None)

    def emit(epoch: loop.Epoch, state: loop.State) -> None:
        if epoch.epoch > len(task.recorded):
            # A state has only the predictions of its own last epoch.
            known = epoch.epoch == len(state.history)
            misses = _misses(state.predictions, dataset.test_labels) if known else None
            send({"kind": "epoch", "epoch": asdict(epoch), "misses": misses})
        elif (trained := fingerprint(epoch)) != (recorded := task.recorded[epoch.epoch - 1]):
            difference = f"epoch {epoch.epoch} is recorded as {recorded}, but training gives {trained}"
            raise UnusableInput(f"{difference}: correct the record, or use another --runs file")

    if start is not None:
        for epoch in start.history[: run.epochs]:
            emit(epoch, start)
    dataset = dataset.to(run.device)
    send({"kind": "stage", "stage": "training"})
    for state in loop.train(task.architecture, run.seed, run.device, dataset, run.epochs, start, arithmetic):
        checkpoint.save(task.checkpoints, run, state)
        emit(state.history[-1], state)
    checkpoint.discard_previous(task.checkpoints, run)


@contextmanager
def _compiling_said(send: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Within this context, send a message before numba compiles the first function. Loading one takes no time."""
    from numba.core import event

    class Listener(event.Listener):
        is_said = False

        def on_start(self, event: Any) -> None:
            if not self.is_said:
                send({"kind": "stage", "stage": "compiling"})
            self.is_said = True

        def on_end(self, event: Any) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield


def _misses(predictions: Tensor, labels: Tensor) -> MissedImages:
    """Return the images whose prediction is not their label. Both tensors are (N,), on the CPU."""
    wrong = (predictions != labels).nonzero().flatten()
    return tuple(zip(wrong.tolist(), labels[wrong].tolist(), predictions[wrong].tolist(), strict=True))


def main() -> None:
    """Read the task, perform it, and send a message about how it ended."""
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(message: dict[str, Any]) -> None:
        messages.write(json.dumps(message, allow_nan=False) + "\n")
        messages.flush()

    task: Task = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    try:
        perform(task, send)
    except Exception as error:  # an error of a network ends its own run only
        traceback.print_exc()
        is_divergence = type(error).__name__ == "Diverged"
        reason = one_line(error) if isinstance(error, UnusableInput) or is_divergence else _with_type(error)
        send({"kind": "failed", "status": "diverged" if is_divergence else "error", "reason": reason})
    else:
        send({"kind": "done"})


def _with_type(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def _end_with_standard_input() -> None:
    while os.read(0, 4096):  # not sys.stdin: Python aborts if a thread holds its lock at exit
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
