"""Which test images runs miss, and on how many they disagree. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.evidence.summary.pooled import GroupSummary
from bench.record.misses import Missed

_Integers = NDArray[np.int64]

MOST_MISSED = 20
"""Images that are listed and drawn: those that most runs miss."""


@dataclass(frozen=True)
class Agreement:
    """How far runs classify the `total` test images alike.

    `model` is empty over all networks, `label` over all devices. `epoch` is the one after which all of them are looked
    at, None where it is not the same. On `differ` images two runs or more see different digits; `missed_by_any` and
    `missed_by_all` are missed by at least one run and by every one; `pairwise` is the mean over pairs of runs of the
    images on which the two differ, None for a single run.
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
    """A test image, how many of `runs` miss it, and what they see instead: (digit, runs), the most frequent first."""

    image: int
    label: int
    missed_by: int
    runs: int
    seen_as: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Images:
    """The agreement of every group, that of all its runs together, and the images that most of these miss.

    `as_often` further images are missed as often as the last of those. `without` counts the complete runs whose misses
    are not kept.
    """

    groups: tuple[Agreement, ...] = ()
    together: Agreement | None = None
    most_missed: tuple[MissedImage, ...] = ()
    as_often: int = 0
    without: int = 0


def images(groups: Sequence[GroupSummary], kept: Sequence[Missed]) -> Images:
    """What runs miss in the groups of a report.

    The runs of a group are looked at after the same epoch: the latest documented one that two of them are kept for, or
    if there is none, that any is kept for.
    """
    by_group: dict[tuple[str, ...], list[Missed]] = {}
    for one in kept:
        by_group.setdefault(one.key[:4], []).append(one)
    found, together, without = list[Agreement](), list[Missed](), 0
    for group in groups:
        what = group.group
        here = by_group.get((what.model, what.recipe, what.device, what.environment), [])
        chosen = _after_the_same_epoch(here, what.budget)
        if chosen:
            found.append(_agreement(what.model, group.label, chosen))
        together += chosen
        known = {one.key[4] for one in here if one.key[5] == what.budget}
        without += sum(run.seed not in known for run in what.complete)
    if not together:
        return Images(without=without)
    total = max(one.total for one in together)
    together = [one for one in together if one.total == total]
    return Images(tuple(found), _agreement("", "", together), *_most_missed(together), without)


def _after_the_same_epoch(runs: Sequence[Missed], budget: int) -> list[Missed]:
    counts = Counter(one.key[5] for one in runs if one.key[5] <= budget)
    several = [epoch for epoch, count in counts.items() if count > 1]
    epoch = max(several or counts, default=0)
    return [one for one in runs if one.key[5] == epoch]


def _agreement(model: str, label: str, runs: Sequence[Missed]) -> Agreement:
    n = len(runs)
    (images, _), counts = _seen_instead(runs)
    missed, which = np.unique(images, return_inverse=True)
    missed_by = _summed(counts, which)
    alike = _pairs(n - missed_by) + _summed(_pairs(counts), which)  # pairs of runs that see the same digit
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
    """The images to list, and how many are missed as often as the last of them and are not listed."""
    (images, seen), counts = _seen_instead(runs)
    missed, which = np.unique(images, return_inverse=True)
    missed_by = _summed(counts, which)
    labelled = np.unique(np.concatenate([one.images[:, 0] * 10 + one.images[:, 1] for one in runs]))
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


def _seen_instead(runs: Sequence[Missed]) -> tuple[tuple[_Integers, _Integers], _Integers]:
    """Every wrong digit that runs see in an image, as image and digit, and how many of them do."""
    every = np.concatenate([one.images for one in runs])
    codes, counts = np.unique(every[:, 0] * 10 + every[:, 2], return_counts=True)
    return divmod(codes, 10), counts


def _summed(values: _Integers, which: _Integers) -> _Integers:
    """The sum of the values of each image."""
    return np.bincount(which, weights=values, minlength=which.max(initial=-1) + 1).astype(np.int64)


def _pairs(n: _Integers) -> _Integers:
    return n * (n - 1) // 2
