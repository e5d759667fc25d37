"""A CSV file that only grows. Lines are appended durably, and even a damaged file can be read.

A line is acknowledged when all of it is on the disk, including its newline. A last line without a newline was therefore
never acknowledged. Reading leaves it out. The next append first moves it to another file, whose name ends in `.torn`.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UnusableInput
from bench.files import cause, naming, sync_folder, write_all
from bench.record.rows import Malformed, format_line
from bench.wording import count

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """A problem of a file: on which line, why, and whether the line was left out because of it."""

    line: int
    reason: str
    left_out: bool = True


class Line:
    """A line of a file: the number of the physical line on which it starts, and its values."""

    __slots__ = ("_header", "_values", "number")

    def __init__(self, number: int, header: list[str], values: list[str]) -> None:
        self.number = number
        self._header = header
        self._values = values

    def fields(self) -> dict[str, str]:
        """The text of each column.

        Raises:
            Malformed: the line has more or fewer fields than the header, or repeats the header.
        """
        if self._values == self._header:
            raise Malformed("the line repeats the header")
        if len(self._values) != len(self._header):
            raise Malformed(f"the line has {count(len(self._values), 'field')}, but the header has {len(self._header)}")
        return dict(zip(self._header, self._values, strict=True))


def read(path: Path, required: Sequence[str], problems: list[Problem]) -> Iterator[Line]:
    """Read the lines of a file after its header. The header must have the `required` columns. `problems` gets problems.

    Raises:
        OSError: the file does not exist or cannot be read, for example because it is a folder.
    """
    if path.is_char_device():  # reading a terminal or a device like /dev/zero would never end
        raise OSError(errno.EINVAL, "is a device")
    return _lines(_decode(path.read_bytes(), problems), required, problems)


def _decode(content: bytes, problems: list[Problem]) -> str:
    if not content:
        problems.append(Problem(1, "the file is empty and has no header", left_out=False))
    if content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
        problems.append(Problem(1, "the file starts with a byte-order mark: save it as plain UTF-8", left_out=False))
    if b"\r" in content:
        line = content[: content.index(b"\r")].count(b"\n") + 1
        problems.append(
            Problem(line, "a line ends with a carriage return: save the file with LF line ends", left_out=False)
        )
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if content and not content.endswith(b"\n"):
        problems.append(Problem(content.count(b"\n") + 1, "the last line has no newline at its end: it may be cut off"))
        content = content[: content.rfind(b"\n") + 1]
    return content.replace(b"\0", b"?").decode("utf-8", errors="replace")


def _lines(text: str, required: Sequence[str], problems: list[Problem]) -> Iterator[Line]:
    lines = csv.reader(io.StringIO(text, newline=""))
    header = _header_fields(lines)
    if header is None:
        return
    missing = [column for column in required if column not in header]
    if missing:
        problems.append(Problem(1, f"the header lacks {', '.join(missing)}: no line can be read"))
        return
    if header[: len(required)] != list(required):
        problems.append(Problem(1, "the columns are not in the documented order", left_out=False))
    if len(set(header)) != len(header):
        problems.append(Problem(1, "the header has a column twice", left_out=False))
    while True:
        start = lines.line_num + 1
        try:
            values = next(lines)
        except StopIteration:
            return
        except csv.Error:
            values = []
        yield Line(start, header, values)


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _header_fields(lines: Iterator[list[str]]) -> list[str] | None:
    """The fields of a CSV reader's first line, or None without a line. A file that is not CSV may have no fields."""
    try:
        return next(lines, None)
    except csv.Error:
        return []


class Appender:
    """Append lines to a file of `columns`. A line is on the disk when `append` returns. `what` names the file's kind.

    The file is opened again for every line, because an editor may replace it with another file of the same name while
    a job is running. Several processes may append to the same file. After the `required` columns, an existing file may
    have other columns than ours. These stay empty.
    """

    def __init__(self, path: Path, columns: Sequence[str], required: Sequence[str], what: str) -> None:
        self.path = path
        self._columns, self._required, self._what = list(columns), list(required), what

    def prepare(self) -> None:
        """Create the file if it does not exist, and check that lines can be appended to it.

        Raises:
            UnusableInput: like `append`.
        """
        self._append(None)

    def append(self, fields: Mapping[str, str]) -> None:
        """Write one line, the text of each column, and wait until it is on the disk.

        Raises:
            UnusableInput: the file cannot be written, or has the header of another kind of file. No partial line stays.
        """
        self._append(fields)

    def _append(self, fields: Mapping[str, str] | None) -> None:
        try:
            is_new = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                if is_new:  # before any row, so that a failure here is never reported for a written row
                    with naming(self.path):
                        sync_folder(self.path.parent)
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # held until the descriptor is closed or the process ends
                if not _is_file_at(descriptor, self.path):  # an editor has replaced the file since it was opened
                    return self._append(fields)
                self._append_to(descriptor, fields)
            finally:
                os.close(descriptor)
        except OSError as error:
            advice = "all earlier rows are kept; fix this and run the same command again"
            raise UnusableInput(
                f"{error.filename or self.path}: cannot be written ({cause(error)}): {advice}"
            ) from error

    def _append_to(self, descriptor: int, fields: Mapping[str, str] | None) -> None:
        header = self._header(descriptor)
        size = self._set_torn_tail_aside(descriptor)
        lines = "" if header else format_line(self._columns)
        if fields is not None:
            lines += format_line([fields.get(column, "") for column in header or self._columns])
        if lines:
            _append_durably(descriptor, size, lines.encode())

    def _header(self, descriptor: int) -> list[str] | None:
        """The columns of the file, or None if it is empty or its first line is an incomplete header."""
        first_line, newline, _ = os.pread(descriptor, 65_536, 0).decode("utf-8", errors="replace").partition("\n")
        if not newline and format_line(self._columns).startswith(first_line):
            return None
        header = _header_fields(csv.reader([first_line])) or []
        if not newline or header[: len(self._required)] != self._required:
            advice = "correct its first line, or name another file with --runs"
            raise UnusableInput(f"{self.path}:1: not the header of {self._what}, so nothing was appended: {advice}")
        return header

    def _set_torn_tail_aside(self, descriptor: int) -> int:
        """Move the text after the last newline to a file beside this one. Return the size of the rest, in bytes."""
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
            with naming(beside):
                _append_durably(saved, os.fstat(saved).st_size, torn + b"\n")
                sync_folder(beside.parent)
        finally:
            os.close(saved)
        os.ftruncate(descriptor, size - len(torn))
        os.fsync(descriptor)
        _log.warning("%s: the last line was cut off and was moved to %s", self.path, beside)
        return size - len(torn)


def _append_durably(descriptor: int, size: int, content: bytes) -> None:
    """Append to a file of this size and wait until the content is on the disk. If that fails, add nothing."""
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):  # the first error is the one to report
            os.ftruncate(descriptor, size)
        raise
