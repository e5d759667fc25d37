"""Records for the tests of comparisons: runs that reach the target in chosen epochs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

from synthetic import CPU, architectures, run_rows
from synthetic import record as record_of

from bench.evidence.comparison.compare import compare
from bench.evidence.comparison.findings import Comparison
from bench.record.record import Record
from bench.record.rows import Row
from models import ARCHITECTURES

BUDGETS = {name: architecture.recipe.epochs for name, architecture in ARCHITECTURES.items()}
EARLY, LATE = [3, 4, 5, 6, 7], [13, 14, 15, 16, 17]
LOW, HIGH = [9921, 9922, 9923, 9924, 9925], [9931, 9932, 9933, 9934, 9935]


def hit_at(epoch: int | None, budget: int, last: int = 9930) -> list[int]:
    """Counts of a run that is at the target in one epoch alone."""
    counts = [9900] * (budget - 1) + [last]
    if epoch is not None:
        counts[epoch - 1] = max(9940, counts[epoch - 1])
    return counts


def rows(
    model: str,
    times: Iterable[int | None],
    environment: str = CPU,
    last: Iterable[int] = itertools.repeat(9930),
    first_seed: int = 1,
    **options: str,
) -> list[Row]:
    """The rows of complete runs that reach the target in these epochs."""
    runs = (hit_at(time, BUDGETS[model], end) for time, end in zip(times, last, strict=False))
    return [
        row
        for seed, counts in enumerate(runs, start=first_seed)
        for row in run_rows(model, seed, counts, environment=environment, **options)  # type: ignore[arg-type]
    ]


class Files:
    """Writes records, each into a folder of its own, and compares them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def record(self, name: str, rows: Iterable[Row]) -> Record:
        """A record of these rows in the folder `name`."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        return record_of(folder, rows)

    def compare(self, old: Iterable[Row], new: Iterable[Row]) -> Comparison:
        """The comparison of a record of some rows with one of others."""
        return compare(self.record("old", old), self.record("new", new), architectures())
