"""Tests of `images` and `variance`: the misses and verifications beside a record on the page of data."""

from __future__ import annotations

import gzip
import json
import random
import struct
from pathlib import Path

import pytest
import synthetic
from pages import GOLDEN, check_golden, section, tables
from reports import without_links

from bench.network import structure_facts
from bench.record import misses, verifications
from bench.record.record import Record
from bench.report.files import render, write

ROWS = synthetic.full({"unpadded": 9940, "gap_head": 9945}, seeds=(1, 2, 3))
TWO = ("unpadded", "gap_head")
IMAGES, VARIANCE = "## Which test images do runs miss?", "## Where does the variance come from?"


def verified(
    seed: int, identical: str = "yes", verified_in: str = synthetic.CPU, machine: str = "a machine"
) -> list[object]:
    run = ["unpadded", synthetic.RECIPE, "cpu", synthetic.CPU, seed]
    return [*run, 19, identical, "2026-02-01T12:00:00Z", verified_in, machine]


def record_with(folder: Path, lines: list[list[str]] | None = None, *again: list[object]) -> Record:
    record = synthetic.record(folder, ROWS)
    synthetic.write_beside(record.path, synthetic.misses(ROWS) if lines is None else lines, again)
    return record


def written(record: Record, data: Path | None = None) -> dict[str, str]:
    folder = record.path.parent / "report"
    write(record, synthetic.architectures(*TWO), folder, data)
    return {path.name: without_links(path.read_text(encoding="utf-8")) for path in folder.iterdir()}


def test_golden(tmp_path: Path) -> None:
    record = record_with(tmp_path, None, verified(1), verified(2, "no"))
    files = render(
        record, synthetic.architectures(*TWO), structure_facts.load(), misses.read(record), verifications.read(record)
    )
    page = files["data.md"].decode()
    shown = "\n".join(f"{title}\n{section(page, title)}" for title in (VARIANCE, IMAGES, "## What was left out"))
    check_golden(GOLDEN / "report_beside" / "sections.md", shown)


def test_without_the_files_the_report_says_so_and_is_written(tmp_path: Path) -> None:
    record = synthetic.record(tmp_path, ROWS)
    files = written(record, tmp_path / "nowhere")
    page = files["data.md"]
    assert "No predictions are kept yet" in section(page, IMAGES)
    assert "No verification is recorded. `python -m bench verify`" in section(page, VARIANCE)
    assert "missed-digits.svg" not in files
    rendered = render(record, synthetic.architectures(*TWO), structure_facts.load())
    assert page == without_links(rendered["data.md"].decode())


def test_the_order_of_the_rows_beside_a_record_changes_no_byte(tmp_path: Path, root: Path) -> None:
    lines, again = synthetic.misses(ROWS), [verified(1), verified(2, "no"), verified(3, verified_in=synthetic.GPU)]
    expected = written(record_with(tmp_path, lines, *again), root / "data")
    random.Random(2).shuffle(lines)
    assert written(record_with(tmp_path, lines, *again[::-1]), root / "data") == expected


def test_the_most_missed_images_are_drawn_if_their_pixels_are_there(tmp_path: Path, root: Path) -> None:
    record = record_with(tmp_path)
    drawn, plain = written(record, root / "data"), written(record, tmp_path)
    assert "](missed-digits.svg)" in section(drawn["data.md"], IMAGES)
    assert "the file of test images was missing or unusable" not in drawn["data.md"]
    assert "missed-digits.svg" not in plain  # the earlier report had this picture, and this one has not
    assert "the file of test images was missing or unusable" in section(plain["data.md"], IMAGES)
    assert tables(drawn["data.md"]) == tables(plain["data.md"])
    assert drawn["summary.json"] == plain["summary.json"]


def test_no_image_is_drawn_from_too_few_pixels(tmp_path: Path) -> None:
    path = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(struct.pack(">4i", 2051, 2, 28, 28) + bytes(2 * 784)))
    assert "missed-digits.svg" not in written(record_with(tmp_path), tmp_path)


def test_the_numbers_are_those_of_summary_json(tmp_path: Path) -> None:
    files = written(record_with(tmp_path, None, verified(1), verified(2, "no")))
    numbers = json.loads(files["summary.json"])
    shown = tables(section(files["data.md"], IMAGES))
    everything = numbers["images"]["together"]
    assert [row[4] for row in shown[0][2:]] == [
        f"{one['differ']:,}" for one in (*numbers["images"]["groups"], everything)
    ]
    assert f"On {everything['differ']:,} of 10,000 test images, at least two of 6 runs" in files["data.md"]
    first = numbers["images"]["most_missed"][0]
    assert shown[1][2][:3] == [str(first["image"]), str(first["label"]), f"{first['missed_by']} of 6"]
    assert sum(first["seen_as"].values()) == first["missed_by"]
    assert (numbers["repeats"]["here"], numbers["repeats"]["identical_here"]) == (2, 1)


def test_one_run_differs_from_nobody(tmp_path: Path) -> None:
    page = section(written(record_with(tmp_path, synthetic.misses(ROWS)[:1]))["data.md"], IMAGES)
    assert "The predictions of one run are kept. It misses " in page
    assert [row[4:6] for row in tables(page)[0][2:]] == [["–", "–"]] * 2
    assert "Not in this table: 5 complete runs without stored predictions of that epoch." in page


def test_verified_runs_are_counted_and_those_that_differ_are_named(tmp_path: Path) -> None:
    page = section(written(record_with(tmp_path, [], verified(1), verified(3)))["data.md"], VARIANCE)
    assert (
        "Of 6 recorded runs of the current recipes, 2 were trained again in the same environment, for 38 epochs in "
        "all. Identical bit for bit: 2 of 2 verified runs. They were checked on these machines: a machine (2 runs, 38 "
        "epochs). The repeat variance of the verified runs is 0." in page
    )
    another = verified(1, machine="another")
    page = section(written(record_with(tmp_path, [], verified(1), verified(3), another))["data.md"], VARIANCE)
    assert (
        "2 of 2 verified runs. They were checked on these machines: a machine (2 runs, 38 epochs); another (1 run, "
        "19 epochs). A run counts for each machine that checked it."
    ) in page
    again = (verified(1), verified(2, "no"), verified(3, "no", synthetic.GPU))
    page = section(written(record_with(tmp_path, [], *again))["data.md"], VARIANCE)
    assert "bit for bit: 1 of 2 verified runs. They were " in page
    assert " **Not identical: unpadded on cpu, seed 2. The repeat variance" in page
    assert "repeat variance of the verified runs is 0" not in page
    assert "In another environment, where identical bits are not expected, 1 run was trained again." in page
    assert "Identical there: 0 of 1." in page


@pytest.mark.parametrize(("name", "what"), [("runs.misses.csv", "misses"), ("runs.verified.csv", "verifications")])
def test_problems_of_a_file_beside_the_record_are_named_with_it(tmp_path: Path, name: str, what: str) -> None:
    record = record_with(tmp_path)
    with (tmp_path / name).open("a") as file:
        file.write("torn | line\n")
    page = section(written(record)["data.md"], "## What was left out")
    assert "Nothing. Every line of the record was read and used." in page
    assert f"1 problem in the {what} beside the record:" in page
    assert "the line has 1 field, but the header has" in page
