"""Tests of `reference`: the problems of the record, and links that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import synthetic
from pages import anchors, section, tables
from reports import MIXED, TWO, readme


def test_problems_are_listed_with_line_and_reason_up_to_twenty(tmp_path: Path) -> None:
    rows = synthetic.full({"unpadded": 9900}, seeds=(1,))
    page = section(readme(tmp_path, rows, extra="torn | line\n" * 30), "## What was left out")
    assert "30 problems" in page
    assert "… and 10 more." in page
    assert tables(page)[0][2] == ["21", "the line has 1 field, but the header has 18", "left out"]
    assert len(tables(page)[0]) == 22


def test_links_within_the_report_lead_somewhere(tmp_path: Path) -> None:
    page = readme(tmp_path, MIXED, *TWO)
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= anchors(page)
