"""Compare two sets of runs over their shared seeds: two networks on one device, or one network on two devices. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import stdev

from bench.evidence.statistics import PermutationTest, holm, paired_permutation_test
from bench.evidence.summary.pooled import GroupSummary

MOST_SEEDS = 17
"""A paired test uses at most this many seeds, the lowest ones. The test can still enumerate all arrangements."""


MANY_NETWORKS = 20
"""With more networks than this, the report does not compare pairs of networks and does not draw the networks. The
number of pairs grows with the square: 500 networks take hours, and after Holm's correction for so many tests, none of
them could find a difference."""


@dataclass(frozen=True)
class Paired:
    """The comparison of two sets of runs over their shared seeds in one measure, "last" or "first".

    `model` is empty if two networks are compared. If two devices are compared, it is the network's name and `label` is
    empty. The difference is `first` minus `second`. `adjusted` is Holm's p-value over all tests of the same table.
    `smallest` is the smallest possible value of `adjusted`.
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
    """Compare every pair of networks on the same device and environment. Both measures are corrected together.

    With more than `MANY_NETWORKS` networks, no pair is compared.
    """
    if len({group.group.model for group in groups}) > MANY_NETWORKS:
        return
    for label in dict.fromkeys(group.label for group in groups):
        here = [group for group in groups if group.label == label]
        yield from _paired_tests(
            [
                ("", label, one.group.model, one, other.group.model, other)
                for one, other in itertools.combinations(here, 2)
            ]
        )


def between_devices(groups: Sequence[GroupSummary]) -> Iterator[Paired]:
    """Compare every pair of devices or environments of each network. All networks are corrected together."""
    yield from _paired_tests(
        [
            (one.group.model, "", one.label, one, other.label, other)
            for one, other in itertools.combinations(groups, 2)
            if one.group.model == other.group.model
        ]
    )


def _paired_tests(pairs: Sequence[tuple[str, str, str, GroupSummary, str, GroupSummary]]) -> Iterator[Paired]:
    tests = []
    for measure in ("last", "first"):
        for model, label, first, one, second, other in pairs:
            left, right = _measured(one, other, measure), _measured(other, one, measure)
            seeds = tuple(sorted(left.keys() & right.keys())[:MOST_SEEDS])
            if not seeds:
                continue
            test = paired_permutation_test([left[seed] for seed in seeds], [right[seed] for seed in seeds])
            deviation = stdev(left[seed] - right[seed] for seed in seeds) if len(seeds) > 1 else None
            tests.append((model, label, first, second, measure, seeds, test, deviation))
    adjusted = holm([test.p_value for *_, test, _ in tests])
    smallest = holm([test.smallest_p for *_, test, _ in tests])
    for values, p_value, least in zip(tests, adjusted, smallest, strict=True):
        yield Paired(*values, p_value, least)


def _measured(group: GroupSummary, other: GroupSummary, measure: str) -> dict[int, float]:
    """The measure of every seed that is over. Of two budgets, the smaller one limits the first epoch at the target.

    A seed that diverged never reaches the target and has 0 correct images. An unfinished seed is left out even if it
    has reached the target: to include only the fast unfinished seeds would make the group look better than it is.
    """
    over = [seed for seed in group.seeds if seed.is_over]
    if measure == "last":
        return {seed.seed: float(seed.last or 0) for seed in over}
    budget = min(group.group.budget, other.group.budget)
    return {seed.seed: float(budget if seed.first is None else min(seed.first, budget)) for seed in over}
