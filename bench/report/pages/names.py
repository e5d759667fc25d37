"""The names of the report's pictures, and of a network within it."""

from __future__ import annotations

import hashlib
import re

OVERVIEW, TIME, LAST, SECONDS = "accuracy.svg", "time-to-target.svg", "last-accuracy.svg", "seconds-per-epoch.svg"
MISSED = "missed-digits.svg"

FIGURE = re.compile(r"(accuracy(-[A-Za-z0-9_-]+)?|time-to-target|last-accuracy|seconds-per-epoch|missed-digits)\.svg")
"""Every name that a picture of a report can have."""


def figure_of(network: str) -> str:
    """The picture of one network; a name that is no file name everywhere is told apart by its digest."""
    safe = re.sub(r"[^A-Za-z0-9_]+", "-", network)[:60]
    if safe != network:
        safe += "-" + hashlib.sha256(network.encode()).hexdigest()[:8]
    return f"accuracy-{safe}.svg"
