"""Train runs side by side on a GPU. Each network has a thread and a stream of its own, and all of its seeds share it.

No run can notice the others: it has the bits that it has alone. An error ends the runs of its own network only.
Only after a fault of a kernel, such as a wrong address, the driver refuses this process everything, for all networks.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from bench.errors import UnusableInput
from bench.jobs.worker import checkpoint
from bench.jobs.worker.task import Send, Task, dataset_of, failed, send_epoch, send_history
from bench.training import agreement, golden, randomness, together
from bench.training.loop import Diverged, State
from bench.training.together import Images

Begin = Callable[[Sequence[int]], Iterator[tuple[State | Diverged, ...]]]
"""Takes memory for runs, which it gets by their numbers, and returns an iterator over their epochs."""


def train(tasks: Sequence[Task], send: Send) -> None:
    """Train the run of every task. Its messages name it by `run`, and the last one says how it ended.

    Raises:
        UnusableInput: the data cannot be used.
    """
    dataset = dataset_of(tasks[0])
    send({"kind": "stage", "stage": "compiling"})
    images, shared = together.images_of(dataset), _SharedGPU()
    networks: dict[object, dict[int, Task]] = {}
    for i, task in enumerate(tasks):
        networks.setdefault((task.run.model, task.run.recipe, task.run.epochs), {})[i] = task
    with ThreadPoolExecutor(len(networks)) as pool:
        threads = [
            pool.submit(_Network(runs, images, dataset.test_labels, shared, send).train) for runs in networks.values()
        ]
    for one in threads:
        one.result()


class _SharedGPU:
    """What the threads must know of each other: how many runs the GPU holds."""

    def __init__(self) -> None:
        self._runs = 0
        self._changed = threading.Condition()

    def count(self) -> int:
        """The number of runs in the memory."""
        return self._runs

    def begin(self, begin: Begin, runs: Sequence[int]) -> Iterator[tuple[State | Diverged, ...]] | None:
        """Return what `begin` returns for the runs, or None if fewer of them may fit.

        A single run waits until the others of the GPU leave it enough memory.

        Raises:
            MemoryError: the GPU cannot hold a single run.
        """
        with self._changed:
            while True:
                try:
                    begun = begin(runs)
                except MemoryError:
                    if len(runs) > 1:
                        return None
                    if not self._runs:
                        raise
                    self._changed.wait()
                else:
                    self._runs += len(runs)
                    return begun

    def end(self, runs: Sequence[int]) -> None:
        """Say that runs have given their memory back."""
        with self._changed:
            self._runs -= len(runs)
            self._changed.notify_all()


@dataclass(frozen=True)
class _Network:
    """The runs of one network by their numbers, and what they share with the other networks."""

    tasks: Mapping[int, Task]
    images: Images
    labels: Tensor
    shared: _SharedGPU
    send: Send
    ended: set[int] = field(default_factory=set)

    def train(self) -> None:
        """Train all runs. Each of them ends with a message."""
        try:
            first = next(iter(self.tasks.values()))
            architecture, epochs = first.architecture, first.run.epochs
            gpu = together.this_gpu()
            golden.require_on_gpu(architecture, gpu)
            with randomness.ONE_THREAD:
                agreement.require_network(architecture)
            starts = {i: next(checkpoint.load(one.checkpoints, one.run), None) for i, one in self.tasks.items()}
            by_epochs: dict[int, list[int]] = {}
            for i, start in starts.items():
                with self._ending(i):
                    send_history(self.tasks[i], start, self.labels, self._sender(i))
                    by_epochs.setdefault(0 if start is None else len(start.history), []).append(i)

            def begin(runs: Sequence[int]) -> Iterator[tuple[State | Diverged, ...]]:
                seeds, states = [self.tasks[i].run.seed for i in runs], [starts[i] for i in runs]
                return together.train(architecture, seeds, self.images, epochs, states, gpu, self.shared.count)

            waiting = list(by_epochs.values())
            while waiting:
                group = waiting.pop(0)
                if not self._has_trained(group, begin):
                    half = len(group) // 2
                    waiting[:0] = [group[:half], group[half:]]
        except Exception as error:  # an error of a network ends its own runs only
            traceback.print_exc()
            for i in self.tasks.keys() - self.ended:
                self._end(i, failed(error))

    def _has_trained(self, group: Sequence[int], begin: Begin) -> bool:
        """Train runs that have come to the same epoch, unless the GPU cannot hold them all."""
        results = self.shared.begin(begin, group)
        if results is None:
            return False
        try:
            for i in group:
                self._sender(i)({"kind": "stage", "stage": "training"})
            for found in results:
                for i, state in zip(group, found, strict=True):
                    self._take(i, state)
        finally:
            self.shared.end(group)
        for i in group:
            if i not in self.ended:
                checkpoint.discard_previous(self.tasks[i].checkpoints, self.tasks[i].run)
                self._end(i, {"kind": "done"})
        return True

    def _take(self, i: int, state: State | Diverged) -> None:
        """Save and send what a run has after an epoch."""
        if i in self.ended:
            return
        if isinstance(state, Diverged):
            self._end(i, failed(state))
            return
        task = self.tasks[i]
        with self._ending(i):
            checkpoint.save(task.checkpoints, task.run, state)
            send_epoch(task, state.history[-1], state, self.labels, self._sender(i))

    @contextmanager
    def _ending(self, i: int) -> Iterator[None]:
        """End a run whose record differs."""
        try:
            yield
        except UnusableInput as error:
            self._end(i, failed(error))

    def _end(self, i: int, message: dict[str, Any]) -> None:
        self.ended.add(i)
        self._sender(i)(message)

    def _sender(self, i: int) -> Send:
        return lambda message: self.send({**message, "run": i})
