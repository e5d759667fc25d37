"""runs.csv: the only module that writes it, the only module that reads it.

A row is acknowledged once its line, newline included, is on the disk. A last line without a newline was therefore
never acknowledged: reading leaves it out, and the next append first sets it aside, in a file with `.torn` at its end.
"""

from __future__ import annotations

import csv
import fcntl
import io
import logging
import os
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import filelock
import pandas

from bench.errors import UnusableInput, one_line
from bench.files import cause, sync_folder, write_all
from bench.rows import COLUMNS, EPOCH_KEY, REQUIRED, RUN_KEY, Malformed, Row, format_line, format_row, parse_row

_log = logging.getLogger(__name__)
_CHUNK = 50_000  # rows turned into columns at a time, so that a million rows fit in little memory
_INTEGERS = ("correct", "total", "correct_batch_statistics")
_FLOATS = ("test_loss", "train_loss", "train_seconds", "eval_seconds", "smallest_variance")


@dataclass(frozen=True)
class Problem:
    """Something wrong with a record: where, what, and whether the line was left out because of it."""

    line: int
    reason: str
    left_out: bool = True


@dataclass(frozen=True)
class Record:
    """What a record holds.

    `rows` has the columns of `bench.rows.COLUMNS` and `line`, the physical line each row starts on, in file order;
    counts are nullable integers, losses and seconds floats. It holds closing rows too; `epochs` has the finished ones.
    """

    path: Path
    rows: pandas.DataFrame
    problems: tuple[Problem, ...]

    @property
    def epochs(self) -> pandas.DataFrame:
        """The finished epochs alone: unique by `bench.rows.EPOCH_KEY`, without a gap in any run."""
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
        who = holder.read_text(encoding="utf-8") if holder.exists() else "another process"
        raise UnusableInput(
            f"{path}: {who} is training into it: wait for it, or name another file with --runs"
        ) from None
    except OSError as error:
        raise UnusableInput(f"{folder}: cannot be written ({cause(error)}): name another file with --runs") from error
    try:
        yield
    finally:
        lock.release()


def state_folder(path: Path) -> Path:
    """The folder beside a record for what only resuming needs: the states of its runs, and its lock."""
    return path.with_name(f".{path.name}.state")


def read(path: Path, models: Collection[str] | None = None) -> Record:
    """All that is usable in a record, and what is not; a missing file is an empty record.

    With `models`, rows of any other network are problems.

    Raises:
        UnusableInput: the file cannot be read at all, being a folder, say.
    """
    try:
        if path.is_char_device():  # a terminal, or one of those that never end
            raise UnusableInput(f"{path}: cannot be read (is a device): name a CSV file with --runs")
        content = path.read_bytes()
    except FileNotFoundError:
        return Record(path, _frame([], []), ())
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be read ({cause(error)}): name a CSV file with --runs") from error
    problems: list[Problem] = []
    text = _decode(content, problems)
    rows = _parse(text, models, problems)
    rows = _without_duplicates(rows, problems)
    rows = _without_gaps(rows, problems)
    return Record(path, rows.reset_index(drop=True), tuple(sorted(problems, key=lambda problem: problem.line)))


def _decode(content: bytes, problems: list[Problem]) -> str:
    if not content:
        problems.append(Problem(1, "the file is empty: it has not even a header", left_out=False))
    if content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
        problems.append(Problem(1, "the file starts with a byte-order mark: save it as plain UTF-8", left_out=False))
    if b"\r" in content:
        line = content[: content.index(b"\r")].count(b"\n") + 1
        problems.append(
            Problem(line, "a line ends with a carriage return: save the file with LF alone", left_out=False)
        )
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if content and not content.endswith(b"\n"):
        problems.append(Problem(content.count(b"\n") + 1, "the last line has no newline at its end: it may be torn"))
        content = content[: content.rfind(b"\n") + 1]
    return content.replace(b"\0", b"?").decode("utf-8", errors="replace")


def _parse(text: str, models: Collection[str] | None, problems: list[Problem]) -> pandas.DataFrame:
    lines = csv.reader(io.StringIO(text, newline=""))
    header = _header_fields(lines)
    if header is None:
        return _frame([], [])
    missing = [column for column in REQUIRED if column not in header]
    if missing:
        problems.append(Problem(1, f"the header lacks {', '.join(missing)}: no line can be read"))
        return _frame([], [])
    if tuple(header[: len(REQUIRED)]) != REQUIRED:
        problems.append(Problem(1, "the columns do not stand in the documented order", left_out=False))
    if len(set(header)) != len(header):
        problems.append(Problem(1, "a column stands twice in the header", left_out=False))
    frames, rows, starts = [], list[Row](), list[int]()
    for start, values in _numbered(lines):
        try:
            row = _row(header, values)
            if models is not None and row.model not in models:
                raise Malformed(f"the network {row.model!r} is not known here")
        except Malformed as error:
            problems.append(Problem(start, one_line(error)))
            continue
        rows.append(row)
        starts.append(start)
        if len(rows) == _CHUNK:
            frames.append(_frame(rows, starts))
            rows, starts = [], []
    frames.append(_frame(rows, starts))
    return pandas.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)


def _header_fields(lines: Iterator[list[str]]) -> list[str] | None:
    """The first line of a CSV reader, None if there is none; a file of another kind may have no fields at all."""
    try:
        return next(lines, None)
    except csv.Error:
        return []


def _numbered(lines: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Each line of a CSV reader with the number of the physical line it starts on."""
    while True:
        start = lines.line_num + 1  # type: ignore[attr-defined]
        try:
            values = next(lines)
        except StopIteration:
            return
        except csv.Error:
            values = []
        yield start, values


def _row(header: list[str], values: list[str]) -> Row:
    if values == header:
        raise Malformed("the header stands here once more")
    if len(values) != len(header):
        raise Malformed(f"{len(values)} fields where the header has {len(header)}")
    return parse_row(dict(zip(header, values, strict=True)))


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
    finished = rows[rows["status"] == "ok"].sort_values("epoch", kind="stable")
    expected = finished.groupby(list(RUN_KEY), sort=False).cumcount() + 1
    beyond = finished[finished["epoch"] != expected]
    for index, row in beyond.drop_duplicates(list(RUN_KEY)).iterrows():
        reason = (
            f"epoch {row['epoch']} of {row['model']} seed {row['seed']}, but its epoch {expected[index]} is missing"
        )
        problems.append(Problem(int(row["line"]), reason))
    return rows.drop(beyond.index)


class Writer:
    """Appends rows to a record, each on the disk when `append` returns.

    The file is opened anew for every row: somebody may have saved it from an editor, under the same name but as
    another file, while a job was running. Several processes may append to the same record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Create the record if there is none, and make sure that rows can be appended to it.

        Raises:
            UnusableInput: as `append`.
        """
        self._append(None)

    def append(self, row: Row) -> None:
        """Write one row and wait until it is on the disk.

        Raises:
            UnusableInput: the file cannot be written, or its header is not a record's; nothing is left half-written.
        """
        self._append(row)

    def _append(self, row: Row | None) -> None:
        try:
            is_new = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                if is_new:
                    sync_folder(self.path.parent)  # first: a row that is there is never said to have failed
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # until the descriptor is closed, or its process is killed
                self._append_to(descriptor, row)
            finally:
                os.close(descriptor)
        except OSError as error:
            advice = "every row acknowledged before is kept; mend this and run the same command again"
            raise UnusableInput(
                f"{error.filename or self.path}: cannot be written ({cause(error)}): {advice}"
            ) from error

    def _append_to(self, descriptor: int, row: Row | None) -> None:
        header = self._header(descriptor)
        size = self._set_torn_tail_aside(descriptor)
        lines = ("" if header else format_line(COLUMNS)) + (format_row(row, header or COLUMNS) if row else "")
        if not lines:
            return
        _extend(descriptor, size, lines.encode())

    def _header(self, descriptor: int) -> list[str] | None:
        """The columns of the record, None if it has none yet, being empty or torn within its first line."""
        first_line, newline, _ = os.pread(descriptor, 65_536, 0).decode("utf-8", errors="replace").partition("\n")
        if not newline and format_line(COLUMNS).startswith(first_line):
            return None
        header = _header_fields(csv.reader([first_line])) or []
        if not newline or tuple(header[: len(REQUIRED)]) != REQUIRED:
            advice = "mend its first line, or name another file with --runs"
            raise UnusableInput(f"{self.path}:1: not the header of a record, so nothing is appended: {advice}")
        return header

    def _set_torn_tail_aside(self, descriptor: int) -> int:
        """Move what follows the last newline to a file beside the record; the size of what stays, in bytes."""
        size = os.fstat(descriptor).st_size
        tail, position = b"", size
        while position > 0 and b"\n" not in tail:
            start = max(0, position - 65_536)
            tail = os.pread(descriptor, position - start, start) + tail
            position = start
        torn = tail[tail.rfind(b"\n") + 1 :]
        if not torn:
            return size
        beside = self.path.with_name(self.path.name + ".torn")
        saved = os.open(beside, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _extend(saved, os.fstat(saved).st_size, torn + b"\n")
            sync_folder(beside.parent)
        except OSError as error:
            error.filename = str(beside)
            raise
        finally:
            os.close(saved)
        os.ftruncate(descriptor, size - len(torn))
        os.fsync(descriptor)
        _log.warning("%s: its last line was torn; it was moved to %s", self.path, beside)
        return size - len(torn)


def _extend(descriptor: int, size: int, content: bytes) -> None:
    """Write at the end of a file of this size and wait until it is on the disk; if that fails, nothing is added."""
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):  # what made the first call fail is what there is to say
            os.ftruncate(descriptor, size)
        raise
