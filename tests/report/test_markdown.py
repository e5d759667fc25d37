"""Tests of `markdown`: no name, note or number can break a page."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.markdown import code, figure_of, number, page_of, percent, signed, text


@given(st.text(max_size=40))
def test_text_never_leaves_its_cell(value: str) -> None:
    for shown in (text(value), code(value)):
        assert len(re.split(r"(?<!\\)(?:\\\\)*\|", shown)) == 1
        assert shown.isprintable()
        assert not re.search(r"<(?!/?code>|!-- -->)", re.sub(r"\\.", "", shown))


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [(None, 1, "–"), (-0.04, 1, "0.0"), (-1.26, 1, "−1.3"), (12345, 0, "12,345"), (9917.84, 1, "9917.8"), (0, 0, "0")],
)
def test_number(value: float | None, digits: int, shown: str) -> None:
    assert number(value, digits) == shown


def test_signed() -> None:
    assert [signed(value) for value in (1.5, -1.5, 0.0, 0.04, None)] == ["+1.5", "−1.5", "0.0", "0.0", "–"]
    assert not math.isnan(float(number(0.0, 1)))


@pytest.mark.parametrize(
    "value",
    [
        "see [here](https://example.org)",
        "<https://example.org>",
        "https://example.org/a?b=c",
        "HTTP://EXAMPLE.ORG",
        "www.example.org",
        "WWW.example.org",
        "someone@example.org",
        "mailto:someone@example.org",
        "![x](x.svg) and [x]: https://example.org",
        "<a href=x>x</a>",
        "🚀 https://example.org `x` www.example.org",
    ],
)
def test_no_text_of_a_user_becomes_a_link(value: str) -> None:
    """GitHub also makes links of bare addresses. It looks for them after it has removed backslashes."""
    for shown in (text(value), code(value)):
        if not shown.startswith("`"):  # nothing in backticks is a link
            assert not re.search(r"://|www\.|\w@", shown, re.IGNORECASE), shown
            assert not re.search(r"(?<!\\)\]\(|<(?!/?code>|!-- -->)", re.sub(r"\\<", "", shown)), shown


@given(st.text(min_size=1, max_size=80))
def test_the_page_and_the_picture_of_any_network_have_names_for_any_file_system(name: str) -> None:
    for file in (figure_of(name), page_of(name)):
        assert re.fullmatch(r"[A-Za-z0-9_-]+\.(md|svg)", file)
        assert len(file) < 100


@pytest.mark.parametrize("name", ["README", "readme", "methods", "Data", "DATA"])
def test_no_network_takes_the_page_of_something_else(name: str) -> None:
    assert re.fullmatch(rf"{name}-[0-9a-f]{{8}}\.md", page_of(name))
    assert page_of(f"{name}_") == f"{name}_.md"


def test_percent_has_the_digits_that_it_needs() -> None:
    assert [percent(share) for share in (0.994, 0.9951, 1, 0.05)] == ["99.4 %", "99.51 %", "100 %", "5 %"]
