"""<runs>.misses.csv, the test images that finished runs miss: the only module that writes it or reads it.

A row is one run after the last epoch it was asked for, and every image it classifies wrongly then. It is written
before that epoch's own row: a crash between the two leaves a row too many, which reading passes over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas
from numpy.typing import NDArray

from bench.errors import one_line
from bench.files import cause
from bench.record import ledger
from bench.record.ledger import Problem
from bench.record.record import Record
from bench.record.rows import EPOCH_KEY, Malformed, Run, format_line, integer, parse_run, quoted

COLUMNS: tuple[str, ...] = (*EPOCH_KEY, "misses")

Key = tuple[str, str, str, str, int, int]
"""The values of the columns `bench.record.rows.EPOCH_KEY`."""

_MISSES = re.compile(r"([0-9]{1,9}:[0-9]>[0-9]( [0-9]{1,9}:[0-9]>[0-9])*)?")


@dataclass(frozen=True, eq=False)
class Missed:
    """One run after an epoch: `images` (n, 3) has test image, label and prediction of each it misses, of `total`.

    `line` is the line of the file it stands on.
    """

    key: Key
    total: int
    images: NDArray[np.int64]
    line: int


@dataclass(frozen=True)
class Misses:
    """What a file holds, a run and epoch at most once, and what could not be used of it."""

    runs: tuple[Missed, ...] = ()
    problems: tuple[Problem, ...] = ()


def path_beside(runs: Path) -> Path:
    """The file that belongs to a record."""
    return runs.with_name(f"{runs.stem}.misses.csv")


class Writer:
    """Appends to the file beside a record, each row on the disk when `append` returns."""

    def __init__(self, runs: Path) -> None:
        self._file = ledger.Appender(path_beside(runs), COLUMNS, COLUMNS, "a record's misses")

    def prepare(self) -> None:
        """Make sure that rows can be appended to a file that is there already.

        Raises:
            UnusableInput: as `append`.
        """
        if self._file.path.exists():
            self._file.prepare()

    def append(self, run: Run, misses: Iterable[tuple[int, int, int]]) -> None:
        """Write what a run misses after its last epoch: test image, label and prediction, by ascending image.

        Raises:
            UnusableInput: the file cannot be written, or its header is another; nothing is left half-written.
        """
        self._file.append(dict(zip(COLUMNS, _texts((*run.key, run.epochs), misses), strict=True)))


def format_misses(runs: Iterable[Missed]) -> str:
    """A whole file of these runs."""
    lines = [COLUMNS, *(_texts(run.key, run.images.tolist()) for run in runs)]
    return "".join(map(format_line, lines))


def _texts(key: Key, images: Iterable[Iterable[int]]) -> list[str]:
    return [*map(str, key), " ".join(f"{image}:{label}>{seen}" for image, label, seen in images)]


def read(record: Record) -> Misses:
    """All that is usable in the file beside a record; a missing file is an empty one.

    A row is left out if the record lacks its epoch or has another number of misses for it.
    """
    problems: list[Problem] = []
    found: list[tuple[int, Key, NDArray[np.int64]]] = []
    try:
        for line in ledger.read(path_beside(record.path), COLUMNS, problems):
            try:
                fields = line.fields()
                key = (*parse_run(fields), integer(fields, "epoch"))
                found.append((line.number, key, _parse(fields["misses"])))
            except Malformed as error:
                problems.append(Problem(line.number, one_line(error)))
    except FileNotFoundError:
        return Misses()
    except OSError as error:
        problems.append(Problem(1, f"the file cannot be read ({cause(error)})"))
    runs: dict[Key, Missed] = {}
    counts = _recorded(record, [key for _, key, _ in found])
    for (line_number, key, images), (correct, total) in zip(found, counts, strict=True):
        problem = _problem(images, correct, total)
        if problem is None and key in runs and not np.array_equal(runs[key].images, images):
            problem = "other images than on an earlier line for the same run and epoch"
        if problem is None:
            runs.setdefault(key, Missed(key, total, images, line_number))
        else:
            where = f"epoch {key[5]} of {key[0]} seed {key[4]}"
            problems.append(Problem(line_number, one_line(f"{where}: {problem}")))
    return Misses(tuple(runs.values()), tuple(sorted(problems, key=lambda problem: problem.line)))


def _parse(text: str) -> NDArray[np.int64]:
    if not _MISSES.fullmatch(text):
        raise Malformed(f"misses is {quoted(text)}, not a list like 8:5>6 18:3>8")
    numbers = text.replace(":", " ").replace(">", " ").split()
    return np.array(numbers, dtype=np.int64).reshape(-1, 3)


def _recorded(record: Record, keys: list[Key]) -> Iterator[tuple[int, int]]:
    """What the record has of each epoch: `correct` and `total`, -1 where it has none."""
    wanted = pandas.DataFrame(keys, columns=list(EPOCH_KEY)).astype({"seed": "uint64", "epoch": "int64"})
    epochs = record.epochs[[*EPOCH_KEY, "correct", "total"]]
    joined = wanted.merge(epochs, on=list(EPOCH_KEY), how="left")
    counts = joined[["correct", "total"]].astype("Int64").fillna(-1)
    return zip(counts["correct"].tolist(), counts["total"].tolist(), strict=True)


def _problem(images: NDArray[np.int64], correct: int, total: int) -> str | None:
    if total < 0:
        return "not in the record"
    if len(images) != total - correct:
        return f"{len(images)} misses, but the record has {correct} of {total} correct"
    if (np.diff(images[:, 0]) <= 0).any() or (images[:, 0] >= total).any():
        return f"the images do not ascend from 0 to {total - 1}"
    if (images[:, 1] == images[:, 2]).any():
        return "an image is missed with its own label"
    return None
