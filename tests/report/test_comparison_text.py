"""Tests of `comparison_text`: the tables, notes and conclusion that `compare` prints."""

from __future__ import annotations

import math

import pytest
from comparisons import EARLY, HIGH, LATE, LOW, Files, rows
from synthetic import CPU, GPU

from bench.evidence.statistics import LEVEL
from bench.report.comparison_text import format_comparison, format_markdown


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("records"))


def test_the_table_has_a_row_for_each_test(files: Files) -> None:
    old = [*rows("unpadded", EARLY, last=LOW), *rows("gap_head", EARLY, last=LOW)]
    new = [*rows("unpadded", LATE, GPU, last=LOW), *rows("gap_head", EARLY, GPU, last=HIGH)]
    lines = [" ".join(line.split()) for line in format_comparison(files.compare(old, new))]
    place = f"cpu {CPU}, {GPU}"
    assert f"unpadded {place} epochs to target 5, 5 5.00 15.00 +10.00 0.0079 0.0317 slower" in lines
    assert f"unpadded {place} last accuracy 5, 5 9923.00 9923.00 +0.00 1.0000 1.0000 no evidence" in lines
    assert f"gap_head {place} last accuracy 5, 5 9923.00 9933.00 +10.00 0.0079 0.0317 higher" in lines
    assert len([line for line in lines if place in line]) == 4
    assert lines[-1] == (
        "Convergence changed: epochs to target of unpadded on cpu slower, last accuracy of gap_head on cpu higher."
    )


def test_the_conclusion_says_that_five_seeds_of_four_networks_can_find_nothing(files: Files) -> None:
    models = ("expand_squeeze", "unpadded", "ten_twenty_thirty", "gap_head")
    old = [row for model in models for row in rows(model, EARLY, last=LOW)]
    new = [row for model in models for row in rows(model, LATE, GPU, last=HIGH)]
    found = files.compare(old, new)
    assert [change.test.p_value for change in found.changes] == [pytest.approx(2 / 252)] * 8
    assert found.smallest_adjusted == pytest.approx(16 / 252)
    assert found.exit_code == 0
    conclusion = format_comparison(found)[-1]
    assert "These seeds cannot give evidence: their smallest possible adjusted p is 0.063." in conclusion
    assert "Use at least 6 seeds on each side for 8 tests." in conclusion
    assert 8 * 2 / math.comb(12, 6) <= LEVEL


def test_markdown_has_the_conclusion_first_then_a_row_a_test_and_what_was_compared(files: Files) -> None:
    old = rows("unpadded", EARLY, machine="here; PyTorch 2.13.0")
    found = files.compare(old, rows("unpadded", LATE, GPU, machine="a|b"))
    text, lines = format_comparison(found), format_markdown(found)
    assert lines[0].startswith("**compare**, ")
    assert lines[0].endswith(f" (new): {text[-1]}")
    table = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")]
    assert table[0] == [
        "network", "device", "old, new environment", "measure", "seeds", "old", "new", "change", "p", "adjusted p",
        "finding",
    ]  # fmt: skip
    place = ["unpadded", "cpu", f"{CPU}, {GPU}"]
    assert table[2] == [*place, "epochs to target", "5, 5", "5.00", "15.00", "+10.00", "0.0079", "0.0079", "slower"]
    assert [row[3] for row in table[2:]] == ["epochs to target", "last accuracy"]
    assert f"- Environment {CPU}: here; PyTorch 2.13.0" in lines
    assert rf"- Environment {GPU}: a\|b" in lines
