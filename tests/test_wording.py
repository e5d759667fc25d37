"""Tests of `wording`: numbers and lists in sentences."""

from __future__ import annotations

import pytest

from bench.wording import count, count_in_words, listed, markdown_cell


@pytest.mark.parametrize(
    ("many", "words"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (999, "999 runs"), (12_345, "12,345 runs")]
)
def test_only_one_thing_is_counted_without_an_s(many: int, words: str):
    assert count(many, "run") == words


@pytest.mark.parametrize(("many", "words"), [(0, "no runs"), (1, "one run"), (10, "ten runs"), (11, "11 runs")])
def test_a_number_up_to_ten_is_a_word(many: int, words: str):
    assert count_in_words(many, "run") == words


@pytest.mark.parametrize(
    ("things", "words"), [((), ""), (("a",), "a"), (("a", "b"), "a and b"), ((1, 2, 3, 4), "1, 2, 3 and 4")]
)
def test_the_last_thing_of_a_list_follows_an_and(things: tuple[object, ...], words: str):
    assert listed(things) == words


def test_no_text_ends_a_cell_of_markdown_or_begins_a_tag():
    assert markdown_cell("a|b <i>`c|d`") == r"a\|b &lt;i>`c\|d`"
