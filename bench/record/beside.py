"""The names of the files beside a record. Two records never share such a file."""

from __future__ import annotations

import os
from pathlib import Path


def real(runs: Path) -> Path:
    """The path of the record itself, if `runs` is a symbolic link to it. The files beside it have its name."""
    return Path(os.path.realpath(runs)) if os.path.islink(runs) else runs  # noqa: PTH114 - is_symlink can raise


def path(runs: Path, kind: str, ending: str = ".csv") -> Path:
    """The path of one file beside a record: `runs.KIND.csv` for `runs.csv`, and `runs.txt.KIND` for `runs.txt`."""
    record = real(runs)
    name = f"{record.stem}.{kind}{ending}" if record.suffix == ".csv" else f"{record.name}.{kind}"
    return record.parent / name
