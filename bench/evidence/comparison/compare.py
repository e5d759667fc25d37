"""Test whether convergence changed between two records: the epochs to the target and the last accuracy. Pure.

Only runs of the same network and device are compared. The device of an exact run does not matter. Runs of a recipe that
the network no longer has are left out, because nobody knows their target and their number of epochs. Runs of different
environments are never pooled. If NEW has environments that OLD does not have, each of these new environments is
compared with each environment of OLD, and environments in both files are ignored. Otherwise, every environment is
compared with itself.

The tests treat the two sets of runs as independent samples. The same seed starts with the same weights in another
environment, but rounding makes the two runs differ within an epoch or two.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from bench.errors import UnusableInput
from bench.evidence.comparison.findings import (
    DIRECTIONS,
    Change,
    Comparison,
    Finding,
    Measure,
    Pair,
    Side,
)
from bench.evidence.results import Group, groups
from bench.evidence.statistics import (
    LEVEL,
    first_hit,
    holm,
    smallest_two_sample_p,
    two_sample_permutation_test,
)
from bench.network.specification import VARIED, Architecture
from bench.record.record import Record


def compare(old: Record, new: Record, architectures: Mapping[str, Architecture]) -> Comparison:
    """Compare two records.

    Raises:
        UnusableInput: the records have nothing in common that can be compared. The message says why.
    """
    names = (str(old.path), str(new.path))
    notes = [*_unknown_networks(old, architectures), *_unknown_networks(new, architectures)]
    pairs = []
    both = groups(old, architectures), groups(new, architectures)
    for one, other in dict.fromkeys(_groups_to_compare(*both, names, notes)):  # exact groups can share several devices
        pair = _compare_groups(one, other, architectures[one.model].target.correct)
        if min(pair.old.seeds, pair.new.seeds):
            pairs.append(pair)
            notes.extend(_notes_on_runs(pair))
        else:
            lacking = [name for name, side in zip(names, (pair.old, pair.new), strict=True) if not side.seeds]
            notes.extend(f"{pair}: {name} has no finished run to compare" for name in lacking)
    if not pairs:
        reason = "; ".join(notes) or "neither has runs"
        raise UnusableInput(f"{names[0]} and {names[1]}: nothing to compare: {reason}")
    return Comparison(*names, _with_adjusted_p_values(pairs), tuple(notes))


def _unknown_networks(record: Record, architectures: Mapping[str, Architecture]) -> list[str]:
    unknown = sorted(set(record.rows["model"]) - set(architectures))
    return [f"{record.path}: networks not known here are ignored: {', '.join(unknown)}"] if unknown else []


def _groups_to_compare(
    old: Sequence[Group], new: Sequence[Group], names: tuple[str, str], notes: list[str]
) -> Iterator[tuple[Group, Group]]:
    """The pairs of groups to compare, by the rule at the top of this module. `notes` gets what is not compared."""
    devices: dict[tuple[str, ...], dict[str, None]] = {}  # an exact group has those of both records
    for group in (*old, *new):
        devices.setdefault(group.key, {}).update(dict.fromkeys(group.devices))
    for model, device in dict.fromkeys((key[0], device) for key, several in devices.items() for device in several):
        place = f"{model} on {device}"
        ours, theirs = (
            [group for group in side if group.model == model and device in devices[group.key]] for side in (old, new)
        )
        for name, side in zip(names, (ours, theirs), strict=True):
            for recipe, vary in sorted({(group.recipe, group.vary) for group in side if not group.is_current}):
                reason = f"varies only {VARIED[vary]}" if vary else "is not the network's recipe now"
                notes.append(f"{place}: recipe {recipe} in {name} {reason}, so it is not compared")
        before, after = ([group for group in side if group.is_current] for side in (ours, theirs))
        if not before or not after:
            if before or after:
                notes.append(f"{place}: only in {names[0] if before else names[1]}")
            continue
        for name, side in zip(names, (before, after), strict=True):
            if len(side) > 1:
                several = ", ".join(group.environment for group in side)
                notes.append(f"{place}: {len(side)} environments in {name}, not pooled: {several}")
        fresh = [group for group in after if group.environment not in {one.environment for one in before}]
        if fresh:
            yield from itertools.product(before, fresh)
        else:
            yield from ((one, other) for one in before for other in after if one.environment == other.environment)


def _compare_groups(old: Group, new: Group, target: int) -> Pair:
    # A run that diverged counts as never at the target, for any number of epochs. So it does not shorten the others.
    lengths = [[len(run.correct) for run in group.runs if run.correct and not run.has_diverged] for group in (old, new)]
    epochs = min([old.budget, *(max(side) for side in lengths if side)])
    before, after = _side(old, epochs, target), _side(new, epochs, target)
    changes: tuple[Change, ...] = ()
    if before.seeds and after.seeds:
        times = [[epochs if time is None else time for time in side.times] for side in (before, after)]
        changes = (_change("epochs to target", *times), _change("last accuracy", before.last, after.last))
    return Pair(old.model, old.device, epochs, old.budget, before, after, changes)


def _side(group: Group, epochs: int, target: int) -> Side:
    finished = [run.correct[:epochs] for run in group.runs if len(run.correct) >= epochs and not run.has_diverged]
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
    if smallest_two_sample_p(len(old), len(new)) > LEVEL:
        finding = "too few seeds"
    elif test.smallest_p > LEVEL:
        finding = "all equal" if len({*old, *new}) == 1 else "too many ties"
    return Change(measure, sum(old) / len(old), sum(new) / len(new), test, finding)


def _with_adjusted_p_values(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """The pairs with Holm's p-values over the tests that could be significant by themselves.

    The pooled values alone decide whether a test could be significant. It does not matter which of the values are new.
    Leaving the other tests out therefore keeps the level (Tarone, Biometrics 46 (1990) 515).
    """
    pairs = tuple(pairs)
    able = [change for pair in pairs for change in pair.changes if change.finding == "no evidence"]
    p_values = iter(holm([change.test.p_value for change in able]))

    def with_p_value(change: Change) -> Change:
        if change.finding != "no evidence":
            return change
        adjusted = next(p_values)
        direction = DIRECTIONS[change.measure][change.test.difference > 0]
        return replace(change, adjusted=adjusted, finding=direction if adjusted <= LEVEL else "no evidence")

    return tuple(replace(pair, changes=tuple(with_p_value(change) for change in pair.changes)) for pair in pairs)


def _notes_on_runs(pair: Pair) -> Iterator[str]:
    if pair.epochs < pair.budget:
        compared, are = ("first", "is") if pair.epochs == 1 else (f"first {pair.epochs}", "are")
        yield f"{pair}: only the {compared} of {pair.budget} epochs {are} in both"
    for side in (pair.old, pair.new):
        where = f"{pair}, {side.environment}"
        if side.diverged:
            yield f"{where}: {side.diverged} diverged, counted as never at the target and as 0 correct images"
        if side.unfinished:
            yield f"{where}: {side.unfinished} stopped before epoch {pair.epochs}, left out"
    if pair.old.environment == pair.new.environment:
        yield f"{pair}: both records have the same environment, so equal seeds give equal results"
