"""The main job: what a selection still lacks is planned, trained and recorded, a row for every finished epoch."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench import catalogue, data, environment, files, misses, plan, record, scheduling, structure_facts
from bench.environment import Environment
from bench.errors import UnusableInput
from bench.plan import Planned, Run, duration
from bench.progress import Progress
from bench.rows import EPOCH_KEY, Row
from bench.scheduling import Ended, Finished, Started, Waiting
from bench.specification import Architecture
from bench.structure_facts import Structure
from bench.training import Epoch
from bench.worker import Fingerprint, Task

_log = logging.getLogger(__name__)

LONG_JOB = 600.0  # seconds from which it is worth saying how to try the job small


@dataclass(frozen=True)
class Selection:
    """What is asked for: networks, devices, seeds, epochs (None: each recipe's own number), runs at a time.

    `structures` has those of the networks that are not documented.
    """

    architectures: tuple[Architecture, ...]
    devices: tuple[str, ...]
    seeds: tuple[int, ...]
    epochs: int | None
    jobs: int
    structures: Mapping[str, Structure] = field(default_factory=dict)


@dataclass(frozen=True)
class Places:
    """The record, the report's folder and the data's folder."""

    runs: Path
    report: Path
    data: Path


@dataclass(frozen=True)
class Outcome:
    """How a job went: the runs it had to train, those that ended badly, and the signal that interrupted it, if any."""

    trained: int
    failed: tuple[Ended, ...] = ()
    interrupted_by: int | None = None


def environments(devices: Sequence[str]) -> dict[str, Environment]:
    """The environment of each device of this machine.

    Raises:
        UnusableInput: there is no such device here.
    """
    return {device: environment.describe(device) for device in devices}


def make_plan(selection: Selection, here: Mapping[str, Environment], recorded: record.Record) -> list[Planned]:
    """A selection's plan on this machine, given what is recorded."""
    digests = {device: found.digest for device, found in here.items()}
    runs = plan.expand(selection.architectures, digests, selection.seeds, selection.epochs)
    documented = [one.name for one in selection.architectures if one.name not in selection.structures]
    structures = {**(structure_facts.load(documented) if documented else {}), **selection.structures}
    return plan.make(runs, recorded.epochs, plan.epoch_work(structures))


def run(selection: Selection, places: Places, subset: tuple[int, int] | None = None) -> Outcome:
    """Train whatever of a selection is not recorded yet. `subset` keeps only the first training and test images.

    SIGINT and SIGTERM end the runs in progress, closed as interrupted; a second one ends this process at once.

    Raises:
        UnusableInput: a device is absent, the data or the record cannot be used, or somebody else holds the record.
    """
    here = environments(selection.devices)
    with record.exclusive(places.runs):
        recorded = record.read(places.runs)
        warn(recorded)
        own = {one.name: one for one in selection.architectures if one.name in selection.structures}
        catalogue.add(places.runs, own, selection.structures)
        planned = make_plan(selection, here, recorded)
        missing = plan.longest_first(planned)
        if not missing:
            return Outcome(trained=0)
        data.ensure(places.data)
        writers = record.Writer(places.runs), misses.Writer(places.runs)
        for writer in writers:
            writer.prepare()
        for found in here.values():
            _describe(places.report, found)
        _announce(missing, selection)
        tasks = _tasks(missing, selection, places, recorded, subset)
        machines = {found.digest: found.machine for found in here.values()}
        return _train(tasks, missing, scheduling.slots(selection.jobs), writers, machines)


def warn(recorded: record.Record) -> None:
    """Say on standard error what cannot be used of a record."""
    for problem in recorded.problems[:5]:
        _log.warning("%s:%d: %s", recorded.path, problem.line, problem.reason)
    if len(recorded.problems) > 5:
        _log.warning("%s: and %d more; `check` lists them all", recorded.path, len(recorded.problems) - 5)


def _train(
    tasks: Sequence[Task],
    missing: Sequence[Planned],
    slots: Mapping[str, int],
    writers: tuple[record.Writer, misses.Writer],
    machines: Mapping[str, str],
) -> Outcome:
    writer, misses_writer = writers
    failed: list[Ended] = []
    done = {one.run.key: one.recorded for one in missing}
    stop = scheduling.Stop()
    with scheduling.stopped_by_signals(stop) as received, Progress(missing) as progress:
        for event in scheduling.execute(tasks, slots, stop):
            if isinstance(event, Waiting):
                progress.tick()
                continue
            run = event.run
            if isinstance(event, Started):
                progress.started(run, done[run.key])
            elif isinstance(event, Finished):
                if event.misses is not None:  # before the row: no run is complete without them
                    misses_writer.append(run, event.misses)
                writer.append(_epoch_row(run, event.epoch, machines[run.environment]))
                done[run.key] = event.epoch.epoch
                progress.finished(run, event.epoch)
            else:
                if event.status != "ok":
                    writer.append(_closing_row(event, done[run.key] + 1, machines[run.environment]))
                    failed.append(event)
                progress.ended(run, event.status, event.reason)
    return Outcome(len(tasks), tuple(failed), received[0] if received else None)


def _tasks(
    missing: Sequence[Planned],
    selection: Selection,
    places: Places,
    recorded: record.Record,
    subset: tuple[int, int] | None,
) -> list[Task]:
    architectures = {one.name: one for one in selection.architectures}
    checkpoints = record.state_folder(places.runs) / "checkpoints"
    fingerprints: dict[tuple[object, ...], list[Fingerprint]] = {}
    for row in recorded.epochs.sort_values("epoch").itertuples():
        key = tuple(getattr(row, name) for name in EPOCH_KEY[:-1])
        fingerprints.setdefault(key, []).append((int(row.correct), int(row.total), row.test_loss, row.train_loss))
    return [
        Task(
            architectures[one.run.model],
            one.run,
            places.data,
            checkpoints,
            tuple(fingerprints.get(one.run.key, [])),
            subset,
        )
        for one in missing
    ]


def _announce(missing: Sequence[Planned], selection: Selection) -> None:
    seconds = plan.wall_seconds(missing, selection.jobs)
    epochs = sum(one.run.epochs - one.recorded for one in missing)
    print(f"{len(missing)} runs, {epochs} epochs to train: about {duration(seconds)}.", file=sys.stderr)
    if seconds > LONG_JOB:
        print(
            "To try it small first: --seeds 2 --epochs 3. Ctrl-C stops it; the same command goes on from there.",
            file=sys.stderr,
        )


def _describe(folder: Path, found: Environment) -> None:
    path = folder / "environments" / f"{found.digest}.json"
    try:
        if not path.exists():
            files.replace(path, found.to_json().encode())
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be written ({files.cause(error)}): choose another --report") from error


def _epoch_row(run: Run, epoch: Epoch, machine: str) -> Row:
    return Row(
        *run.key,
        epoch.epoch,
        epoch.correct,
        epoch.total,
        epoch.test_loss,
        epoch.train_loss,
        epoch.train_seconds,
        epoch.eval_seconds,
        "ok",
        "",
        utc_now(),
        machine,
        epoch.smallest_variance,
        epoch.correct_batch_statistics,
    )


def _closing_row(event: Ended, epoch: int, machine: str) -> Row:
    nothing = (None,) * 6
    return Row(*event.run.key, epoch, *nothing, event.status, event.reason, utc_now(), machine)


def utc_now() -> str:
    """The time, as records have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
