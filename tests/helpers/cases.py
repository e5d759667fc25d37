"""Of the cases of one test, a few run by default, and the others behind a marker."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

import pytest

Case = TypeVar("Case")


def few_by_default(cases: Collection[Case], few: Collection[Case], mark: pytest.MarkDecorator) -> list:
    """The cases as parameters of a test: all but `few` have the mark. A wrong name in `few` is a ValueError."""
    unknown = [one for one in few if one not in cases]
    if unknown:
        raise ValueError(f"no such cases: {unknown}")
    return [one if one in few else pytest.param(one, marks=mark) for one in cases]
