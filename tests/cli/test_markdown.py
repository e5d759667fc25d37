"""Tests of `commands`, `parser`: `check` and `compare` append their table to the file that --markdown names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from comparisons import EARLY, LATE, rows
from synthetic import GPU
from synthetic import record as record_of

from bench.cli.parser import main
from bench.gate import regression
from bench.gate.findings import Finding
from models import ARCHITECTURES

RECIPE = ARCHITECTURES["unpadded"].digest
SOUND, FAILED = Finding("runs.csv", True, "1 epoch, every line valid"), Finding("unpadded: recipe", False, "another")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Runs every test in a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def found(monkeypatch):
    """The findings of `check`, which a test may change."""
    findings = [SOUND]
    monkeypatch.setattr(regression, "check", lambda architectures, runs, data: list(findings))
    return findings


@pytest.mark.parametrize("name", ["runs.csv", "./runs.misses.csv", "runs.environments.json", "record"])
def test_nothing_is_appended_to_a_record_or_a_file_beside_it(found, capsys, name):
    Path(name).write_text("rows\n")
    assert main(["check", "--runs", "record" if name == "record" else "runs.csv", "--markdown", name]) == 2
    said = f"bench: --markdown {Path(name)}: is for data and not for Markdown: name another file, like summary.md\n"
    assert capsys.readouterr().err == said
    assert Path(name).read_text() == "rows\n"


def test_a_path_that_is_no_text_is_written_as_text(found):
    found.append(Finding(os.fsdecode(b"runs\xff.csv"), True, "sound"))
    assert main(["check", "--markdown", "summary.md"]) == 0
    assert r"runs\udcff.csv" in Path("summary.md").read_text()


def test_check_appends_its_table_and_ends_with_the_same_code(found, capsys):
    assert main(["check"]) == 0
    assert list(Path().iterdir()) == []
    printed = capsys.readouterr().out
    assert main(["check", "--markdown", "summary.md"]) == 0
    assert capsys.readouterr().out == printed
    found.append(FAILED)
    assert main(["check", "--markdown", "summary.md"]) == 1
    lines = Path("summary.md").read_text().splitlines()
    assert [line for line in lines if line.startswith("**check**")] == [
        "**check**: 1 of 1 checks passed.",
        "**check**: 1 of 2 checks passed.",
    ]
    assert sum("**FAILED**" in line for line in lines) == 1


def test_compare_appends_its_table_and_ends_with_the_same_code(tmp_path):
    records = []
    for name, times, where in (("old", EARLY, {}), ("new", LATE, {"environment": GPU})):
        (tmp_path / name).mkdir()
        records.append(str(record_of(tmp_path / name, rows("unpadded", times, recipe=RECIPE, **where)).path))
    Path("summary.md").write_text("what stood there\n")
    assert main(["compare", *records, "--markdown", "summary.md"]) == 1
    lines = Path("summary.md").read_text().splitlines()
    assert lines[0] == "what stood there"
    assert lines[1].startswith(f"**compare**, {records[0]} (old) against {records[1]} (new): Convergence changed: ")


@pytest.mark.parametrize("name", [".", "missing/summary.md"], ids=["folder", "in no folder"])
def test_a_summary_that_cannot_be_written_is_one_line_after_the_findings(found, capsys, name):
    assert main(["check", "--markdown", name]) == 2
    captured = capsys.readouterr()
    assert captured.out.endswith("1 of 1 checks passed.\n")
    assert captured.err.startswith(f"bench: --markdown {name}: cannot be written")
    assert captured.err.count("\n") == 1


def test_a_device_is_written_to_and_never_replaced(found):
    before = Path("/dev/null").lstat()
    assert main(["check", "--markdown", "/dev/null"]) == 0
    assert Path("/dev/null").lstat().st_ino == before.st_ino


def test_an_update_has_no_table(found, capsys):
    assert main(["check", "--update", "--markdown", "summary.md"]) == 2
    assert "not allowed with argument --update" in capsys.readouterr().err
