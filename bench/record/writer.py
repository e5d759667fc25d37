"""Append rows to a file that other programs may change at any time, and lose none of them.

A last line without a newline was never acknowledged. The next append first moves it to another file, whose name ends in
`.torn`.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import itertools
import logging
import os
from collections import deque
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Generic

from bench import files
from bench.errors import UnusableInput
from bench.files import NotRegular, cause, naming, require_regular, sync_folder
from bench.record import beside
from bench.record.ledger import R, Table, header_fields, numbered
from bench.record.rows import format_line
from bench.wording import count

_log = logging.getLogger(__name__)

_Look = tuple[int, int, int, bytes]
"""The device, inode, length and last bytes of a file. They change if another program changes the file, unless it writes
into this very file, keeps its length, and leaves its last bytes as they are."""

_EMPTY: _Look = (0, 0, 0, b"")
_BAD: _Look = (0, 0, -1, b"")  # no file looks so
_LAST_BYTES = 4096

_LEADS_NOWHERE = (errno.ELOOP, errno.ENOENT, errno.ENOTDIR)  # for example, the path is a broken link now
_CONTRADICTS = "has another result for an epoch of this job"


class _Unfit(Exception):
    """Rows cannot be appended to the file as it is. The message says why."""


class Writer(Generic[R]):
    """Append rows to a file. A row is on the disk when `append` returns.

    Git, an editor or a user can change the file while a job is running. So the writer looks at it before each append.
    If the file is not as the writer left it, the writer reads it, and appends again what is missing of its own rows. If
    that is impossible, because the file is of another kind now or another job holds it, the rows go into the file
    `aside`. A row is not appended if the file has one with the same key.

    A file without `aside` is such a file itself. An earlier job may have left it, so the writer reads it first. It can
    have several results for one key.

    Several processes may append to the same file. After the required columns, an existing file may have other columns
    than ours. These stay empty.
    """

    advice = "correct the file, and append these rows to it"
    """What to do about rows that only the file `aside` has."""

    def __init__(self, table: Table[R], path: Path, aside: Path | None) -> None:
        self.path = path
        self._table = table
        self._aside: Writer[R] | None = None
        if aside is not None:
            by_result = replace(table, key=lambda row: (table.key(row), table.result(row)))
            self._aside = Writer(by_result, aside, None)
        self._ours: dict[Hashable, R] = {}  # the rows that the file must have, in this order
        self._others: Mapping[Hashable, object] = {}  # the results in the file when it was read last
        self._kept: set[Hashable] = set()  # the rows that only the file `aside` has
        self._seen: _Look | None = None if aside is not None else _EMPTY
        self._has_begun = False
        self._is_holding = False
        self._held: int | None = None

    def hold(self) -> None:
        """Hold the file until `release`, so that no other process can. A missing file is held when it is created.

        The lock belongs to the file and not to its name. So two names of one file, such as hard links, have one lock.

        Raises:
            BlockingIOError: another process holds the file.
            OSError: the file cannot be opened, or it is not a regular file.
        """
        self._is_holding, self._seen = True, _EMPTY
        if self.path.exists():
            with self._opened() as descriptor:
                self._seen = _look(descriptor)

    def release(self) -> None:
        """Let other processes hold the file."""
        self._is_holding = False
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def expect(self, rows: Iterable[R]) -> None:
        """Treat these rows, which the file has already, as rows of this writer."""
        self._ours.update((self._table.key(row), row) for row in rows)

    def prepare(self) -> None:
        """Create the file if it does not exist, and check that rows can be appended to it.

        Raises:
            UnusableInput: like `append`.
        """
        self._write(None)

    def append(self, row: R) -> None:
        """Write one row and wait until it is on the disk.

        Raises:
            UnusableInput: the file cannot be written, or had another header when the writer first looked at it. No
                partial row stays.
        """
        key = self._table.key(row)
        there = self._others.get(key) if key not in self._ours else self._table.result(self._ours[key])
        self._ours[key] = row
        try:
            self._write(row if there is None else None)
        except UnusableInput:
            del self._ours[key]
            raise
        if there not in (None, self._table.result(row)):
            self._keep([key], _CONTRADICTS)

    def finish(self) -> str:
        """Look at the file a last time. Return a line about the rows that it lacks, or an empty text.

        Raises:
            UnusableInput: like `append`.
        """
        if self._ours:
            self._write(None)
        if not self._kept or self._aside is None:
            return ""
        self._aside.finish()
        lacking = f"{self.path}: lacks {count(len(self._kept), 'row')} of this job, which {self._aside.path} has"
        return f"{lacking}: {self.advice}"

    def _write(self, row: R | None) -> None:
        can_keep = self._has_begun and self._aside is not None
        try:
            self._append(row)
        except _Unfit as error:
            if not can_keep:
                advice = "correct it, or name another file with --runs"
                raise UnusableInput(f"{self.path}:{error}, so nothing was appended: {advice}") from None
            self._lose(f"line {error}")
        except OSError as error:
            is_elsewhere = isinstance(error, NotRegular | BlockingIOError) or error.errno in _LEADS_NOWHERE
            if not can_keep or not is_elsewhere:
                advice = "all earlier rows are kept; fix this and run the same command again"
                raise UnusableInput(
                    f"{error.filename or self.path}: cannot be written ({cause(error)}): {advice}"
                ) from error
            self._lose("another job holds it" if isinstance(error, BlockingIOError) else cause(error))

    def _append(self, row: R | None) -> None:
        with self._opened() as descriptor:
            look = _look(descriptor)
            is_changed, is_left = self._seen not in (None, look), self._aside is None and not self._has_begun
            header = self._header(descriptor)
            size = self._set_torn_tail_aside(descriptor)
            if size != look[2]:
                look = _look(descriptor)
            if is_changed or not self._has_begun:
                _require_closed_quotes(self.path)
            rows = self._missing() if is_changed else [row] if row is not None else []
            lines = [] if header else [format_line(self._table.columns)]
            lines += [self._table.line(one, header or self._table.columns) for one in rows]
            content = "".join(lines).encode()
            if content:
                files.append(descriptor, size, content)
            # Not what it looks like now: another program may have changed it since the first look.
            self._seen, self._has_begun = _grown(descriptor, look, content), True
        if is_changed and not is_left:
            restored = count(sum(one is not row for one in rows), "row")
            _log.warning("%s: has changed while this job is running: %s had to be written again", self.path, restored)
            results = {key: self._table.result(one) for key, one in self._ours.items()}
            contradicted = {key for key, result in results.items() if self._others.get(key, result) != result}
            self._keep(contradicted, _CONTRADICTS)
            self._kept &= contradicted

    def _missing(self) -> list[R]:
        """Read the file. Return those of our rows that it lacks."""
        others: dict[Hashable, object] = {}
        for _, row in self._table.read(self.path, []):
            others.setdefault(self._table.key(row), self._table.result(row))
        self._others = others
        return [row for key, row in self._ours.items() if key not in others]

    def _lose(self, reason: str) -> None:
        """Keep all our rows in the file `aside`. Put them back when the file can take rows again."""
        self._seen = _BAD
        self._keep(self._ours, reason)

    def _keep(self, keys: Collection[Hashable], reason: str) -> None:
        """Write our rows with these keys into the file `aside`, unless they are there."""
        fresh = [key for key in keys if key not in self._kept]
        if not fresh:
            return
        assert self._aside is not None
        is_first = not self._kept
        for key in fresh:
            self._aside.append(self._ours[key])
            self._kept.add(key)
        if is_first:
            _log.warning("%s: %s: rows of this job are kept in %s", self.path, reason, self._aside.path)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Yield the locked file. Create it if it is missing. Leave it open if the writer holds it."""
        if self._held is not None and not _is_file_at(self._held, self.path):  # it was replaced or deleted
            os.close(self._held)
            self._held = None
        descriptor = self._open() if self._held is None else self._held
        if self._is_holding:
            self._held = descriptor
        try:
            yield descriptor
        finally:
            if not self._is_holding:
                os.close(descriptor)

    def _open(self) -> int:
        require_regular(self.path)
        is_new = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if is_new:  # before any row, so that a failure here is never reported for a written row
                with naming(self.path):
                    sync_folder(beside.real(self.path).parent)
            # The lock ends when the descriptor is closed or the process ends.
            fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if self._is_holding else 0))
            if _is_file_at(descriptor, self.path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return self._open()  # an editor has replaced the file since it was opened

    def _header(self, descriptor: int) -> list[str] | None:
        """The columns of the file, or None if it is empty or its first line is an incomplete header."""
        first_line, newline, _ = os.pread(descriptor, 65_536, 0).decode("utf-8", errors="replace").partition("\n")
        if not newline and format_line(self._table.columns).startswith(first_line):
            return None
        header = header_fields(csv.reader([first_line])) or []
        if not newline or tuple(header[: len(self._table.required)]) != self._table.required:
            raise _Unfit(f"1: not the header of {self._table.what}")
        return header

    def _set_torn_tail_aside(self, descriptor: int) -> int:
        """Move the text after the last newline to a file beside this one. Return the size of the rest, in bytes."""
        size = os.fstat(descriptor).st_size
        torn = _torn_tail(descriptor, size)
        if not torn:
            return size
        path = beside.real(self.path)
        path = path.with_name(path.name + ".torn")
        saved = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            with naming(path):
                files.append(saved, os.fstat(saved).st_size, torn + b"\n")
                sync_folder(path.parent)
        finally:
            os.close(saved)
        os.ftruncate(descriptor, size - len(torn))
        os.fsync(descriptor)
        _log.warning("%s: the last line was cut off and was moved to %s", self.path, path)
        return size - len(torn)


def _torn_tail(descriptor: int, size: int) -> bytes:
    """The text after the last newline of a file of this size."""
    blocks: list[bytes] = []  # from the last to the first
    while size > 0 and (not blocks or b"\n" not in blocks[-1]):
        start = max(0, size - 65_536)
        blocks.append(os.pread(descriptor, size - start, start))
        size = start
    return b"".join(reversed(blocks)).rpartition(b"\n")[2]


def _require_closed_quotes(path: Path) -> None:
    """Refuse a file with a quote that is never closed. The next rows would be a part of its field."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        if not any('"' in line for line in file):
            return
        file.seek(0)
        ((number, last),) = deque(numbered(csv.reader(itertools.chain(file, ["end\n"]))), maxlen=1)
    if last != ["end"]:
        raise _Unfit(f"{number}: a quote is never closed")


def _look(descriptor: int) -> _Look:
    state = os.fstat(descriptor)
    last = os.pread(descriptor, _LAST_BYTES, max(0, state.st_size - _LAST_BYTES))
    return (state.st_dev, state.st_ino, state.st_size, last) if state.st_size else _EMPTY


def _grown(descriptor: int, look: _Look, content: bytes) -> _Look:
    """How a file that looked so must look after this content was appended to it, and nothing else happened."""
    state = os.fstat(descriptor)
    size, last = look[2] + len(content), (look[3] + content)[-_LAST_BYTES:]
    return (state.st_dev, state.st_ino, size, last) if size else _EMPTY


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
