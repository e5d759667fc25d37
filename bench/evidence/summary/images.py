"""Summarise which test images runs miss and on how many images the runs disagree. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.evidence.results import Group
from bench.evidence.summary.pooled import GroupSummary
from bench.record.misses import Missed

_Integers = NDArray[np.int64]

MissedByRun = Mapping[tuple[str, str, str, str, int], Mapping[int, Missed]]
"""The missed images by the key of a run's group and its seed, then by epoch."""

MOST_MISSED = 20
"""The number of images that the report lists and draws: those that most runs miss."""


@dataclass(frozen=True)
class Agreement:
    """How far `runs` runs give the same answers on the `total` test images.

    `model` is empty if the runs are of all networks, `label` if they are of all devices. `epoch` is the epoch after
    which all runs are looked at, or None if it is not the same epoch for all. `differ` is the number of images on which
    at least two runs see different digits. `missed_by_any` images are missed by at least one run, `missed_by_all` by
    every run. `pairwise` is the mean, over all pairs of runs, of the number of images on which the two runs differ. It
    is None for a single run.
    """

    model: str
    label: str
    epoch: int | None
    runs: int
    total: int
    differ: int
    missed_by_any: int
    missed_by_all: int
    pairwise: float | None


@dataclass(frozen=True)
class MissedImage:
    """A test image that `missed_by` of `runs` runs miss. `seen_as` has (digit, runs), the most frequent digit first."""

    image: int
    label: int
    missed_by: int
    runs: int
    seen_as: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Images:
    """The agreement in every group, the agreement of all runs `together`, and the images that most runs miss.

    `as_often` is the number of further images that are missed as often as the last image of `most_missed`. `without` is
    the number of complete runs whose misses of the epoch that is looked at are not recorded. `collapsed` runs are left
    out, because they collapse in that epoch.
    """

    groups: tuple[Agreement, ...] = ()
    together: Agreement | None = None
    most_missed: tuple[MissedImage, ...] = ()
    as_often: int = 0
    without: int = 0
    collapsed: int = 0


def images(groups: Sequence[GroupSummary], by_run: MissedByRun) -> Images:
    """Summarise the images that runs miss in the groups of a report.

    All runs of a group are looked at after the same epoch, within the documented number of epochs. That is the latest
    epoch for which the misses of at least two runs are recorded. If there is no such epoch, one run is enough.
    """
    found, together, without, collapsed = list[Agreement](), list[Missed](), 0, 0
    for group in groups:
        what = group.group
        missed = missed_in(what, by_run)
        chosen = _at_common_epoch([one for epochs in missed for one in epochs.values()], what.budget)
        epoch = chosen[0].key[5] if chosen else 0
        fallen = {seed.seed for seed in group.seeds if any(one.epoch == epoch for one in seed.collapses)}
        collapsed += sum(one.key[4] in fallen for one in chosen)
        chosen = [one for one in chosen if one.key[4] not in fallen]
        if chosen:
            found.append(_agreement(what.model, group.label, chosen))
        together += chosen
        without += sum(
            len(run.correct) >= what.budget and epoch not in epochs
            for run, epochs in zip(what.runs, missed, strict=True)
        )
    if not together:
        return Images(without=without, collapsed=collapsed)
    total = max(one.total for one in together)
    together = [one for one in together if one.total == total]
    return Images(tuple(found), _agreement("", "", together), *_most_missed(together), without, collapsed)


def missed_by_run(kept: Sequence[Missed]) -> MissedByRun:
    """The missed images by the group's key and the seed, then by epoch. Several devices of a run are one."""
    by_run: dict[tuple[str, str, str, str, int], dict[int, Missed]] = {}
    for one in kept:
        model, recipe, device, environment, seed, epoch = one.bits_key
        by_run.setdefault((model, recipe, device, environment, seed), {}).setdefault(epoch, one)
    return by_run


def missed_in(group: Group, by_run: MissedByRun) -> list[dict[int, Missed]]:
    """The missed images of each run of a group, by epoch, in those epochs that count."""
    return [
        {epoch: one for epoch, one in by_run.get((*group.key, run.seed), {}).items() if epoch <= len(run.correct)}
        for run in group.runs
    ]


def _at_common_epoch(runs: Sequence[Missed], budget: int) -> list[Missed]:
    counts = Counter(one.key[5] for one in runs if one.key[5] <= budget)
    several = [epoch for epoch, count in counts.items() if count > 1]
    epoch = max(several or counts, default=0)
    return [one for one in runs if one.key[5] == epoch]


def _agreement(model: str, label: str, runs: Sequence[Missed]) -> Agreement:
    n = len(runs)
    (images, _), counts = _wrong_digits(runs)
    missed, which = np.unique(images, return_inverse=True)
    missed_by = _sum_by_image(counts, which)
    alike = _pairs(n - missed_by) + _sum_by_image(_pairs(counts), which)  # pairs of runs that see the same digit
    epochs = {one.key[5] for one in runs}
    return Agreement(
        model=model,
        label=label,
        epoch=epochs.pop() if len(epochs) == 1 else None,
        runs=n,
        total=max(one.total for one in runs),
        differ=int(np.count_nonzero(alike < n * (n - 1) // 2)),
        missed_by_any=len(missed),
        missed_by_all=int(np.count_nonzero(missed_by == n)),
        pairwise=float((n * (n - 1) // 2 - alike).sum()) / (n * (n - 1) // 2) if n > 1 else None,
    )


def _most_missed(runs: Sequence[Missed]) -> tuple[tuple[MissedImage, ...], int]:
    """The images to list, and the number of other images that are missed as often as the last listed image."""
    (images, seen), counts = _wrong_digits(runs)
    missed, which = np.unique(images, return_inverse=True)
    missed_by = _sum_by_image(counts, which)
    every = np.concatenate([one.images for one in runs]).astype(np.int64)
    labelled = np.unique(every[:, 0] * 10 + every[:, 1])
    labels = labelled[np.unique(labelled // 10, return_index=True)[1]] % 10
    order = np.lexsort((missed, -missed_by))
    listed = []
    for place in order[:MOST_MISSED]:
        image = int(missed[place])
        digits = zip(seen[images == image].tolist(), counts[images == image].tolist(), strict=True)
        ordered = tuple(sorted(digits, key=lambda one: (-one[1], one[0])))
        listed.append(MissedImage(image, int(labels[place]), int(missed_by[place]), len(runs), ordered))
    as_often = sum(int(missed_by[place]) == listed[-1].missed_by for place in order[MOST_MISSED:])
    return tuple(listed), as_often


def _wrong_digits(runs: Sequence[Missed]) -> tuple[tuple[_Integers, _Integers], _Integers]:
    """Every image with a wrong digit that runs see in it, and the number of runs that see this digit."""
    every = np.concatenate([one.images for one in runs]).astype(np.int64)
    codes, counts = np.unique(every[:, 0] * 10 + every[:, 2], return_counts=True)
    return divmod(codes, 10), counts


def _sum_by_image(values: _Integers, which: _Integers) -> _Integers:
    """The sum of the values for each image."""
    return np.bincount(which, weights=values, minlength=which.max(initial=-1) + 1).astype(np.int64)


def _pairs(n: _Integers) -> _Integers:
    return n * (n - 1) // 2
