"""Write the judgement of a log as text: how it was read, the runs, and the verdict on each claim. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from tabulate import tabulate

from bench.evidence.summary import GroupSummary, Summary
from bench.report.markdown import span
from bench.report.pages.head import first_of
from bench.wording import count

_MANY_RUNS = 20


def format_judgement(summary: Summary, names: Sequence[str], notes: Sequence[str]) -> list[str]:
    """The lines of a judgement. `names` are those of the runs in the log, by seed, and `notes` say how it was read."""
    (network,) = summary.networks
    (group,) = network.groups
    lines = [line for note in notes for line in textwrap.wrap(f"Note: {note}.", 100, subsequent_indent="    ")]
    lines += ["", *_runs(group, names), ""]
    for verdict in group.verdicts:
        lines.append(f"{verdict.claim.text}: {verdict.outcome}")
        lines += textwrap.wrap(verdict.evidence, 100, initial_indent="    ", subsequent_indent="    ")
    return lines


def _runs(group: GroupSummary, names: Sequence[str]) -> list[str]:
    """A table with a row for each run, or with the lowest and the highest values of many runs."""
    header = ["run", "epochs", "first at the target", "best", "last"]
    rows = [
        [name, str(seed.done), first_of(seed), _cell(seed.best), _cell(seed.last)]
        for name, seed in zip(names, group.seeds, strict=True)
    ]
    if len(rows) > _MANY_RUNS:
        hits = [seed.first for seed in group.seeds if seed.first is not None]
        first = f"{span(hits)}, {count(len(rows) - len(hits), 'run')} not" if hits else "none"
        rows = [
            [
                f"{len(rows):,} runs",
                span([seed.done for seed in group.seeds]),
                first,
                span(group.best),
                span(group.last),
            ]
        ]
    text = tabulate(rows, header, tablefmt="simple", colalign=("left", *["right"] * 4), disable_numparse=True)
    return [line.rstrip() for line in text.splitlines()]


def _cell(value: int | None) -> str:
    return "–" if value is None else str(value)
