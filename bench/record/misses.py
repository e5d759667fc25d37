"""Write and read <runs>.misses.csv, the test images that finished runs miss. No other module writes or reads this file.

A row has one run after one epoch, with every image that it then classifies wrongly. The row is written before the
record's row of that epoch. A crash between the two leaves a row without its epoch. Reading leaves it out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas
from numpy.typing import NDArray

from bench.errors import one_line
from bench.files import cause
from bench.record import beside, record, writer
from bench.record.environments import device_of_bits
from bench.record.ledger import Problem, Table
from bench.record.record import Record
from bench.record.rows import EPOCH_KEY, Malformed, Run, format_fields, integer, parse_run, quoted

COLUMNS: tuple[str, ...] = (*EPOCH_KEY, "misses")

Key = tuple[str, str, str, str, int, int]
"""The values of the columns `bench.record.rows.EPOCH_KEY`."""

_Row = tuple[Key, NDArray[np.int32]]  # the images (n, 3) as in `Missed`

_MISSES = re.compile(r"([0-9]{1,9}:[0-9]>[0-9]( [0-9]{1,9}:[0-9]>[0-9])*)?")


@dataclass(frozen=True, eq=False)
class Missed:
    """The test images that one run misses after an epoch, of `total`.

    `images` (n, 3) has the test image, its label and the prediction. `line` is the number of the line in the file.
    """

    key: Key
    total: int
    images: NDArray[np.int32]
    line: int

    @property
    def bits_key(self) -> Key:
        """The key, with the device only if it can change the result. Missed images of the same key must be equal."""
        model, recipe, device, environment, seed, epoch = self.key
        return model, recipe, device_of_bits(device, environment), environment, seed, epoch


@dataclass(frozen=True)
class Misses:
    """The usable content of a file, with each run and epoch at most once, and the problems of the file."""

    runs: tuple[Missed, ...] = ()
    problems: tuple[Problem, ...] = ()


def path_beside(runs: Path) -> Path:
    """The path of this file beside a record."""
    return beside.path(runs, "misses")


class Writer:
    """Append rows to the file beside a record. A row is on the disk when `append` returns."""

    def __init__(self, runs: Path) -> None:
        self._file = writer.Writer(TABLE, path_beside(runs), path_beside(record.aside(runs)))
        self.finish = self._file.finish

    def prepare(self) -> None:
        """Check that rows can be appended, if the file exists already.

        Raises:
            UnusableInput: like `append`.
        """
        if self._file.path.exists():
            self._file.prepare()

    def append(self, run: Run, epoch: int, misses: Iterable[tuple[int, int, int]]) -> None:
        """Write the images that a run misses after an epoch, as (test image, label, prediction), sorted.

        Raises:
            UnusableInput: the file cannot be written, or has another header. No partial row stays.
        """
        self._file.append(((*run.key, epoch), np.array([*misses], dtype=np.int32).reshape(-1, 3)))


def format_misses(runs: Iterable[Missed]) -> str:
    """Format the text of a whole file with these runs."""
    return TABLE.format((run.key, run.images) for run in runs)


def read(recorded: Record) -> Misses:
    """Read the usable rows of the file beside a record, and its problems. A missing file counts as empty.

    A row is left out if the record lacks its epoch or has another number of misses for that epoch.
    """
    problems: list[Problem] = []
    found: list[tuple[int, _Row]] = []
    try:
        found.extend(TABLE.read(path_beside(recorded.path), problems))
    except OSError as error:
        problems.append(Problem(1, f"the file cannot be read ({cause(error)})"))
    runs: dict[Key, Missed] = {}
    first: dict[Key, Missed] = {}
    counts = _recorded_counts(recorded, [key for _, (key, _) in found])
    for (line_number, (key, images)), (correct, total) in zip(found, counts, strict=True):
        one, problem = Missed(key, total, images, line_number), _problem(images, correct, total)
        if problem is None and not np.array_equal(first.setdefault(one.bits_key, one).images, images):
            problem = f"line {first[one.bits_key].line} has other images for the same run and epoch"
        if problem is None:
            runs.setdefault(key, one)
        else:
            where = f"epoch {key[5]} of {key[0]} seed {key[4]}"
            problems.append(Problem(line_number, one_line(f"{where}: {problem}")))
    return Misses(tuple(runs.values()), tuple(sorted(problems, key=lambda problem: problem.line)))


def _parse(fields: Mapping[str, str]) -> _Row:
    key = (*parse_run(fields), integer(fields, "epoch"))
    if not _MISSES.fullmatch(fields["misses"]):
        raise Malformed(f"misses is {quoted(fields['misses'])}, not a list like 8:5>6 18:3>8")
    numbers = fields["misses"].replace(":", " ").replace(">", " ")
    return key, np.fromstring(numbers, dtype=np.int32, sep=" ").reshape(-1, 3)


def _line(row: _Row, header: Sequence[str]) -> str:
    key, images = row
    misses = " ".join(f"{image}:{label}>{seen}" for image, label, seen in images.tolist())
    return format_fields(dict(zip(COLUMNS, (*key, misses), strict=True)), header)


TABLE = Table("a record's misses", COLUMNS, COLUMNS, _parse, _line, lambda row: row[0], lambda row: row[1].tolist())


def _recorded_counts(record: Record, keys: list[Key]) -> Iterator[tuple[int, int]]:
    """The `correct` and `total` of each epoch in the record, or -1 if the record lacks the epoch."""
    wanted = pandas.DataFrame(keys, columns=list(EPOCH_KEY)).astype({"seed": "uint64", "epoch": "int64"})
    epochs = record.epochs[[*EPOCH_KEY, "correct", "total"]]
    joined = wanted.merge(epochs, on=list(EPOCH_KEY), how="left")
    counts = joined[["correct", "total"]].astype("Int64").fillna(-1)
    return zip(counts["correct"].tolist(), counts["total"].tolist(), strict=True)


def _problem(images: NDArray[np.int32], correct: int, total: int) -> str | None:
    if total < 0:
        return "the epoch is not in the record"
    if len(images) != total - correct:
        return f"{len(images)} misses, but the record has {correct} of {total} correct"
    if (np.diff(images[:, 0]) <= 0).any() or (images[:, 0] >= total).any():
        return f"the images are not in ascending order from 0 to {total - 1}"
    if (images[:, 1] == images[:, 2]).any():
        return "an image is listed as missed, but its prediction is its label"
    return None
