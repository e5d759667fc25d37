"""Say how a run that was trained again differs from its record. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import pandas

from bench.record.rows import REPRODUCIBLE
from bench.training.loop import Epoch

_SPREADSHEET_DIGITS = 15  # spreadsheets keep so many; a float64 can need 17


def first(recorded: pandas.DataFrame, trained: Sequence[Epoch]) -> str:
    """Return the first epoch and column that differ, with both values, or an empty string."""
    for row in recorded.itertuples():
        if row.epoch > len(trained):
            return f"epoch {row.epoch} is recorded but was not trained again"
        for column in REPRODUCIBLE:
            now = getattr(trained[row.epoch - 1], column)
            before = type(now)(getattr(row, column))  # a number of numpy otherwise
            if before != now:
                difference = f"epoch {row.epoch} differs in {column}: recorded {before!r}, trained again {now!r}"
                return f"{difference}; the recorded value looks rounded" if looks_rounded(before, now) else difference
    return ""


def looks_rounded(recorded: float, trained: float) -> bool:
    """Whether a recorded value could be the trained one after a program, such as a spreadsheet, has rounded it."""
    shorter, longer = Decimal(str(recorded)), Decimal(str(trained))
    exponent = shorter.as_tuple().exponent
    assert isinstance(exponent, int)
    is_near = abs(shorter - longer) <= Decimal(5).scaleb(exponent - 1)
    return is_near and len(shorter.as_tuple().digits) <= _SPREADSHEET_DIGITS


def of_environments(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return every detail that differs between two environments, with both values."""
    changes = [
        f"{name} was {before.get(name, 'unset')}, is now {now.get(name, 'unset')}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    return f"the environments differ: {', '.join(changes)}"  # they do: the digest of the details was checked
