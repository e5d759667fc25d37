"""The collapses of a network: epochs far below the best epoch before them, and their possible cause."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from bench.evidence.summary import GroupSummary
from bench.report.pages.markdown import NOTHING, table
from bench.wording import count


def lines(group: GroupSummary) -> list[str]:
    """The number of seeds that collapse, a table of the collapses, and advice for a user."""
    fallen = [seed for seed in group.seeds if seed.collapses]
    found = [f"**Collapses: {len(fallen)} of {count(len(group.seeds), 'seed')}.**", ""]
    if not fallen:
        return found
    events = [(seed, collapse) for seed in fallen for collapse in seed.collapses]
    rows = [
        [
            f"seed {seed.seed}",
            str(one.epoch),
            str(one.best_before),
            str(one.correct),
            NOTHING if one.with_batch_statistics is None else str(one.with_batch_statistics),
            NOTHING if one.smallest_variance is None else f"{one.smallest_variance:.1e}",
        ]
        for seed, one in itertools.islice(events, 20)
    ]
    header = ["run", "epoch", "best before", "correct", "correct with batch statistics", "smallest running variance"]
    found += table(header, rows, "lr")
    if len(events) > len(rows):
        found += [f"The table shows the first {len(rows)} of {len(events)} collapses.", ""]
    return [
        *found,
        _advice(
            [
                one.with_batch_statistics is not None and one.with_batch_statistics >= one.best_before - 50
                for _, one in events
            ]
        ),
        "",
    ]


def _advice(recovered: Sequence[bool]) -> str:
    if any(recovered):
        cause = (
            f"In {sum(recovered)} of {count(len(recovered), 'epoch')}, the same weights are at most 50 images below "
            "the best epoch before if batch norm uses the statistics of each test batch. There the weights are fine, "
            "but the running statistics of batch norm are not. If a channel before batch norm is zero for almost every "
            "image, its running variance falls towards zero. Batch norm then amplifies the next rare activation."
        )
    else:
        cause = (
            "No evaluation with batch statistics recovers these epochs, or none is recorded. The weights themselves "
            "may be worse."
        )
    return (
        f"{cause} This is what a user can do. Do not keep the weights of the last epoch without an evaluation. Keep "
        "the weights that are best on images held out from training. Compute the running statistics again over the "
        "training images before the evaluation. Put batch norm before the ReLU. Lower the learning rate."
    )
