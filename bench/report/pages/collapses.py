"""The epochs of a network that fall far below the best before: which they are, and what may be the cause."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from bench.evidence.summary import GroupSummary
from bench.report.pages.markdown import NOTHING, table
from bench.wording import count


def lines(group: GroupSummary) -> list[str]:
    """How many seeds collapse, a row a collapse, and what a user can do."""
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
        found += [f"The first {len(rows)} of {len(events)} are shown.", ""]
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
            f"In {sum(recovered)} of {count(len(recovered), 'epoch')} the same weights, normalised by the statistics "
            "of each test batch, are within 50 images of the best again: the weights are fine and the running "
            "statistics of batch norm are not. A channel that falls silent before batch norm leaves it a running "
            "variance near zero, which amplifies the next rare activation."
        )
    else:
        cause = (
            "No evaluation with batch statistics recovers these epochs, or none is recorded: the weights "
            "themselves may be worse."
        )
    return (
        f"{cause} What a user can do: never keep the last epoch unseen; keep the weights that did best on images "
        "held out from training; compute the running statistics anew over the training images before evaluating; put "
        "batch norm before the ReLU; or lower the learning rate."
    )
