"""The gate fails on whatever changes a network or spoils the record, and on having nothing to look at."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

from bench import regression
from bench.errors import UnusableInput
from bench.regression import check, format_findings
from bench.rows import COLUMNS, Row, format_line, format_row
from bench.specification import Architecture
from models import ARCHITECTURES

ROW = Row(
    "unpadded",
    "00000000",
    "cpu",
    "11111111",
    1,
    1,
    9900,
    10_000,
    0.03,
    0.2,
    10.0,
    1.0,
    "ok",
    "",
    "2026-01-01T00:00:00Z",
)


@pytest.fixture
def runs(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(format_line(COLUMNS) + format_row(ROW))
    return path


def failed(findings):
    return [finding.subject.split("/")[-1] for finding in findings if not finding.passed]


class WithOneMore(nn.Module):
    """A network with one more parameter than the documented one."""

    def __init__(self):
        super().__init__()
        self.network = ARCHITECTURES["unpadded"].build()
        self.scale = nn.Parameter(self.network.conv1.bias.detach()[:1].clone())

    def forward(self, images):
        return self.network(images)


class WithoutOneDropout(nn.Module):
    """The documented network but for one layer without parameters."""

    def __init__(self):
        super().__init__()
        self.network = ARCHITECTURES["unpadded"].build()
        self.network.dropout3 = nn.Identity()

    def forward(self, images):
        return self.network(images)


def changed(class_name: str) -> dict[str, Architecture]:
    return {"unpadded": replace(ARCHITECTURES["unpadded"], factory=f"{__name__}:{class_name}")}


def test_the_committed_networks_and_a_sound_record_pass(runs):
    findings = check(ARCHITECTURES, runs)
    assert failed(findings) == []
    assert len(findings) == 4 * 5 + 1
    assert format_findings(findings)[-1] == "21 of 21 checks passed."


def test_one_more_parameter_fails(runs):
    findings = check(changed("WithOneMore"), runs)
    assert "unpadded: parameters" in failed(findings)
    assert any("FAILED" in line and "14,121, documented 14,120" in line for line in format_findings(findings))


def test_a_network_whose_table_differs_fails(runs):
    assert failed(check(changed("WithoutOneDropout"), runs)) == ["unpadded: layer table", "unpadded: structure"]


def test_other_work_than_stored_fails(runs, monkeypatch):
    load = regression.structure_facts.load

    def one_less(names):
        stored = load(names)
        work = stored["gap_head"].multiply_accumulates - 1
        return {**stored, "gap_head": replace(stored["gap_head"], multiply_accumulates=work)}

    monkeypatch.setattr(regression.structure_facts, "load", one_less)
    assert failed(check(ARCHITECTURES, runs)) == ["gap_head: multiply-accumulates", "gap_head: structure"]


def test_every_unsound_line_of_the_record_fails_and_is_named(runs):
    with runs.open("a") as file:
        file.write("nonsense\n" + format_row(replace(ROW, epoch=2)) + format_row(replace(ROW, model="nobody", epoch=1)))
    before = runs.read_bytes()
    assert failed(check(ARCHITECTURES, runs)) == ["runs.csv:3", "runs.csv:5"]
    assert runs.read_bytes() == before


def test_a_record_without_an_epoch_fails(runs):
    runs.write_text(format_line(COLUMNS))
    assert failed(check(ARCHITECTURES, runs)) == ["runs.csv"]
    runs.write_text("")
    assert failed(check(ARCHITECTURES, runs)) == ["runs.csv:1"]


def test_no_record_and_no_network_are_errors(runs, tmp_path):
    with pytest.raises(UnusableInput, match="no such record"):
        check(ARCHITECTURES, tmp_path / "nothing.csv")
    with pytest.raises(UnusableInput, match="no network to check"):
        check({}, runs)
    with pytest.raises(UnusableInput, match="lacks vanished"):
        check({"vanished": replace(ARCHITECTURES["unpadded"], name="vanished")}, runs)
