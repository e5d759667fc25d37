"""Child processes that run modules of this package."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def child_variables(others: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment variables and `others`, for a child that imports this same package.

    The child does not import from the current folder, where a user's files can have the names of any module.
    """
    package_root = str(Path(__file__).resolve().parent.parent)
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **others, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
