"""The process that trains one run, or several side by side on a GPU: `python -m bench.jobs.worker`.

It reads pickled tasks from standard input and writes messages to standard output. A message is a line of JSON with a
`kind`. The first is `ready`. Messages `stage` then say what takes time before the first epoch is finished. Every
finished epoch gets a message `epoch` with its `misses`. The final message is `done`, or `failed` with a status and a
reason. Where there are several tasks, a message names its own one by `run`, which counts from 0; without it, it is
about all that have not ended. What a network prints goes to standard error. When standard input is closed, nobody reads
the messages any more. The process then kills its whole process group.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UnusableInput, one_line
from bench.network.specification import Architecture, Arithmetic
from bench.record.environments import EXACT
from bench.record.rows import Fingerprint, Run, fingerprint

if TYPE_CHECKING:
    from torch import Tensor

    from bench.training.data import Dataset
    from bench.training.loop import Epoch, State

_COMPILED_MODULES = Path(__file__).parents[1] / "training" / "arithmetic" / "kernels"
"""The folder of the modules that numba compiles. Numba stores the compiled code beside them."""

Send = Callable[[dict[str, Any]], None]
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

    def is_beside(self, other: Task) -> bool:
        """Whether a GPU can train the runs of two tasks side by side: other seeds of one network, in the same way."""
        one, two = replace(self.run, seed=0), replace(other.run, seed=0)
        return one == two and one.device == "cuda" and one.environment == EXACT.digest and self.subset == other.subset


def perform(task: Task, send: Send, others: Sequence[Task] = ()) -> None:
    """Train a task's run to its last epoch, with others beside it. Send every epoch that is not recorded yet.

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
        if arithmetic == "exact" and run.device == "cuda":
            _train_together((task, *others), send)
            return
        if arithmetic == "exact":
            agreement.require(task.architecture)
        _train(task, arithmetic, send)


def _train(task: Task, arithmetic: Arithmetic, send: Send) -> None:
    from bench.jobs import checkpoint
    from bench.training import loop

    run, dataset = task.run, _dataset(task)
    start = next(checkpoint.load(task.checkpoints, run), None)
    _send_history(task, start, dataset.test_labels, send)
    labels = dataset.test_labels
    dataset = dataset.to(run.device)
    send({"kind": "stage", "stage": "training"})
    for state in loop.train(task.architecture, run.seed, run.device, dataset, run.epochs, start, arithmetic):
        checkpoint.save(task.checkpoints, run, state)
        _send_epoch(task, state.history[-1], state, labels, send)
    checkpoint.discard_previous(task.checkpoints, run)


def _train_together(tasks: Sequence[Task], send: Send) -> None:
    """Train runs side by side on a GPU. How each of them ends is a message of its own."""
    from bench.jobs import checkpoint
    from bench.training import agreement, golden, together
    from bench.training.loop import Diverged

    architecture, dataset = tasks[0].architecture, _dataset(tasks[0])
    gpu = together.this_gpu()
    send({"kind": "stage", "stage": "compiling"})
    golden.require_on_gpu(architecture, gpu)
    agreement.require_network(architecture)
    starts = [next(checkpoint.load(one.checkpoints, one.run), None) for one in tasks]
    ended: set[int] = set()

    def sender(i: int) -> Send:
        return lambda message: send({**message, "run": i})

    def end(i: int, message: dict[str, Any]) -> None:
        ended.add(i)
        sender(i)(message)

    @contextmanager
    def ending(i: int) -> Iterator[None]:
        """End a run whose record differs."""
        try:
            yield
        except UnusableInput as error:
            end(i, failed(error))

    by_epochs: dict[int, list[int]] = {}
    for i, (task, start) in enumerate(zip(tasks, starts, strict=True)):
        with ending(i):
            _send_history(task, start, dataset.test_labels, sender(i))
            by_epochs.setdefault(0 if start is None else len(start.history), []).append(i)
    send({"kind": "stage", "stage": "training"})
    groups = list(by_epochs.values())
    while groups:
        group = groups.pop(0)
        seeds, states = [tasks[i].run.seed for i in group], [starts[i] for i in group]
        results = together.train(architecture, seeds, dataset, tasks[0].run.epochs, states, gpu)
        has_begun = False
        try:
            for found in results:
                has_begun = True
                for i, state in zip(group, found, strict=True):
                    if i in ended:
                        continue
                    if isinstance(state, Diverged):
                        end(i, failed(state))
                        continue
                    with ending(i):
                        checkpoint.save(tasks[i].checkpoints, tasks[i].run, state)
                        _send_epoch(tasks[i], state.history[-1], state, dataset.test_labels, sender(i))
        except MemoryError:
            if has_begun or len(group) == 1:
                raise
            half = len(group) // 2
            groups[:0] = [group[:half], group[half:]]
            continue
        for i in sorted(set(group) - ended):
            checkpoint.discard_previous(tasks[i].checkpoints, tasks[i].run)
            end(i, {"kind": "done"})


def _dataset(task: Task) -> Dataset:
    from bench.training import data

    dataset = data.load(task.data)
    return dataset if task.subset is None else dataset.head(*task.subset)


def _send_history(task: Task, start: State | None, labels: Tensor, send: Send) -> None:
    """Send the epochs of a saved state, as far as they belong to the run."""
    if start is not None:
        for epoch in start.history[: task.run.epochs]:
            _send_epoch(task, epoch, start, labels, send)


def _send_epoch(task: Task, epoch: Epoch, state: State, labels: Tensor, send: Send) -> None:
    """Send an epoch of a state that is not recorded yet, with its misses if the state still has its predictions.

    Raises:
        UnusableInput: the epoch differs from its record.
    """
    if epoch.epoch > len(task.recorded):
        known = epoch.epoch == len(state.history)
        misses = _misses(state.predictions, labels) if known else None
        send({"kind": "epoch", "epoch": asdict(epoch), "misses": misses})
    elif (trained := fingerprint(epoch)) != (recorded := task.recorded[epoch.epoch - 1]):
        difference = f"epoch {epoch.epoch} is recorded as {recorded}, but training gives {trained}"
        raise UnusableInput(f"{difference}: correct the record, or use another --runs file")


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
    """Read the tasks, perform them, and send a message about how they ended."""
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(message: dict[str, Any]) -> None:
        messages.write(json.dumps(message, allow_nan=False) + "\n")
        messages.flush()

    tasks: tuple[Task, ...] = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    try:
        perform(tasks[0], send, tasks[1:])
    except Exception as error:  # an error of a network ends its own run only
        traceback.print_exc()
        send(failed(error))
    else:
        send({"kind": "done"})


def failed(error: Exception) -> dict[str, Any]:
    """Return the message on a run that an error has ended."""
    is_divergence = type(error).__name__ == "Diverged"
    is_said = is_divergence or isinstance(error, UnusableInput)
    reason = one_line(error) if is_said else f"{type(error).__name__}: {one_line(error)}"
    return {"kind": "failed", "status": "diverged" if is_divergence else "error", "reason": reason}


def _end_with_standard_input() -> None:
    while os.read(0, 4096):  # not sys.stdin: Python aborts if a thread holds its lock at exit
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
