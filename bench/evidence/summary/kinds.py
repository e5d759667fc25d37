"""Summarise how much the weights, the order of the images and dropout each vary a run. Pure.

The runs are those of `--vary`, in which the seed changes one kind of random numbers only, beside ordinary runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import variance

from bench.evidence.results import Group
from bench.evidence.statistics import Interval, collapses, variance_interval
from bench.network.specification import VARIED, Vary
from bench.network.structure_facts import Structure


@dataclass(frozen=True)
class Spread:
    """The variance of a number of correct images over runs, its standard error for normal counts, and its interval.

    All are in images squared.
    """

    variance: float
    error: float
    interval: Interval


@dataclass(frozen=True)
class Kind:
    """The complete runs in which the seed changes only `vary`. It changes everything if `vary` is empty.

    `last` and `best` are over the `runs` that do not collapse, and None for fewer than two; `collapsed` runs do. A few
    of them would be the whole variance. `is_constant` says that there are several runs, and that all have the same
    number of correct images in every epoch.
    """

    vary: Vary
    runs: int
    collapsed: int
    last: Spread | None
    best: Spread | None
    is_constant: bool


@dataclass(frozen=True)
class Kinds:
    """All kinds of one network in one place: everything first, then those of `VARIED`, also without a run.

    `has_dropout` says whether a layer of the network is named so. It is None if the structure is not known.
    """

    model: str
    label: str
    kinds: tuple[Kind, ...]
    has_dropout: bool | None


def kinds(
    groups: Sequence[Group], labels: Mapping[tuple[str, str], str], structures: Mapping[str, Structure]
) -> tuple[Kinds, ...]:
    """Summarise each network in each place that has a complete run of `--vary`, in the order of the groups.

    `labels` has the label of each place, the last two values of `Group.key`.
    """
    known = {(one.model, *one.key[2:], one.vary): one for one in groups if one.is_current or one.vary}
    places = dict.fromkeys((one.model, *one.key[2:]) for one in groups if one.vary and one.complete)
    return tuple(
        Kinds(
            place[0],
            labels[place[1:]],
            tuple(_kind(vary, known.get((*place, vary))) for vary in ("", *VARIED)),
            _has_dropout(structures.get(place[0])),
        )
        for place in places
    )


def _kind(vary: Vary, group: Group | None) -> Kind:
    every = [(run.correct[: group.budget], run.total) for run in group.complete] if group else []
    steady = [counts for counts, total in every if not collapses(counts, total)]
    return Kind(
        vary,
        len(steady),
        len(every) - len(steady),
        _spread([counts[-1] for counts in steady]),
        _spread([max(counts) for counts in steady]),
        len(every) > 1 and len(set(every)) == 1,
    )


def _spread(counts: Sequence[int]) -> Spread | None:
    interval = variance_interval(counts)
    if interval is None:
        return None
    found = float(variance(counts))
    return Spread(found, found * math.sqrt(2 / (len(counts) - 1)), interval)


def _has_dropout(structure: Structure | None) -> bool | None:
    return any("dropout" in layer.kind.lower() for layer in structure.layers) if structure else None
