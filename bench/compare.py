"""Did convergence change between two records: faster or slower to the target, better or worse in the end? Pure.

Networks are compared device by device, environment by environment and by equal recipe; runs of different environments
are never pooled. If NEW has environments that OLD has not, each of those is compared with each of OLD, and what both
files hold is passed over; if not, every environment is compared with itself.

The tests take the two sets of runs as independent samples: the same seed starts with the same weights in another
environment, but rounding drives the two runs apart within an epoch or two.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tabulate import tabulate

from bench.errors import UnusableInput
from bench.record import Record
from bench.results import Group, groups
from bench.specification import Architecture
from bench.statistics import (
    PermutationTest,
    first_hit,
    holm,
    reference_convergence,
    submission_passes,
    two_sample_permutation_test,
)

LEVEL = 0.05

Measure = Literal["epochs to target", "last accuracy"]
Finding = Literal["slower", "faster", "lower", "higher", "no evidence", "all equal", "too few seeds", "too many ties"]

_DIRECTIONS: Mapping[Measure, tuple[Finding, Finding]] = {
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
class ReferencePoints:
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
    reference_points: ReferencePoints | str

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
        return tuple((pair, change) for pair, change in every if change.finding in _DIRECTIONS[change.measure])

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


def compare(old: Record, new: Record, architectures: Mapping[str, Architecture]) -> Comparison:
    """The comparison of two records.

    Raises:
        UnusableInput: they have nothing in common that could be compared; the message says why.
    """
    names = (str(old.path), str(new.path))
    notes = [*_unknown_networks(old, architectures), *_unknown_networks(new, architectures)]
    pairs = []
    for one, other in _pairs(groups(old, architectures), groups(new, architectures), names, notes):
        pair = _pair(one, other, architectures[one.model].target.correct)
        if min(pair.old.seeds, pair.new.seeds):
            pairs.append(pair)
            notes.extend(_on_runs(pair))
        else:
            notes.append(f"{pair}: {names[0] if not pair.old.seeds else names[1]} has no finished run to compare")
    if not pairs:
        reason = "; ".join(notes) or "both are without runs"
        raise UnusableInput(f"{names[0]} and {names[1]}: nothing to compare: {reason}")
    return Comparison(*names, _adjusted(pairs), tuple(notes))


def _unknown_networks(record: Record, architectures: Mapping[str, Architecture]) -> list[str]:
    unknown = sorted(set(record.rows["model"]) - set(architectures))
    return [f"{record.path}: passed over, being none of the networks here: {', '.join(unknown)}"] if unknown else []


def _pairs(
    old: Sequence[Group], new: Sequence[Group], names: tuple[str, str], notes: list[str]
) -> Iterator[tuple[Group, Group]]:
    """What is compared with what, by the rule at the head of this module; `notes` gets what is not."""
    for key in dict.fromkeys((group.model, group.device) for group in (*old, *new)):
        place = f"{key[0]} on {key[1]}"
        ours, theirs = ([group for group in side if (group.model, group.device) == key] for side in (old, new))
        if not ours or not theirs:
            notes.append(f"{place}: only in {names[0] if ours else names[1]}")
            continue
        recipes = [sorted({group.recipe for group in side}) for side in (ours, theirs)]
        for recipe in sorted(set(recipes[0]) ^ set(recipes[1])):
            notes.append(f"{place}: recipe {recipe} only in {names[recipe in recipes[1]]}; recipes are not compared")
        for recipe in sorted(set(recipes[0]) & set(recipes[1])):
            before, after = ([group for group in side if group.recipe == recipe] for side in (ours, theirs))
            for name, side in zip(names, (before, after), strict=True):
                if len(side) > 1:
                    several = ", ".join(group.environment for group in side)
                    notes.append(f"{place}: {len(side)} environments in {name}, not pooled: {several}")
            fresh = [group for group in after if group.environment not in {one.environment for one in before}]
            if fresh:
                yield from itertools.product(before, fresh)
            else:
                yield from ((one, other) for one in before for other in after if one.environment == other.environment)


def _pair(old: Group, new: Group, target: int) -> Pair:
    longest = [max((len(run.correct) for run in group.runs), default=0) for group in (old, new)]
    epochs = min(old.budget, *longest)
    before, after = _side(old, epochs, target), _side(new, epochs, target)
    changes: tuple[Change, ...] = ()
    if before.seeds and after.seeds:
        times = [[epochs if time is None else time for time in side.times] for side in (before, after)]
        changes = (_change("epochs to target", *times), _change("last accuracy", before.last, after.last))
    return Pair(
        old.model, old.device, epochs, old.budget, before, after, changes, _reference_points(before.times, after.times)
    )


def _side(group: Group, epochs: int, target: int) -> Side:
    finished = [run.correct[:epochs] for run in group.runs if len(run.correct) >= epochs > 0 and not run.has_diverged]
    diverged = sum(run.has_diverged for run in group.runs)
    return Side(
        group.environment,
        group.machine,
        (*(first_hit(counts, target) for counts in finished), *[None] * diverged),
        (*(counts[-1] for counts in finished), *[0] * diverged),
        diverged,
        len(group.runs) - len(finished) - diverged,
    )


def _change(measure: Measure, old: Sequence[int], new: Sequence[int]) -> Change:
    test = two_sample_permutation_test(new, old)
    finding: Finding = "no evidence"
    if _smallest_p(len(old), len(new)) > LEVEL:
        finding = "too few seeds"
    elif test.smallest_p > LEVEL:
        finding = "all equal" if len({*old, *new}) == 1 else "too many ties"
    return Change(measure, sum(old) / len(old), sum(new) / len(new), test, finding)


def _smallest_p(first: int, second: int) -> float:
    """The least two-sided p-value of a permutation test without ties."""
    return min(1.0, 2 / math.comb(first + second, first))


def _adjusted(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """The pairs with Holm's p-values, over the tests that could be significant by themselves.

    Whether one could depends on the pooled values alone and not on which of them are new, so leaving the others out
    keeps the level (Tarone, Biometrics 46 (1990) 515).
    """
    pairs = tuple(pairs)
    able = [change for pair in pairs for change in pair.changes if change.finding == "no evidence"]
    p_values = iter(holm([change.test.p_value for change in able]))

    def with_p_value(change: Change) -> Change:
        if change.finding != "no evidence":
            return change
        adjusted = next(p_values)
        direction = _DIRECTIONS[change.measure][change.test.difference > 0]
        return replace(change, adjusted=adjusted, finding=direction if adjusted <= LEVEL else "no evidence")

    return tuple(replace(pair, changes=tuple(with_p_value(change) for change in pair.changes)) for pair in pairs)


def _reference_points(old: Sequence[int | None], new: Sequence[int | None]) -> ReferencePoints | str:
    if min(len(old), len(new)) < 3:
        return "fewer than 3 seeds on a side"
    if max(old.count(None), new.count(None)) > 1:
        return "more than one run of a side never reached the target"
    reference = reference_convergence(old, submission_runs=len(new))
    submission = reference_convergence(new, submission_runs=len(old))
    return ReferencePoints(
        reference.mean,
        reference.deviation,
        submission.mean,
        submission.deviation,
        reference.mean / submission.mean - 1,
        reference.largest_speed_up,
        submission_passes(reference, new),
    )


def _on_runs(pair: Pair) -> Iterator[str]:
    if pair.epochs < pair.budget:
        yield f"{pair}: only the first {pair.epochs} of {pair.budget} epochs are in both"
    for side in (pair.old, pair.new):
        if side.diverged:
            yield f"{pair}, {side.environment}: {side.diverged} diverged, counted as never and as none correct"
        if side.unfinished:
            yield f"{pair}, {side.environment}: {side.unfinished} left out, having stopped before epoch {pair.epochs}"
    if pair.old.environment == pair.new.environment:
        yield f"{pair}: the same environment in both, where equal seeds give equal results"


def format_comparison(comparison: Comparison) -> list[str]:
    """The lines of a comparison: tests, reference points, notes and, last, what follows."""
    return [
        f"{comparison.old} (old) against {comparison.new} (new)",
        "",
        *_tests_table(comparison.pairs),
        "",
        "A run that never reaches the target counts with all the epochs compared. Exact two-sided permutation tests on",
        f"the mean, adjusted by Holm's method for {_tests(comparison.tests)}; the level is {LEVEL:g}.",
        "",
        "MLPerf's reference convergence points for the epochs to target, which decide nothing here: mean and deviation",
        "without the fastest and the slowest run of a side, and the largest speed-up that still counts as the same.",
        "",
        *_reference_table(comparison.pairs),
        "",
        *_environments(comparison.pairs),
        *(f"Note: {note}." for note in comparison.notes),
        "",
        *_conclusion(comparison),
    ]


def _tests_table(pairs: Iterable[Pair]) -> list[str]:
    rows = [
        (
            *_place(pair),
            change.measure,
            f"{pair.old.seeds}, {pair.new.seeds}",
            f"{change.old_mean:.2f}",
            f"{change.new_mean:.2f}",
            f"{change.test.difference:+.2f}",
            f"{change.test.p_value:.4f}" + ("" if change.test.exact else " (drawn)"),
            "" if change.adjusted is None else f"{change.adjusted:.4f}",
            change.finding,
        )
        for pair in pairs
        for change in pair.changes
    ]
    headers = (*_PLACE, "measure", "seeds", "old", "new", "change", "p", "adjusted p", "finding")
    return _table(rows, headers, ("left",) * 5 + ("right",) * 5 + ("left",))


def _reference_table(pairs: Iterable[Pair]) -> list[str]:
    rows = [(*_place(pair), *_reference_cells(pair.reference_points)) for pair in pairs]
    headers = (*_PLACE, "old", "new", "speed-up", "allowed", "finding")
    return _table(rows, headers, ("left",) * 3 + ("right",) * 4 + ("left",))


def _reference_cells(points: ReferencePoints | str) -> tuple[str, ...]:
    if isinstance(points, str):
        return "", "", "", "", points
    allowed = "any" if points.largest_speed_up is None else f"{100 * points.largest_speed_up:.2f} %"
    return (
        f"{points.old_mean:.2f} ± {points.old_deviation:.2f}",
        f"{points.new_mean:.2f} ± {points.new_deviation:.2f}",
        f"{100 * points.speed_up:+.2f} %",
        allowed,
        "within" if points.passes else "faster than allowed",
    )


_PLACE = ("network", "device", "old, new environment")


def _place(pair: Pair) -> tuple[str, str, str]:
    return pair.model, pair.device, f"{pair.old.environment}, {pair.new.environment}"


def _table(rows: Sequence[tuple[str, ...]], headers: tuple[str, ...], alignment: tuple[str, ...]) -> list[str]:
    text = tabulate(rows, headers, tablefmt="simple", colalign=alignment, disable_numparse=True)
    return [line.rstrip() for line in text.splitlines()]


def _environments(pairs: Iterable[Pair]) -> Iterator[str]:
    sides = {side.environment: side.machine for pair in pairs for side in (pair.old, pair.new)}
    return (f"Environment {digest}: {machine or 'not described'}" for digest, machine in sorted(sides.items()))


def _conclusion(comparison: Comparison) -> Iterator[str]:
    if comparison.found:
        found = ", ".join(f"{change.measure} of {pair} {change.finding}" for pair, change in comparison.found)
        yield f"Convergence changed: {found}."
        return
    yield f"No evidence that convergence changed, in {_tests(comparison.tests)}."
    smallest = comparison.smallest_adjusted
    if smallest > LEVEL:
        tests = max(1, comparison.tests)
        needed = next(n for n in itertools.count(2) if _smallest_p(n, n) * tests <= LEVEL)
        yield (
            f"Nor could there have been any: the smallest adjusted p that these seeds can reach is {smallest:.3f}. "
            f"{needed} seeds on either side are the fewest for {_tests(tests)}; fewer networks are fewer tests."
        )


def _tests(number: int) -> str:
    return f"{number} test{'' if number == 1 else 's'}"
