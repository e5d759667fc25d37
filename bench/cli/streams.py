"""Protect a job from a standard stream that is closed, full or without a reader."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from bench.errors import UnusableInput


def fill_standard_descriptors() -> None:
    """Open the file descriptors 0, 1 and 2 on the null device if they are closed.

    Otherwise the record could be opened under one of these numbers. Messages would then be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


class Messages:
    """A standard error that never fails.

    The terminal may be gone, the pipe may have no reader, the disk may be full: the text is lost and the job goes on.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text. Lose it if that is impossible."""
        with self._text_may_be_lost():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write the buffered text. Lose it if that is impossible."""
        with self._text_may_be_lost():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _text_may_be_lost(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            _redirect_to_null(self._stream)


def _redirect_to_null(stream: Any) -> None:
    """Redirect a stream to the null device. Its buffered text can then still be flushed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_lines(lines: Iterable[str]) -> None:
    """Print results on standard output. If its reader has gone, drop them: that is not an error.

    Raises:
        UnusableInput: standard output cannot be written for another reason, such as a full disk.
    """
    try:
        print(*lines, sep="\n", flush=True)
    except OSError as error:
        _redirect_to_null(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            problem = f"standard output: cannot be written ({error.strerror})"
            raise UnusableInput(f"{problem}: redirect it to another file") from error
