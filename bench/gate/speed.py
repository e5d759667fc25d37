"""Measure training images per second of three loops, for each network, in turns, with every core in use.

- plain: the documents' notebooks. One process has PyTorch's default number of threads.
- attentive: a careful loop of PyTorch's operators. Each core has one process, with one thread.
- ours: the harness in exact arithmetic. Each core has one process, with one thread.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate
from torch import nn

from bench.children import child_command, child_variables
from bench.errors import UnusableInput
from bench.network import structure_facts
from bench.network.specification import TRAINING_IMAGES, Architecture
from bench.network.structure_facts import Structure
from bench.training import data
from bench.training.environment import THREADS, worker_variables

ROUNDS = 5
STEP_ROUNDS = 25
BURST = 3.0  # seconds of training in one round
SHARE_STEPS = 3  # steps in one round whose convolutions are timed
PEAK_BURST = 0.2  # seconds at the peak in one round
NOISY = 0.15  # a larger spread of the rounds' ratios, relative to their median, makes them unreliable


@dataclass(frozen=True)
class Measurement:
    """One network: images per second in each round, of each loop, on all cores together.

    `share` is the part of our step's time that convolutions take. `convolutions` is the multiply-accumulates per second
    of the convolutions while they run, on all cores together.
    """

    model: str
    plain: tuple[float, ...]
    attentive: tuple[float, ...]
    ours: tuple[float, ...]
    share: float
    convolutions: float

    @property
    def ratio(self) -> float:
        """How many times as fast as the plain loop ours is."""
        return median(self.ours) / median(self.plain)

    @property
    def ratio_attentive(self) -> float:
        """How many times as fast as the attentive loop ours is."""
        return median(self.ours) / median(self.attentive)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles of the rounds' ratios, relative to their median.

        It is that of the ratio to the plain or to the attentive loop, whichever is larger.
        """
        return max(_spread(self.ours, self.plain), _spread(self.ours, self.attentive))


@dataclass(frozen=True)
class Speed:
    """All measurements. `peak` is the fused multiply-adds per second that the cores reach together, in registers."""

    networks: tuple[Measurement, ...]
    cores: int
    peak: float

    @property
    def ratio(self) -> float:
        """How many times as fast as in the plain loop one epoch of all networks is, from the medians of the rounds."""
        return _epochs([one.plain for one in self.networks]) / _epochs([one.ours for one in self.networks])

    @property
    def ratio_attentive(self) -> float:
        """The same ratio to the attentive loop."""
        return _epochs([one.attentive for one in self.networks]) / _epochs([one.ours for one in self.networks])


def step_ratios(architectures: Sequence[Architecture], root: Path) -> dict[str, float]:
    """Return the median time of a step of each network relative to the calibration, measured in turns.

    Raises:
        UnusableInput: as `measure`.
    """
    data.ensure(root)
    found = {}
    for architecture in architectures:
        with _processes(architecture.name, root, {"ours": 1}) as processes:
            found[architecture.name] = median(_ask(processes["ours"], f"ratios {STEP_ROUNDS}")[0])
    return found


def measure(architectures: Sequence[Architecture], root: Path, cores: int) -> Speed:
    """Measure each network in rounds, the three loops in turns. All processes of a network start first.

    Each round also measures the convolutions of our step, then the peak, on all cores at the same time. Both count
    processor time, and so not the time that other programs take.

    Raises:
        UnusableInput: there is no network, the data cannot be used, or a measuring process fails.
    """
    if not architectures:
        raise UnusableInput("there is no network to measure: choose some with --models")
    data.ensure(root)
    structures = structure_facts.load([one.name for one in architectures])
    measured, peaks = [], []
    for architecture in architectures:
        work = convolution_work(architecture, structures[architecture.name])
        rates, shares, convolutions = [], [], []
        with _processes(architecture.name, root, {"plain": 1, "attentive": cores, "ours": cores}) as processes:
            for _ in range(ROUNDS):
                rates.append([_rate(one) for one in processes.values()])
                steps = _ask(processes["ours"], f"share {SHARE_STEPS}")
                shares.append(sum(one["convolutions"] for one in steps) / sum(one["seconds"] for one in steps))
                convolutions.append(sum(work * one["images"] / one["convolutions"] for one in steps))
                peaks.append(sum(_ask(processes["ours"], f"peak {PEAK_BURST}")))
        plain, attentive, ours = zip(*rates, strict=True)
        measured.append(Measurement(architecture.name, plain, attentive, ours, median(shares), median(convolutions)))
        print(f"{architecture.name}: measured", file=sys.stderr)
    return Speed(tuple(measured), cores, median(peaks))


def convolution_work(architecture: Architecture, structure: Structure) -> int:
    """Return the multiply-accumulates of the convolutions in a training step of one image.

    There are three passes: forward, gradient of the input and gradient of the filter. A convolution that reads the
    image itself has no gradient of the input. A fully connected layer counts as a convolution of 1 x 1.
    """
    first = structure.layers[0]
    if first.kind != "Conv2d":
        return 3 * structure.multiply_accumulates
    layer = next(module for module in architecture.build().modules() if isinstance(module, nn.Conv2d))
    return 3 * structure.multiply_accumulates - layer.weight.numel() * math.prod(first.shape[1:])


def to_json(speed: Speed) -> str:
    """Format the medians as JSON, for scripts."""
    networks = {
        one.model: {
            "plain": median(one.plain),
            "attentive": median(one.attentive),
            "ours": median(one.ours),
            "ratio": one.ratio,
            "ratio_attentive": one.ratio_attentive,
        }
        for one in speed.networks
    }
    return json.dumps({"ratio": speed.ratio, "ratio_attentive": speed.ratio_attentive, "networks": networks})


def format_speed(speed: Speed) -> list[str]:
    """Format the measurements for a reader: a table, then its explanation."""
    rows = [
        (
            one.model,
            f"{median(one.plain):,.0f}",
            f"{median(one.attentive):,.0f}",
            f"{median(one.ours):,.0f}",
            f"{one.ratio:.2f}",
            f"{one.ratio_attentive:.2f}",
            f"{100 * one.spread:.0f} %",
            f"{100 * one.share:.0f} %",
            f"{2e-9 * one.convolutions:.0f}",
            f"{100 * one.convolutions / speed.peak:.0f} %",
        )
        for one in speed.networks
    ]
    headers = (
        "network",
        "plain",
        "attentive",
        "ours",
        "ours/plain",
        "ours/attentive",
        "± spread",
        "convolution",
        "GFLOP/s",
        "of peak",
    )
    lines = tabulate(rows, headers, colalign=("left", *("right",) * 9), disable_numparse=True).splitlines()
    overall = f"{speed.ratio:.2f} times as fast as the plain loop"
    overall_attentive = f"{speed.ratio_attentive:.2f} times as fast as the attentive loop"
    lines += [
        "",
        f"One epoch of all networks together: {overall}, {overall_attentive}.",
        f"Training images per second on {speed.cores} cores; medians of {ROUNDS} rounds, measured in turns.",
        "Plain: the loop of the documents' notebooks, in one process with PyTorch's default number of threads.",
        "Attentive: a careful loop of PyTorch's operators, in one single-threaded process for each core.",
        "Ours: exact arithmetic, in one single-threaded process for each core.",
        "Convolution: its part of our step's time. GFLOP/s: the speed of our convolutions while they run.",
        f"Peak: fused multiply-adds in registers reach {2e-9 * speed.peak:.0f} GFLOP/s on the same cores.",
    ]
    noisy = [one.model for one in speed.networks if one.spread > NOISY]
    if noisy:
        lines.append(
            f"The measurement of {', '.join(noisy)} is too noisy: the rounds differ by more than {100 * NOISY:.0f} %. "
            "Stop other programs, then measure again."
        )
    return lines


def _spread(ours: Sequence[float], others: Sequence[float]) -> float:
    ratios = sorted(one / other for one, other in zip(ours, others, strict=True))
    quarter = len(ratios) // 4
    return (ratios[-1 - quarter] - ratios[quarter]) / 2 / median(ratios)


def _epochs(rates: Sequence[Sequence[float]]) -> float:
    """Return the seconds of one epoch of every network, from the images per second of the rounds of each."""
    return sum(TRAINING_IMAGES / median(rounds) for rounds in rates)


def _rate(processes: Sequence[subprocess.Popen[str]]) -> float:
    """Return the images per second of processes that train at the same time."""
    return float(sum(answer["images"] / answer["seconds"] for answer in _ask(processes, f"train {BURST}")))


def _ask(processes: Sequence[subprocess.Popen[str]], question: str) -> list[Any]:
    """Ask several processes at the same time, and return their answers."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(question + "\n")
        process.stdin.flush()
    return [json.loads(_line(process)) for process in processes]


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise UnusableInput(f"a measuring process ended with code {process.wait()}: see its error above")
    return line


@contextmanager
def _processes(name: str, root: Path, kinds: Mapping[str, int]) -> Iterator[dict[str, list[subprocess.Popen[str]]]]:
    """Start so many processes of each kind and yield them by kind, warmed up and waiting. They end with the context.

    The first process of a kind starts alone, because it may compile code that the others then find.
    """
    started: dict[str, list[subprocess.Popen[str]]] = {kind: [] for kind in kinds}
    try:
        for kind, count in kinds.items():
            processes = started[kind]
            processes.append(_start(name, kind, root))
            _line(processes[0])
            while len(processes) < count:
                processes.append(_start(name, kind, root))
            for process in processes[1:]:
                _line(process)
        yield started
    finally:
        for processes in started.values():
            for process in processes:
                process.kill()
                process.communicate()


def _variables(kind: str) -> Mapping[str, str]:
    """The environment variables of a process. Only ours has the harness's settings of the allocator."""
    if kind == "ours":
        return worker_variables()
    return {} if kind == "plain" else {"OMP_NUM_THREADS": str(THREADS), "MKL_NUM_THREADS": str(THREADS)}


def _start(name: str, kind: str, root: Path) -> subprocess.Popen[str]:
    """Start a process. Only the plain loop keeps the threads and the allocator that the system gives it."""
    return subprocess.Popen(
        child_command("bench.gate.pace", name, kind, str(root)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=child_variables(_variables(kind)),
        text=True,
        start_new_session=True,
    )
