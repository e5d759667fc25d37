"""Summarise whether training a recorded run again gives the same bits. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.evidence.summary.pooled import GroupSummary
from bench.record.environments import device_of_bits
from bench.record.verifications import Verified


@dataclass(frozen=True)
class CheckedOn:
    """A machine that trained runs again, and how many runs and epochs. The name is empty if it is not recorded."""

    machine: str
    runs: int
    epochs: int


@dataclass(frozen=True)
class Repeats:
    """The results of training recorded runs again. `recorded` is the number of recorded runs.

    `here` is the number of runs that were trained again in their own environment, `elsewhere` in another environment.
    `identical_here` and `identical_elsewhere` are the numbers of these runs that were identical every time. `epochs` is
    the number of epochs that were compared in the runs' own environments; of several verifications of one run, the
    longest counts. `differing` names the runs that differ in their own environment. `machines` has each machine that
    trained runs again in their own environment, the one with the most runs first.
    `on_several_devices` exact runs were trained on more than one device, and `equal_on_devices` of them have the same
    results in every common epoch.
    """

    recorded: int
    here: int
    identical_here: int
    epochs: int
    elsewhere: int
    identical_elsewhere: int
    differing: tuple[str, ...]
    machines: tuple[CheckedOn, ...] = ()
    on_several_devices: int = 0
    equal_on_devices: int = 0


def repeats(groups: Sequence[GroupSummary], verified: Iterable[Verified]) -> Repeats:
    """Summarise the verifications of the runs of a report."""
    runs = [(group, run) for group in groups for run in group.group.runs]
    names = {
        (*group.group.key, run.seed): f"{group.group.model} on {group.label}, seed {run.seed}" for group, run in runs
    }
    kinds: tuple[dict[str, list[Verified]], dict[str, list[Verified]]] = ({}, {})
    for one in verified:
        device = device_of_bits(one.device, one.environment)
        name = names.get((one.model, one.recipe, device, one.environment, one.seed))
        if name is not None:
            kinds[one.verified_in != one.environment].setdefault(name, []).append(one)
    here, elsewhere = kinds
    differing = [name for name in names.values() if not _always_identical(here.get(name, []))]
    return Repeats(
        recorded=len(names),
        here=len(here),
        identical_here=len(here) - len(differing),
        epochs=sum(max(one.epochs for one in several) for several in here.values()),
        elsewhere=len(elsewhere),
        identical_elsewhere=sum(map(_always_identical, elsewhere.values())),
        differing=tuple(differing),
        machines=_machines(here.values()),
        on_several_devices=sum(len(run.devices) > 1 for _, run in runs),
        equal_on_devices=sum(len(run.devices) > 1 and not run.is_contradicted for _, run in runs),
    )


def _machines(verified: Iterable[Sequence[Verified]]) -> tuple[CheckedOn, ...]:
    epochs: dict[str, list[int]] = {}
    for several in verified:
        for machine in {one.machine for one in several}:
            epochs.setdefault(machine, []).append(max(one.epochs for one in several if one.machine == machine))
    found = [CheckedOn(machine, len(some), sum(some)) for machine, some in epochs.items()]
    return tuple(sorted(found, key=lambda one: (-one.runs, one.machine)))


def _always_identical(several: Iterable[Verified]) -> bool:
    return all(one.identical for one in several)
