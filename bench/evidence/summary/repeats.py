"""Summarise whether training a recorded run again gives the same bits. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.evidence.summary.pooled import GroupSummary
from bench.record.verifications import Verified


@dataclass(frozen=True)
class Repeats:
    """The results of training recorded runs again. `recorded` is the number of recorded runs.

    `here` is the number of runs that were trained again in their own environment, `elsewhere` in another environment.
    `identical_here` and `identical_elsewhere` are the numbers of these runs that were identical every time. `epochs` is
    the number of epochs that were compared in the runs' own environments; of several verifications of one run, the
    longest counts. `differing` names the runs that differ in their own environment.
    """

    recorded: int
    here: int
    identical_here: int
    epochs: int
    elsewhere: int
    identical_elsewhere: int
    differing: tuple[str, ...]


def repeats(groups: Sequence[GroupSummary], verified: Iterable[Verified]) -> Repeats:
    """Summarise the verifications of the runs of a report."""
    names: dict[tuple[str, str, str, str, int], str] = {}
    for group in groups:
        what = group.group
        for run in what.runs:
            key = (what.model, what.recipe, what.device, what.environment, run.seed)
            names[key] = f"{what.model} on {group.label}, seed {run.seed}"
    kinds: tuple[dict[str, list[Verified]], dict[str, list[Verified]]] = ({}, {})
    for one in verified:
        name = names.get((one.model, one.recipe, one.device, one.environment, one.seed))
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
    )


def _always_identical(several: Iterable[Verified]) -> bool:
    return all(one.identical for one in several)
