"""Summarise a record for its report: the runs, verdicts and comparisons of every network, as frozen values. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.evidence import verdicts
from bench.evidence.results import Group, groups
from bench.evidence.statistics import first_hit
from bench.evidence.summary.images import Agreement, Images, MissedImage, images, missed_by_run
from bench.evidence.summary.kinds import Kind, Kinds, Spread, kinds
from bench.evidence.summary.others import OtherRecipe, other_recipe
from bench.evidence.summary.pairs import MANY_NETWORKS, MOST_SEEDS, Paired, between_devices, between_networks
from bench.evidence.summary.pooled import (
    FINAL_EPOCHS,
    STREAK,
    Collapse,
    GroupSummary,
    SeedResult,
    final_mean,
    required,
    summarise_group,
)
from bench.evidence.summary.repeats import CheckedOn, Repeats, repeats
from bench.evidence.summary.sources import MOST_CHOICES, GroupSources, Sources, TwoPlaces, sources
from bench.network.specification import DEVICES, LOGGED, Architecture
from bench.network.structure_facts import Structure
from bench.record.environments import EXACT
from bench.record.ledger import Problem
from bench.record.misses import Misses
from bench.record.record import Record
from bench.record.verifications import Verifications
from bench.wording import listed

__all__ = [
    "FINAL_EPOCHS",
    "MANY_NETWORKS",
    "MOST_CHOICES",
    "MOST_SEEDS",
    "STREAK",
    "Agreement",
    "CheckedOn",
    "Collapse",
    "GroupSources",
    "GroupSummary",
    "Images",
    "Kind",
    "Kinds",
    "MissedImage",
    "NetworkSummary",
    "OtherRecipe",
    "Paired",
    "Place",
    "Repeats",
    "SeedResult",
    "Sources",
    "Spread",
    "Summary",
    "TwoPlaces",
    "required",
    "summarise",
]


@dataclass(frozen=True)
class NetworkSummary:
    """One network: its architecture, its groups of the current recipe, and its verdicts if there are no runs."""

    architecture: Architecture
    structure: Structure | None
    groups: tuple[GroupSummary, ...]
    verdicts_without_runs: tuple[verdicts.Verdict, ...]

    @property
    def name(self) -> str:
        """The network's name."""
        return self.architecture.name

    @property
    def is_documented(self) -> bool:
        """Whether a public document describes the network. Otherwise it is a user's own network."""
        return self.architecture.document is not None

    @property
    def is_log_of_this_network(self) -> bool:
        """Whether the documented log is of this network. Otherwise no statistic may take it for one of its runs."""
        return self.architecture.document is not None and self.architecture.document.is_log_of_this_network

    @property
    def documented_run(self) -> str:
        """What the documented run is, in words."""
        return "documented run" if self.is_log_of_this_network else "documented run of an earlier network"

    @property
    def documented(self) -> tuple[int, ...]:
        """The correct images of the documented log, by epoch."""
        return tuple(logged.correct for logged in self.architecture.log)

    @property
    def documented_first(self) -> int | None:
        """The first epoch of the documented log at or above the target."""
        return first_hit(self.documented, self.architecture.target.correct)

    @property
    def documented_final_mean(self) -> float | None:
        """The mean of the last `FINAL_EPOCHS` of the documented log, or None if the log lacks documented epochs."""
        return final_mean(self.documented, self.architecture.recipe.epochs)

    def verdicts_on(self, label: str) -> tuple[verdicts.Verdict, ...]:
        """The verdicts of the group with this label. If there is no such group, the verdicts without runs."""
        found = (group.verdicts for group in self.groups if group.label == label)
        return next(found, self.verdicts_without_runs)


@dataclass(frozen=True)
class Place:
    """An environment, its devices and machines, and the number of their runs of any recipe.

    `of_other_recipes` of these runs are not of the current recipe of their network.
    An exact environment can have several devices, any other one has one.
    """

    label: str
    device: str
    environment: str
    machines: tuple[str, ...]
    runs: int
    of_other_recipes: int

    @property
    def is_exact(self) -> bool:
        """Whether every machine computes the same bits there."""
        return self.environment == EXACT.digest


@dataclass(frozen=True)
class Summary:
    """Every number of a report, and the problems of the record and of the two files beside it.

    `labels` are those of the places that have runs of a current recipe.
    """

    networks: tuple[NetworkSummary, ...]
    labels: tuple[str, ...]
    places: tuple[Place, ...]
    other_recipes: tuple[OtherRecipe, ...]
    between_networks: tuple[Paired, ...]
    between_devices: tuple[Paired, ...]
    images: Images
    repeats: Repeats
    sources: Sources
    problems: tuple[Problem, ...]
    problems_of_misses: tuple[Problem, ...]
    problems_of_verifications: tuple[Problem, ...]

    @property
    def is_of_a_log(self) -> bool:
        """Whether another program trained the runs, and only their log is known."""
        return all(network.architecture.is_logged for network in self.networks)

    @property
    def has_many_networks(self) -> bool:
        """Whether more networks have runs than the report compares in pairs and draws."""
        return sum(bool(network.groups) for network in self.networks) > MANY_NETWORKS

    @property
    def current(self) -> tuple[GroupSummary, ...]:
        """All groups of the current recipes, in the order of the networks."""
        return tuple(group for network in self.networks for group in network.groups)


def summarise(
    record: Record,
    architectures: Mapping[str, Architecture],
    structures: Mapping[str, Structure],
    misses: Misses | None = None,
    verifications: Verifications | None = None,
) -> Summary:
    """Summarise a record and the files beside it. A network without a structure has no verdicts."""
    misses, verifications = misses or Misses(), verifications or Verifications()
    found = groups(record, architectures)
    by_place: dict[tuple[str, str], list[Group]] = {}
    for group in sorted(found, key=lambda group: ((*DEVICES, LOGGED).index(group.devices[0]), group.environment)):
        by_place.setdefault(group.key[2:], []).append(group)
    labels = _labels(by_place)
    by_name: dict[str, list[GroupSummary]] = {name: [] for name in architectures}
    for group in found:
        if group.is_current:
            label = labels[group.key[2:]]
            architecture, structure = architectures[group.model], structures.get(group.model)
            colour = list(labels.values()).index(label)
            by_name[group.model].append(summarise_group(group, label, colour, architecture, structure))
    networks = tuple(
        NetworkSummary(
            architecture,
            structures.get(name),
            tuple(by_name[name]),
            verdicts.judge(architecture, structures.get(name), None),
        )
        for name, architecture in architectures.items()
    )
    current = [group for network in networks for group in network.groups]
    documented = {network.name: network.documented if network.is_log_of_this_network else () for network in networks}
    used = {group.label for group in current}
    by_run = missed_by_run(misses.runs)
    return Summary(
        networks=networks,
        labels=tuple(label for label in labels.values() if label in used),
        places=tuple(_place(labels[place], here) for place, here in by_place.items()),
        other_recipes=tuple(other_recipe(group) for group in found if not group.is_current),
        between_networks=tuple(between_networks(current)),
        between_devices=tuple(between_devices(current)),
        images=images(current, by_run),
        repeats=repeats(current, verifications.found),
        sources=sources(current, documented, by_run, kinds(found, labels, structures)),
        problems=_by_line(record.problems),
        problems_of_misses=_by_line(misses.problems),
        problems_of_verifications=_by_line(verifications.problems),
    )


def _by_line(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: (problem.line, problem.reason)))


def _place(label: str, here: Sequence[Group]) -> Place:
    machines = {machine for group in here for machine in group.machines}
    return Place(
        label,
        _devices(here),
        here[0].environment,
        tuple(sorted(machines)),
        runs=sum(len(one.runs) for one in here),
        of_other_recipes=sum(len(one.runs) for one in here if not one.is_current),
    )


def _devices(here: Sequence[Group]) -> str:
    """The devices of a place in words."""
    return listed([device for device in (*DEVICES, LOGGED) if any(device in group.devices for group in here)])


def _labels(by_place: Mapping[tuple[str, str], Sequence[Group]]) -> dict[tuple[str, str], str]:
    """A label for each place: its devices, and the environment or "exact" if another place has one of the devices."""
    devices = {place: {device for group in here for device in group.devices} for place, here in by_place.items()}
    used = Counter(device for several in devices.values() for device in several)
    labels = {}
    for place, here in by_place.items():
        is_unique = all(used[device] == 1 for device in devices[place])
        kind = "exact" if place[1] == EXACT.digest else place[1]
        labels[place] = _devices(here) + ("" if is_unique else f" {kind}")
    return labels
