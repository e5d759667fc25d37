"""Write files so that a crash leaves either the old content or the new content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import one_line


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
    """Sync a folder, so that the names in it survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cause(error: OSError) -> str:
    """Return the operating system's description of an error, on one line and without the file's name."""
    return one_line(error.strerror or error)
