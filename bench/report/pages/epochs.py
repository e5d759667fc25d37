"""The accuracies of a network by epoch, beside the documented ones, and the epochs that collapse."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench.evidence.results import Series
from bench.evidence.statistics import collapses
from bench.evidence.summary import Collapse, GroupSummary, NetworkSummary, required
from bench.network.specification import Target, largest_fall
from bench.report.markdown import NOTHING, table
from bench.report.pages.head import MANY_SEEDS
from bench.wording import count

_ROWS = 20
"""The table of collapses has at most this many rows."""

_NO_VARIANCE = 1e-5
"""The epsilon of PyTorch's batch norm. A running variance below it has almost no effect on the result any more."""


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
        documented = [NOTHING] if network.is_documented else []
        if epoch in log:
            documented = [_shown(log[epoch].correct, log[epoch].correct >= target.correct)]
            documented = [f"*{one}*" if log[epoch].source == "notebook" else one for one in documented]
        rows.append([str(epoch), *documented, *(cells[epoch - 1] if epoch <= len(cells) else "" for cells in columns)])
    totals = sorted({run.total for run in runs if run.total})
    images = " or ".join(f"{total:,}" for total in totals) or "none recorded"
    what = "Counts are of" if network.architecture.is_logged else "Test images:"
    legend = f"{what} {images}. **Bold**: at or above the target. "
    if any(logged.source == "notebook" for logged in log.values()):
        legend += "*Italic*: read in the author's notebook, not printed in the document. "
    if any("↓" in cell for cells in columns for cell in cells):
        legend += f"↓: more than {largest_fall(max(totals))} images below the best epoch before it. "
    if last > group.group.budget:
        legend += (
            f"This report uses the epochs after epoch {group.group.budget}, the last one of the recipe, only in this "
            "table, in the figures of accuracy by epoch, in the speed and in the repeats. "
        )
    first = ["epoch", "documented"] if network.is_documented else ["epoch"]
    return [*table([*first, *header], rows, "r"), legend.rstrip(), ""]


def _column(run: Series, target: Target) -> list[str]:
    fallen = set(collapses(run.correct, run.total))
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


def collapsed(group: GroupSummary) -> list[str]:
    """The number of seeds that collapse, a table of the collapses, and advice for a user."""
    fallen = [seed for seed in group.seeds if seed.collapses]
    if not fallen:
        return ["No seed collapses.", ""]
    found = [f"{len(fallen)} of {count(len(group.seeds), 'seed')} collapse{'s' if len(fallen) == 1 else ''}.", ""]
    rows = []
    for seed in fallen[:_ROWS]:
        deepest = min(seed.collapses, key=lambda one: one.correct)
        with_batch, variance = deepest.with_batch_statistics, deepest.smallest_variance
        rows.append(
            [
                f"seed {seed.seed}",
                str(len(seed.collapses)),
                str(deepest.epoch),
                str(deepest.best_before),
                str(deepest.correct),
                NOTHING if with_batch is None else str(with_batch),
                NOTHING if variance is None else f"{variance:.1e}",
            ]
        )
    header = ["run", "epochs", "the deepest", "best before", "correct", "correct with batch statistics"]
    found += table([*header, "smallest running variance"], rows, "lr")
    if len(fallen) > len(rows):
        found += [f"The table shows the first {len(rows)} of these seeds.", ""]
    events = [collapse for seed in fallen for collapse in seed.collapses]
    return [
        *found,
        _advice(events),
        "",
    ]


def _is_recovered(one: Collapse) -> bool:
    """Whether an evaluation with the statistics of each test batch has at least half of the fall back."""
    fall = one.best_before - one.correct
    return one.with_batch_statistics is not None and 2 * (one.with_batch_statistics - one.correct) >= fall


def _advice(events: Sequence[Collapse]) -> str:
    recovered = [one for one in events if _is_recovered(one)]
    vanished = [one for one in recovered if one.smallest_variance is not None and one.smallest_variance < _NO_VARIANCE]
    causes, remedies = [], []
    if recovered:
        causes.append(
            f"In {len(recovered)} of {count(len(events), 'epoch')}, the same weights have at least half of the fall "
            "back if batch norm uses the statistics of each test batch. There the running statistics of batch norm are "
            "to blame, more than the weights."
        )
        remedies.append("Compute the running statistics again over the training images before the evaluation.")
    else:
        causes.append(
            "No evaluation with batch statistics recovers these epochs, or none is recorded. The weights themselves "
            "may be worse."
        )
    if vanished:
        causes.append(
            f"In {len(vanished)} of them, a channel has almost no running variance: before batch norm it is zero for "
            "almost every image. Batch norm then amplifies the next rare activation."
        )
        remedies.append(
            "If a ReLU stands before batch norm, putting it behind may prevent this, and so may a lower learning rate. "
            "Neither was tried for this report."
        )
    return " ".join(
        [
            *causes,
            "This is what a user can do. Do not keep the weights of the last epoch without an evaluation.",
            "Keep the weights that are best on images held out from training.",
            *remedies,
        ]
    )
