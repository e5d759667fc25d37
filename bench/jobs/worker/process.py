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
from pathlib import Path
from typing import Any

from bench.errors import UnusableInput
from bench.jobs.worker.task import Send, Task, dataset_of, failed, send_epoch, send_history
from bench.network.specification import Arithmetic
from bench.record.environments import EXACT

_COMPILED_MODULES = Path(__file__).parents[2] / "training" / "arithmetic" / "kernels"
"""The folder of the modules that numba compiles. Numba stores the compiled code beside them."""


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

    from bench.jobs.worker import side_by_side
    from bench.training import agreement, environment

    run = task.run
    arithmetic: Arithmetic = "exact" if run.environment == EXACT.digest else "native"
    environment.configure(run.device)
    native = environment.describe(run.device)
    here = EXACT if arithmetic == "exact" else native
    if here.digest != run.environment:
        raise UnusableInput(f"the worker's environment is {here.digest}, but the plan has {run.environment}")
    send({"kind": "ready", "machine": environment.machine(native)})
    with _compiling_said(send) if arithmetic == "exact" else nullcontext():
        if arithmetic == "exact" and run.device == "cuda":
            side_by_side.train((task, *others), send)
            return
        if arithmetic == "exact":
            agreement.require(task.architecture)
        _train(task, arithmetic, send)


def _train(task: Task, arithmetic: Arithmetic, send: Send) -> None:
    from bench.jobs.worker import checkpoint
    from bench.training import loop

    run, dataset = task.run, dataset_of(task)
    start = next(checkpoint.load(task.checkpoints, run), None)
    send_history(task, start, dataset.test_labels, send)
    labels = dataset.test_labels
    dataset = dataset.to(run.device)
    send({"kind": "stage", "stage": "training"})
    for state in loop.train(task.architecture, run.seed, run.device, dataset, run.epochs, start, arithmetic):
        checkpoint.save(task.checkpoints, run, state)
        send_epoch(task, state.history[-1], state, labels, send)
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


def main() -> None:
    """Read the tasks, perform them, and send a message about how they ended."""
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sending = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        with sending:
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


def _end_with_standard_input() -> None:
    while os.read(0, 4096):  # not sys.stdin: Python aborts if a thread holds its lock at exit
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)
