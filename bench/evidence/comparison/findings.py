"""What comes out of a comparison of two records: the runs of either side, what was measured of them, what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bench.evidence.statistics import PermutationTest

LEVEL = 0.05
"""The significance level: an adjusted p-value at or below it is evidence of a change."""

Measure = Literal["epochs to target", "last accuracy"]
Finding = Literal["slower", "faster", "lower", "higher", "no evidence", "all equal", "too few seeds", "too many ties"]

DIRECTIONS: Mapping[Measure, tuple[Finding, Finding]] = {
    "epochs to target": ("faster", "slower"),
    "last accuracy": ("lower", "higher"),
}
"""What a significant decrease is called, and an increase."""


@dataclass(frozen=True)
class Side:
    """The runs of one environment, over the epochs that are compared; `times` and `last` have one value a run.

    A time is the first epoch at or above the target, None if there is none; `last` is the count of correctly classified
    images in the last epoch. A run that diverged never reached the target, whatever it had reached before, and has none
    correct. The `unfinished` runs stopped for another reason, and are in neither, whatever they had reached.
    """

    environment: str
    machine: str
    times: tuple[int | None, ...]
    last: tuple[int, ...]
    diverged: int
    unfinished: int

    @property
    def seeds(self) -> int:
        """The number of runs compared."""
        return len(self.times)

    @property
    def never(self) -> int:
        """How many of them did not reach the target."""
        return self.times.count(None)


@dataclass(frozen=True)
class Change:
    """New minus old in one measure. A run that never reached the target counts with all the epochs compared.

    `adjusted` is Holm's p-value over all tests of a comparison that could be significant by themselves, and None for
    the others.
    """

    measure: Measure
    old_mean: float
    new_mean: float
    test: PermutationTest
    finding: Finding
    adjusted: float | None = None


@dataclass(frozen=True)
class AgainstReference:
    """MLPerf's reference convergence points, old runs as the reference: "olympic" means and trimmed deviations.

    `passes` says whether the new runs are no faster than allowed; speed-ups are shares, and None where none is finite.
    """

    old_mean: float
    old_deviation: float
    new_mean: float
    new_deviation: float
    speed_up: float
    largest_speed_up: float | None
    passes: bool


@dataclass(frozen=True)
class Pair:
    """One network on one device in two environments, over the first `epochs` of the documented `budget`.

    `reference_points` is a reason where there are none.
    """

    model: str
    device: str
    epochs: int
    budget: int
    old: Side
    new: Side
    changes: tuple[Change, ...]
    reference_points: AgainstReference | str

    def __str__(self) -> str:
        return f"{self.model} on {self.device}"


@dataclass(frozen=True)
class Comparison:
    """Two records beside each other; `notes` say what was left out, or is worth knowing."""

    old: str
    new: str
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every measure of every pair."""
        return tuple(change for pair in self.pairs for change in pair.changes)

    @property
    def found(self) -> tuple[tuple[Pair, Change], ...]:
        """What changed."""
        every = ((pair, change) for pair in self.pairs for change in pair.changes)
        return tuple((pair, change) for pair, change in every if change.finding in DIRECTIONS[change.measure])

    @property
    def tests(self) -> int:
        """The tests that Holm's correction counts."""
        return sum(change.adjusted is not None for change in self.changes)

    @property
    def smallest_adjusted(self) -> float:
        """The smallest adjusted p-value that could have come out; above the level, nothing could have been found."""
        smallest = (change.test.smallest_p for change in self.changes if change.adjusted is not None)
        return min(1.0, min(smallest, default=1.0) * max(1, self.tests))

    @property
    def exit_code(self) -> int:
        """0 without evidence of a change, 1 with it, in whatever direction."""
        return 1 if self.found else 0
