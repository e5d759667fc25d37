"""Tests of `across` and `paired`: comparisons of networks and devices, environments and other recipes."""

from __future__ import annotations

from pathlib import Path

import synthetic
from pages import section, tables
from reports import MIXED, TWO, readme


def test_with_five_seeds_the_page_says_that_no_difference_can_be_significant(tmp_path: Path) -> None:
    better = section(readme(tmp_path, synthetic.full()), "### Which network is better?")
    assert "**No difference can be significant at 5 %, even if there is one.**" in better
    assert "With 10 seeds in common, a difference can be significant." in better


def test_with_twelve_seeds_a_plain_difference_is_significant(tmp_path: Path) -> None:
    rows = synthetic.full({"squeeze_fc": 9900, "gap_head": 9950}, seeds=range(1, 13))
    better = section(readme(tmp_path, rows), "### Which network is better?")
    assert "2 of 2 tests are significant at 5 %" in better


def test_two_environments_of_one_device_are_named_apart(tmp_path: Path) -> None:
    rows = [*synthetic.full(seeds=(1, 2)), *synthetic.full(seeds=(1, 2), environment="99990000", machine="Another")]
    page = readme(tmp_path, rows)
    assert [row[1] for row in tables(page)[0][2:4]] == ["cpu 11112222", "cpu 99990000"]
    environments = section(page, "## Environments")
    assert "`environments/11112222.json`" in environments
    assert "| Another |" in environments


def test_another_recipe_is_listed_and_judged_nowhere(tmp_path: Path) -> None:
    page = readme(tmp_path, MIXED, *TWO)
    assert "`ffff0000`" in section(page, "### Runs of another recipe")
    without = [row for row in MIXED if row.recipe != "ffff0000"]
    assert page.split("## Environments")[0] == readme(tmp_path, without, *TWO).split("## Environments")[0]
