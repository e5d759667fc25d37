"""Know the files that a report has written. No other file is ever replaced or removed.

Every file of a report says in one of its first lines that it is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from bench.errors import UnusableInput

MARK = "Written by `python -m bench report`. The next report replaces this file."
COMMENT = f"<!-- {MARK} -->"
"""The mark as a line of Markdown or SVG."""

FIXED = ("README.md", "methods.md", "data.md", "summary.json")
"""The files that every report has."""

_SUFFIXES = (".md", ".svg", ".json")
_BYTES = 1_000


def is_written(path: Path) -> bool:
    """Whether a file is of an earlier report: a line near its top has the mark, and nothing else but punctuation."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        lines = file.read(_BYTES).decode("utf-8", errors="replace").splitlines()[:3]
    return any(line.strip() in (COMMENT, f'"about": "{MARK}",') for line in lines)


def require_own(folder: Path, names: Iterable[str] = FIXED) -> None:
    """Check that nothing else has the names of a report's files.

    Raises:
        UnusableInput: a file, a folder or anything else with such a name was not written by a report.
        OSError: a file cannot be read.
    """
    others = [str(folder / name) for name in names if os.path.lexists(folder / name) and not is_written(folder / name)]
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        advice = "so nothing was written: choose another --report, or move it away"
        raise UnusableInput(f"{', '.join(others[:3])}{more}: not written by the `report` of this release, {advice}")


def stale(folder: Path, names: Iterable[str]) -> list[Path]:
    """The files of an earlier report that are not among the names of this one, in order."""
    if not folder.is_dir():
        return []
    files = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
    return [path for path in files if path.name not in set(names) and is_written(path)]
