"""Refuse a network that reads a file while it is made. The content of that file would be in no digest.

So is the content of a folder or a database, the output of a program, and what another machine sends.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType

from bench.errors import UnusableInput
from bench.network.source.text import place_of_code

_SYSTEM = ("/dev", "/etc", "/proc", "/sys")
_OTHERS = {
    "os.exec": "starts the program",
    "os.listdir": "lists the folder",
    "os.posix_spawn": "starts the program",
    "os.scandir": "lists the folder",
    "os.system": "starts the program",
    "socket.connect": "connects to",
    "sqlite3.connect": "reads the file",
    "subprocess.Popen": "starts the program",
}
"""Events of Python, beside the opening of files, by which a network gets values from elsewhere; what it does then."""

_OWN_BUSINESS = (
    "importlib._bootstrap",
    "importlib.metadata",
    "linecache",
    "matplotlib",
    "torch._dynamo",
    "torch._inductor",
)
"""Modules that open files of their own: sources, fonts and compiled code."""


class _Watch:
    """The code that is watched: the name below which its modules stand in `sys.modules`, and what it has opened."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.opened: list[str] = []


_watches: list[_Watch] = []


@contextmanager
def reading_refused(root: str) -> Iterator[None]:
    """Within this context, the code of the modules below `root` must not read a file, not even through a library.

    The files of Python and of installed packages may be read, and those of the system. So may files that are imported.

    Raises:
        UnusableInput: the code has opened a file for reading. It may have caught the error that this gave.
    """
    _install()
    watch = _Watch(root)
    _watches.append(watch)
    try:
        yield
    except Exception as error:
        _refuse(watch, error)
        raise
    finally:
        _watches.remove(watch)
    _refuse(watch, None)


def _refuse(watch: _Watch, error: Exception | None) -> None:
    for found in watch.opened[:1]:
        advice = "write the values into its source, because the network must not change with what it finds there"
        raise UnusableInput(f"it {found}: {advice}") from error


@cache
def _install() -> None:
    """Hear of every file that this process opens. Python cannot remove such a hook."""
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if not _watches:
        return
    if event == "open":
        path, _, flags = arguments
        assert isinstance(flags, int)
        is_written = flags & os.O_ACCMODE == os.O_WRONLY or flags & os.O_TRUNC
        if is_written or not isinstance(path, str | bytes | os.PathLike):  # a number is a file that is open already
            return
        does = "reads the file"
    elif event in _OTHERS:
        does, path = _OTHERS[event], arguments[event == "socket.connect"]  # the first argument is the socket itself
    else:
        return
    place = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else str(path)
    for watch in _watches:
        line = _line_that_opens(watch.root)
        if line and not (does != "starts the program" and _is_of_the_system(place)):
            watch.opened.append(f"{does} {place} {line}")


def _line_that_opens(root: str) -> str:
    """Return the line of the watched code that opens a file just now, directly or through a library, if it does."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith(f"{root}."):
            return f"in {place_of_code(frame.f_code.co_filename, frame.f_lineno)}"
        if name.startswith(_OWN_BUSINESS):
            return ""
        frame = frame.f_back
    return ""


def _is_of_the_system(file: str) -> bool:
    path = Path(file).absolute()
    return any(path.is_relative_to(folder) for folder in (*_SYSTEM, *_installed()))


@cache
def _installed() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib", "include")
    folders = {sysconfig.get_path(name) for name in names} | {one for one in sys.path if one.endswith("-packages")}
    return tuple({*folders, *map(os.path.realpath, folders)})
