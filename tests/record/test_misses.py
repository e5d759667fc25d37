"""Tests of `misses`: the file of missed images is written durably, and read only where the record agrees."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UnusableInput
from bench.record import misses, record
from bench.record.environments import EXACT
from bench.record.misses import COLUMNS, Misses, Writer, path_beside
from bench.record.rows import Run, format_line

RUN = Run("unpadded", synthetic.RECIPE, "cpu", synthetic.CPU, 7, 2)
ROWS = synthetic.run_rows("unpadded", 7, [9990, 9997])
THREE = ((8, 5, 6), (18, 3, 8), (9999, 0, 1))
KEY = f"unpadded,{synthetic.RECIPE},cpu,{synthetic.CPU}"
HEADER = format_line(COLUMNS)


def found(folder: Path, *lines: str, rows: list | None = None) -> Misses:
    """The misses read from these lines beside a record."""
    one = synthetic.record(folder, ROWS if rows is None else rows)
    path_beside(one.path).write_text(HEADER + "".join(line + "\n" for line in lines))
    return misses.read(one)


def test_the_file_stands_beside_the_record_under_its_name() -> None:
    assert path_beside(Path("a/runs.csv")) == Path("a/runs.misses.csv")
    assert path_beside(Path("my.old.runs.csv")) == Path("my.old.runs.misses.csv")


def test_a_file_that_is_longer_than_what_is_parsed_at_once_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(misses, "_CHUNK", 2)
    rows = synthetic.run_rows("unpadded", 7, [9999] * 5)
    several = found(tmp_path, *(f"{KEY},7,{epoch},8:5>6" for epoch in range(1, 6)), rows=rows)
    assert [one.key[-1] for one in several.runs] == [1, 2, 3, 4, 5]


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    one = synthetic.record(tmp_path, ROWS)
    Writer(one.path).append(RUN, 2, THREE)
    path = path_beside(one.path)
    assert path.read_text() == f"{HEADER}{KEY},7,2,8:5>6 18:3>8 9999:0>1\n"
    (run,), problems = misses.read(one).runs, misses.read(one).problems
    assert (run.key, run.total, problems) == ((*RUN.key, 2), 10_000, ())
    assert run.images.tolist() == [list(image) for image in THREE]


def test_a_row_is_on_the_disk_when_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    Writer(tmp_path / "runs.csv").append(RUN, 2, THREE)
    assert (tmp_path / "runs.misses.csv").stat().st_size in synced


def test_a_torn_row_is_set_aside_by_the_next_and_left_out_by_reading(tmp_path: Path) -> None:
    one = synthetic.record(tmp_path, ROWS)
    Writer(one.path).append(RUN, 2, THREE)
    path = path_beside(one.path)
    whole = path.read_text()
    path.write_text(whole[:-4])
    (problem,) = misses.read(one).problems
    assert (problem.line, "no newline" in problem.reason) == (2, True)
    Writer(one.path).append(RUN, 2, THREE)
    assert path.read_text() == whole
    assert (tmp_path / "runs.misses.csv.torn").read_text() == whole.splitlines()[1][:-3] + "\n"


def test_preparing_makes_no_file_and_refuses_one_of_another_kind(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "runs.csv")
    writer.prepare()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "runs.misses.csv").write_text("name,score\nann,1\n")
    for act in (writer.prepare, lambda: writer.append(RUN, 2, THREE)):
        with pytest.raises(UnusableInput, match=r"runs\.misses\.csv:1: not the header of a record's misses"):
            act()
    assert (tmp_path / "runs.misses.csv").read_text() == "name,score\nann,1\n"


def test_no_file_is_no_misses_and_no_problem(tmp_path: Path) -> None:
    assert misses.read(synthetic.record(tmp_path, ROWS)) == Misses()
    assert misses.read(record.read(tmp_path / "nowhere" / "runs.csv")) == Misses()


def test_an_unreadable_file_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    one = synthetic.record(tmp_path, ROWS)
    path_beside(one.path).mkdir()
    (problem,) = misses.read(one).problems
    assert "cannot be read" in problem.reason


def test_a_run_that_misses_nothing_has_an_empty_field(tmp_path: Path) -> None:
    rows = synthetic.run_rows("unpadded", 7, [10_000])
    read = found(tmp_path, f"{KEY},7,1,", rows=rows)
    assert read.runs[0].images.shape == (0, 3)
    assert read.problems == ()


def test_a_row_that_stands_twice_counts_once_and_is_no_problem(tmp_path: Path) -> None:
    line = f"{KEY},7,2,8:5>6 18:3>8 9999:0>1"
    read = found(tmp_path, line, line)
    assert (len(read.runs), read.problems) == (1, ())


def test_an_exact_run_misses_the_same_images_on_every_device(tmp_path: Path) -> None:
    rows = [
        row
        for device in ("cpu", "cuda", "mps")
        for row in synthetic.run_rows("unpadded", 7, [9998], environment=EXACT.digest, device=device)
    ]
    start = [f"unpadded,{synthetic.RECIPE},{device},{EXACT.digest},7,1" for device in ("cpu", "cuda", "mps")]
    read = found(
        tmp_path, f"{start[0]},8:5>6 18:3>8", f"{start[1]},8:5>6 18:3>8", f"{start[2]},8:5>6 19:3>8", rows=rows
    )
    assert [one.key[2] for one in read.runs] == ["cpu", "cuda"]
    (problem,) = read.problems
    reason = "epoch 1 of unpadded seed 7: line 2 has other images for the same run and epoch"
    assert (problem.line, problem.reason) == (4, reason)


LISTS = st.lists(st.tuples(st.integers(0, 999_999_999), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6)


@given(st.lists(LISTS, min_size=1, max_size=8))
def test_many_lists_at_once_are_the_same_as_one_by_one(lists: list[list[tuple[int, int, int]]]) -> None:
    texts = [" ".join(f"{image}:{label}>{seen}" for image, label, seen in one) for one in lists]
    found = misses._images_at_once(texts)
    assert [images.tolist() for images, _ in found] == [[list(image) for image in one] for one in lists]
    in_order = [
        all(one[0] < other[0] for one, other in itertools.pairwise(one))
        and all(label != seen for _, label, seen in one)
        for one in lists
    ]
    assert [is_in_order for _, is_in_order in found] == in_order
    assert [misses._images(text).tolist() for text in texts] == [images.tolist() for images, _ in found]


@given(st.lists(st.text("0123456789:> é\u0663x", max_size=14) | st.just("8:5>6 18:3>8"), min_size=1, max_size=4))
def test_no_list_is_taken_at_once_that_would_not_be_taken_alone(texts: list[str]) -> None:
    """An empty list is taken alone only."""
    are_lists = all(misses._MISSES.fullmatch(text) and text for text in texts)
    assert bool(misses._images_at_once(texts)) == are_lists


def test_one_bad_list_among_many_rows_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    rows = [row for seed in range(1, 8) for row in synthetic.run_rows("unpadded", seed, [9998])]
    lines = [f"{KEY},{seed},1,8:5>6 18:3>8" for seed in range(1, 8)]
    lines[2] = f"{KEY},3,1,8:5>6 18:3>"
    read = found(tmp_path, *lines, rows=rows)
    assert [one.key[4] for one in read.runs] == [1, 2, 4, 5, 6, 7]
    (problem,) = read.problems
    assert problem.line == 4
    assert problem.reason == "misses is '8:5>6 18:3>', not a list like 8:5>6 18:3>8"


def test_a_row_that_contradicts_an_earlier_one_is_left_out_and_named(tmp_path: Path) -> None:
    read = found(tmp_path, f"{KEY},7,2,8:5>6 18:3>8 9999:0>1", f"{KEY},7,2,8:5>7 18:3>8 9999:0>1")
    assert read.runs[0].images.tolist()[0] == [8, 5, 6]
    (problem,) = read.problems
    assert (problem.line, problem.reason) == (
        3,
        "epoch 2 of unpadded seed 7: line 2 has other images for the same run and epoch",
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"{KEY},7,2,8:5>6 18:3>8", "epoch 2 of unpadded seed 7: 2 misses, but the record has 9997 of 10000 correct"),
        (f"{KEY},7,3,8:5>6", "epoch 3 of unpadded seed 7: the epoch is not in the record"),
        (f"{KEY},8,2,8:5>6 18:3>8 20:0>1", "epoch 2 of unpadded seed 8: the epoch is not in the record"),
        (f"{KEY},7,2,18:3>8 8:5>6 20:0>1", "the images are not in ascending order from 0 to 9999"),
        (f"{KEY},7,2,8:5>6 8:5>7 20:0>1", "the images are not in ascending order from 0 to 9999"),
        (f"{KEY},7,2,8:5>6 18:3>8 10000:0>1", "the images are not in ascending order from 0 to 9999"),
        (f"{KEY},7,2,8:5>6 18:3>3 20:0>1", "an image is listed as missed, but its prediction is its label"),
        (f"{KEY},7,2,8:5>6;18:3>8", "misses is '8:5>6;18:3>8', not a list like 8:5>6 18:3>8"),
        (f"{KEY},7,2,8:5>12 18:3>8 20:0>1", "not a list like 8:5>6 18:3>8"),
        (f"{KEY},7,2,none", "misses is 'none', not a list like 8:5>6 18:3>8"),
        (f"{KEY},7,two,8:5>6", "epoch is 'two', not a whole number from 1 to 999999999"),
        (f"{KEY},7,2", "the line has 6 fields, but the header has 7"),
        (HEADER.strip(), "the line repeats the header"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_is_read(tmp_path: Path, line: str, reason: str) -> None:
    read = found(tmp_path, line, f"{KEY},7,2,8:5>6 18:3>8 9999:0>1")
    assert len(read.runs) == 1
    (problem,) = read.problems
    assert (problem.line, problem.left_out) == (2, True)
    assert reason in problem.reason


def test_the_misses_of_an_epoch_that_the_record_left_out_are_left_out_too(tmp_path: Path) -> None:
    line = f"{KEY},7,2,8:5>6 18:3>8 9999:0>1"
    read = found(tmp_path, line, line.replace(",2,", ",3,"), rows=[ROWS[1]])
    assert (read.runs, [problem.line for problem in read.problems]) == ((), [2])


def test_the_epoch_of_the_last_row_can_be_on_its_way_into_the_record(tmp_path: Path) -> None:
    read = found(tmp_path, f"{KEY},7,2,8:5>6 18:3>8 9999:0>1", f"{KEY},7,3,8:5>6")
    assert (len(read.runs), read.problems) == (1, ())


def test_epochs_that_a_job_has_recorded_since_the_record_was_read_are_no_problem(tmp_path: Path) -> None:
    before = synthetic.record(tmp_path, ROWS[:1])
    synthetic.record(tmp_path, ROWS)
    lines = [f"{KEY},7,1,8:5>6", f"{KEY},7,2,8:5>6 18:3>8 9999:0>1", f"{KEY},8,1,8:5>6", f"{KEY},8,2,8:5>6"]
    path_beside(before.path).write_text(HEADER + "".join(line + "\n" for line in lines))
    assert [(problem.line, problem.reason.split(": ")[1]) for problem in misses.read(before).problems] == [
        (2, "1 misses, but the record has 9990 of 10000 correct"),
        (4, "the epoch is not in the record"),
    ]


def test_ten_thousand_misses_fit_a_row(tmp_path: Path) -> None:
    one = synthetic.record(tmp_path, synthetic.run_rows("unpadded", 7, [0, 0]))
    Writer(one.path).append(RUN, 2, tuple((image, image % 10, (image + 1) % 10) for image in range(10_000)))
    read = misses.read(one)
    assert read.problems == ()
    assert np.array_equal(read.runs[0].images[:, 0], np.arange(10_000))
