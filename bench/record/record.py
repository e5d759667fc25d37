"""Write and read runs.csv. No other module writes or reads this file."""

from __future__ import annotations

import csv
import os
import socket
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock
import pandas

from bench.errors import UnusableInput, one_line
from bench.files import cause
from bench.record import ledger
from bench.record.ledger import Line, Problem
from bench.record.rows import (
    COLUMNS,
    EPOCH_KEY,
    REQUIRED,
    RUN_KEY,
    Malformed,
    Row,
    as_text,
    format_line,
    format_row,
    parse_row,
)

_CHUNK = 50_000  # rows are turned into columns in chunks, so that a million rows need little memory
_INTEGERS = ("correct", "total", "correct_batch_statistics")
_FLOATS = ("test_loss", "train_loss", "train_seconds", "eval_seconds", "smallest_variance")


@dataclass(frozen=True)
class Record:
    """The content of a record and its problems.

    `rows` has the columns of `rows.COLUMNS`, and the column `line`, the physical line on which each row starts. The
    rows are in file order and include closing rows. Counts are nullable integers. Losses and seconds are floats.
    """

    path: Path
    rows: pandas.DataFrame
    problems: tuple[Problem, ...]

    @property
    def epochs(self) -> pandas.DataFrame:
        """The finished epochs only. They are unique by `bench.record.rows.EPOCH_KEY`, and no run has a gap."""
        return self.rows[self.rows["status"] == "ok"]


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Lock a record for a whole job, so that no second job trains the same runs.

    The lock ends if the process is killed.

    Raises:
        UnusableInput: another process holds the lock (the message says which), or the folder cannot be written.
    """
    if path.is_dir():
        raise UnusableInput(f"{path}: is a folder: name a CSV file with --runs")
    folder = state_folder(path)
    holder = folder / "holder"
    lock = filelock.FileLock(folder / "lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
    except filelock.Timeout:
        raise UnusableInput(
            f"{path}: {_holder_name(holder)} is training into it: wait for it, or name another file with --runs"
        ) from None
    except OSError as error:
        raise UnusableInput(f"{folder}: cannot be written ({cause(error)}): name another file with --runs") from error
    try:
        yield
    finally:
        lock.release()


def _holder_name(holder: Path) -> str:
    """The process that holds a record. Its name is unknown until it has written the file `holder`."""
    try:
        return holder.read_text(encoding="utf-8") or "another process"
    except OSError:
        return "another process"


def state_folder(path: Path) -> Path:
    """The folder beside a record with the saved states of its runs, for resuming, and the record's lock.

    All symbolic links to a record share its folder, so that two jobs cannot both hold the lock.
    """
    target = path.resolve() if path.is_symlink() else path
    return target.with_name(f".{target.name}.state")


def read(path: Path, models: Collection[str] | None = None) -> Record:
    """Read the usable rows of a record, and its problems. A missing file is an empty record.

    If `models` is given, rows of other networks are problems.

    Raises:
        UnusableInput: the file cannot be read, for example because it is a folder.
    """
    problems: list[Problem] = []
    rows = read_rows(path, problems, models)
    rows = _without_duplicates(rows, problems)
    rows = _without_gaps(rows, problems)
    return Record(path, rows.reset_index(drop=True), tuple(sorted(problems, key=lambda problem: problem.line)))


def read_rows(path: Path, problems: list[Problem], models: Collection[str] | None = None) -> pandas.DataFrame:
    """Read the rows that are valid by themselves, as in `Record.rows`. Epochs may be duplicates or missing.

    `problems` gets the problems of the file. A missing file has no rows.

    Raises:
        UnusableInput: like `read`.
    """
    try:
        lines = ledger.read(path, REQUIRED, problems)
    except FileNotFoundError:
        return _frame([], [])
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be read ({cause(error)}): name a CSV file with --runs") from error
    return _parse(lines, models, problems)


def unknown_columns(path: Path) -> list[str]:
    """The columns of a record that `bench.record.rows.Row` does not have. Reading ignores them."""
    return [column for column in _header(_first_line(path)) if column not in COLUMNS]


def require_header(path: Path) -> None:
    """Check that a file is a record: it is missing, or empty, or begins with the header of a record or a part of it.

    Raises:
        UnusableInput: the file begins with something else.
    """
    if not path.exists():
        return
    line = _first_line(path)
    if format_line(COLUMNS).startswith(line):  # nothing, or a header that was being written
        return
    missing = [column for column in REQUIRED if column not in _header(line)]
    if missing:
        raise UnusableInput(
            f"{path}:1: not a record, its header lacks {', '.join(missing[:3])}{' …' * (len(missing) > 3)}: "
            "name the record with --runs"
        )


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return file.readline(65_536)


def _header(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:  # not CSV
        return []


def format_rows(rows: pandas.DataFrame) -> str:
    """Format a whole record: the header, and a line for each row. `rows` has the columns of `Record.rows`."""
    values = rows[list(COLUMNS)].astype(object)
    lines = values.where(values.notna(), None).itertuples(index=False, name=None)
    return "".join([format_line(COLUMNS), *(format_row(Row(*line)) for line in lines)])


def _parse(lines: Iterable[Line], models: Collection[str] | None, problems: list[Problem]) -> pandas.DataFrame:
    frames, rows, starts = [], list[Row](), list[int]()
    for line in lines:
        try:
            row = parse_row(line.fields())
            if models is not None and row.model not in models:
                raise Malformed(f"the network {row.model!r} is not known here")
        except Malformed as error:
            problems.append(Problem(line.number, one_line(error)))
            continue
        rows.append(row)
        starts.append(line.number)
        if len(rows) == _CHUNK:
            frames.append(_frame(rows, starts))
            rows, starts = [], []
    frames.append(_frame(rows, starts))
    return pandas.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)


def _frame(rows: list[Row], starts: list[int]) -> pandas.DataFrame:
    frame = pandas.DataFrame({name: [getattr(row, name) for row in rows] for name in COLUMNS}, columns=list(COLUMNS))
    frame["line"] = starts
    types = dict.fromkeys(_INTEGERS, "Int64") | dict.fromkeys(_FLOATS, "float64")
    types |= {"seed": "uint64", "epoch": "int64", "line": "int64"}
    types |= {name: "object" for name in COLUMNS if name not in types}
    return frame.astype(types)


def _without_duplicates(rows: pandas.DataFrame, problems: list[Problem]) -> pandas.DataFrame:
    finished = rows[rows["status"] == "ok"]
    repeated = finished[finished.duplicated(list(EPOCH_KEY))]
    if repeated.empty:
        return rows
    first_lines = finished.drop_duplicates(list(EPOCH_KEY)).set_index(list(EPOCH_KEY))["line"]
    for row in repeated.itertuples():
        first = first_lines[tuple(getattr(row, name) for name in EPOCH_KEY)]
        problems.append(Problem(int(row.line), f"the same run and epoch as on line {first}"))
    return rows.drop(repeated.index)


def _without_gaps(rows: pandas.DataFrame, problems: list[Problem]) -> pandas.DataFrame:
    """Leave out the epochs after a missing epoch, because it is unknown what happened in between."""
    beyond = beyond_gaps(rows)
    for row in beyond.drop_duplicates(list(RUN_KEY)).itertuples():
        reason = f"epoch {row.epoch} of {row.model} seed {row.seed}, but its epoch {row.missing} is missing"
        problems.append(Problem(int(row.line), reason))
    return rows.drop(beyond.index)


def beyond_gaps(rows: pandas.DataFrame) -> pandas.DataFrame:
    """The finished epochs after a missing epoch, by ascending epoch. In a run's first row, `missing` is that epoch."""
    finished = rows[rows["status"] == "ok"].sort_values("epoch", kind="stable")
    expected = finished.groupby(list(RUN_KEY), sort=False).cumcount() + 1
    return finished.assign(missing=expected)[finished["epoch"] != expected]


class Writer:
    """Append rows to a record. A row is on the disk when `append` returns."""

    def __init__(self, path: Path) -> None:
        self._file = ledger.Appender(path, COLUMNS, REQUIRED, "a record")

    def prepare(self) -> None:
        """Create the record if it does not exist, and check that rows can be appended to it.

        Raises:
            UnusableInput: like `append`.
        """
        self._file.prepare()

    def append(self, row: Row) -> None:
        """Write one row and wait until it is on the disk.

        Raises:
            UnusableInput: the file cannot be written, or does not have the header of a record. No partial row stays.
        """
        self._file.append(as_text(row))
