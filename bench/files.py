"""Write files so that a crash or an error leaves either the old content or the new content."""

from __future__ import annotations

import errno
import functools
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.errors import one_line

_log = logging.getLogger(__name__)


def replace(path: Path, content: bytes, previous: Path | None = None) -> None:
    """Replace the content of a file. Create the file and its folder if they are missing.

    The new content first goes to a temporary file. That file is synced, then renamed. With `previous`, the old content
    is kept under that name.

    Raises:
        OSError: the error names the file. The file has its old or its new content. No temporary file is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with naming(path):
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                write_all(descriptor, content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            kept = previous if path.exists() else None
            if kept is not None:
                os.replace(path, kept)
            try:
                os.replace(temporary, path)
            except BaseException:
                if kept is not None:
                    os.replace(kept, path)
                raise
            sync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def append(descriptor: int, size: int, content: bytes) -> None:
    """Append to an open file of this size and wait until the content is on the disk. If that fails, add nothing.

    Raises:
        OSError: the content could not be written.
    """
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):  # the first error is the one to report
            os.ftruncate(descriptor, min(size, os.fstat(descriptor).st_size))
        raise


class NotRegular(OSError):
    """A path names something else than a regular file."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make a system error name this file, and not its temporary file or no file at all."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def write_all(descriptor: int, content: bytes) -> None:
    """Write all bytes, also where the system writes only a part of them at a time."""
    while content:
        content = content[os.write(descriptor, content) :]


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that the names in it survive a power failure.

    Some file systems, such as CIFS, cannot do this. Then log one warning and go on.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
        _warn_once(cause(error))
    finally:
        os.close(descriptor)


@functools.cache
def _warn_once(reason: str) -> None:
    _log.warning("this file system cannot sync a folder (%s): a power failure can lose a file that is new", reason)


def require_regular(path: Path) -> None:
    """Refuse anything at a path that is not a regular file, such as a FIFO, a socket, a terminal or a folder.

    To open a FIFO or to read a terminal would take as long as nobody writes into it.

    Raises:
        NotRegular: the error says what is there. A missing file raises nothing.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise NotRegular(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        kind = "FIFO" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"
        raise NotRegular(errno.EINVAL, f"it is a {kind}, not a file", str(path))


def cause(error: OSError) -> str:
    """Return the operating system's description of an error, on one line and without the file's name."""
    return one_line(error.strerror or error)
