"""Write and read runs.csv. No other module writes or reads this file."""

from __future__ import annotations

import csv
import os
import socket
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import filelock
import pandas

from bench.errors import UnusableInput
from bench.files import cause, require_regular
from bench.record import beside, consistency, writer
from bench.record.consistency import BITS_KEY
from bench.record.ledger import Problem, Table
from bench.record.rows import (
    COLUMNS,
    EPOCH_KEY,
    REPRODUCIBLE,
    REQUIRED,
    RUN_KEY,
    Row,
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
    `beyond_gaps` has the epochs that `rows` lacks because an earlier epoch of the run is missing from the file.
    `contradicted` has the first epoch with different results, by the values of `BITS_KEY`. Nobody knows which is right.
    """

    path: Path
    rows: pandas.DataFrame
    problems: tuple[Problem, ...]
    beyond_gaps: pandas.DataFrame = field(default_factory=lambda: _frame([], []))
    contradicted: Mapping[tuple[str, str, str, str, int], int] = field(default_factory=dict)

    @property
    def epochs(self) -> pandas.DataFrame:
        """The finished epochs only. They are unique by `bench.record.rows.EPOCH_KEY`, and no run has a gap."""
        return self.rows[self.rows["status"] == "ok"]


@contextmanager
def exclusive(path: Path) -> Iterator[Writer]:
    """Lock a record for a whole job, so that no second job trains the same runs. Yield the writer of the record.

    The lock in the state folder keeps out a job with the same name for the record, also if the record does not exist
    yet. The lock of the file itself keeps out a job with another name, or with a new state folder. Both locks end if
    the process is killed. The path of the writer is that of the file itself, if `path` is a link to it.

    Raises:
        UnusableInput: another process holds the record (the message says which), or it cannot be written, or like
            `bench.record.beside.path`.
    """
    for kind, ending in beside.KINDS.items():  # before the job makes such a file itself, beside the record
        beside.path(path, kind, ending)
    folder = state_folder(path)
    holder = folder / "holder"
    lock = filelock.FileLock(folder / "lock", timeout=0)
    rows = Writer(beside.real(path))
    try:
        try:
            require_regular(path)
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            rows.hold()
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        except (filelock.Timeout, BlockingIOError):
            raise UnusableInput(
                f"{path}: {_holder_name(holder)} is training into it: wait for it, or name another file with --runs"
            ) from None
        except OSError as error:
            place = error.filename or folder
            raise UnusableInput(
                f"{place}: cannot be written ({cause(error)}): name another file with --runs"
            ) from error
        try:
            yield rows
        finally:
            with suppress(OSError):
                holder.unlink(missing_ok=True)
    finally:
        rows.release()
        lock.release()


def _holder_name(holder: Path) -> str:
    """The process that holds a record. Its name is unknown until it has written the file `holder`."""
    try:
        return holder.read_text(encoding="utf-8") or "another process"
    except OSError:
        return "another process"


def state_folder(path: Path) -> Path:
    """The folder beside a record with the saved states of its runs, for resuming, and the record's lock."""
    real = beside.real(path)
    return real.parent / f".{real.name}.state"


def read(path: Path, models: Collection[str] | None = None) -> Record:
    """Read the usable rows of a record, and its problems. A missing file is an empty record.

    If `models` is given, rows of other networks are problems.

    Raises:
        UnusableInput: the file cannot be read, for example because it is a folder.
    """
    problems: list[Problem] = []
    rows = read_rows(path, problems, models)
    first_contradicted = consistency.contradictions(rows).drop_duplicates(list(BITS_KEY))
    problems += consistency.contradiction_problems(first_contradicted)
    contradicted = first_contradicted.set_index(list(BITS_KEY))["epoch"].to_dict()
    rows = consistency.without_duplicates(rows, problems)
    beyond = consistency.beyond_gaps(rows)
    problems += consistency.gap_problems(beyond)
    rows = rows.drop(beyond.index).reset_index(drop=True)
    return Record(path, rows, tuple(sorted(problems, key=lambda problem: problem.line)), beyond, contradicted)


def read_rows(path: Path, problems: list[Problem], models: Collection[str] | None = None) -> pandas.DataFrame:
    """Read the rows that are valid by themselves, as in `Record.rows`. Epochs may be duplicates or missing.

    `problems` gets the problems of the file. A missing file has no rows.

    Raises:
        UnusableInput: like `read`.
    """
    frames, rows, starts = [], list[Row](), list[int]()
    try:
        for line, row in TABLE.read(path, problems):
            if models is not None and row.model not in models:
                problems.append(Problem(line, f"the network {row.model!r} is not known here"))
                continue
            rows.append(row)
            starts.append(line)
            if len(rows) == _CHUNK:
                frames.append(_frame(rows, starts))
                rows, starts = [], []
    except OSError as error:
        raise _unreadable(path, error) from error
    frames.append(_frame(rows, starts))
    return pandas.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)


def from_rows(path: Path, rows: list[Row], problems: Iterable[Problem]) -> Record:
    """Make a record of valid rows that are in no file of ours. Their lines are numbered from 2, as under a header."""
    return Record(path, _frame(rows, list(range(2, len(rows) + 2))), tuple(problems))


def unknown_columns(path: Path) -> list[str]:
    """The columns of a record that `bench.record.rows.Row` does not have. Reading ignores them."""
    return [column for column in _header(_first_line(path)) if column not in COLUMNS]


def require_header(path: Path) -> None:
    """Check that a file is a record: it is missing, or empty, or begins with the header of a record or a part of it.

    Raises:
        UnusableInput: the file cannot be read, or begins with something else.
    """
    if not path.exists():
        return
    try:
        require_regular(path)
        line = _first_line(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if format_line(COLUMNS).startswith(line):  # nothing, or a header that was being written
        return
    missing = [column for column in REQUIRED if column not in _header(line)]
    if missing:
        raise UnusableInput(
            f"{path}:1: not a record, its header lacks {', '.join(missing[:3])}{' …' * (len(missing) > 3)}: "
            "name the file that `run` wrote"
        )


def _unreadable(path: Path, error: OSError) -> UnusableInput:
    return UnusableInput(f"{path}: cannot be read ({cause(error)}): name a CSV file with --runs")


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
    return TABLE.format(_rows(rows))


def _rows(frame: pandas.DataFrame) -> Iterator[Row]:
    values = frame[list(COLUMNS)].astype(object)
    return (Row(*line) for line in values.where(values.notna(), None).itertuples(index=False, name=None))


def _frame(rows: list[Row], starts: list[int]) -> pandas.DataFrame:
    frame = pandas.DataFrame({name: [getattr(row, name) for row in rows] for name in COLUMNS}, columns=list(COLUMNS))
    frame["line"] = starts
    types = dict.fromkeys(_INTEGERS, "Int64") | dict.fromkeys(_FLOATS, "float64")
    types |= {"seed": "uint64", "epoch": "int64", "line": "int64"}
    types |= {name: "object" for name in COLUMNS if name not in types}
    return frame.astype(types)


def _key(row: Row) -> Hashable:
    """What a row is about: an epoch, or one ending of a run. A run can end badly several times."""
    return tuple(getattr(row, name) for name in EPOCH_KEY) if row.status == "ok" else row


def _result(row: Row) -> object:
    return tuple(getattr(row, name) for name in REPRODUCIBLE)


TABLE = Table("a record", COLUMNS, REQUIRED, parse_row, format_row, _key, _result)


class Writer(writer.Writer[Row]):
    """Append rows to a record. A row is on the disk when `append` returns."""

    advice = f"{writer.Writer.advice}, or join both records with `merge`"

    def __init__(self, path: Path) -> None:
        super().__init__(TABLE, path, aside(path))

    def expect_runs(self, recorded: Record, runs: Iterable[tuple[str, str, str, str, int]]) -> None:
        """Treat the recorded epochs of these runs as rows of this writer. `runs` has the `RUN_KEY` of each."""
        wanted = pandas.DataFrame(runs, columns=list(RUN_KEY)).astype({"seed": "uint64"})
        for epochs in (recorded.epochs, recorded.beyond_gaps):
            self.expect(_rows(epochs.merge(wanted, on=list(RUN_KEY))))


def aside(runs: Path) -> Path:
    """The path of the record that keeps rows of a job which `runs` cannot take."""
    return beside.path(runs, "kept")
