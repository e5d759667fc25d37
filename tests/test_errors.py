"""Tests of `errors`: the text of an error fits on one line."""

from __future__ import annotations

import pytest

from bench.errors import UnusableInput, one_line


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UnusableInput("runs.csv: no such file"), "runs.csv: no such file"),
        (ValueError("two\nlines\r\n"), "two lines"),
        (ValueError("\x1b[31mred\x07  and   wide"), "[31mred and wide"),
        (ValueError(), "ValueError"),
        ("plain\ttext", "plain text"),
        ("größer → 1", "größer → 1"),
    ],
)
def test_an_error_becomes_one_printable_line(error: BaseException | str, text: str):
    assert one_line(error) == text
    assert one_line(error).isprintable()
