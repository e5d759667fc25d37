"""The result of a comparison of two records: the runs of each side, their measures, and what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bench.evidence.statistics import PermutationTest

Measure = Literal["epochs to target", "last accuracy"]
Finding = Literal["slower", "faster", "lower", "higher", "no evidence", "all equal", "too few seeds", "too many ties"]

DIRECTIONS: Mapping[Measure, tuple[Finding, Finding]] = {
    "epochs to target": ("faster", "slower"),
    "last accuracy": ("lower", "higher"),
}
"""The names of a significant decrease and a significant increase in each measure."""


@dataclass(frozen=True)
class Side:
    """The runs of one environment over the compared epochs. `times` and `last` have one value for each run.

    A time is the first epoch at or above the target, or None if there is no such epoch. `last` is the number of
    correctly classified images in the last epoch. A run that diverged counts as a run that never reached the target and
    has 0 correct images, even if it reached the target before. `unfinished` counts the runs that stopped for another
    reason. They are in neither tuple, even if they reached the target.
    """

    environment: str
    machine: str
    times: tuple[int | None, ...]
    last: tuple[int, ...]
    diverged: int
    unfinished: int

    @property
    def seeds(self) -> int:
        """The number of compared runs."""
        return len(self.times)


@dataclass(frozen=True)
class Change:
    """The change from old to new in one measure. A run that never reached the target counts with all compared epochs.

    `test.difference` is new minus old. `adjusted` is Holm's p-value over all tests of a comparison that could be
    significant by themselves. It is None for the other tests.
    """

    measure: Measure
    old_mean: float
    new_mean: float
    test: PermutationTest
    finding: Finding
    adjusted: float | None = None


@dataclass(frozen=True)
class Pair:
    """One network on one device in two environments, over the first `epochs` of the documented `budget`."""

    model: str
    device: str
    epochs: int
    budget: int
    old: Side
    new: Side
    changes: tuple[Change, ...]

    def __str__(self) -> str:
        return f"{self.model} on {self.device}"


@dataclass(frozen=True)
class Comparison:
    """The comparison of two records. `notes` say what was left out and what else a reader should know."""

    old: str
    new: str
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """The change in every measure of every pair."""
        return tuple(change for pair in self.pairs for change in pair.changes)

    @property
    def found(self) -> tuple[tuple[Pair, Change], ...]:
        """The pairs and measures with evidence of a change."""
        every = ((pair, change) for pair in self.pairs for change in pair.changes)
        return tuple((pair, change) for pair, change in every if change.finding in DIRECTIONS[change.measure])

    @property
    def tests(self) -> int:
        """The number of tests in Holm's correction."""
        return sum(change.adjusted is not None for change in self.changes)

    @property
    def smallest_adjusted(self) -> float:
        """The smallest possible adjusted p-value. If it is above the level, no change could have been found."""
        smallest = (change.test.smallest_p for change in self.changes if change.adjusted is not None)
        return min(1.0, min(smallest, default=1.0) * max(1, self.tests))

    @property
    def exit_code(self) -> int:
        """0 without evidence of a change, 1 with evidence of a change in either direction."""
        return 1 if self.found else 0
