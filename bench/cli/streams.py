"""The standard streams: one that is closed, full or read by nobody ends no job."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from bench.errors import UnusableInput


def fill_standard_descriptors() -> None:
    """Open what is closed of the first three: a record opened under one of these numbers would get what is said."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


class Messages:
    """Standard error: a terminal that is gone, a pipe that nobody reads or a full disk is no reason to end a job."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, or lose it."""
        with self._lossy():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, or lose it."""
        with self._lossy():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _lossy(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            _discard(self._stream)


def _discard(stream: Any) -> None:
    """Let a stream end nowhere: what is buffered still has to go somewhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_lines(lines: Iterable[str]) -> None:
    """Results, on standard output. Whoever closed it does not want them, which is no reason to fail.

    Raises:
        UnusableInput: it cannot be written for another reason, the disk being full, say.
    """
    try:
        print(*lines, sep="\n", flush=True)
    except OSError as error:
        _discard(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            raise UnusableInput(f"standard output: cannot be written ({error.strerror}): free or mend it") from error
