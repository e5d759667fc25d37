"""Write and read <runs>.misses.csv, the test images that finished runs miss. No other module writes or reads this file.

A row has one run after one epoch, with every image that it then classifies wrongly. The row is written before the
record's row of that epoch. A crash between the two leaves a row without its epoch. Reading leaves it out.
"""

from __future__ import annotations

import itertools
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
_Parsed = tuple[int, Key, NDArray[np.int32], bool]  # the line, the row, and whether its images are in order

_CHUNK = 20_000  # so many rows are parsed at once

_MISSES = re.compile(r"([0-9]{1,9}:[0-9]>[0-9]( [0-9]{1,9}:[0-9]>[0-9])*)?")


@dataclass(frozen=True, eq=False, slots=True)
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

    A row is left out if the record lacks its epoch or has another number of misses for that epoch. A job may be writing
    both files meanwhile. So it is no problem that the record gets the epoch after it was read. The last row may be of
    the epoch that the record gets next.
    """
    problems: list[Problem] = []
    found: list[_Parsed] = []
    try:
        texts = _TEXTS.read(path_beside(recorded.path), problems)
        while chunk := list(itertools.islice(texts, _CHUNK)):
            found += _parsed(chunk, problems)
    except OSError as error:
        problems.append(Problem(1, f"the file cannot be read ({cause(error)})"))
    runs: dict[Key, Missed] = {}
    first: dict[Key, Missed] = {}
    keys = [key for _, key, _, _ in found]
    counts = [*_recorded_counts(recorded, keys)]
    lacking = [key for key, (_, total) in zip(keys[:-1], counts[:-1], strict=True) if total < 0]
    later = dict(zip(lacking, _recorded_counts(record.read(recorded.path), lacking), strict=True)) if lacking else {}
    awaited = {key for key, (_, total) in later.items() if total > 0} | set(keys[-1:])
    for (line_number, key, images, is_in_order), (correct, total) in zip(found, counts, strict=True):
        if total < 0 and key in awaited:
            continue
        one = Missed(key, total, images, line_number)
        is_sound = is_in_order and len(images) == total - correct and images[-1, 0] < total
        problem = None if is_sound else _problem(images, correct, total)
        earlier = one if problem else first.setdefault(one.bits_key, one)
        if earlier is not one and not np.array_equal(earlier.images, images):
            problem = f"line {earlier.line} has other images for the same run and epoch"
        if problem is None:
            runs.setdefault(key, one)
        else:
            where = f"epoch {key[5]} of {key[0]} seed {key[4]}"
            problems.append(Problem(line_number, one_line(f"{where}: {problem}")))
    return Misses(tuple(runs.values()), tuple(sorted(problems, key=lambda problem: problem.line)))


def _parse_text(fields: Mapping[str, str]) -> tuple[Key, str]:
    return (*parse_run(fields), integer(fields, "epoch")), fields["misses"]


def _parsed(chunk: Sequence[tuple[int, tuple[Key, str]]], problems: list[Problem]) -> list[_Parsed]:
    """The rows of a chunk, given as line, key and text. `problems` gets the problem of every text that is no list."""
    at_once = _images_at_once([text for _, (_, text) in chunk])
    if at_once:
        return [(line, key, *one) for (line, (key, _)), one in zip(chunk, at_once, strict=True)]
    parsed: list[_Parsed] = []
    for line, (key, text) in chunk:
        try:
            parsed.append((line, key, _images(text), False))
        except Malformed as error:
            problems.append(Problem(line, one_line(error)))
    return parsed


def _images(text: str) -> NDArray[np.int32]:
    """The images of a row, as in `Missed`.

    Raises:
        Malformed: the text is not a list of images.
    """
    if not _MISSES.fullmatch(text):
        raise Malformed(f"misses is {quoted(text)}, not a list like 8:5>6 18:3>8")
    return np.fromstring(text.replace(":", " ").replace(">", " "), dtype=np.int32, sep=" ").reshape(-1, 3)


def _images_at_once(texts: Sequence[str]) -> list[tuple[NDArray[np.int32], bool]]:
    """The images of many rows, as in `Missed`, in a tenth of the time that they take one by one.

    It also says of each row whether the images are in ascending order and every prediction is wrong. The result is
    empty if any of the texts is empty, or not a list of images.
    """
    joined = " ".join(texts)
    letters = np.frombuffer((joined + " " * 4).encode("ascii", "replace"), dtype=np.uint8)
    digits = letters - ord("0")  # more than 9 for any other letter
    colons = np.flatnonzero(letters == ord(":"))  # an image is "12:3>4 "
    if not len(colons) or colons[-1] + 4 != len(joined):
        return []
    starts = np.concatenate([[0], colons[:-1] + 5])
    lengths = colons - starts
    is_right = (lengths >= 1) & (lengths <= 9) & (letters[colons + 2] == ord(">")) & (letters[colons + 4] == ord(" "))
    labels, predictions = digits[colons + 1], digits[colons + 3]
    is_right &= (labels <= 9) & (predictions <= 9)
    images = np.zeros(len(colons), dtype=np.int32)
    for place in range(min(9, lengths.max())):
        is_there, digit = lengths > place, digits[colons - 1 - place]
        is_right &= (digit <= 9) | ~is_there
        images += np.where(is_there, digit, 0).astype(np.int32) * np.int32(10**place)
    if not is_right.all():
        return []
    ends = np.cumsum([len(text) + 1 for text in texts])
    first = np.searchsorted(starts, np.concatenate([[0], ends[:-1]]))
    is_wrong = labels == predictions
    is_wrong[1:] |= np.diff(images) <= 0
    is_wrong[first] = labels[first] == predictions[first]  # nothing is before the first image of a row
    is_sound = np.add.reduceat(is_wrong, first, dtype=np.int64) == 0
    whole = np.stack([images, labels.astype(np.int32), predictions.astype(np.int32)], axis=1)
    bounds = [*first.tolist(), len(whole)]
    rows = [whole[start:end] for start, end in itertools.pairwise(bounds)]
    return list(zip(rows, is_sound.tolist(), strict=True))


def _parse(fields: Mapping[str, str]) -> _Row:
    key, text = _parse_text(fields)
    return key, _images(text)


def _line(row: _Row, header: Sequence[str]) -> str:
    key, images = row
    misses = " ".join(f"{image}:{label}>{seen}" for image, label, seen in images.tolist())
    return _line_of_text((key, misses), header)


def _line_of_text(row: tuple[Key, str], header: Sequence[str]) -> str:
    return format_fields(dict(zip(COLUMNS, (*row[0], row[1]), strict=True)), header)


TABLE = Table("a record's misses", COLUMNS, COLUMNS, _parse, _line, lambda row: row[0], lambda row: row[1].tobytes())
_TEXTS = Table(TABLE.what, COLUMNS, COLUMNS, _parse_text, _line_of_text, lambda row: row[0], lambda row: row[1])
"""The same file, read without looking into the lists of images."""


def _recorded_counts(recorded: Record, keys: list[Key]) -> Iterator[tuple[int, int]]:
    """The `correct` and `total` of each epoch in the record, or -1 if the record lacks the epoch."""
    wanted = pandas.DataFrame(keys, columns=list(EPOCH_KEY)).astype({"seed": "uint64", "epoch": "int64"})
    epochs = recorded.epochs[[*EPOCH_KEY, "correct", "total"]]
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
