"""What a claim is judged by, and its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from bench.evidence.results import Group, Series
from bench.network.specification import Architecture, Claim
from bench.network.structure_facts import Structure

Outcome = Literal["holds", "does not hold", "about half of all seeds do", "cannot be decided yet"]


@dataclass(frozen=True)
class Verdict:
    """The outcome of one claim, with the reason in words and numbers, short enough for a table cell.

    `found` says what the runs or the module show. `would_decide` says what would decide an open claim, where that is
    known. `further` is the number of further seeds that would decide the claim if things stay as they are, beside the
    unfinished ones. It is 0 for a claim that is decided, and None if no number of seeds would decide it.
    """

    claim: Claim
    outcome: Outcome
    found: str
    would_decide: str = ""
    further: int | None = 0

    @property
    def evidence(self) -> str:
        """The whole reason."""
        return "; ".join(filter(None, (self.found, self.would_decide)))


@dataclass(frozen=True)
class Case:
    """Everything that a claim about one network is judged by. `group` is None for a network without runs.

    `known_structure` is None if only the log of the network is known. Such a network has no claims about its layers.
    """

    architecture: Architecture
    known_structure: Structure | None
    group: Group | None

    @property
    def structure(self) -> Structure:
        """The structure of a network that has one."""
        assert self.known_structure is not None
        return self.known_structure

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

    def draws(self, most: int) -> tuple[list[tuple[int, ...]], int]:
        """The counts by epoch of the complete runs, and how many runs diverged, of the first `most` seeds of both."""
        over = [run for run in self.runs if run.has_diverged or len(run.correct) >= self.budget]
        first = sorted(over, key=lambda run: run.seed)[:most]
        counts = [run.correct[: self.budget] for run in first if not run.has_diverged]
        return counts, len(first) - len(counts)

    @property
    def other_totals(self) -> tuple[int, ...]:
        """The sizes of the test sets of the runs, without the size that the claims are about."""
        return tuple(sorted({run.total for run in self.runs if run.total} - {self.architecture.target.total}))

    @property
    def log(self) -> tuple[int, ...]:
        """The correct images of the documented log, by epoch."""
        return tuple(logged.correct for logged in self.architecture.log)


class Finding(NamedTuple):
    """A verdict before its claim is known to it. The fields are those of `Verdict`."""

    outcome: Outcome
    found: str
    would_decide: str = ""
    further: int | None = 0
