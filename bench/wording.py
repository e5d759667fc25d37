"""Numbers and lists in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def count(many: int, thing: str) -> str:
    """ "1 run", "2 runs"."""
    return f"{many:,} {thing}" + ("" if many == 1 else "s")


def listed(things: Sequence[object]) -> str:
    """ "a", "a and b", "a, b and c"."""
    words = [str(thing) for thing in things]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
