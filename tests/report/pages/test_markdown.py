"""Tests of `markdown`: no name, note or number can break a page."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.pages.markdown import FIGURE, code, figure_of, number, signed, text


@given(st.text(max_size=40))
def test_text_never_leaves_its_cell(value: str) -> None:
    for shown in (text(value), code(value)):
        assert len(re.split(r"(?<!\\)(?:\\\\)*\|", shown)) == 1
        assert shown.isprintable()
        assert not re.search(r"<(?!/?code>)", re.sub(r"\\.", "", shown))


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [(None, 1, "–"), (-0.04, 1, "0.0"), (-1.26, 1, "−1.3"), (12345, 0, "12,345"), (9917.84, 1, "9917.8"), (0, 0, "0")],
)
def test_number(value: float | None, digits: int, shown: str) -> None:
    assert number(value, digits) == shown


def test_signed() -> None:
    assert [signed(value) for value in (1.5, -1.5, 0.0, 0.04, None)] == ["+1.5", "−1.5", "0.0", "0.0", "–"]
    assert not math.isnan(float(number(0.0, 1)))


@given(st.text(min_size=1, max_size=80))
def test_the_picture_of_any_network_has_a_name_for_any_file_system(name: str) -> None:
    assert FIGURE.fullmatch(figure_of(name))
    assert len(figure_of(name)) < 100
