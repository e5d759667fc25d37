"""Several runs of a network in training on a GPU, side by side. None of them can notice the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy
from numpy.typing import NDArray

from bench.training.arithmetic.engine import STATISTICS_BATCH
from bench.training.arithmetic.gpu import source
from bench.training.arithmetic.gpu.driver import Compiler, Device, packed
from bench.training.arithmetic.gpu.plan import CLOCK, Launch, plan
from bench.training.arithmetic.program import Program
from bench.training.arithmetic.state import Mode, State

Array = NDArray[Any]


@dataclass(frozen=True)
class GPU:
    """A GPU, and the compiler of kernels for it."""

    device: Device
    compiler: Compiler


class Runs:
    """Runs of one program on a GPU. A state has the numbers of one run: at the beginning, and after `fetch`."""

    def __init__(self, gpu: GPU, program: Program, states: Sequence[State], batch: int) -> None:
        """Compile the kernels, and bring the states to the GPU. A batch of training has up to `batch` images.

        Raises:
            NotOnGPU: the kernels do not have an operation of the program.
            OutOfMemory: the GPU cannot hold so many runs.
            UnusableInput: the kernels cannot be compiled here.
        """
        shapes = {name: one.shape for name, one in states[0].parameters.items()}
        self._plan = plan(program, shapes, states[0].trainable)
        self._device, self._states = gpu.device, states
        self._kernels = gpu.device.load(
            gpu.compiler(self._plan.source, gpu.device.architecture), source.kernels(self._plan.source)
        )
        self._graphs: dict[object, Callable[[], None]] = {}
        self._addresses: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        try:
            for name, size in self._plan.buffers.items():
                most = max(batch, STATISTICS_BATCH)
                self._allocate(name, len(states) * (size.fixed + size.trained * batch + size.seen * most))
            for name in ("clock", "test clock"):
                self._allocate(name, CLOCK.size)
            for name, rows in self._plan.tables.items():
                content = b"".join(packed(row, self._addresses) for row in rows)
                self._put(name, numpy.frombuffer(content, numpy.uint8))
        except MemoryError:
            self.close()
            raise
        self._put("seeds", numpy.array([one.seed for one in states], numpy.int64))
        self._bring()

    def close(self) -> None:
        """Give the memory back."""
        addresses, self._addresses = self._addresses, {}
        self._graphs.clear()
        for address in addresses.values():
            with suppress(RuntimeError):  # after a fault of a kernel, the driver refuses this too, and hides the fault
                self._device.free(address)

    def see(self, images: Array, labels: Array, test_images: Array, test_labels: Array) -> None:
        """Bring the data set to the GPU: pixels uint8 (N, 28, 28) and labels (N,) of training and test."""
        self._put("images", images.astype(numpy.uint8))
        self._put("labels", labels.astype(numpy.uint8))
        self._put("test images", test_images.astype(numpy.uint8))
        self._put("test labels", test_labels.astype(numpy.uint8))
        self._tests = len(test_labels)
        self._allocate("digits", len(self._states) * self._tests)
        self._allocate("each", 8 * len(self._states) * self._tests)
        self._allocate("order", 4 * len(self._states) * len(labels))

    def train(self, orders: Array, batch: int, momentum: float, rate: float) -> Array:
        """Take a step for each batch of the images that `orders`, (runs, images), names; the last one may be short.

        Return the sums of the losses of each run, float64 (runs,).

        Raises:
            UnusableInput: a batch normalisation has one value a channel.
        """
        count, runs = orders.shape[1], len(self._states)
        self._put("order", orders.astype(numpy.int32))
        self._put("losses", numpy.zeros(runs))
        self._put("clock", _clock(self._states[0].step, momentum, rate))
        for first in range(0, count, batch):
            images = min(batch, count - first)
            self._run(("step", images, count), partial(self._plan.step, images, count))
        for state in self._states:
            state.step += -(-count // batch)
            for part in self._plan.parts:
                if part.norm is not None and part.norm.count is not None:
                    state.buffers[part.norm.count] += -(-count // batch)
        return self._device.read(self._addresses["losses"], numpy.empty(runs))

    def evaluate(self, mode: Mode = "evaluation") -> tuple[Array, Array, Array]:
        """Evaluate the test images; `mode` as in `Engine.scores`.

        Return for each run the mean loss, the images classified correctly, and the digits, uint8 (runs, images).
        """
        runs, count = len(self._states), self._tests
        self._put("test clock", _clock(0, 0.0, 0.0))
        if mode == "evaluation":
            self._run("running statistics", self._plan.running_statistics)
        for first in range(0, count, STATISTICS_BATCH):
            images = min(STATISTICS_BATCH, count - first)
            self._run((mode, images), partial(self._plan.evaluation, images, count, mode))
        self._run("evaluated", lambda: [self._plan.evaluated(count)])
        losses = self._device.read(self._addresses["test losses"], numpy.empty(runs))
        correct = self._device.read(self._addresses["correct"], numpy.empty(runs, numpy.int64))
        digits = self._device.read(self._addresses["digits"], numpy.empty((runs, count), numpy.uint8))
        return losses / count, correct, digits

    def fetch(self) -> None:
        """Copy parameters, velocities and running statistics from the GPU into the states."""
        for name, arrays in self._numbers():
            found = numpy.empty((len(arrays), *arrays[0].shape), numpy.float32)
            self._device.read(self._addresses[name], found)
            for one, values in zip(arrays, found, strict=True):
                one[...] = values

    def _bring(self) -> None:
        """Copy the states to the GPU."""
        for name, arrays in self._numbers():
            self._put(name, numpy.stack(arrays))
        self._launch([self._plan.begin()])

    def _numbers(self) -> Iterable[tuple[str, list[Array]]]:
        """The buffers of what a state has, with the arrays of all states."""
        states = self._states
        for name in states[0].parameters:
            yield f"parameter {name}", [one.parameters[name] for one in states]
        for name in states[0].velocities:
            yield f"velocity {name}", [one.velocities[name] for one in states]
        for name in states[0].buffers:
            if f"buffer {name}" in self._plan.buffers:
                yield f"buffer {name}", [one.buffers[name] for one in states]

    def _allocate(self, name: str, size: int) -> None:
        if name in self._addresses:  # what the graphs launch reads the old one
            self._device.free(self._addresses.pop(name))
            self._graphs.clear()
        self._addresses[name] = self._device.allocate(size)
        self._sizes[name] = size

    def _put(self, name: str, values: Array) -> None:
        """Write to a buffer, which becomes larger if it has to."""
        if self._sizes.get(name, -1) < values.nbytes:
            self._allocate(name, values.nbytes)
        self._device.write(self._addresses[name], values)

    def _run(self, key: object, launches: Callable[[], Iterable[Launch]]) -> None:
        """Run launches as a graph, which is recorded once for each key."""
        if key not in self._graphs:
            made = list(launches())
            self._graphs[key] = self._device.graph(lambda: self._launch(made))
        self._graphs[key]()

    def _launch(self, launches: Iterable[Launch]) -> None:
        for one in launches:
            self._device.launch(self._kernels, one, self._addresses, len(self._states))


def _clock(step: int, momentum: float, rate: float) -> Array:
    return numpy.frombuffer(CLOCK.pack(step, 0, momentum, rate), numpy.uint8)
