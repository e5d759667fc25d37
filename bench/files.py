"""Writing files so that a crash leaves the old content or the new, and nothing in between."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import one_line


def replace(path: Path, content: bytes, previous: Path | None = None) -> None:
    """Give a file new content: under a temporary name first, synced, then renamed; its folder is made if missing.

    With `previous`, the old content is kept under that name.

    Raises:
        OSError: it names the file, which has its old content or its new one; no temporary file is left.
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
    """Let a system error name this file: one of writing names none, and a temporary file is nobody's business."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte, however few the system takes at a time."""
    while content:
        content = content[os.write(descriptor, content) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlast a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cause(error: OSError) -> str:
    """What the operating system says of an error, on one line and without the file's name."""
    return one_line(error.strerror or error)
