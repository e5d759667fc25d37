"""The main job: plan what is not recorded of a selection, train it, and record a row for every finished epoch."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from bench import files
from bench.errors import UnusableInput
from bench.jobs import plan, recording, scheduling, until_decided
from bench.jobs.cluster import scheduling as cluster_scheduling
from bench.jobs.cluster.workers import Cluster
from bench.jobs.events import Ended, Event, Stop
from bench.jobs.plan import Choice, Planned, duration
from bench.jobs.until_decided import UntilDecided
from bench.jobs.worker.task import Task
from bench.network import structure_facts
from bench.network.specification import Architecture, Vary
from bench.network.structure_facts import Structure
from bench.record import catalogue, misses, record
from bench.record.environments import EXACT, Environment
from bench.record.environments import add as add_environments
from bench.record.rows import RUN_KEY, Fingerprint, fingerprint
from bench.training import data, environment
from bench.wording import count

_log = logging.getLogger(__name__)

LONG_JOB = 600.0  # seconds; before a longer job, print how to try a small one


@dataclass(frozen=True)
class Selection:
    """What to train. If `epochs` is None, each recipe gives the number.

    `jobs` is how many runs train at the same time on the CPU. `structures` has the structure of every network that is
    not documented, by name. `arithmetic` is the user's choice. With `until_decided`, not every seed is trained, but in
    their order as many as the claims about training need.
    """

    architectures: tuple[Architecture, ...]
    devices: tuple[str, ...]
    seeds: tuple[int, ...]
    epochs: int | None
    jobs: int
    structures: Mapping[str, Structure] = field(default_factory=dict)
    arithmetic: Choice = "auto"
    until_decided: bool = False

    @property
    def vary(self) -> Vary:
        """What alone the seed changes, if not everything. It is the same for all networks."""
        return next((one.recipe.vary for one in self.architectures), "")


@dataclass(frozen=True)
class Paths:
    """The paths of the record, the report's folder and the data's folder. Each worker of a cluster has its own data."""

    runs: Path
    report: Path
    data: Path


@dataclass(frozen=True)
class Outcome:
    """The outcome of a job: how many runs it had to train, which failed, and the signal that interrupted it, if any.

    A selected run that diverged in an earlier job has failed too. `lacking` has a line for each file that lacks
    something of the job.
    """

    trained: int
    failed: tuple[Ended, ...] = ()
    interrupted_by: int | None = None
    lacking: tuple[str, ...] = ()


def environments(devices: Sequence[str]) -> dict[str, Environment]:
    """Return the native environment of each of these devices of this machine.

    Raises:
        UnusableInput: this machine lacks one of the devices.
    """
    return {device: environment.describe(device) for device in devices}


def make_plan(
    selection: Selection, here: Mapping[str, Environment] | Cluster, recorded: record.Record
) -> list[Planned]:
    """Plan a selection, given what is recorded. `here` is a cluster, or the native environment of each local device.

    Raises:
        UnusableInput: no worker of the cluster has one of the devices, or a network cannot be trained in the chosen
            arithmetic.
    """
    architectures = selection.architectures
    if not isinstance(here, Cluster):
        digests = {device: found.digest for device, found in here.items()}
    else:
        here.require(selection.devices)
        digests = dict.fromkeys(selection.devices, "")  # anywhere
        architectures = tuple(replace(one, uncovered_on_gpu=("a GPU of a cluster",)) for one in architectures)
    runs = plan.expand(architectures, digests, selection.seeds, selection.epochs, selection.arithmetic)
    if isinstance(here, Cluster):
        if selection.until_decided:
            runs = plan.place_together(runs, here.slots, recorded.epochs)
        else:
            runs = plan.spread(runs, here.slots, recorded.rows)
    return plan.make(runs, recorded.rows, plan.epoch_work(_structures(selection)))


def places_to_decide(
    selection: Selection, planned: Sequence[Planned], recorded: record.Record
) -> tuple[until_decided.Place, ...]:
    """What is known of the claims of a selection, for each network on each device."""
    architectures = {one.name: one for one in selection.architectures}
    return until_decided.places(planned, recorded, architectures, _structures(selection))


def _structures(selection: Selection) -> dict[str, Structure]:
    documented = [one.name for one in selection.architectures if one.name not in selection.structures]
    return {**(structure_facts.load(documented) if documented else {}), **selection.structures}


def run(
    selection: Selection, paths: Paths, subset: tuple[int, int] | None = None, cluster: Cluster | None = None
) -> Outcome:
    """Train what is not recorded of a selection, here or on a cluster.

    `subset` keeps only the first training and test images.

    SIGINT, SIGTERM or SIGHUP ends the runs in progress and records them as interrupted. A second signal ends this
    process at once.

    Raises:
        UnusableInput: a device is missing, the data or the record cannot be used, another job holds the record, or the
            scheduler of a cluster is lost.
    """
    here = cluster or environments(selection.devices)
    with record.exclusive(paths.runs) as writer:
        paths = replace(paths, runs=writer.path)  # a link can have another target before this job ends
        recorded = record.read(paths.runs)
        warn(recorded)
        work = _work(selection, here, recorded)
        describe = partial(_describe, selection, here, work, paths.runs)
        describe()
        diverged = _diverged(work.planned, recorded)
        if not work.expected:
            return Outcome(0, diverged)
        if cluster is None:
            data.ensure(paths.data)
        writer.expect_runs(recorded, [one.run.key for one in work.missing])
        writers = writer, misses.Writer(paths.runs)
        for one in writers:
            one.prepare()
        _announce(work.expected, selection, cluster)
        tasks = _tasks(work.missing, selection, paths, recorded, subset, cluster)
        deciding = UntilDecided(work.to_decide, tasks) if selection.until_decided else None
        stop = Stop()
        limit = scheduling.epoch_limit(work.missing)
        events = _events(tasks, deciding, selection.jobs, cluster, stop, limit)
        failed, interrupted_by = recording.record_events(events, stop, work.missing, work.expected, writers, deciding)
        # Somebody can have changed the files meanwhile. Whatever has become of them, the outcome of the runs is said.
        acts: list[Callable[[], str | None]] = [*(one.finish for one in writers), describe]
        lacking = [_said(act) for act in acts]
        if deciding is not None and interrupted_by is None:
            print(*until_decided.format_open(deciding.places), sep="\n", file=sys.stderr)
        return Outcome(len(work.missing), (*diverged, *failed), interrupted_by, tuple(filter(None, lacking)))


@dataclass(frozen=True)
class _Work:
    """All `planned` runs, those that are `missing` and may be trained, and those `expected` to be.

    They differ only for a job that trains until every claim is decided. `to_decide` has its networks.
    """

    planned: Sequence[Planned]
    missing: Sequence[Planned]
    expected: Sequence[Planned]
    to_decide: tuple[until_decided.Place, ...] = ()


def _work(selection: Selection, here: Mapping[str, Environment] | Cluster, recorded: record.Record) -> _Work:
    planned = make_plan(selection, here, recorded)
    if not selection.until_decided:
        missing = plan.longest_first(planned)
        return _Work(planned, missing, missing)
    to_decide = places_to_decide(selection, planned, recorded)
    left = [one for place in to_decide for one in place.left]
    return _Work(planned, left, [one for place in to_decide for one in place.expected()], to_decide)


def _describe(selection: Selection, here: Mapping[str, Environment] | Cluster, work: _Work, runs: Path) -> None:
    """Write what explains the rows into the files beside the record: the users' networks and the environments."""
    own = {one.name: one.varied("") for one in selection.architectures if one.name in selection.structures}
    catalogue.add(runs, own, selection.structures)
    found = here.environments if isinstance(here, Cluster) else {one.digest: one for one in here.values()}
    known = {**found, EXACT.digest: EXACT}
    trained_in = {one.run.environment for one in work.missing} if work.expected else set()
    add_environments(runs, [known[digest] for digest in trained_in])


def _events(
    tasks: Sequence[Task], deciding: UntilDecided | None, jobs: int, cluster: Cluster | None, stop: Stop, limit: float
) -> Generator[Event, None, None]:
    """The events of training here or on a cluster. Tasks are given out one by one if there are claims to decide."""
    more = scheduling.no_more if deciding is None else deciding.take
    at_once = tasks if deciding is None else []
    if cluster is None:
        return scheduling.execute(at_once, scheduling.slots(jobs), stop, limit, more)
    return cluster_scheduling.execute(at_once, cluster, stop, more=more)


def _said(act: Callable[[], str | None]) -> str:
    """What an act says, or its error."""
    try:
        return act() or ""
    except UnusableInput as error:
        return str(error)


def _diverged(planned: Sequence[Planned], recorded: record.Record) -> tuple[Ended, ...]:
    """The planned runs that diverged in an earlier job."""
    rows = recorded.rows[recorded.rows["status"] == "diverged"]
    endings = {tuple(getattr(row, name) for name in RUN_KEY): (row.note, row.machine) for row in rows.itertuples()}
    return tuple(Ended(one.run, "diverged", *endings[one.run.key]) for one in planned if one.has_diverged)


def warn(recorded: record.Record) -> None:
    """Warn about the first problems of a record."""
    for problem in recorded.problems[:5]:
        _log.warning("%s:%d: %s", recorded.path, problem.line, problem.reason)
    if len(recorded.problems) > 5:
        _log.warning("%s: and %d more problems; `check` lists them", recorded.path, len(recorded.problems) - 5)


def _tasks(
    missing: Sequence[Planned],
    selection: Selection,
    paths: Paths,
    recorded: record.Record,
    subset: tuple[int, int] | None,
    cluster: Cluster | None,
) -> list[Task]:
    architectures = {one.name: one for one in selection.architectures}
    folder = record.state_folder(paths.runs)
    checkpoints = folder / "checkpoints" if cluster is None else Path(_name_on_workers(folder))
    fingerprints: dict[tuple[object, ...], list[Fingerprint]] = {}
    for row in recorded.epochs.sort_values("epoch").itertuples():
        key = tuple(getattr(row, name) for name in RUN_KEY)
        fingerprints.setdefault(key, []).append(fingerprint(row))
    return [
        Task(
            architectures[one.run.model],
            one.run,
            paths.data,
            checkpoints,
            tuple(fingerprints.get(one.run.key, [])),
            subset,
        )
        for one in missing
    ]


def _name_on_workers(folder: Path) -> str:
    """Return the name of this record's states on a worker. A worker can also have the states of other records."""
    path = folder / "name"
    if not path.exists():
        files.replace(path, uuid4().hex.encode())
    return path.read_text(encoding="utf-8")


def _announce(expected: Sequence[Planned], selection: Selection, cluster: Cluster | None) -> None:
    seconds = plan.wall_seconds(expected, selection.jobs, None if cluster is None else cluster.slots)
    what = plan.amount(expected)
    if selection.until_decided:
        what = f"Until every claim is decided, with at most {count(len(selection.seeds), 'seed')}: probably {what}"
    print(f"{what} to train: about {duration(seconds)}.", *plan.format_vary(selection.vary), sep="\n", file=sys.stderr)
    if seconds > LONG_JOB and not selection.until_decided:
        print(
            "To try a small job first, add --seeds 2 --epochs 3. Ctrl-C stops the job; the same command continues it.",
            file=sys.stderr,
        )
