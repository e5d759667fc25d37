"""Measure training images per second of each network and of the plain loop, in turns, with every core in use."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate

from bench.children import child_variables
from bench.errors import UnusableInput
from bench.network import structure_facts
from bench.network.specification import TRAINING_IMAGES, Architecture
from bench.training import data
from bench.training.environment import worker_variables

ROUNDS = 5
STEP_ROUNDS = 25
BURST = 3.0  # seconds of training in one round
NOISY = 0.15  # a larger spread of the rounds' ratios, relative to their median, makes them unreliable


@dataclass(frozen=True)
class Measurement:
    """One network: images per second in each round, of the plain loop and of ours, on all cores together.

    `convolution` is the part of our step's time that convolutions take. `work` is the multiply-accumulates of one
    training image.
    """

    model: str
    plain: tuple[float, ...]
    ours: tuple[float, ...]
    convolution: float
    work: int

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times as fast as the plain loop ours was, by round."""
        return tuple(ours / plain for ours, plain in zip(self.ours, self.plain, strict=True))

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles of the ratios, relative to their median."""
        ordered = sorted(self.ratios)
        quarter = len(ordered) // 4
        return (ordered[-1 - quarter] - ordered[quarter]) / 2 / median(ordered)


@dataclass(frozen=True)
class Speed:
    """All measurements. `peak` is the multiply-accumulates per second of large matrix products on the same cores."""

    networks: tuple[Measurement, ...]
    cores: int
    peak: float

    @property
    def ratio(self) -> float:
        """How many times as fast one epoch of all networks is, from the medians of the rounds."""
        plain = sum(TRAINING_IMAGES / median(one.plain) for one in self.networks)
        ours = sum(TRAINING_IMAGES / median(one.ours) for one in self.networks)
        return plain / ours


def step_ratios(architectures: Sequence[Architecture], root: Path) -> dict[str, float]:
    """Return the median time of a step of each network relative to the calibration, measured in turns.

    Raises:
        UnusableInput: as `measure`.
    """
    data.ensure(root)
    found = {}
    for architecture in architectures:
        with _processes(architecture.name, root, {"ours": 1}) as (process,):
            found[architecture.name] = median(_ask([process], f"ratios {STEP_ROUNDS}")[0])
    return found


def measure(architectures: Sequence[Architecture], root: Path, cores: int) -> Speed:
    """Measure each network in rounds, the plain loop and ours in turns. All processes of a network start first.

    The plain loop is one process with PyTorch's default number of threads. Ours is one single-threaded process for each
    core.

    Raises:
        UnusableInput: there is no network, the data cannot be used, or a measuring process fails.
    """
    if not architectures:
        raise UnusableInput("there is no network to measure: choose some with --models")
    data.ensure(root)
    structures = structure_facts.load([one.name for one in architectures])
    measured, peaks = [], []
    for architecture in architectures:
        with _processes(architecture.name, root, {"plain": 1, "ours": cores}) as (plain, *ours):
            rounds = [(_rate([plain]), _rate(ours)) for _ in range(ROUNDS)]
            share = _ask(ours[:1], "share 6")[0]
            peaks.append(sum(answer["work"] / answer["seconds"] for answer in _ask(ours, "peak 1")))
        first, second = zip(*rounds, strict=True)
        work = 3 * structures[architecture.name].multiply_accumulates
        measured.append(Measurement(architecture.name, first, second, share, work))
        print(f"{architecture.name}: measured", file=sys.stderr)
    return Speed(tuple(measured), cores, median(peaks))


def to_json(speed: Speed) -> str:
    """Format the medians as JSON, for scripts."""
    networks = {
        one.model: {"plain": median(one.plain), "ours": median(one.ours), "ratio": median(one.ours) / median(one.plain)}
        for one in speed.networks
    }
    return json.dumps({"ratio": speed.ratio, "networks": networks})


def format_speed(speed: Speed) -> list[str]:
    """Format the measurements for a reader: a table, then its explanation."""
    rows = [
        (
            one.model,
            f"{median(one.plain):,.0f}",
            f"{median(one.ours):,.0f}",
            f"{median(one.ours) / median(one.plain):.2f}",
            f"{100 * one.spread:.0f} %",
            f"{100 * one.convolution:.0f} %",
            f"{2e-9 * one.work * median(one.ours):.0f}",
            f"{100 * one.work * median(one.ours) / speed.peak:.0f} %",
        )
        for one in speed.networks
    ]
    headers = ("network", "plain", "ours", "ratio", "± spread", "convolution", "GFLOP/s", "of peak")
    lines = tabulate(rows, headers, colalign=("left", *("right",) * 7), disable_numparse=True).splitlines()
    lines += [
        "",
        f"One epoch of all networks together: {speed.ratio:.2f} times as fast as the plain loop.",
        f"Training images per second on {speed.cores} cores; medians of {ROUNDS} rounds, measured in turns.",
        "Convolution: its part of our step's time. GFLOP/s counts direct convolutions; Winograd's way needs fewer.",
        f"Peak: large matrix products on the same cores reach {2e-9 * speed.peak:.0f} GFLOP/s.",
    ]
    noisy = [one.model for one in speed.networks if one.spread > NOISY]
    if noisy:
        lines.append(
            f"The measurement of {', '.join(noisy)} is too noisy: the rounds differ by more than {100 * NOISY:.0f} %. "
            "Stop other programs, then measure again."
        )
    return lines


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
def _processes(name: str, root: Path, kinds: Mapping[str, int]) -> Iterator[list[subprocess.Popen[str]]]:
    """Start so many processes of each kind and yield them, warmed up and waiting. They end with the context."""
    started: list[subprocess.Popen[str]] = []
    try:
        for kind, count in kinds.items():
            for _ in range(count):
                started.append(_start(name, kind, root, worker_variables() if kind == "ours" else {}))
                _line(started[-1])
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def _start(name: str, kind: str, root: Path, variables: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.gate.pace", name, kind, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=child_variables({**variables, "KINETO_LOG_LEVEL": "99"}),
        text=True,
        start_new_session=True,
    )
