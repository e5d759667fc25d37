"""What one run's counts by epoch say: when it reached the target, and where it fell back.

`correct` is everywhere the number of test images classified correctly, one integer an epoch; its first element is
epoch 1. Counts are compared as integers, so that a run at exactly the target has reached it.
"""

from __future__ import annotations

from collections.abc import Sequence


def first_hit(correct: Sequence[int], target: int) -> int | None:
    """The first epoch at or above `target`, or None. It rewards a lucky epoch: see `sustained_hit`."""
    return sustained_hit(correct, target, length=1)


def sustained_hit(correct: Sequence[int], target: int, length: int = 3) -> int | None:
    """The first epoch of the first streak of `length` epochs in a row at or above `target`, or None.

    The value is the epoch at which the streak begins, so that it can be compared with `first_hit`; it is known only
    `length` - 1 epochs later. Raises ValueError if `length` is below 1.
    """
    if length < 1:
        raise ValueError(f"a streak has at least one epoch, not {length}")
    streak = 0
    for epoch, count in enumerate(correct, start=1):
        streak = streak + 1 if count >= target else 0
        if streak == length:
            return epoch - length + 1
    return None


def last_hit(correct: Sequence[int], target: int) -> int | None:
    """The last epoch at or above `target`, or None."""
    return max((epoch for epoch, count in enumerate(correct, start=1) if count >= target), default=None)


def collapses(correct: Sequence[int], images: int = 50) -> tuple[int, ...]:
    """The epochs whose count is more than `images` below the best epoch before them, in order."""
    best = 0
    found = []
    for epoch, count in enumerate(correct, start=1):
        if count < best - images:
            found.append(epoch)
        best = max(best, count)
    return tuple(found)
