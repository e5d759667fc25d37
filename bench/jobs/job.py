"""The main job: what a selection still lacks is planned, trained and recorded, a row for every finished epoch."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from bench import files
from bench.errors import UnusableInput
from bench.jobs import plan, scheduling
from bench.jobs.cluster import scheduling as cluster_scheduling
from bench.jobs.cluster.workers import Cluster
from bench.jobs.events import Ended, Event, Finished, Lost, Started, Stop, Waiting, stopped_by_signals
from bench.jobs.plan import Planned, duration
from bench.jobs.progress import Progress
from bench.jobs.worker import Fingerprint, Task
from bench.network import structure_facts
from bench.network.specification import Architecture
from bench.network.structure_facts import Structure
from bench.record import catalogue, misses, record
from bench.record.rows import RUN_KEY, Row, Run, utc_now
from bench.training import data, environment
from bench.training.environment import Environment
from bench.training.loop import Epoch
from bench.wording import count

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
    """The record, the report's folder, the data's folder, and the cluster that trains if it is not this machine.

    A cluster's workers have the data in a folder of their own, of that name.
    """

    runs: Path
    report: Path
    data: Path
    cluster: Cluster | None = None


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


def make_plan(
    selection: Selection, here: Mapping[str, Environment] | Cluster, recorded: record.Record
) -> list[Planned]:
    """A selection's plan on this machine, given the environment of each device, or on a cluster, and what is recorded.

    Raises:
        UnusableInput: no worker of the cluster has such a device.
    """
    if isinstance(here, Cluster):
        here.require(selection.devices)
        anywhere = dict.fromkeys(selection.devices, "")
        runs = plan.expand(selection.architectures, anywhere, selection.seeds, selection.epochs)
        runs = plan.spread(runs, here.slots, recorded.epochs)
    else:
        digests = {device: found.digest for device, found in here.items()}
        runs = plan.expand(selection.architectures, digests, selection.seeds, selection.epochs)
    documented = [one.name for one in selection.architectures if one.name not in selection.structures]
    structures = {**(structure_facts.load(documented) if documented else {}), **selection.structures}
    return plan.make(runs, recorded.epochs, plan.epoch_work(structures))


def run(selection: Selection, places: Places, subset: tuple[int, int] | None = None) -> Outcome:
    """Train whatever of a selection is not recorded yet. `subset` keeps only the first training and test images.

    SIGINT and SIGTERM end the runs in progress, closed as interrupted; a second one ends this process at once.

    Raises:
        UnusableInput: a device is absent, the data or the record cannot be used, somebody else holds the record, or the
            scheduler of a cluster is lost.
    """
    here = places.cluster or environments(selection.devices)
    with record.exclusive(places.runs):
        recorded = record.read(places.runs)
        warn(recorded)
        own = {one.name: one for one in selection.architectures if one.name in selection.structures}
        catalogue.add(places.runs, own, selection.structures)
        planned = make_plan(selection, here, recorded)
        missing = plan.longest_first(planned)
        if not missing:
            return Outcome(trained=0)
        if places.cluster is None:
            data.ensure(places.data)
        writers = record.Writer(places.runs), misses.Writer(places.runs)
        for writer in writers:
            writer.prepare()
        used = {one.run.environment for one in missing}
        found = here.environments if isinstance(here, Cluster) else {one.digest: one for one in here.values()}
        for digest in used:
            _describe(places.report, found[digest])
        _announce(missing, selection, places.cluster)
        tasks = _tasks(missing, selection, places, recorded, subset)
        stop = Stop()
        if places.cluster is None:
            events = scheduling.execute(tasks, scheduling.slots(selection.jobs), stop)
        else:
            events = cluster_scheduling.execute(tasks, places.cluster, stop)
        return _train(events, stop, missing, writers, {digest: found[digest].machine for digest in used})


def warn(recorded: record.Record) -> None:
    """Say on standard error what cannot be used of a record."""
    for problem in recorded.problems[:5]:
        _log.warning("%s:%d: %s", recorded.path, problem.line, problem.reason)
    if len(recorded.problems) > 5:
        _log.warning("%s: and %d more; `check` lists them all", recorded.path, len(recorded.problems) - 5)


def _train(
    events: Generator[Event, None, None],
    stop: Stop,
    missing: Sequence[Planned],
    writers: tuple[record.Writer, misses.Writer],
    machines: Mapping[str, str],
) -> Outcome:
    writer, misses_writer = writers
    failed: list[Ended] = []
    done = {one.run.key: one.recorded for one in missing}
    with stopped_by_signals(stop) as received, Progress(missing) as progress, closing(events):
        for event in events:
            if isinstance(event, Waiting):
                progress.tick()
                continue
            run = event.run
            if isinstance(event, Started):
                progress.started(run, done[run.key], event.worker)
            elif isinstance(event, Lost):
                progress.lost(run, event.reason)
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
    return Outcome(len(missing), tuple(failed), received[0] if received else None)


def _tasks(
    missing: Sequence[Planned],
    selection: Selection,
    places: Places,
    recorded: record.Record,
    subset: tuple[int, int] | None,
) -> list[Task]:
    architectures = {one.name: one for one in selection.architectures}
    folder = record.state_folder(places.runs)
    checkpoints = folder / "checkpoints" if places.cluster is None else Path(_name(folder))
    fingerprints: dict[tuple[object, ...], list[Fingerprint]] = {}
    for row in recorded.epochs.sort_values("epoch").itertuples():
        key = tuple(getattr(row, name) for name in RUN_KEY)
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


def _name(folder: Path) -> str:
    """What a record's states go by on workers, who may have those of other records too."""
    path = folder / "name"
    if not path.exists():
        files.replace(path, uuid4().hex.encode())
    return path.read_text(encoding="utf-8")


def _announce(missing: Sequence[Planned], selection: Selection, workers: Cluster | None = None) -> None:
    seconds = plan.wall_seconds(missing, selection.jobs, None if workers is None else workers.slots)
    epochs = sum(one.run.epochs - one.recorded for one in missing)
    what = f"{count(len(missing), 'run')}, {count(epochs, 'epoch')}"
    print(f"{what} to train: about {duration(seconds)}.", file=sys.stderr)
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
