"""Number the epochs of a log from 1. Logs count epochs from 0 or 1, or count steps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from bench.errors import UnusableInput
from bench.logs.values import Measured


def numbered(measured: Sequence[Measured], has_steps: bool, budget: int | None) -> tuple[list[Measured], str]:
    """Number the epochs of one file from 1, and say in words what was done. The words are empty if nothing was.

    If the first epoch is 0, every number grows by one. With `has_steps`, evenly spaced numbers are epochs, too.
    `budget` is the number of epochs of a run, if it is known.

    Raises:
        UnusableInput: the steps are not evenly spaced, or the first epoch or step may be from before the training.
    """
    by_run: dict[str, list[Measured]] = {}
    for one in measured:
        by_run.setdefault(one.run, []).append(one)
    spacings = {run: _spacing(several) if has_steps else 1 for run, several in by_run.items()}
    if all(spacing == 1 for spacing in spacings.values()):
        first = min(measured, key=lambda one: one.epoch)
        last = max(one.epoch for one in measured)
        from_zero = first.epoch == 0
        if from_zero and last == budget:
            problem = f"epochs 0 to {last} are {last + 1} epochs, not {budget}"
            advice = f"remove the rows of epoch 0 if they are from before the training, or give --epochs {last + 1}"
            raise UnusableInput(f"{first.place}: {problem}: {advice}")
        words = "the epochs count from 0 in the log, so its epoch 0 is epoch 1 here" if from_zero else ""
        return [replace(one, epoch=one.epoch + from_zero) for one in measured], words
    for run, several in by_run.items():
        _check_steps(several, spacings[run])
    found = [replace(one, epoch=(2 * one.epoch + spacings[one.run]) // (2 * spacings[one.run])) for one in measured]
    shown = " or ".join(f"{spacing:,}" for spacing in sorted(set(spacings.values())))
    return found, f"every {shown} steps are an epoch"


def _spacing(several: Sequence[Measured]) -> int:
    """The smallest distance between two steps of a run. It is the step itself if there is only one."""
    steps = sorted({one.epoch for one in several})
    return min((after - before for before, after in itertools.pairwise(steps)), default=max(steps[0], 1))


def _check_steps(several: Sequence[Measured], spacing: int) -> None:
    ordered = sorted(several, key=lambda one: one.epoch)
    first = ordered[0]
    if 2 * first.epoch < spacing:
        problem = (
            f"run {first.run} has step {first.epoch}, then one every {spacing:,}: it may be from before the training"
        )
        raise UnusableInput(f"{first.place}: {problem}: remove the row if so, or add a column epoch")
    for one in ordered:
        if (one.epoch - first.epoch) % spacing:
            problem = f"step {one.epoch:,} of run {one.run} is not a multiple of {spacing:,} after step {first.epoch:,}"
            raise UnusableInput(f"{one.place}: {problem}: add a column epoch")
