"""Two sets of runs over the seeds they share: networks on one device, devices for one network. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.evidence.statistics import PermutationTest, holm, paired_permutation_test, variation
from bench.evidence.summary.pooled import GroupSummary

_PAIRS = 17
"""Seeds that a paired test looks at, the lowest ones: up to here all arrangements are enumerated."""


MANY_NETWORKS = 20
"""With more networks than this, no two of them are compared, nor any drawn. Pairs grow with the square: of 500 networks
they take hours, and Holm's correction for so many tests leaves none that could find anything."""


@dataclass(frozen=True)
class Paired:
    """Two sets of runs over the seeds they share, in one measure: "last" or "first".

    `model` is empty where two networks are compared, and the network's name where two devices are. The difference is
    that of `first` minus `second`; `adjusted` is Holm's p-value over every test of the same table, `smallest` the least
    that it could have become.
    """

    model: str
    label: str
    first: str
    second: str
    measure: str
    seeds: tuple[int, ...]
    test: PermutationTest
    deviation: float | None
    adjusted: float
    smallest: float


def between_networks(groups: Sequence[GroupSummary]) -> Iterator[Paired]:
    """Every pair of networks on the same device and environment, both measures corrected together.

    There are none with more than `MANY_NETWORKS` networks.
    """
    if len({group.group.model for group in groups}) > MANY_NETWORKS:
        return
    for label in dict.fromkeys(group.label for group in groups):
        here = [group for group in groups if group.label == label]
        yield from _paired(
            [
                ("", label, one.group.model, one, other.group.model, other)
                for one, other in itertools.combinations(here, 2)
            ]
        )


def between_devices(groups: Sequence[GroupSummary]) -> Iterator[Paired]:
    """Every pair of devices or environments of one network, all networks corrected together."""
    yield from _paired(
        [
            (one.group.model, "", one.label, one, other.label, other)
            for one, other in itertools.combinations(groups, 2)
            if one.group.model == other.group.model
        ]
    )


def _paired(pairs: Sequence[tuple[str, str, str, GroupSummary, str, GroupSummary]]) -> Iterator[Paired]:
    tests = []
    for measure in ("last", "first"):
        for model, label, first, one, second, other in pairs:
            left, right = _measured(one, other, measure), _measured(other, one, measure)
            seeds = tuple(sorted(left.keys() & right.keys())[:_PAIRS])
            if not seeds:
                continue
            left = {seed: left[seed] for seed in seeds}
            test = paired_permutation_test(list(left.values()), [right[seed] for seed in seeds])
            (difference,) = variation({"first": left, "second": {seed: right[seed] for seed in seeds}}).differences
            tests.append((model, label, first, second, measure, seeds, test, difference.deviation))
    adjusted = holm([test.p_value for *_, test, _ in tests])
    smallest = holm([test.smallest_p for *_, test, _ in tests])
    for values, p_value, least in zip(tests, adjusted, smallest, strict=True):
        yield Paired(*values, p_value, least)


def _measured(group: GroupSummary, other: GroupSummary, measure: str) -> dict[int, float]:
    """Last accuracy, or first epoch at the target under the smaller budget of two, of every seed that is over.

    A seed that diverged never arrives and has none correct. An unfinished one is left out even if it has arrived: to
    let in the fast of them and not the slow ones would flatter.
    """
    over = [seed for seed in group.seeds if seed.is_over]
    if measure == "last":
        return {seed.seed: float(seed.last or 0) for seed in over}
    budget = min(group.group.budget, other.group.budget)
    return {seed.seed: float(budget if seed.first is None else min(seed.first, budget)) for seed in over}
