"""Summarise where the variance between runs comes from. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from bench.evidence.results import Group, Series
from bench.evidence.statistics import (
    EpochsAndSeeds,
    Flips,
    Rounding,
    epochs_and_seeds,
    flips,
    honest_best,
    least_choice,
    pooled_flips,
    rounding,
)
from bench.evidence.summary.images import MissedByRun, missed_in
from bench.evidence.summary.kinds import Kinds
from bench.evidence.summary.pooled import FINAL_EPOCHS, GroupSummary
from bench.record.misses import Missed

MOST_CHOICES = 5_000
"""What the best epoch gains by being chosen is estimated from about this many runs, the lowest seeds of each group."""


@dataclass(frozen=True)
class GroupSources:
    """The sources of the variance in one group, or in all groups of one label if `model` is empty.

    `runs` is the number of complete runs without an epoch that collapses, and `collapsed` is that of the others. Only
    `typical_last` and `typical_best` are of both: a few collapsed runs would be the whole variance.

    `best_minus_last` is the mean over these runs, in images. `flattery` is the mean of what the best epoch gains
    because it is chosen and reported on the same images; it is over `with_misses` runs, the lowest seeds of those with
    the misses of every epoch. `typical_last` and `typical_best` are the least k for which the documented last or best
    accuracy is the expected best of k seeds. They are None if no number up to that of all complete runs is enough, or
    if nothing is documented.
    """

    model: str
    label: str
    runs: int
    collapsed: int
    flips: Flips | None
    epochs: EpochsAndSeeds | None
    best_minus_last: float | None
    flattery: float | None
    with_misses: int
    typical_last: int | None
    typical_best: int | None
    is_documented: bool


@dataclass(frozen=True)
class TwoPlaces:
    """The same seeds of one network in two places."""

    model: str
    first: str
    second: str
    pairs: Rounding


@dataclass(frozen=True)
class Sources:
    """The sources in each group, in all groups of each label together, between places, and by what the seed changes."""

    groups: tuple[GroupSources, ...] = ()
    together: tuple[GroupSources, ...] = ()
    places: tuple[TwoPlaces, ...] = ()
    kinds: tuple[Kinds, ...] = ()


def sources(
    groups: Sequence[GroupSummary],
    documented: Mapping[str, Sequence[int]],
    by_run: MissedByRun,
    kinds: tuple[Kinds, ...],
) -> Sources:
    """Summarise the groups of a report. `documented` has the documented counts of each network by epoch."""
    most = max(1, MOST_CHOICES // max(1, len(groups)))
    found = [_of_group(group, documented.get(group.group.model, ()), by_run, most) for group in groups if group.last]
    return Sources(tuple(found), tuple(_together(groups, found)), tuple(_places(groups)), kinds)


def _steady(group: GroupSummary) -> Group:
    """The group with its complete runs without an epoch that collapses."""
    runs = zip(group.group.runs, group.seeds, strict=True)
    return replace(group.group, runs=tuple(run for run, seed in runs if seed.last is not None and not seed.collapses))


def _counts(group: Group) -> list[tuple[int, ...]]:
    return [run.correct[: group.budget] for run in group.complete]


def _of_group(group: GroupSummary, log: Sequence[int], by_run: MissedByRun, most_choices: int) -> GroupSources:
    what, everything = _steady(group), _counts(group.group)
    counts, missed = _counts(what), missed_in(what, by_run)
    epochs = range(1, what.budget + 1)
    known = (
        (max(run), [one[epoch].images[:, 0] for epoch in epochs], series.total)
        for run, series, one in zip(counts, what.runs, missed, strict=True)
        if all(epoch in one for epoch in epochs)
    )
    gains = [best - honest_best(images, total) for best, images, total in itertools.islice(known, most_choices)]
    lasts, bests = [run[-1] for run in everything], [max(run) for run in everything]
    return GroupSources(
        model=what.model,
        label=group.label,
        runs=len(counts),
        collapsed=len(everything) - len(counts),
        flips=_flips(what.runs, what.budget, missed),
        epochs=epochs_and_seeds([_final(counts)]) if _final(counts) else None,
        best_minus_last=_best_minus_last(counts),
        flattery=fmean(gains) if gains else None,
        with_misses=len(gains),
        typical_last=least_choice(log[-1], lasts) if log else None,
        typical_best=least_choice(max(log), bests) if log else None,
        is_documented=bool(log),
    )


def _best_minus_last(counts: Sequence[tuple[int, ...]]) -> float | None:
    return fmean(max(run) - run[-1] for run in counts) if counts else None


def _flips(runs: Sequence[Series], budget: int, missed: Sequence[Mapping[int, Missed]]) -> Flips | None:
    """The split of the variance of the last epoch, over the runs whose misses are recorded."""
    known = [(run, one[budget]) for run, one in zip(runs, missed, strict=True) if budget in one]
    totals = {run.total for run, _ in known}
    if len(totals) != 1:
        return None
    images = np.concatenate([one.images[:, 0] for _, one in known])
    by_image = np.unique(images, return_counts=True)[1]
    return flips([run.correct[budget - 1] for run, _ in known], by_image, totals.pop())


def _final(counts: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The last epochs of every run, or nothing if the runs have fewer."""
    return [run[-FINAL_EPOCHS:] for run in counts if len(run) >= FINAL_EPOCHS]


def _together(groups: Sequence[GroupSummary], found: Sequence[GroupSources]) -> list[GroupSources]:
    """All groups of each label, if there are several. Each group keeps its own mean."""
    result = []
    for label in dict.fromkeys(one.label for one in found):
        here = [one for one in found if one.label == label]
        if len(here) < 2:
            continue
        total = max(run.total for group in groups if group.label == label for run in group.group.complete)
        runs = [_counts(_steady(group)) for group in groups if group.label == label]
        gains = [(one.flattery, one.with_misses) for one in here if one.flattery is not None]
        weight = sum(many for _, many in gains)
        result.append(
            GroupSources(
                model="",
                label=label,
                runs=sum(one.runs for one in here),
                collapsed=sum(one.collapsed for one in here),
                flips=pooled_flips([one.flips for one in here if one.flips], total),
                epochs=epochs_and_seeds([final for group in runs if (final := _final(group))]),
                best_minus_last=_best_minus_last([run for group in runs for run in group]),
                flattery=sum(gain * many for gain, many in gains) / weight if weight else None,
                with_misses=weight,
                typical_last=None,
                typical_best=None,
                is_documented=False,
            )
        )
    return result


def _places(groups: Sequence[GroupSummary]) -> list[TwoPlaces]:
    """Every two groups of one network with seeds in common."""
    result = []
    for one, other in itertools.combinations(groups, 2):
        if one.group.model != other.group.model:
            continue
        first, second = (
            {run.seed: run.correct[: group.group.budget] for run in group.group.complete} for group in (one, other)
        )
        seeds = sorted(first.keys() & second.keys())
        pairs = rounding([first[seed] for seed in seeds], [second[seed] for seed in seeds])
        if pairs is not None:
            result.append(TwoPlaces(one.group.model, one.label, other.label, pairs))
    return result
