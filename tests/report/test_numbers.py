"""Tests of `numbers`: the JSON of a report has the numbers of its page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import synthetic
from pages import tables
from reports import MIXED, TWO, rendered, without_links


def test_json_has_sorted_keys_and_only_numbers_that_json_knows(tmp_path: Path) -> None:
    content = rendered(tmp_path, MIXED, *TWO)["summary.json"].decode()
    parsed = json.loads(content, parse_constant=pytest.fail)
    assert json.dumps(parsed, indent=1, sort_keys=True) + "\n" == content


def test_json_and_readme_have_the_same_numbers(tmp_path: Path) -> None:
    files = rendered(tmp_path, synthetic.full())
    groups = json.loads(files["summary.json"])["networks"]["gap_head"]["groups"]
    (group,) = groups
    first = group["time_to_target"]["first"]
    row = next(row for row in tables(without_links(files["README.md"].decode()))[0] if row[0] == "`gap_head`")
    assert row[4] == f"**{first['hits']}/{first['runs']}**"
    assert row[5] == ", ".join(str(seed["first"]) for seed in group["seeds"])
    assert float(row[6]) == pytest.approx(first["conditional_mean"], abs=0.05)
    assert float(row[7]) == pytest.approx(first["conditional_variance"], abs=0.05)
