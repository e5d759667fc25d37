"""Whether one published value is one more draw beside our seeds: rank tests with a fixed number of seeds.

The rank of an exchangeable draw is uniform. At a level of 5 %, 39 seeds can reject a value on either side, and 19 seeds
a value that is too high; they reject only a value beyond all of them. So one seed on the other side settles the test
early, and nothing that comes later could change it (curtailment). To look early is therefore no second look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Tested = Literal["on both sides", "too high"]

SEEDS: dict[Tested, int] = {"on both sides": 39, "too high": 19}
"""The number of seeds at which a value beyond all of them has a p-value of exactly 0.05."""


@dataclass(frozen=True)
class RankTest:
    """The rank of a value among `n` seeds: how many are below it, equal to it (`ties`) and above it.

    `failed` more of the n seeds have no value. `p_value` is for the hypothesis that the value is one more draw of the
    same kind. `further` is the number of further seeds that would reject the value if they fall on the same side as all
    seeds so far.
    """

    n: int
    below: int
    ties: int
    above: int
    failed: int
    p_value: float
    is_rejected: bool
    further: int

    @property
    def is_decided(self) -> bool:
        """Whether no further seed can change the outcome."""
        return self.further == 0


def rank_test(value: float, sample: Sequence[float | None], tested: Tested, failed: int = 0) -> RankTest:
    """Test `value` against the first seeds, at most `SEEDS[tested]` of them. None means never, which is above all.

    `failed` more seeds count against the value on either side, so they can never settle the test in its favour. Ties
    never count against it. Raises ValueError for NaN and for too many seeds.
    """
    n, seeds = len(sample) + failed, SEEDS[tested]
    if n > seeds:
        raise ValueError(f"the test has {seeds} seeds, not {n}")
    others = [math.inf if one is None else one for one in sample]
    if any(math.isnan(one) for one in (value, *others)):
        raise ValueError("NaN has no rank")
    below, above = sum(one < value for one in others), sum(one > value for one in others)
    ties = len(others) - below - above
    # the seeds that keep the value from being beyond all of them: on either side, or on the upper side alone
    tail = ties + (above if tested == "too high" else min(below, above))
    p_value = min(1.0, (1 if tested == "too high" else 2) * (tail + 1) / (n + 1))
    further = 0 if tail else seeds - n
    return RankTest(n, below, ties, above, failed, p_value, not tail and not further, further)


def expected_draws(test: RankTest, tested: Tested, at_most: int) -> float:
    """The expected number of further seeds until a test is decided, or until there are `at_most` seeds in all.

    The value counts as one more draw of the same kind. If it is the highest of n + 1 draws, it is still the highest of
    n + k + 1 with a probability of (n + 1) / (n + k + 1).
    """
    if test.is_decided:
        return 0.0
    last = min(SEEDS[tested], at_most)
    if test.n == 0 and tested == "on both sides":  # the first seed is always on one side
        return float(last > 0) + sum(2 / (seeds + 1) for seeds in range(1, last))
    return sum((test.n + 1) / (seeds + 1) for seeds in range(test.n, last))
