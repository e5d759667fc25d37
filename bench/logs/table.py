"""Read a CSV file in any of the dialects that programs and spreadsheets write. The cells stay text."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UnusableInput, one_line
from bench.files import cause
from bench.wording import count

_DELIMITERS = (",", ";", "\t", "|", " ")
_LINES_TRIED = 50  # lines that must agree with the header before a delimiter is believed


@dataclass(frozen=True)
class Table:
    """The header of a file and its rows, each with the number of the line on which it starts.

    A row has as many cells as the header. Spaces around a cell are removed.
    """

    path: Path
    header_line: int
    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    def place(self, line: int) -> str:
        """The file and the line, as messages have them."""
        return f"{self.path}:{line}"


def read(path: Path) -> Table:
    """Read a file in UTF-8 or UTF-16, with any line ends, separated by commas, semicolons, tabs, bars or spaces.

    Left out are blank lines, lines that begin with #, and lines that repeat the header. A first line `sep=;` names the
    separator, as spreadsheets write it.

    Raises:
        UnusableInput: the file cannot be read, is not text, has no header, or a row does not fit under the header.
    """
    lines, first = _lines(path), 0
    named = re.fullmatch(r'"?sep=(.)"?', lines[0])
    first += named is not None
    if lines[0].lstrip().startswith(("{", "[")):
        raise UnusableInput(f"{path}: is JSON: write it as CSV, with a header and a row for each epoch")
    first = _header(lines, first)
    if first == len(lines):
        raise UnusableInput(f"{path}: is empty: name a CSV file with a header and a row for each epoch")
    lines[first] = lines[first].lstrip("# ")
    delimiter = named[1] if named else _delimiter(lines[first:])
    reader = _cells("\n".join(lines[first:]), delimiter, path, first)
    header_line, header = next(reader)
    header = [header[0].lstrip("# "), *header[1:]]  # in a cell with quotes
    rows = []
    for line, cells in reader:
        repeats_header = [cells[0].lstrip("# "), *cells[1:]] == header
        if repeats_header or (cells[0].startswith("#") and len(cells) != len(header)) or not any(cells):
            continue
        if len(cells) > len(header) and not any(cells[len(header) :]):
            cells = cells[: len(header)]
        if len(cells) != len(header):
            advice = "correct the line; if it has a decimal comma, separate the cells with semicolons"
            if delimiter == " ":
                advice = "write the log as CSV, with a header like run,epoch,accuracy"
            raise UnusableInput(f"{path}:{line}: {count(len(cells), 'cell')} under a header of {len(header)}: {advice}")
        rows.append((line, tuple(cells)))
    return Table(path, header_line, tuple(header), tuple(rows))


def _lines(path: Path) -> list[str]:
    try:
        if path.is_char_device():  # reading a terminal or a device like /dev/zero would never end
            raise UnusableInput(f"{path}: is a device: name a CSV file")
        content = path.read_bytes()
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be read ({cause(error)}): name a CSV file") from error
    if content.startswith(b"PK\x03\x04"):
        raise UnusableInput(f"{path}: is a workbook or an archive: save the sheet as CSV, and name that file")
    encoding = _encoding(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UnusableInput(f"{path}:{line}: is neither UTF-8 nor UTF-16: save the file as UTF-8") from error
    if "\0" in text:
        raise UnusableInput(f"{path}: is not text: name a CSV file")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _encoding(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    start = content[:200]
    if len(start) > 1 and not any(start[1::2]):  # the high bytes of Western letters are zero
        return "utf-16-le"
    if len(start) > 1 and not any(start[::2]):
        return "utf-16-be"
    return "utf-8-sig"


def _header(lines: Sequence[str], first: int) -> int:
    """The place of the header. It is the first line, or the last comment before a line of numbers."""
    comment = None
    for place in range(first, len(lines)):
        text = lines[place].strip()
        if text.startswith("#"):
            comment = place if text.strip("# ") else comment
        elif text:
            has_words = re.search(r"[^\W\d_]{2}", re.sub(r"\b(nan|inf(inity)?)\b", "", text, flags=re.IGNORECASE))
            return place if comment is None or has_words else comment
    return len(lines) if comment is None else comment


def _delimiter(lines: Sequence[str]) -> str:
    """The delimiter under which the first lines have as many cells as the header, and the most of them."""

    def fit(delimiter: str) -> tuple[bool, int]:
        tried = [line for line in lines[:_LINES_TRIED] if line and (line is lines[0] or not line.startswith("#"))]
        rows = [len(row) for row in csv.reader(tried, delimiter=delimiter, skipinitialspace=True)]
        return set(rows) == {rows[0]} and rows[0] > 1, rows[0]

    try:
        return max(_DELIMITERS, key=fit)
    except csv.Error:
        return ","


def _cells(text: str, delimiter: str, path: Path, before: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows with their line numbers. `before` lines stand above the text."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    while True:
        line = before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UnusableInput(f"{path}:{line}: is not CSV ({one_line(error)}): correct the line") from error
        if cells:
            yield line, [cell.strip() for cell in cells]
