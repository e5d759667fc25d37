"""A CSV file that only grows: appended durably, and read however damaged.

A line is acknowledged once it is on the disk, newline included. A last line without a newline was therefore never
acknowledged: reading leaves it out, and the next append first sets it aside, in a file with `.torn` at its end.
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

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """Something wrong with a file: where, what, and whether the line was left out because of it."""

    line: int
    reason: str
    left_out: bool = True


class Line:
    """A line that was read: the physical line it starts on, and what it holds."""

    __slots__ = ("_header", "_values", "number")

    def __init__(self, number: int, header: list[str], values: list[str]) -> None:
        self.number = number
        self._header = header
        self._values = values

    def fields(self) -> dict[str, str]:
        """Column to text.

        Raises:
            Malformed: it has not as many fields as the header, or is the header once more.
        """
        if self._values == self._header:
            raise Malformed("the header stands here once more")
        if len(self._values) != len(self._header):
            raise Malformed(f"{len(self._values)} fields where the header has {len(self._header)}")
        return dict(zip(self._header, self._values, strict=True))


def read(path: Path, required: Sequence[str], problems: list[Problem]) -> Iterator[Line]:
    """The lines of a file after its header, which must have the `required` columns; `problems` gets what is wrong.

    Raises:
        OSError: there is no such file, or it cannot be read at all, being a folder, say.
    """
    if path.is_char_device():  # a terminal, or one of those that never end
        raise OSError(errno.EINVAL, "is a device")
    return _lines(_decode(path.read_bytes(), problems), required, problems)


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
        problems.append(Problem(1, "the columns do not stand in the documented order", left_out=False))
    if len(set(header)) != len(header):
        problems.append(Problem(1, "a column stands twice in the header", left_out=False))
    while True:
        start = lines.line_num + 1
        try:
            values = next(lines)
        except StopIteration:
            return
        except csv.Error:
            values = []
        yield Line(start, header, values)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _header_fields(lines: Iterator[list[str]]) -> list[str] | None:
    """The first line of a CSV reader, None if there is none; a file of another kind may have no fields at all."""
    try:
        return next(lines, None)
    except csv.Error:
        return []


class Appender:
    """Appends lines to a file of `columns`, each on the disk when `append` returns; `what` names it in a message.

    The file is opened anew for every line: somebody may have saved it from an editor, under the same name but as
    another file, while a job was running. Several processes may append to the same file. One that is there may have
    other columns than ours after the `required` ones, which then stay empty.
    """

    def __init__(self, path: Path, columns: Sequence[str], required: Sequence[str], what: str) -> None:
        self.path = path
        self._columns, self._required, self._what = list(columns), list(required), what

    def prepare(self) -> None:
        """Create the file if there is none, and make sure that lines can be appended to it.

        Raises:
            UnusableInput: as `append`.
        """
        self._append(None)

    def append(self, fields: Mapping[str, str]) -> None:
        """Write one line, given as column to text, and wait until it is on the disk.

        Raises:
            UnusableInput: the file cannot be written, or has the header of another; nothing is left half-written.
        """
        self._append(fields)

    def _append(self, fields: Mapping[str, str] | None) -> None:
        try:
            is_new = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                if is_new:  # the name first: a row that is there is never said to have failed
                    with naming(self.path):
                        sync_folder(self.path.parent)
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # until the descriptor is closed, or its process is killed
                if not _is_at(descriptor, self.path):  # an editor has saved another file under its name since
                    return self._append(fields)
                self._append_to(descriptor, fields)
            finally:
                os.close(descriptor)
        except OSError as error:
            advice = "every row acknowledged before is kept; mend this and run the same command again"
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
            _extend(descriptor, size, lines.encode())

    def _header(self, descriptor: int) -> list[str] | None:
        """The columns of the file, None if it has none yet, being empty or torn within its first line."""
        first_line, newline, _ = os.pread(descriptor, 65_536, 0).decode("utf-8", errors="replace").partition("\n")
        if not newline and format_line(self._columns).startswith(first_line):
            return None
        header = _header_fields(csv.reader([first_line])) or []
        if not newline or header[: len(self._required)] != self._required:
            advice = "mend its first line, or name another file with --runs"
            raise UnusableInput(f"{self.path}:1: not the header of {self._what}, so nothing is appended: {advice}")
        return header

    def _set_torn_tail_aside(self, descriptor: int) -> int:
        """Move what follows the last newline to a file beside this one; the size of what stays, in bytes."""
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
                _extend(saved, os.fstat(saved).st_size, torn + b"\n")
                sync_folder(beside.parent)
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
