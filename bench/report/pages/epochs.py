"""The accuracies of a network by epoch, seed by seed or summed up, beside the documented ones."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench.evidence.results import Series
from bench.evidence.statistics import collapses
from bench.evidence.summary import GroupSummary, NetworkSummary, required
from bench.network.specification import Target
from bench.report.pages.head import MANY_SEEDS
from bench.report.pages.markdown import NOTHING, table


def lines(network: NetworkSummary, group: GroupSummary) -> list[str]:
    """A row an epoch, a column a seed, or a few columns that sum up many seeds; and what the marks mean."""
    target = network.architecture.target
    runs = group.group.runs
    columns = [_column(run, target) for run in runs]
    header = [f"seed {run.seed}" for run in runs]
    if len(runs) > MANY_SEEDS:
        header, columns = ["lowest", "median", "highest", "seeds at the target"], _condensed(runs, target)
    log = {logged.epoch: logged for logged in network.architecture.log}
    last = max([group.group.budget, *log, *(len(run.correct) for run in runs)])
    rows = []
    for epoch in range(1, last + 1):
        documented = NOTHING
        if epoch in log:
            documented = _shown(log[epoch].correct, log[epoch].correct >= target.correct)
            documented = f"*{documented}*" if log[epoch].source == "notebook" else documented
        rows.append([str(epoch), documented, *(cells[epoch - 1] if epoch <= len(cells) else "" for cells in columns)])
    totals = sorted({run.total for run in runs if run.total})
    legend = f"Of {' or '.join(f'{total:,}' for total in totals) or 'none'}. **Bold**: at or above the target. "
    if any(logged.source == "notebook" for logged in log.values()):
        legend += "*Italic*: from the author's notebook, not printed in the document. "
    if any("↓" in cell for cells in columns for cell in cells):
        legend += "↓: more than 50 below the best epoch before. "
    if last > group.group.budget:
        legend += f"Epochs beyond {group.group.budget}, the documented number, count nowhere else in this report. "
    return [*table(["epoch", "documented", *header], rows, "r"), legend.rstrip(), ""]


def _column(run: Series, target: Target) -> list[str]:
    fallen = set(collapses(run.correct))
    needed = required(target, run.total or target.total)
    return [
        _shown(correct, correct >= needed) + (" ↓" if epoch in fallen else "")
        for epoch, correct in enumerate(run.correct, start=1)
    ]


def _condensed(runs: Sequence[Series], target: Target) -> list[list[str]]:
    columns: list[list[str]] = [[], [], [], []]
    for place in range(max(len(run.correct) for run in runs)):
        present = [run for run in runs if len(run.correct) > place]
        at = [run.correct[place] for run in present]
        hits = sum(run.correct[place] >= required(target, run.total) for run in present)
        for column, cell in zip(columns, (min(at), f"{median(at):g}", max(at), f"{hits} of {len(at)}"), strict=True):
            column.append(str(cell))
    return columns


def _shown(correct: int, is_hit: bool) -> str:
    return f"**{correct}**" if is_hit else str(correct)
