"""What a claim is judged by, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.evidence.results import Group, Series
from bench.network.specification import Architecture, Claim
from bench.network.structure_facts import Structure

Outcome = Literal["holds", "does not hold", "cannot be decided yet"]


@dataclass(frozen=True)
class Verdict:
    """What becomes of one claim, and the evidence, in words and numbers that fit a table's cell."""

    claim: Claim
    outcome: Outcome
    evidence: str


@dataclass(frozen=True)
class Case:
    """All that a claim is judged by."""

    architecture: Architecture
    structure: Structure
    group: Group | None

    @property
    def target(self) -> int:
        """The test images that are to be classified correctly."""
        return self.architecture.target.correct

    @property
    def budget(self) -> int:
        """The documented number of epochs."""
        return self.group.budget if self.group else self.architecture.recipe.epochs

    @property
    def runs(self) -> tuple[Series, ...]:
        """Every recorded run."""
        return self.group.runs if self.group else ()

    @property
    def complete(self) -> list[tuple[int, ...]]:
        """The counts of every complete run, within the documented epochs."""
        return [run.correct[: self.budget] for run in self.group.complete] if self.group else []

    @property
    def diverged(self) -> int:
        """How many runs diverged."""
        return sum(run.has_diverged for run in self.runs)

    @property
    def other_totals(self) -> tuple[int, ...]:
        """The sizes of the test sets that runs were tested on, other than the one that claims are about."""
        return tuple(sorted({run.total for run in self.runs if run.total} - {self.architecture.target.total}))

    @property
    def log(self) -> tuple[int, ...]:
        """The documented log, by epoch."""
        return tuple(logged.correct for logged in self.architecture.log)


Finding = tuple[Outcome, str]
"""What becomes of a claim, and the evidence."""
