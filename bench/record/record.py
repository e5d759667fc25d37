"""runs.csv: the only module that writes it, the only module that reads it."""

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

_CHUNK = 50_000  # rows turned into columns at a time, so that a million rows fit in little memory
_INTEGERS = ("correct", "total", "correct_batch_statistics")
_FLOATS = ("test_loss", "train_loss", "train_seconds", "eval_seconds", "smallest_variance")


@dataclass(frozen=True)
class Record:
    """What a record holds.

    `rows` has the columns of `rows.COLUMNS` and `line`, the physical line each row starts on, in file order;
    counts are nullable integers, losses and seconds floats. It holds closing rows too; `epochs` has the finished ones.
    """

    path: Path
    rows: pandas.DataFrame
    problems: tuple[Problem, ...]

    @property
    def epochs(self) -> pandas.DataFrame:
        """The finished epochs alone: unique by `bench.record.rows.EPOCH_KEY`, without a gap in any run."""
        return self.rows[self.rows["status"] == "ok"]


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a record for a whole job, so that no second job trains the same runs; a killed holder holds nothing.

    Raises:
        UnusableInput: another process holds it (the message says which), or its folder cannot be written.
    """
    if path.is_dir():
        raise UnusableInput(f"{path}: a folder: name a CSV file with --runs")
    folder = state_folder(path)
    holder = folder / "holder"
    lock = filelock.FileLock(folder / "lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
    except filelock.Timeout:
        raise UnusableInput(
            f"{path}: {_who(holder)} is training into it: wait for it, or name another file with --runs"
        ) from None
    except OSError as error:
        raise UnusableInput(f"{folder}: cannot be written ({cause(error)}): name another file with --runs") from error
    try:
        yield
    finally:
        lock.release()


def _who(holder: Path) -> str:
    """Who holds a record, if that process has come to say so."""
    try:
        return holder.read_text(encoding="utf-8") or "another process"
    except OSError:
        return "another process"


def state_folder(path: Path) -> Path:
    """The folder beside a record for what only resuming needs: the states of its runs, and its lock.

    A record that goes by several names, being linked to, has one such folder, so that two jobs cannot both hold it.
    """
    target = path.resolve() if path.is_symlink() else path
    return target.with_name(f".{target.name}.state")


def read(path: Path, models: Collection[str] | None = None) -> Record:
    """All that is usable in a record, and what is not; a missing file is an empty record.

    With `models`, rows of any other network are problems.

    Raises:
        UnusableInput: the file cannot be read at all, being a folder, say.
    """
    problems: list[Problem] = []
    rows = read_rows(path, problems, models)
    rows = _without_duplicates(rows, problems)
    rows = _without_gaps(rows, problems)
    return Record(path, rows.reset_index(drop=True), tuple(sorted(problems, key=lambda problem: problem.line)))


def read_rows(path: Path, problems: list[Problem], models: Collection[str] | None = None) -> pandas.DataFrame:
    """The rows that are sound each by itself, as `Record.rows` has them: epochs may stand twice or be missing.

    `problems` gets what is wrong; a missing file has no rows.

    Raises:
        UnusableInput: as `read`.
    """
    try:
        lines = ledger.read(path, REQUIRED, problems)
    except FileNotFoundError:
        return _frame([], [])
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be read ({cause(error)}): name a CSV file with --runs") from error
    return _parse(lines, models, problems)


def unknown_columns(path: Path) -> list[str]:
    """The columns of a record that have no place in `bench.record.rows.Row`: reading passes over them."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return [column for column in next(csv.reader([file.readline()]), []) if column not in COLUMNS]


def format_rows(rows: pandas.DataFrame) -> str:
    """A whole record: the header, and a line for each row of a table that has the columns of `Record.rows`."""
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
        problems.append(Problem(int(row.line), f"the same run and epoch as line {first}"))
    return rows.drop(repeated.index)


def _without_gaps(rows: pandas.DataFrame, problems: list[Problem]) -> pandas.DataFrame:
    """Without the epochs that come after a missing one: nobody can say what happened in between."""
    beyond = beyond_gaps(rows)
    for row in beyond.drop_duplicates(list(RUN_KEY)).itertuples():
        reason = f"epoch {row.epoch} of {row.model} seed {row.seed}, but its epoch {row.missing} is missing"
        problems.append(Problem(int(row.line), reason))
    return rows.drop(beyond.index)


def beyond_gaps(rows: pandas.DataFrame) -> pandas.DataFrame:
    """The finished epochs after a missing one, by ascending epoch; `missing` says which, for the first of each run."""
    finished = rows[rows["status"] == "ok"].sort_values("epoch", kind="stable")
    expected = finished.groupby(list(RUN_KEY), sort=False).cumcount() + 1
    return finished.assign(missing=expected)[finished["epoch"] != expected]


class Writer:
    """Appends rows to a record, each on the disk when `append` returns."""

    def __init__(self, path: Path) -> None:
        self._file = ledger.Appender(path, COLUMNS, REQUIRED, "a record")

    def prepare(self) -> None:
        """Create the record if there is none, and make sure that rows can be appended to it.

        Raises:
            UnusableInput: as `append`.
        """
        self._file.prepare()

    def append(self, row: Row) -> None:
        """Write one row and wait until it is on the disk.

        Raises:
            UnusableInput: the file cannot be written, or its header is not a record's; nothing is left half-written.
        """
        self._file.append(as_text(row))
