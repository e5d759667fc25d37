"""The time to plan, report, check and join a record of a million rows, and to write a row.

    python tests/benchmarks/scale.py [ROWS]

prints the figures of docs/scale.md as measured here; a million rows, the default, take a gigabyte of the folder for
temporary files. The rows are made up, and nothing is trained.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tabulate import tabulate

import models
from bench.cli import parser
from bench.jobs import scheduling
from bench.jobs.events import Ended, Stop
from bench.jobs.worker.task import Task
from bench.network import structure_facts
from bench.network.specification import Architecture
from bench.record import misses, record
from bench.record.environments import EXACT
from bench.record.rows import COLUMNS, Row, Run, format_line, format_row
from bench.training import environment

DATA = Path(__file__).parents[2] / "data"
APPENDED = 1_000


def main(rows: int) -> None:
    """Measure everything and print it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few_seeds = rows // sum(one.recipe.epochs for one in models.ARCHITECTURES.values())
        for networks, seeds in ((5, few_seeds), (rows // 2_000, 100)):
            print(f"\n{networks} networks, {seeds} seeds each")
            print(measure_record(folder / f"{networks}" / "runs.csv", networks, seeds), flush=True)
        print(f"\nAppending a row, on the disk when it is acknowledged: {appends(folder):,.0f} a second")
        print(f"Starting a worker: {worker_seconds(folder):.2f} s until the first step could begin")


def measure_record(runs: Path, networks: int, seeds: int) -> str:
    """Write a record, run the commands on it, and return a table of their times and memory."""
    many(networks)
    runs.parent.mkdir()
    total = write(runs, models.ARCHITECTURES.values(), seeds)
    sizes = [path.stat().st_size for path in (runs, misses.path_beside(runs))]
    print(f"{total:,} rows, {sizes[0] / total:.0f} bytes a row, {sizes[1] / total:.0f} more beside it")
    part = runs.with_name("part.csv")
    with runs.open() as whole, part.open("w") as some:
        some.writelines(line for number, line in enumerate(whole) if number <= total // 2)
    # A bad line makes `check` look at everything except the speed, which does not depend on rows.
    bad = runs.with_name("bad.csv")
    bad.write_bytes(runs.read_bytes() + b"not a row\n")
    report = ["--report", str(runs.parent / "report"), "--data", str(DATA)]
    commands = {
        "plan": ["plan", "--devices", "cpu", "--seeds", str(seeds), "--runs", str(runs), *report],
        "report": ["report", "--runs", str(runs), *report],
        "check": ["check", "--runs", str(bad), "--data", str(DATA)],
        "merge": ["merge", str(runs), str(part), "-o", str(runs.with_name("all.csv"))],
    }
    measured = [(name, *measure([str(networks), *words])) for name, words in commands.items()]
    return tabulate(measured, headers=("command", "exit code", "wall, s", "CPU, s", "peak memory, MB"), floatfmt=".0f")


def measure(words: Sequence[str]) -> tuple[int, float, float, float]:
    """Run a command in a process of its own. Return its exit code, wall and CPU seconds, and peak megabytes."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, __file__, "command", *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    peak = used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return os.waitstatus_to_exitcode(status), time.monotonic() - started, used.ru_utime + used.ru_stime, peak


def many(networks: int) -> None:
    """Make so many networks: the five, and copies of them under other names."""
    names, structures = list(models.ARCHITECTURES), structure_facts.load()
    for number in range(len(names), networks):
        like = names[number % len(names)]
        copy = replace(models.ARCHITECTURES[like], name=f"{like}_{number}")
        models.ARCHITECTURES[copy.name] = copy
        structures[copy.name] = structures[like]
    structure_facts.load = lambda names=(): structures


def write(runs: Path, architectures: Iterable[Architecture], seeds: int) -> int:
    """Write a record and the misses beside it, and return its number of rows."""
    machine, total = environment.machine(environment.describe("cpu")), 0
    with runs.open("w") as lines, misses.path_beside(runs).open("w") as beside:
        lines.write(format_line(COLUMNS))
        beside.write(format_line(misses.COLUMNS))
        for architecture in architectures:
            for seed in range(1, seeds + 1):
                run = Run(architecture.name, architecture.digest, "cpu", EXACT.digest, seed, architecture.recipe.epochs)
                for row in made_up(run, machine):
                    total += 1
                    lines.write(format_row(row))
                    images = sorted(random.sample(range(1_000), 10_000 - (row.correct or 0)))
                    missed = " ".join(f"{image}:{image % 10}>{(image + 1) % 10}" for image in images)
                    beside.write(format_line([*map(str, run.key), str(row.epoch), missed]))
    return total


def made_up(run: Run, machine: str) -> Iterator[Row]:
    """The rows of a run that rises to a plateau near the target and jitters there."""
    draw = random.Random(str(run))
    plateau = draw.gauss(9938, 4)
    for epoch in range(1, run.epochs + 1):
        correct = min(9_999, round(plateau - 190 / epoch**1.3 + draw.gauss(0, 5)))
        floats = (draw.uniform(0.02, 0.03), draw.uniform(0.02, 0.03), draw.uniform(9, 11), draw.uniform(0.5, 0.6))
        end = ("ok", "", "2026-01-31T12:00:00Z", machine, draw.uniform(0.01, 0.02))
        yield Row(*run.key, epoch, correct, 10_000, *floats, *end)


def appends(folder: Path) -> float:
    """The number of rows that one process appends per second."""
    run = Run("unpadded", "00000000", "cpu", "00000000", 1, APPENDED)
    writer = record.Writer(folder / "appended.csv")
    writer.prepare()
    rows = list(made_up(run, "a machine in words; PyTorch 2.9.0; Linux x86_64"))
    started = time.monotonic()
    for row in rows:
        writer.append(row)
    return len(rows) / (time.monotonic() - started)


def worker_seconds(folder: Path, repeats: int = 5) -> float:
    """Seconds from the start of a run to its end with a single batch. Every run takes these in addition."""
    architecture = models.ARCHITECTURES["ten_twenty_thirty"]
    tasks = [
        Task(
            architecture,
            Run(architecture.name, architecture.digest, "cpu", EXACT.digest, seed, 1),
            DATA,
            folder,
            (),
            (128, 100),
        )
        for seed in range(repeats)
    ]
    started = time.monotonic()
    for event in scheduling.execute(tasks, {"cpu": 1}, Stop()):
        assert not isinstance(event, Ended) or event.status == "ok", event
    return (time.monotonic() - started) / repeats


if __name__ == "__main__":
    if sys.argv[1:2] == ["command"]:
        many(int(sys.argv[2]))
        if sys.argv[3] == "check":  # nothing is stored of the copies
            from bench.gate import baseline

            baseline.load = lambda names=(): {
                name: baseline.Stored(models.ARCHITECTURES[name].digest, {"here": 1.0}) for name in names
            }
        sys.exit(parser.main(sys.argv[3:]))
    main(int(sys.argv[1]) if sys.argv[1:] else 1_000_000)
