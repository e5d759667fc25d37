"""Lets one system call about the files of a folder fail, or kills the process there."""

from __future__ import annotations

import errno
import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CALLS = ("read", "open", "write", "fsync", "replace", "ftruncate")
"""The kinds of calls. `read` opens a file for reading and `open` for writing. The others have their names in `os`."""

ERRORS = ("EIO", "ENOSPC", "EINTR")
SHORT = "short"  # a write takes a single byte and says so
FULL = "full"  # a write takes half, and every later one fails: the disk is full
BEFORE, AFTER = "killed before", "killed after"  # like a power failure, except that the kernel keeps its buffers


def faults_of(call: str) -> tuple[str, ...]:
    """The ways in which a call can fail."""
    return (*ERRORS, SHORT, FULL) if call == "write" else ERRORS


class Injector:
    """Counts the calls of one kind from 1, and lets call number `which` fail."""

    def __init__(self, folder: Path, call: str, which: int, fault: str, log: Path | None = None) -> None:
        self.folder, self.call, self.which, self.fault, self.log = folder.resolve(), call, which, fault, log
        self.fired = False
        self._count = 0
        self._ours: set[int] = set()
        self._originals: dict[str, Callable[..., Any]] = {}
        self._open_file = io.open

    def __repr__(self) -> str:
        return f"{self.call} number {self.which}: {self.fault}"

    @contextmanager
    def installed(self) -> Iterator[Injector]:
        """Count calls inside the `with` block."""
        self.install()
        try:
            yield self
        finally:
            self.remove()

    def install(self) -> None:
        for name in ("open", "write", "fsync", "replace", "ftruncate", "close"):
            self._originals[name] = getattr(os, name)
            setattr(os, name, getattr(self, f"_{name}"))
        io.open = self._file  # pathlib calls this

    def remove(self) -> None:
        for name, original in self._originals.items():
            setattr(os, name, original)
        io.open = self._open_file

    def _is_ours(self, path: Any) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        return Path(os.path.abspath(path)).is_relative_to(self.folder)  # noqa: PTH100 - Path.absolute keeps `..`

    def _guard(self, call: str, act: Callable[[], Any], *names: str, content: bytes = b"") -> Any:
        """Do the call, unless it is the one that fails. `content` is the content of a write."""
        if call != self.call:
            return act()
        self._count += 1
        if self._count != self.which:
            if self.fired and self.fault == FULL:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return act()
        self.fired = True
        if self.log is not None:
            self.log.write_text(str(self))
        if self.fault in (BEFORE, AFTER):
            if self.fault == AFTER:
                act()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == SHORT:
            return self._originals["write"](*names, content[:1])
        if self.fault == FULL:
            return self._originals["write"](*names, content[: max(1, len(content) // 2)])
        code = getattr(errno, self.fault)
        if call in ("read", "open"):
            raise OSError(code, os.strerror(code), names[0])
        if call == "replace":
            raise OSError(code, os.strerror(code), names[0], None, names[1])
        raise OSError(code, os.strerror(code))

    def _open(self, path: Any, *arguments: Any, **options: Any) -> int:
        original = self._originals["open"]
        if options.get("dir_fd") is not None or not self._is_ours(path):
            return original(path, *arguments, **options)
        descriptor = self._guard("open", lambda: original(path, *arguments, **options), os.fspath(path))
        self._ours.add(descriptor)
        return descriptor

    def _file(self, file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if not self._is_ours(file):
            return self._open_file(file, mode, *arguments, **options)
        call = "read" if "r" in mode and "+" not in mode else "open"
        return self._guard(call, lambda: self._open_file(file, mode, *arguments, **options), os.fspath(file))

    def _write(self, descriptor: int, content: Any) -> int:
        original = self._originals["write"]
        if descriptor not in self._ours:
            return original(descriptor, content)
        return self._guard("write", lambda: original(descriptor, content), descriptor, content=bytes(content))

    def _fsync(self, descriptor: int) -> None:
        original = self._originals["fsync"]
        if descriptor not in self._ours:
            return original(descriptor)
        return self._guard("fsync", lambda: original(descriptor))

    def _ftruncate(self, descriptor: int, size: int) -> None:
        original = self._originals["ftruncate"]
        if descriptor not in self._ours:
            return original(descriptor, size)
        return self._guard("ftruncate", lambda: original(descriptor, size))

    def _close(self, descriptor: int) -> None:
        self._ours.discard(descriptor)
        self._originals["close"](descriptor)

    def _replace(self, source: Any, target: Any, **options: Any) -> None:
        original = self._originals["replace"]
        if not self._is_ours(target):
            return original(source, target, **options)
        return self._guard("replace", lambda: original(source, target, **options), os.fspath(source), os.fspath(target))
