"""Tests of `doubt` and `variance`: the commands that repeat a report, and what they cannot overwrite."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import synthetic
from pages import section
from reports import MIXED, NO_PICTURES, TWO, page, readme

from bench.cli.parser import _parser
from bench.evidence.summary import summarise
from bench.network import structure_facts
from bench.record.environments import EXACT
from bench.record.rows import Row
from bench.report.files import pages
from models import ARCHITECTURES

ROWS = synthetic.full(seeds=(1, 2), environment=EXACT.digest)


def commands(
    runs: Path, folder: Path, architectures: dict[str, object] | None = None, rows: list[Row] = ROWS
) -> list[list[str]]:
    """The words of the commands on the first page of a report in this folder."""
    record = synthetic.record(runs.parent, rows)
    summary = summarise(record, architectures or synthetic.architectures(), structure_facts.load())
    page = section(pages(summary, NO_PICTURES, runs, folder)["README.md"], "## How to disbelieve it")
    return [shlex.split(line) for line in re.findall(r"^python -m bench (.+)$", page, flags=re.MULTILINE)]


def test_a_report_in_the_usual_place_needs_no_paths(tmp_path: Path) -> None:
    verify, report, everything = commands(tmp_path / "runs.csv", tmp_path / "report")
    assert verify == ["verify", "--epochs", "3"]
    assert report == ["report"]
    assert everything == [
        "all",
        "--seeds",
        "2",
        "--devices",
        "cpu",
        "--runs",
        "runs-again.csv",
        "--report",
        "report-again",
    ]


@pytest.mark.parametrize(("folder", "shown"), [("net", "net"), ("my report", "my report"), ("deep/er", "er")])
def test_the_commands_name_the_record_and_the_report_as_the_user_did(tmp_path: Path, folder: str, shown: str) -> None:
    runs = tmp_path / "net runs.csv"
    place = tmp_path / folder
    parsed = [_parser().parse_args(words) for words in commands(runs, place)]
    assert [(place.parent / one.runs).resolve() for one in parsed[:2]] == [runs] * 2
    assert [str(one.report) for one in parsed[:2]] == [shown] * 2


@pytest.mark.parametrize("name", [b"r\xc3\xa9sum\xe9's", b"two\nlines", b"a\\b\xff1"], ids=repr)
def test_a_shell_reads_names_that_are_no_text_from_the_commands(tmp_path: Path, name: bytes) -> None:
    runs, folder = (tmp_path / os.fsdecode(name + ending) for ending in (b".csv", b" report"))
    summary = summarise(synthetic.record(tmp_path, ROWS), synthetic.architectures(), structure_facts.load())
    page = pages(summary, NO_PICTURES, runs, folder)["README.md"].encode()
    (line,) = re.findall(rb"^python -m bench report (.+)$", page, flags=re.MULTILINE)
    said = subprocess.run(["bash", "-c", b"printf '%s\\0' " + line], capture_output=True, check=True).stdout
    assert said.split(b"\0")[:-1] == [b"--runs", name + b".csv", b"--report", name + b" report"]


@pytest.mark.parametrize(("runs", "folder"), [("runs.csv", "report"), ("again.csv", "again"), ("net.csv", "net")])
def test_training_again_overwrites_neither_this_report_nor_another_one(tmp_path: Path, runs: str, folder: str) -> None:
    again = _parser().parse_args(commands(tmp_path / runs, tmp_path / folder)[2])
    assert str(again.runs) not in (runs, "runs.csv")
    assert str(again.report) not in (folder, "report")


def test_only_the_networks_that_have_runs_are_trained_again(tmp_path: Path) -> None:
    rows = synthetic.full({"unpadded": 9940, "gap_head": 9940}, seeds=(3, 5), environment=EXACT.digest)
    record = synthetic.record(tmp_path, rows)
    own = synthetic.with_recipe(ARCHITECTURES["unpadded"], name="mine", document=None)
    for others, models in (({}, "unpadded,gap_head"), ({"mine": own}, "unpadded,gap_head,FILES")):
        networks = {**synthetic.architectures(), **others}
        page = pages(summarise(record, networks, structure_facts.load()), NO_PICTURES, record.path, tmp_path / "report")
        assert f"python -m bench all --models {models} --seeds 3,5 --devices cpu --runs" in page["README.md"]


def test_the_command_for_everything_says_if_it_trains_further_seeds(tmp_path: Path) -> None:
    for seeds, is_more in (((1, 2), False), ((1, 2, 3), True)):
        rows = [
            row
            for name, some in (("unpadded", (1, 2)), ("gap_head", seeds))
            for row in synthetic.full({name: 9940}, seeds=some, environment=EXACT.digest)
        ]
        summary = summarise(synthetic.record(tmp_path, rows), synthetic.architectures(), structure_facts.load())
        page = pages(summary, NO_PICTURES, tmp_path / "runs.csv", tmp_path / "report")["README.md"]
        assert ("this report. It also trains further seeds of some networks.\n" in page) is is_more


def test_native_runs_that_could_be_exact_are_trained_again_in_native_arithmetic(tmp_path: Path) -> None:
    native = synthetic.full({"unpadded": 9930}, seeds=(1, 2, 3))
    files = ["--runs", "runs-again.csv", "--report", "report-again"]
    again = ["all", "--models", "unpadded", "--seeds", "3", "--devices", "cpu", "--arithmetic", "native", *files]
    assert commands(tmp_path / "runs.csv", tmp_path / "report", rows=native)[2:] == [again]
    both = commands(tmp_path / "runs.csv", tmp_path / "report", rows=[*ROWS, *native])
    assert both[2:] == [["all", "--seeds", "2", "--devices", "cpu", *files], again]
    uncovered = synthetic.architectures()
    uncovered["unpadded"] = synthetic.with_recipe(uncovered["unpadded"], uncovered=("gelu",))
    (usual,) = commands(tmp_path / "runs.csv", tmp_path / "report", uncovered, native)[2:]
    assert "--arithmetic" not in usual


def test_runs_in_which_only_one_kind_varies_are_trained_again_by_a_command_each(tmp_path: Path) -> None:
    rows = list(ROWS)
    for name, vary, seeds in (
        ("unpadded", "order", (1, 2, 3)),
        ("gap_head", "order", (3,)),
        ("unpadded", "dropout", (1,)),
    ):
        recipe = synthetic.architectures()[name].varied(vary).digest
        rows += synthetic.full({name: 9930}, seeds, recipe=recipe)
    found = commands(tmp_path / "runs.csv", tmp_path / "report", rows=rows)
    again = ["--runs", "runs-again.csv", "--report", "report-again"]
    assert found[3:] == [
        ["all", "--vary", "order", "--models", "unpadded,gap_head", "--seeds", "3", *again],
        ["all", "--vary", "dropout", "--models", "unpadded", "--seeds", "1", *again],
    ]


def test_without_a_run_of_a_current_recipe_no_command_trains_runs_that_are_not_recorded(tmp_path: Path) -> None:
    rows = synthetic.full({"unpadded": 9930}, (1,), recipe="ffff0000")
    assert [words[0] for words in commands(tmp_path / "runs.csv", tmp_path / "report", rows=rows)] == [
        "verify",
        "report",
    ]
    recipe = synthetic.architectures()["unpadded"].varied("order").digest
    rows += synthetic.full({"unpadded": 9930}, (1,), recipe=recipe)
    *_, (*last,) = commands(tmp_path / "runs.csv", tmp_path / "report", rows=rows)
    assert last[:3] == ["all", "--vary", "order"]
    assert len(commands(tmp_path / "runs.csv", tmp_path / "report", rows=rows)) == 3


def test_a_users_own_network_is_verified_from_its_file(tmp_path: Path) -> None:
    own = synthetic.with_recipe(ARCHITECTURES["unpadded"], name="mine", document=None)
    rows = synthetic.run_rows("mine", 1, synthetic.counts(1, 19))
    verify, _, again = commands(tmp_path / "runs.csv", tmp_path / "report", {"mine": own}, rows)
    assert verify == ["verify", "--models", "FILES", "--epochs", "3"]
    assert again[:3] == ["all", "--models", "FILES"]


def test_no_sentence_points_to_a_table_or_a_comparison_that_a_report_cannot_have(tmp_path: Path) -> None:
    others = synthetic.full({"unpadded": 9930}, (1,), recipe="ffff0000")
    told = page("data.md", tmp_path, others, "unpadded")
    assert "in the table above" not in told
    assert "**Seed**: Unknown, because no network has two complete runs in one place yet." in told
    assert "No two networks" not in told
    assert "No two networks" in page("data.md", tmp_path, others, "unpadded", "gap_head")
    assert "in the table above" in page("data.md", tmp_path, synthetic.full({"unpadded": 9940}), "unpadded")


def test_seeds_that_are_far_apart_are_named_at_once(tmp_path: Path) -> None:
    most = 2**64 - 1
    rows = synthetic.full({"unpadded": 9940}, seeds=(1, most))
    assert f" --seeds 1,{most} --devices cpu" in readme(tmp_path, rows, "unpadded")


def test_the_variance_stands_on_the_first_page_in_five_lines(tmp_path: Path) -> None:
    brief = section(readme(tmp_path, ROWS), "## Where does the variance come from?").strip().splitlines()
    assert [line.split("**")[1] for line in brief] == [
        "Repeat",
        "Seed and epoch",
        "Images",
        "Choosing",
        "Device or environment",
    ]
    assert "have a standard deviation of " in brief[1]
    assert "from epoch to epoch within a run" in brief[1]
    assert "Unknown, because the misses of two complete runs are not recorded yet." in brief[2]
    assert "images more than its last one on average" in brief[3]
    assert "Unknown, because all runs are from one device and one environment." in brief[4]
    (_, seed, *_, device) = (
        section(readme(tmp_path, MIXED, *TWO), "## Where does the variance come from?").strip().splitlines()
    )
    assert "images" in seed
    assert "No difference can be significant at 5 %" in device


def test_the_spread_of_the_seeds_is_also_given_without_those_that_collapse(tmp_path: Path) -> None:
    rows = [
        row
        for seed, last in enumerate((9930, 9940, 8000), start=1)
        for row in synthetic.run_rows("unpadded", seed, [*[9900] * 18, last])
    ]
    title = "## Where does the variance come from?"
    brief = section(readme(tmp_path, rows, "unpadded"), title)
    assert "standard deviation of 1117.2 images, and of 7.1 without 1 run that collapses." in brief
    assert "standard deviation of 7.1 images." in section(readme(tmp_path, rows[: 2 * 19], "unpadded"), title)
    assert "They include 1 run that collapses." in page("data.md", tmp_path, rows, "unpadded")
    assert "collapses" not in page("data.md", tmp_path, rows[: 2 * 19], "unpadded")


def test_what_was_left_out_is_said_on_the_first_page(tmp_path: Path) -> None:
    assert "No: every line of the record was read and used." in readme(tmp_path, ROWS)
    said = "See what was left out: 2 lines have a problem and runs of other recipes are described apart."
    assert said in readme(tmp_path, MIXED, *TWO, extra="torn\ntorn again\n")


def test_runs_of_one_network_on_disjoint_devices_are_not_said_to_be_from_one(tmp_path: Path) -> None:
    rows = [
        row
        for seed, device in ((1, "cpu"), (2, "cuda"))
        for row in synthetic.run_rows("unpadded", seed, [9900] * 19, environment=EXACT.digest, device=device)
    ]
    brief = readme(tmp_path, rows, "unpadded")
    assert "Unknown, because no seed is finished on two devices or in two environments." in brief
