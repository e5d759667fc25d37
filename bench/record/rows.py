"""One line of runs.csv: its columns, their valid values, and the conversion between text and values."""

from __future__ import annotations

import csv
import functools
import io
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Literal, TypeVar, get_args

from bench.errors import one_line
from bench.network.specification import DEVICES

Status = Literal["ok", "diverged", "error", "timeout", "interrupted"]
STATUSES: tuple[str, ...] = get_args(Status)

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class Row:
    """One finished epoch (status `ok`), or the closing row of a run that ended badly. None is an empty field.

    `correct` of `total` test images are classified correctly. Losses are mean negative log-likelihoods. Seconds are
    from a monotonic clock. A record may lack the last three columns. `machine` describes in words the environment of
    which `environment` is the digest. `smallest_variance` is the smallest running variance of any BatchNorm channel.
    `correct_batch_statistics` is the number of correct images if the same weights are evaluated with the statistics of
    each batch. It is recorded for an epoch that lost many images.
    """

    model: str
    recipe: str
    device: str
    environment: str
    seed: int
    epoch: int
    correct: int | None
    total: int | None
    test_loss: float | None
    train_loss: float | None
    train_seconds: float | None
    eval_seconds: float | None
    status: str
    note: str
    recorded_at: str
    machine: str = ""
    smallest_variance: float | None = None
    correct_batch_statistics: int | None = None


@dataclass(frozen=True)
class Run:
    """One network, trained from one seed on one device up to and including epoch `epochs`.

    `recipe` is the digest of an `Architecture`, of the network and its training. `environment` is a digest of
    everything else that can change the bits of the result.
    """

    model: str
    recipe: str
    device: str
    environment: str
    seed: int
    epochs: int

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """The values of the columns `RUN_KEY`. They identify the run, for any number of epochs."""
        return (self.model, self.recipe, self.device, self.environment, self.seed)

    def __str__(self) -> str:
        return f"{self.model} on {self.device}, seed {self.seed}"


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Row))
REQUIRED: tuple[str, ...] = COLUMNS[: COLUMNS.index("recorded_at") + 1]
RUN_KEY: tuple[str, ...] = ("model", "recipe", "device", "environment", "seed")
EPOCH_KEY: tuple[str, ...] = (*RUN_KEY, "epoch")
REPRODUCIBLE: tuple[str, ...] = ("correct", "total", "test_loss", "train_loss")
"""Training an epoch again in the same environment must reproduce these columns bit for bit."""

Fingerprint = tuple[int, int, float, float]
"""The values of the columns `REPRODUCIBLE` in one epoch."""

SEED, EPOCH, IMAGES = (0, 2**64 - 1), (1, 999_999_999), (0, 999_999_999)
LOSS = (0.0, 1e39)  # more than the largest binary32 number
SECONDS = (0.0, 366 * 86_400.0)
LONGEST = dict.fromkeys(("model", "note", "machine"), 4000)  # characters
YEARS = (1970, 2199)
BOUNDS: Mapping[str, tuple[int, int] | tuple[float, float]] = {
    "seed": SEED,
    "epoch": EPOCH,
    "epochs": EPOCH,
    "correct": IMAGES,
    "total": (1, IMAGES[1]),
    "correct_batch_statistics": IMAGES,
    "test_loss": LOSS,
    "train_loss": LOSS,
    "smallest_variance": LOSS,
    "train_seconds": SECONDS,
    "eval_seconds": SECONDS,
}
"""The smallest and the largest value of each column with numbers, in every file beside a record too."""

_DIGITS = re.compile(r"[0-9]{1,20}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DIGEST = re.compile(r"[0-9a-f]{8}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|\+00:00)", re.ASCII)


def fingerprint(epoch: object) -> Fingerprint:
    """The fingerprint of a finished epoch, which has the columns `REPRODUCIBLE` as attributes."""
    correct, total, test_loss, train_loss = (getattr(epoch, name) for name in REPRODUCIBLE)
    return int(correct), int(total), float(test_loss), float(train_loss)


class Malformed(ValueError):
    """A line that is not a valid row. The message says what is wrong, and in which column."""


def parse_row(text: Mapping[str, str]) -> Row:
    """Parse one line, given as the text of each column. Columns that are not required may be missing.

    Raises:
        Malformed: a column has an invalid value. The message names the first such column.
    """
    finished = text["status"] == "ok"
    row = Row(
        *parse_run(text),
        epoch=integer(text, "epoch"),
        correct=_optional(integer, text, "correct", finished),
        total=_optional(integer, text, "total", finished),
        test_loss=_optional(_number, text, "test_loss", finished),
        train_loss=_optional(_number, text, "train_loss", finished),
        train_seconds=_optional(_number, text, "train_seconds", finished),
        eval_seconds=_optional(_number, text, "eval_seconds", finished),
        status=one_of(text, "status", STATUSES),
        note=words(text, "note"),
        recorded_at=time(text, "recorded_at"),
        machine=words(text, "machine"),
        smallest_variance=_optional(_number, text, "smallest_variance"),
        correct_batch_statistics=_optional(integer, text, "correct_batch_statistics"),
    )
    if row.total is not None:
        for name, count in (("correct", row.correct), ("correct_batch_statistics", row.correct_batch_statistics)):
            if count is not None and count > row.total:
                raise Malformed(f"{name} is {count}, more than the total of {row.total}")
    return row


def parse_run(text: Mapping[str, str]) -> tuple[str, str, str, str, int]:
    """Parse the columns `RUN_KEY`.

    Raises:
        Malformed: like `parse_row`.
    """
    return _parse_run(*(text[column] for column in RUN_KEY))


@functools.lru_cache(maxsize=1024)
def _parse_run(*values: str) -> tuple[str, str, str, str, int]:
    """The same run stands in many lines, mostly one below the other."""
    text = dict(zip(RUN_KEY, values, strict=True))
    if not text["model"]:
        raise Malformed("model is empty")
    return (
        words(text, "model"),
        digest(text, "recipe"),
        one_of(text, "device", DEVICES),
        digest(text, "environment"),
        integer(text, "seed"),
    )


def format_row(row: Row, header: Sequence[str] = COLUMNS) -> str:
    """Format a row as a line under a file's header, with its newline. A column that the row lacks stays empty."""
    return format_fields({column: getattr(row, column) for column in COLUMNS}, header)


def format_fields(values: Mapping[str, object], header: Sequence[str]) -> str:
    """Format the value of each column as a line under a file's header, with its newline."""
    return format_line([_text(values.get(column))[: LONGEST.get(column)] for column in header])


def format_line(texts: Sequence[str]) -> str:
    """Format a CSV line, with its newline."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(texts)
    return buffer.getvalue()


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(float(value))  # the shortest text that gives the same float; the repr of a numpy float is longer
    return one_line(value) if isinstance(value, str) and value else str(value)


def digest(text: Mapping[str, str], column: str) -> str:
    """Parse a digest: eight hex digits."""
    return sys.intern(_matching(text, column, _DIGEST, "8 hex digits"))


def time(text: Mapping[str, str], column: str) -> str:
    """Parse a time in UTC."""
    found = _matching(text, column, _TIME, "a UTC time like 2026-01-31T12:00:00Z")
    with suppress(ValueError):
        if YEARS[0] <= datetime.fromisoformat(found).year <= YEARS[1]:
            return found
    raise Malformed(f"{column} is {quoted(found)}, not a time in the years {YEARS[0]} to {YEARS[1]}")


def words(text: Mapping[str, str], column: str) -> str:
    """Parse a text, which can be empty. A file can lack its column."""
    found = text.get(column, "")
    if len(found) > LONGEST[column]:
        raise Malformed(f"{column} has {len(found)} characters, more than {LONGEST[column]}")
    return sys.intern(found)


def one_of(text: Mapping[str, str], column: str, allowed: Sequence[str]) -> str:
    """Parse one of the `allowed` words."""
    if text[column] not in allowed:
        raise Malformed(f"{column} is {quoted(text[column])}, not one of {', '.join(allowed)}")
    return sys.intern(text[column])


def utc_now() -> str:
    """The current time in the format of a record."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def integer(text: Mapping[str, str], column: str) -> int:
    """Parse a whole number within the bounds of its column."""
    low, high = BOUNDS[column]
    if not _DIGITS.fullmatch(text[column]) or not low <= int(text[column]) <= high:
        raise Malformed(f"{column} is {quoted(text[column])}, not a whole number from {low} to {high}")
    return int(text[column])


def _matching(text: Mapping[str, str], column: str, pattern: re.Pattern[str], wanted: str) -> str:
    if not pattern.fullmatch(text[column]):
        raise Malformed(f"{column} is {quoted(text[column])}, not {wanted}")
    return text[column]


def _number(text: Mapping[str, str], column: str) -> float:
    low, high = BOUNDS[column]
    if not _DECIMAL.fullmatch(text[column]) or not low <= float(text[column]) <= high:
        raise Malformed(f"{column} is {quoted(text[column])}, not a number from {low:g} to {high:g}")
    return float(text[column])


def _optional(
    parse: Callable[[Mapping[str, str], str], Number], text: Mapping[str, str], column: str, required: bool = False
) -> Number | None:
    return parse(text, column) if required or text.get(column) else None


def quoted(text: str) -> str:
    """Quote a text for a message. At most 40 characters of the text are shown."""
    return repr(text if len(text) <= 40 else text[:37] + "...")
