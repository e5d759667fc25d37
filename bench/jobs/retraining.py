"""Train recorded runs again, without writing anything that stays."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas

from bench.jobs import scheduling
from bench.jobs.events import Ended, EpochFinished, Stage, Started, Stop, Waiting
from bench.jobs.job import Paths
from bench.jobs.plan import Planned, amount, duration, epoch_seconds, epoch_work, longest_first, wall_seconds
from bench.jobs.progress import Progress
from bench.jobs.worker.task import Task
from bench.network import structure_facts
from bench.network.specification import Architecture
from bench.record import catalogue
from bench.record.rows import Run
from bench.training.loop import Epoch


@dataclass(frozen=True)
class Trained:
    """A run that was trained again, its finished epochs, and why it ended before its last epoch, if it did."""

    run: Run
    epochs: tuple[Epoch, ...] = ()
    failure: str = ""


def train(
    runs: Sequence[Run],
    recorded_epochs: pandas.DataFrame,
    architectures: Mapping[str, Architecture],
    paths: Paths,
    jobs: int,
    subset: tuple[int, int] | None,
    stop: Stop,
) -> Iterator[Trained]:
    """Train runs again, and yield each one when it has ended.

    Runs with the same key are trained once, with the most epochs of them. `subset` keeps only the first training and
    test images.
    """
    longest: dict[tuple[object, ...], Run] = {}
    for run in runs:
        longest[run.key] = max(run, longest.get(run.key, run), key=lambda one: one.epochs)
    if not longest:
        return
    structures = {**structure_facts.load(), **catalogue.read(paths.runs).structures}
    work = {one.model: 0 for one in longest.values()} | epoch_work(structures)
    seconds = epoch_seconds(longest.values(), recorded_epochs, work)
    plan = longest_first(Planned(run, 0, seconds[run] * run.epochs) for run in longest.values())
    print(f"{amount(plan)} to train again: about {duration(wall_seconds(plan, jobs))}.", file=sys.stderr)
    finished: dict[Run, tuple[Epoch, ...]] = {one.run: () for one in plan}
    with tempfile.TemporaryDirectory(prefix="bench-verify-") as folder, Progress(plan) as progress:
        tasks = [
            Task(architecture, one.run, paths.data, Path(folder), (), subset)
            for one in plan
            if (architecture := architectures[one.run.model].with_digest(one.run.recipe))
        ]
        for event in scheduling.execute(tasks, scheduling.slots(jobs), stop, scheduling.epoch_limit(plan)):
            match event:
                case Waiting():
                    progress.tick()
                case Started(run):
                    progress.started(run, 0)
                case Stage(run, name):
                    progress.stage(run, name)
                case EpochFinished(run, epoch):
                    finished[run] = (*finished[run], epoch)
                    progress.epoch_finished(run, epoch)
                case Ended(run, status, reason):
                    progress.ended(run, status, reason)
                    yield Trained(run, finished[run], "" if status == "ok" else f"{status}: {reason}")
