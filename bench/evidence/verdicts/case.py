"""What a claim is judged by, and its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.evidence.results import Group, Series
from bench.network.specification import Architecture, Claim
from bench.network.structure_facts import Structure

Outcome = Literal["holds", "does not hold", "cannot be decided yet"]


@dataclass(frozen=True)
class Verdict:
    """The outcome of one claim, with the reason in words and numbers, short enough for a table cell.

    `found` says what the runs or the module show. `would_decide` says what would decide an open claim, where that is
    known.
    """

    claim: Claim
    outcome: Outcome
    found: str
    would_decide: str = ""

    @property
    def evidence(self) -> str:
        """The whole reason."""
        return "; ".join(filter(None, (self.found, self.would_decide)))


@dataclass(frozen=True)
class Case:
    """Everything that a claim about one network is judged by. `group` is None for a network without runs."""

    architecture: Architecture
    structure: Structure
    group: Group | None

    @property
    def target(self) -> int:
        """The number of test images that a run must classify correctly."""
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
        """The counts of correct images by epoch of every complete run, up to the documented number of epochs."""
        return [run.correct[: self.budget] for run in self.group.complete] if self.group else []

    @property
    def diverged(self) -> int:
        """The number of runs that diverged."""
        return sum(run.has_diverged for run in self.runs)

    @property
    def other_totals(self) -> tuple[int, ...]:
        """The sizes of the test sets of the runs, without the size that the claims are about."""
        return tuple(sorted({run.total for run in self.runs if run.total} - {self.architecture.target.total}))

    @property
    def log(self) -> tuple[int, ...]:
        """The correct images of the documented log, by epoch."""
        return tuple(logged.correct for logged in self.architecture.log)


Finding = tuple[Outcome, str] | tuple[Outcome, str, str]
"""The outcome of a claim, the evidence for it, and what would decide it if it is open."""
