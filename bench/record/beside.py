"""The names of the files beside a record. Two records never share such a file."""

from __future__ import annotations

import os
from pathlib import Path

from bench.errors import UnusableInput

KINDS = {"misses": ".csv", "verified": ".csv", "kept": ".csv", "networks": ".json", "environments": ".json"}
"""The kinds of files beside a record, and how their names end."""


def real(runs: Path) -> Path:
    """The path of the record itself, if `runs` is a symbolic link to it. The files beside it have its name."""
    return Path(os.path.realpath(runs)) if os.path.islink(runs) else runs  # noqa: PTH114 - is_symlink can raise


def path(runs: Path, kind: str, ending: str = ".csv") -> Path:
    """The path of one file beside a record: `runs.KIND.csv` for `runs.csv`, and `runs.txt.KIND` for `runs.txt`.

    Raises:
        UnusableInput: `runs` is a symbolic link, and only the link has such a file beside it. The record had this name
            before somebody moved it.
    """
    found, beside_link = _path(real(runs), kind, ending), _path(runs, kind, ending)
    if found != beside_link and os.path.lexists(beside_link) and not os.path.lexists(found):
        moved = f"is beside the link {runs} and not beside its record {real(runs)}, so it would not be read"
        raise UnusableInput(f"{beside_link}: {moved}: move it to {found}")
    return found


def _path(record: Path, kind: str, ending: str) -> Path:
    return record.parent / (f"{record.stem}.{kind}{ending}" if record.suffix == ".csv" else f"{record.name}.{kind}")
