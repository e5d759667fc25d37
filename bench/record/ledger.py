"""The format of a CSV file that only grows: a header, then a row a line. Even a damaged file can be read.

A row is acknowledged when all of its line is on the disk, including the newline. A last line without a newline was
therefore never acknowledged. Reading leaves it out.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from bench.errors import one_line
from bench.files import require_regular
from bench.record.rows import Malformed, format_line
from bench.wording import count

R = TypeVar("R")


@dataclass(frozen=True)
class Problem:
    """A problem of a file: on which line, why, and whether the line was left out because of it."""

    line: int
    reason: str
    left_out: bool = True


@dataclass(frozen=True)
class Table(Generic[R]):
    """A kind of file. `what` names it in messages.

    A file must have the `required` columns, and it can lack the other `columns`. `parse` makes a row from the text of
    each column, and raises `Malformed`. `line` is the opposite: it makes the line of a row under the header of a file.
    Two rows are about the same thing if their `key` is equal. They contradict each other if their `result` is not.
    """

    what: str
    columns: tuple[str, ...]
    required: tuple[str, ...]
    parse: Callable[[Mapping[str, str]], R]
    line: Callable[[R, Sequence[str]], str]
    key: Callable[[R], Hashable]
    result: Callable[[R], object]

    def format(self, rows: Iterable[R]) -> str:
        """Format the text of a whole file."""
        return "".join([format_line(self.columns), *(self.line(row, self.columns) for row in rows)])

    def read(self, path: Path, problems: list[Problem]) -> Iterator[tuple[int, R]]:
        """Read each row that is valid by itself, with its line. `problems` gets the problems of the file.

        The line is the physical line on which a row starts. A missing file has no rows.

        Raises:
            OSError: the file cannot be read, for example because it is a folder.
        """
        require_regular(path)
        try:
            text = _decode(path.read_bytes(), problems)
        except FileNotFoundError:
            return
        lines = csv.reader(_physical_lines(text))
        header = header_fields(lines)
        if header is None or not self._can_read(header, problems):
            return
        for number, values in numbered(lines):
            try:
                row = self.parse(_by_column(header, values))
            except Malformed as error:
                problems.append(Problem(number, one_line(error)))
            else:
                yield number, row

    def _can_read(self, header: list[str], problems: list[Problem]) -> bool:
        missing = [column for column in self.required if column not in header]
        if missing:
            problems.append(Problem(1, f"the header lacks {', '.join(missing)}: no line can be read"))
            return False
        if tuple(header[: len(self.required)]) != self.required:
            problems.append(Problem(1, "the columns are not in the documented order", left_out=False))
        if len(set(header)) != len(header):
            problems.append(Problem(1, "the header has a column twice", left_out=False))
        return True


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


def _physical_lines(text: str) -> Iterator[str]:
    """Each line with its end. `io.StringIO` gives the same lines, but takes four bytes for each letter of the file."""
    start = 0
    while end := text.find("\n", start) + 1:
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def header_fields(lines: Iterator[list[str]]) -> list[str] | None:
    """The fields of a CSV reader's first line, or None without a line. A file that is not CSV may have no fields."""
    try:
        return next(lines, None)
    except csv.Error:
        return []


def numbered(lines: Any) -> Iterator[tuple[int, list[str]]]:
    """The lines of a CSV reader, each with the number of the physical line on which it starts.

    A line that is not CSV has no fields.
    """
    while True:
        number = lines.line_num + 1
        try:
            values = next(lines)
        except StopIteration:
            return
        except csv.Error:
            values = []
        yield number, values


def _by_column(header: list[str], values: list[str]) -> dict[str, str]:
    """The text of each column."""
    if values == header:
        raise Malformed("the line repeats the header")
    if len(values) != len(header):
        raise Malformed(f"the line has {count(len(values), 'field')}, but the header has {len(header)}")
    return dict(zip(header, values, strict=True))
