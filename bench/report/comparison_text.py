"""Write a comparison of two records as text: the tests, the notes and the conclusion. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from tabulate import tabulate

from bench.evidence.comparison.findings import Comparison, Pair
from bench.evidence.statistics import LEVEL, smallest_two_sample_p
from bench.wording import count, markdown_cell


def format_comparison(comparison: Comparison) -> list[str]:
    """The lines of a comparison: the tests, the notes and, in the last line, the conclusion."""
    return [
        f"{comparison.old} (old) against {comparison.new} (new)",
        "",
        *_tests_table(comparison.pairs),
        "",
        "The tests are two-sided permutation tests on the mean. They are exact unless p is marked (drawn).",
        f"The adjusted p has Holm's correction for {count(comparison.tests, 'test')}. The level is {LEVEL:g}.",
        "A run that never reaches the target counts with all compared epochs.",
        "",
        *_environments(comparison.pairs),
        *(f"Note: {note}." for note in comparison.notes),
        "",
        *_conclusion(comparison),
    ]


def format_markdown(comparison: Comparison) -> list[str]:
    """The conclusion of a comparison, the table of the tests, and the notes, as Markdown."""
    names = f"{comparison.old} (old) against {comparison.new} (new)"
    return [
        f"**compare**, {markdown_cell(names)}: {markdown_cell(' '.join(_conclusion(comparison)))}",
        "",
        *_tests_table(comparison.pairs, "github"),
        "",
        *(f"- {markdown_cell(line)}" for line in _environments(comparison.pairs)),
        *(f"- Note: {markdown_cell(note)}." for note in comparison.notes),
        "",
    ]


def _tests_table(pairs: Iterable[Pair], style: str = "simple") -> list[str]:
    rows = [
        (
            pair.model,
            pair.device,
            f"{pair.old.environment}, {pair.new.environment}",
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
    place = ("network", "device", "old, new environment")
    headers = (*place, "measure", "seeds", "old", "new", "change", "p", "adjusted p", "finding")
    cells = [[markdown_cell(cell) for cell in row] for row in rows] if style == "github" else rows
    alignment = ("left",) * 5 + ("right",) * 5 + ("left",)
    text = tabulate(cells, headers, tablefmt=style, colalign=alignment, disable_numparse=True)
    return [line.rstrip() for line in text.splitlines()]


def _environments(pairs: Iterable[Pair]) -> Iterator[str]:
    sides = {side.environment: side.machine for pair in pairs for side in (pair.old, pair.new)}
    return (f"Environment {digest}: {machine or 'not described'}" for digest, machine in sorted(sides.items()))


def _conclusion(comparison: Comparison) -> Iterator[str]:
    if comparison.found:
        found = ", ".join(f"{change.measure} of {pair} {change.finding}" for pair, change in comparison.found)
        yield f"Convergence changed: {found}."
        return
    yield f"No evidence that convergence changed, in {count(comparison.tests, 'test')}."
    smallest = comparison.smallest_adjusted
    if smallest > LEVEL:
        tests = max(1, comparison.tests)
        needed = next(n for n in itertools.count(2) if smallest_two_sample_p(n, n) * tests <= LEVEL)
        yield (
            f"These seeds cannot give evidence: their smallest possible adjusted p is {smallest:.3f}. Use at least "
            f"{needed} seeds on each side for {count(tests, 'test')}. Fewer networks mean fewer tests."
        )
