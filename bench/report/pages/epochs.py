"""The accuracies of a network by epoch, for each seed or as a summary, beside the documented accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench.evidence.results import Series
from bench.evidence.summary import GroupSummary, NetworkSummary, collapsed, required
from bench.network.specification import Target
from bench.report.pages.head import MANY_SEEDS
from bench.report.pages.markdown import NOTHING, table


def lines(network: NetworkSummary, group: GroupSummary) -> list[str]:
    """A table with one row for each epoch and one column for each seed, and a legend. Many seeds are summarised."""
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
    images = " or ".join(f"{total:,}" for total in totals) or "none recorded"
    what = "Counts are of" if network.architecture.is_logged else "Test images:"
    legend = f"{what} {images}. **Bold**: at or above the target. "
    if any(logged.source == "notebook" for logged in log.values()):
        legend += "*Italic*: read in the author's notebook, not printed in the document. "
    if any("↓" in cell for cells in columns for cell in cells):
        legend += "↓: more than 50 images below the best epoch before it. "
    if last > group.group.budget:
        legend += (
            f"This report uses the epochs after epoch {group.group.budget}, the documented number, only in this table, "
            "in the figures of accuracy by epoch, in the speed and in the repeats. "
        )
    return [*table(["epoch", "documented", *header], rows, "r"), legend.rstrip(), ""]


def _column(run: Series, target: Target) -> list[str]:
    fallen = set(collapsed(run))
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
