"""Choose which seed of which network is trained next, until every claim about training is decided.

Each network takes its seeds in the order 1, 2, 3, … and leaves none out. A run that has begun is always finished, also
after an interruption, because an unfinished run counts against a claim. Of the networks with open claims, the one comes
first that is expected to decide most claims per hour.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from tabulate import tabulate

from bench.evidence.results import Group, Series, groups
from bench.evidence.verdicts import expected_further_seeds
from bench.jobs.events import Ended, EpochFinished, Event, Started
from bench.jobs.plan import Planned, Slots, duration, wall_seconds
from bench.jobs.worker.task import Task
from bench.network.specification import Architecture, Claim
from bench.network.structure_facts import Structure
from bench.record.record import Record
from bench.record.rows import Run
from bench.wording import count


@dataclass(frozen=True)
class Place:
    """One network on one device in one environment: what is known of its seeds, and what may still be trained.

    `group` has every run that is recorded or has ended. It has the exact runs of every device, because a seed counts
    once. `left` has the planned runs that may still be trained, by ascending seed. `at_most` is the number of seeds
    that must not be exceeded.
    """

    architecture: Architecture
    structure: Structure
    device: str
    group: Group
    left: tuple[Planned, ...]
    at_most: int

    @property
    def key(self) -> tuple[str, str, str]:
        """The network, the device and the environment."""
        return self.group.model, self.device, self.group.environment

    @property
    def begun(self) -> tuple[Planned, ...]:
        """The runs that have begun and are not over."""
        known = {run.seed for run in self.group.runs}
        return tuple(one for one in self.left if one.run.seed in known)

    def open_claims(self, under_way: Collection[Run] = ()) -> dict[Claim, float]:
        """The expected number of further seeds of each open claim, by the runs that are not under way."""
        seeds = {run.seed for run in under_way if (run.model, run.device, run.environment) == self.key}
        over = replace(self.group, runs=tuple(run for run in self.group.runs if run.seed not in seeds))
        return expected_further_seeds(self.architecture, self.structure, over, self.at_most)

    def expected(self) -> tuple[Planned, ...]:
        """The runs that are expected until every claim is decided: those that have begun, and the next seeds."""
        begun = self.begun
        most = max(self.open_claims().values(), default=0.0)
        fresh = [one for one in self.left if one not in begun]
        return (*begun, *fresh[: max(0, math.ceil(most) - len(begun))])


def places(
    planned: Sequence[Planned],
    recorded: Record,
    architectures: Mapping[str, Architecture],
    structures: Mapping[str, Structure],
) -> tuple[Place, ...]:
    """The places of a plan. The plan has every seed that may be trained, in every place."""
    known = {(group.model, *group.key[2:]): group for group in groups(recorded, architectures) if group.is_current}
    by_place: dict[tuple[str, str, str], list[Planned]] = {}
    for one in planned:
        by_place.setdefault((one.run.model, one.run.device, one.run.environment), []).append(one)
    found = []
    for (model, device, environment), candidates in by_place.items():
        architecture = architectures[model]
        nothing = Group(
            model, architecture.digest, (device,), environment, (), architecture.recipe.epochs, is_current=True, runs=()
        )
        group = known.get((model, *nothing.key[2:]), nothing)
        over = {
            run.seed
            for run in group.runs
            if run.has_diverged or run.is_contradicted or len(run.correct) >= group.budget
        }
        left = sorted((one for one in candidates if one.run.seed not in over), key=lambda one: one.run.seed)
        found.append(Place(architecture, structures[model], device, group, tuple(left), len(candidates)))
    return tuple(found)


def next_run(places: Sequence[Place], under_way: Collection[Run]) -> Planned | None:
    """The run to train next, or None if every claim is decided or has all its seeds.

    An open claim that needs fewer seeds than are under way counts as if it needed one more than these.
    """
    for place in places:
        for one in place.begun:
            if one.run not in under_way:
                return one
    best: tuple[float, Planned] | None = None
    for place in places:
        fresh = [one for one in place.left if one.run not in under_way]
        if not fresh:
            continue
        ahead = len(place.left) - len(fresh)
        claims = place.open_claims(under_way).values()
        claims_per_second = sum(1 / max(needed, ahead + 1) for needed in claims) / max(fresh[0].seconds, 1e-9)
        if claims and (best is None or claims_per_second > best[0]):
            best = claims_per_second, fresh[0]
    return None if best is None else best[1]


class UntilDecided:
    """Gives out tasks one by one, and learns from the events of a job which claims are decided."""

    def __init__(self, places: Sequence[Place], tasks: Sequence[Task]) -> None:
        self._places = {place.key: place for place in places}
        self._tasks = {task.run: task for task in tasks}
        self._under_way: set[Run] = set()
        self._started: set[Run] = set()
        self._counts = {task.run: [counts[:2] for counts in task.recorded] for task in tasks}

    @property
    def places(self) -> tuple[Place, ...]:
        """What is known now."""
        return tuple(self._places.values())

    def take(self, where: str | None) -> Task | None:
        """The next task on this device, or in this environment, or anywhere. It is under way from now on."""
        fitting = [
            place
            for place in self.places
            if where in (None, place.device, place.group.environment) and not self._is_enough(place)
        ]
        found = next_run(fitting, self._under_way)
        if found is None:
            return None
        self._under_way.add(found.run)
        return self._tasks[found.run]

    def _is_enough(self, place: Place) -> bool:
        """Whether a GPU has all seeds under way that a network is expected to need. More of them would take its time.

        A core of a CPU takes one run at a time, and would be idle instead.
        """
        if place.device != "cuda":
            return False
        under_way = sum((run.model, run.device, run.environment) == place.key for run in self._under_way)
        return 0 < len(place.expected()) <= under_way

    def note(self, event: Event) -> None:
        """Learn from what has happened to a run."""
        if isinstance(event, Started):
            self._started.add(event.run)
        elif isinstance(event, EpochFinished):
            self._counts[event.run].append((event.epoch.correct, event.epoch.total))
        elif isinstance(event, Ended):
            self._ended(event)

    def _ended(self, event: Ended) -> None:
        run = event.run
        self._under_way.discard(run)
        place = self._places[run.model, run.device, run.environment]
        ending = "" if event.status == "ok" else f"{event.status}: {event.reason}"
        counts = self._counts[run]
        total = max((total for _, total in counts), default=0)
        series = Series(run.seed, total, tuple(correct for correct, _ in counts), (), (), ending)
        others = (one for one in place.group.runs if one.seed != run.seed)
        runs = tuple(sorted((*others, series), key=lambda one: one.seed))
        # Where no worker takes a run, no other will be taken either.
        left = [one for one in place.left if one.run != run] if run in self._started else []
        self._places[place.key] = replace(place, group=replace(place.group, runs=runs), left=tuple(left))


def format_expected(places: Sequence[Place], jobs: int, cluster: Slots | None = None) -> list[str]:
    """Format how many seeds are expected until every claim is decided, a line for each place, then the total."""
    rows = []
    for place in places:
        expected = place.expected()
        seeds = [one.run.seed for one in expected]
        rows.append(
            (
                *place.key,
                sum(run.has_diverged or len(run.correct) >= place.group.budget for run in place.group.runs),
                len(place.open_claims()),
                f"{len(seeds)} (seeds {seeds[0]} to {seeds[-1]})" if seeds else "-",
                duration(sum(one.seconds for one in expected)) if seeds else "-",
            )
        )
    headers = (
        "network",
        "device",
        "environment",
        "seeds recorded",
        "open claims",
        "further seeds expected",
        "time left",
    )
    table = tabulate(rows, headers=headers, disable_numparse=[2])
    runs = [one for place in places for one in place.expected()]
    if not runs:
        return [*table.splitlines(), "", "Nothing is left to train."]
    epochs = sum(one.left for one in runs)
    seconds = wall_seconds(runs, jobs, cluster)
    where = f"with {count(jobs, 'run')} at a time on the CPU" if cluster is None else "on the present workers"
    total = f"About {count(len(runs), 'run')} to train, {count(epochs, 'epoch')}: about {duration(seconds)} {where}."
    return [*table.splitlines(), "", total]


def format_open(places: Sequence[Place]) -> list[str]:
    """Name the claims that are still open, or say that none is."""
    still_open = [
        f"{place.architecture.name} on {place.device}: {claim.text}"
        for place in places
        for claim in place.open_claims()
    ]
    if not still_open:
        return ["Every claim about training is decided."]
    most = max(place.at_most for place in places)
    return [f"Still open with at most {count(most, 'seed')}: {line}" for line in still_open]
