"""Tests of `components`: the numbers of each source stand in the tables, or a dash where they are not known."""

from __future__ import annotations

from pathlib import Path

import synthetic
from pages import section, tables
from reports import page, rendered

from bench.report.markdown import COMPONENTS

TITLE = "## Where does the variance come from?"


def test_without_misses_the_epochs_and_the_choice_are_shown_and_no_figure(tmp_path: Path) -> None:
    data = page("data.md", tmp_path, synthetic.full(), "unpadded", "gap_head")
    components, choice = tables(section(data, TITLE))[:2]
    assert [row[0] for row in components[2:]] == ["`unpadded`", "`gap_head`", "**all**"]
    for row in components[2:]:
        assert row[3:6] == ["–"] * 3
        assert float(row[6]) > 0
    assert [row[3] for row in choice[2:]] == ["–"] * 3
    assert {row[4] for row in choice[2:4]} <= {"more than 5", *(f"{k} seeds" for k in range(2, 6)), "1 seed"}
    assert COMPONENTS not in rendered(tmp_path, synthetic.full({"unpadded": 9940}), "unpadded")


def test_one_run_has_no_components_and_an_empty_record_no_table(tmp_path: Path) -> None:
    one = section(page("data.md", tmp_path, synthetic.full({"unpadded": 9940}, seeds=(1,)), "unpadded"), TITLE)
    assert len(tables(one)) == 1
    assert "more than 1" in one
    assert tables(section(page("data.md", tmp_path, []), TITLE)) == []


def test_pairs_of_places_have_a_table(tmp_path: Path) -> None:
    rows = [
        *synthetic.full({"unpadded": 9940}, seeds=(1, 2)),
        *synthetic.full({"unpadded": 9950}, seeds=(1, 2), device="cuda", environment=synthetic.GPU),
    ]
    last = tables(section(page("data.md", tmp_path, rows, "unpadded"), TITLE))[-1]
    assert last[2][:5] == ["`unpadded`", "cpu", "cuda", "2", "0"]
    assert float(last[2][5]) > 0
