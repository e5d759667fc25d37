"""Tests of `record`, `consistency` and `ledger`: a row is on the disk once, and an unusable line has a reason."""

from __future__ import annotations

import errno
import fcntl
import io
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas
import pytest
import sample_rows
from hypothesis import given
from hypothesis import strategies as st
from sample_rows import HEADER, closing, row, text_of

from bench.errors import UnusableInput
from bench.record import ledger, record
from bench.record.environments import EXACT
from bench.record.ledger import Problem
from bench.record.record import Writer
from bench.record.rows import COLUMNS, REQUIRED, Row, format_line, format_row

MANY = 100_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.csv"


def read_text(path: Path, text: str, encoding: str = "utf-8") -> record.Record:
    path.write_bytes(text.encode(encoding))
    return record.read(path)


def rows_of(found: record.Record) -> list[Row]:
    def value(given: object) -> object:
        return None if pandas.isna(given) else given

    return [Row(*(value(getattr(one, name)) for name in COLUMNS)) for one in found.rows.itertuples()]


# Appending


def test_what_is_appended_is_read_back(path: Path):
    rows = [row(1), row(1, seed=2**64 - 1), row(2, smallest_variance=1e-9), closing(3)]
    writer = Writer(path)
    for one in rows:
        writer.append(one)
    found = record.read(path)
    assert rows_of(found) == rows
    assert found.problems == ()
    assert list(found.rows["line"]) == [2, 3, 4, 5]
    assert list(found.epochs["line"]) == [2, 3, 4]
    assert path.read_bytes().decode() == text_of(*rows)


def test_the_header_is_written_once(path: Path):
    Writer(path).prepare()
    Writer(path).prepare()
    Writer(path).append(row(1))
    Writer(path).append(row(2))
    assert path.read_text().count("model,") == 1
    assert path.read_text() == text_of(row(1), row(2))


def test_an_empty_file_gets_a_header(path: Path):
    path.touch()
    Writer(path).append(row(1))
    assert path.read_text() == text_of(row(1))


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Inode and size of every file or folder at the time when it was synced."""
    calls: list[tuple[int, int]] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        state = os.fstat(descriptor)
        calls.append((state.st_ino, state.st_size))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    return calls


def test_a_row_is_on_the_disk_when_append_returns(path: Path, synced: list[tuple[int, int]]):
    for epoch in (1, 2, 3):
        Writer(path).append(row(epoch))
        state = path.stat()
        assert (state.st_ino, state.st_size) in synced


def test_a_new_record_has_its_name_on_the_disk(path: Path, synced: list[tuple[int, int]]):
    Writer(path).prepare()
    assert path.parent.stat().st_ino in [inode for inode, _ in synced]


def test_appending_follows_the_header_that_is_there(path: Path):
    columns = (*REQUIRED, "comment", "smallest_variance")
    path.write_text(format_line(columns))
    Writer(path).append(row(1, smallest_variance=0.25))
    last = path.read_text().splitlines()[-1]
    assert last.endswith(",2026-01-31T12:00:00Z,,0.25")
    found = record.read(path)
    assert found.problems == ()
    assert rows_of(found) == [row(1, smallest_variance=0.25, machine="")]


@pytest.mark.parametrize(
    "content",
    [
        "name,score\nann,1\n",
        "some text without any newline",
        '{"model": 1}',
        "model,recipe,device\n",
        "\n",
        "\ufeff" + HEADER,
        format_line((*COLUMNS[1:], COLUMNS[0])) + format_row(row(1)),
        HEADER.replace(",", ";"),
        HEADER.replace("\n", "\r"),
        HEADER.replace("\n", "\r") + format_row(row(1)).replace("\n", "\r"),
        "\x89PNG\r\n\x1a\n\0\0\0",
        "x" * 200_000 + "\n",
    ],
)
def test_nothing_is_appended_to_a_file_with_another_header(path: Path, content: str):
    path.write_bytes(content.encode())
    for attempt in (Writer(path).prepare, lambda: Writer(path).append(row(1))):
        with pytest.raises(
            UnusableInput, match=r"runs\.csv:1: not the header of a record, so nothing was appended: correct"
        ):
            attempt()
    assert path.read_bytes() == content.encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_record_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch):
    Writer(path).append(row(1))
    write = os.write

    def half(descriptor: int, content: bytes) -> int:
        if len(content) < 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content[: len(content) // 2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(
            UnusableInput, match=r"runs\.csv: cannot be written \(No space left on device\): all earlier rows are kept"
        ):
            Writer(path).append(row(2))
    assert path.read_text() == text_of(row(1))
    Writer(path).append(row(2))
    assert path.read_text() == text_of(row(1), row(2))


def test_a_row_that_cannot_be_synced_is_not_kept(path: Path, monkeypatch: pytest.MonkeyPatch):
    Writer(path).append(row(1))

    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(UnusableInput, match="Input/output error"):
            Writer(path).append(row(2))
    assert path.read_text() == text_of(row(1))


def test_a_row_is_whole_even_if_the_system_writes_a_few_bytes_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:7]))
    Writer(path).append(row(1))
    assert path.read_text() == text_of(row(1))


@pytest.mark.parametrize("place", ["a folder", "in no folder", "below a file"])
def test_a_place_that_cannot_be_written_is_named_with_the_cause(tmp_path: Path, place: str):
    (tmp_path / "file").write_text("")
    where, cause = {
        "a folder": (tmp_path, "Is a directory"),
        "in no folder": (tmp_path / "none" / "runs.csv", "No such file or directory"),
        "below a file": (tmp_path / "file" / "runs.csv", "Not a directory"),
    }[place]
    with pytest.raises(UnusableInput) as caught:
        Writer(where).prepare()
    assert str(caught.value).startswith(f"{where}: cannot be written ({cause}): ")


# Torn rows


def test_a_row_torn_at_any_byte_is_set_aside_and_no_other_is_lost(path: Path, caplog: pytest.LogCaptureFixture):
    before = [row(epoch) for epoch in range(1, 7)]
    whole = text_of(*before).encode()
    beside = path.with_name("runs.csv.torn")
    for size in range(len(text_of(*before[:3])), len(whole)):
        path.write_bytes(whole[:size])
        beside.unlink(missing_ok=True)
        caplog.clear()
        torn = whole[:size].rpartition(b"\n")[2]
        kept = whole[:size].count(b"\n") - 1

        Writer(path).append(row(1, seed=2))
        assert path.read_text() == text_of(*before[:kept], row(1, seed=2))
        assert (beside.read_bytes() if beside.exists() else b"") == (torn + b"\n" if torn else b"")
        warnings = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]
        assert warnings == ([f"{path}: the last line was cut off and was moved to {beside}"] if torn else [])


def test_a_header_torn_at_any_byte_is_written_again(path: Path):
    for size in range(1, len(HEADER)):
        path.write_text(HEADER[:size])
        Writer(path).append(row(1))
        assert path.read_text() == text_of(row(1))


def test_torn_rows_are_kept_one_after_the_other(path: Path):
    for number in (1, 2):
        path.write_text(HEADER + f"torn {number}")
        Writer(path).prepare()
    assert path.with_name("runs.csv.torn").read_text() == "torn 1\ntorn 2\n"


def test_a_long_torn_row_is_set_aside_whole(path: Path):
    path.write_text(text_of(row(1)) + "x" * 200_000)
    Writer(path).append(row(2))
    assert path.read_text() == text_of(row(1), row(2))
    assert path.with_name("runs.csv.torn").read_text() == "x" * 200_000 + "\n"


def test_a_torn_row_stays_where_it_is_if_it_cannot_be_set_aside(path: Path):
    content = text_of(row(1)) + "torn"
    path.write_text(content)
    path.with_name("runs.csv.torn").mkdir()
    with pytest.raises(UnusableInput, match="Is a directory"):
        Writer(path).append(row(2))
    assert path.read_text() == content


# Reading a record that others have changed


def test_no_file_is_an_empty_record(path: Path):
    found = record.read(path)
    assert found.rows.empty
    assert found.epochs.empty
    assert found.problems == ()
    assert list(found.rows.columns) == [*COLUMNS, "line"]


@pytest.mark.parametrize("content", [HEADER, text_of(closing(1))], ids=["a header", "a closing row"])
def test_a_record_without_an_epoch_has_columns_like_any_other(path: Path, content: str):
    found = read_text(path, content)
    assert found.problems == ()
    assert found.epochs.empty
    assert dict(found.epochs.dtypes) == dict(read_text(path, text_of(row(1))).epochs.dtypes)


def test_a_folder_cannot_be_read(tmp_path: Path):
    with pytest.raises(UnusableInput, match=r"cannot be read \(Is a directory\): name a CSV file with --runs$"):
        record.read(tmp_path)


def test_an_empty_file_is_a_problem_of_its_own(path: Path):
    found = read_text(path, "")
    assert found.problems == (Problem(1, "the file is empty and has no header", left_out=False),)
    assert found.rows.empty


def test_reading_changes_nothing(path: Path):
    content = "\ufeff" + text_of(row(1), row(1), row(3)).replace("\n", "\r\n") + "torn"
    read_text(path, content)
    assert path.read_bytes() == content.encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_byte_order_mark_is_named_and_ignored(path: Path):
    found = read_text(path, text_of(row(1)), encoding="utf-8-sig")
    assert rows_of(found) == [row(1)]
    assert [(one.line, one.left_out) for one in found.problems] == [(1, False)]
    assert "byte-order mark" in found.problems[0].reason


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_carriage_returns_are_named_once_and_ignored(path: Path, end: str):
    found = read_text(path, text_of(row(1), row(2)).replace("\n", end))
    assert rows_of(found) == [row(1), row(2)]
    assert [(one.line, one.left_out) for one in found.problems] == [(1, False)]
    assert "carriage return" in found.problems[0].reason


def test_one_carriage_return_is_named_where_it_stands(path: Path):
    found = read_text(path, text_of(row(1)) + format_row(row(2)).replace("\n", "\r\n"))
    assert [one.line for one in found.problems] == [3]


@pytest.mark.parametrize("size", [1, len(HEADER) // 2, len(HEADER) - 1])
def test_a_record_with_a_torn_header_has_no_rows(path: Path, size: int):
    found = read_text(path, HEADER[:size])
    assert found.rows.empty
    assert [one.line for one in found.problems] == [1]


def test_a_last_line_without_a_newline_is_left_out(path: Path):
    found = read_text(path, text_of(row(1), row(2))[:-1])
    assert rows_of(found) == [row(1)]
    assert found.problems == (Problem(3, "the last line has no newline at its end: it may be cut off"),)


@pytest.mark.parametrize("column", ["model", "epoch", "recorded_at"])
def test_a_missing_column_is_named(path: Path, column: str):
    columns = [name for name in COLUMNS if name != column]
    found = read_text(path, format_line(columns) + format_row(row(1), columns))
    assert found.rows.empty
    assert found.problems == (Problem(1, f"the header lacks {column}: no line can be read"),)


def test_a_missing_column_that_is_not_required_is_no_problem(path: Path):
    found = read_text(path, format_line(REQUIRED) + format_row(row(1), REQUIRED))
    assert rows_of(found) == [row(1, machine="")]
    assert found.problems == ()


def test_an_extra_column_is_ignored(path: Path):
    columns = (*COLUMNS, "comment")
    found = read_text(path, format_line(columns) + format_row(row(1)).replace("\n", ",by hand\n"))
    assert rows_of(found) == [row(1)]
    assert found.problems == ()


def test_reordered_columns_are_named_and_read_by_their_names(path: Path):
    columns = tuple(reversed(COLUMNS))
    found = read_text(path, format_line(columns) + format_row(row(1), columns))
    assert rows_of(found) == [row(1)]
    assert found.problems == (Problem(1, "the columns are not in the documented order", left_out=False),)


def test_a_column_that_stands_twice_is_named(path: Path):
    columns = (*COLUMNS, "machine")
    found = read_text(path, format_line(columns) + format_row(row(1), columns))
    assert found.problems == (Problem(1, "the header has a column twice", left_out=False),)


def test_a_second_header_is_left_out(path: Path):
    found = read_text(path, text_of(row(1)) + HEADER + format_row(row(2)))
    assert rows_of(found) == [row(1), row(2)]
    assert found.problems == (Problem(3, "the line repeats the header"),)


@given(st.text('a,"\n\x0b\x85\u2028', max_size=30))
def test_only_a_line_feed_ends_a_physical_line(text: str):
    assert list(ledger._physical_lines(text)) == list(io.StringIO(text, newline=""))


def test_an_epoch_that_is_recorded_twice_counts_once(path: Path):
    found = read_text(path, text_of(row(1), row(1, seed=2), row(1, correct=1), row(2), row(1)))
    assert rows_of(found) == [row(1), row(1, seed=2), row(2)]
    contradicts = "epoch 1 of unpadded on cpu, seed 1: contradicts line 2 (on cpu): correct is 1 here and 9801 there"
    assert found.problems == (
        Problem(4, f"{contradicts}; the run counts up to the epoch before"),
        Problem(6, "the same run and epoch as on line 2"),
    )


def test_a_run_counts_up_to_its_earliest_contradiction_whichever_column_and_line_has_it(path: Path):
    found = read_text(path, text_of(*(row(epoch) for epoch in (1, 2, 3)), row(3, correct=1), row(2, test_loss=0.125)))
    assert list(found.contradicted.values()) == [2]
    contradicts = "contradicts line 3 (on cpu): test_loss is 0.125 here and 0.25 there"
    assert found.problems == (
        Problem(5, "the same run and epoch as on line 4"),
        Problem(6, f"epoch 2 of unpadded on cpu, seed 1: {contradicts}; the run counts up to the epoch before"),
    )


def test_an_exact_run_that_two_devices_contradict_keeps_both_lines(path: Path):
    exact = row(1, environment=EXACT.digest)
    rows = [exact, replace(exact, device="cuda", correct=1)]
    found = read_text(path, text_of(*rows))
    assert rows_of(found) == rows
    assert [(one.line, one.left_out) for one in found.problems] == [(3, False)]


def test_the_same_epoch_of_another_run_is_no_duplicate(path: Path):
    rows = [row(1), *(row(1, **{name: "99999999"}) for name in ("recipe", "environment")), row(1, device="cuda")]
    rows += [row(1, seed=2), row(1, model="gap_head")]
    found = read_text(path, text_of(*rows))
    assert rows_of(found) == rows
    assert found.problems == ()


def test_a_run_may_end_badly_more_than_once(path: Path):
    rows = [row(1), closing(2), closing(2), row(2)]
    found = read_text(path, text_of(*rows))
    assert rows_of(found) == rows
    assert found.problems == ()


def test_the_epochs_after_a_missing_one_are_left_out(path: Path):
    found = read_text(path, text_of(row(1), row(2), row(4), row(5), row(1, seed=2), row(2, seed=3)))
    assert rows_of(found) == [row(1), row(2), row(1, seed=2)]
    assert found.problems == (
        Problem(4, "epoch 4 of unpadded seed 1, but its epoch 3 is missing"),
        Problem(7, "epoch 2 of unpadded seed 3, but its epoch 1 is missing"),
    )


def test_an_epoch_that_cannot_be_read_is_missing_for_those_after_it(path: Path):
    found = read_text(path, text_of(row(1), row(2, correct=10_001), row(3)))
    assert rows_of(found) == [row(1)]
    assert [one.line for one in found.problems] == [3, 4]


def test_rows_may_stand_in_any_order(path: Path):
    rows = [row(epoch, seed) for seed in (1, 2, 3) for epoch in range(1, 8)]
    random.Random(1).shuffle(rows)
    found = read_text(path, text_of(*rows))
    assert rows_of(found) == rows
    assert found.problems == ()


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("test_loss", "nan", "test_loss is 'nan', not a number from 0 to 1e+39"),
        ("train_seconds", "-1.5", "train_seconds is '-1.5', not a number from 0 to 3.16224e+07"),
        ("correct", "-3", "correct is '-3', not a whole number from 0 to 999999999"),
        ("correct", "10001", "correct is 10001, more than the total of 10000"),
        ("epoch", "0", "epoch is '0', not a whole number from 1 to 999999999"),
        ("seed", "99999999999999999999", "seed is '99999999999999999999', not a whole number from 0 to 18446744073"),
        ("total", "1000000000", "total is '1000000000', not a whole number from 1 to 999999999"),
        ("test_loss", "05.03.2026", "test_loss is '05.03.2026', not a number"),
        ("recipe", "1.23E+007", "recipe is '1.23E+007', not 8 hex digits"),
        ("recorded_at", "31.01.2026 12:00", "recorded_at is '31.01.2026 12:00', not a UTC time like"),
        ("status", "fine", "status is 'fine', not one of"),
        ("model", "", "model is empty"),
    ],
)
def test_a_bad_value_is_named_by_line_and_reason_and_the_rest_is_read(path: Path, column: str, text: str, reason: str):
    values = format_row(row(1, seed=2)).rstrip("\n").split(",")
    values[COLUMNS.index(column)] = text
    found = read_text(path, text_of(row(1)) + format_line(values) + format_row(row(1, seed=3)))
    assert rows_of(found) == [row(1), row(1, seed=3)]
    ((line, found_reason),) = ((one.line, one.reason) for one in found.problems if one.left_out)
    assert line == 3
    assert found_reason.startswith(reason)


def test_a_network_nobody_knows_is_named(path: Path):
    path.write_text(text_of(row(1), row(1, model="resnet")))
    assert record.read(path).problems == ()
    found = record.read(path, models={"unpadded", "gap_head"})
    assert rows_of(found) == [row(1)]
    assert found.problems == (Problem(3, "the network 'resnet' is not known here"),)


@pytest.mark.parametrize(
    ("line", "fields"), [("\n", 0), ("1,2,3\n", 3), (format_row(row(2)).replace("\n", ",more\n"), 19)]
)
def test_a_line_with_another_number_of_fields_is_named(path: Path, line: str, fields: int):
    found = read_text(path, text_of(row(1)) + line + format_row(row(1, seed=2)))
    assert rows_of(found) == [row(1), row(1, seed=2)]
    assert found.problems == (Problem(3, f"the line has {fields} fields, but the header has 18"),)


def test_a_note_may_have_commas_quotes_and_newlines_and_lines_are_numbered_as_in_the_file(path: Path):
    by_hand = format_row(closing(2)).replace(",why,", ',"why, said ""he"",\nand when\n\n",')
    found = read_text(path, text_of(row(1)) + by_hand + format_row(row(2)) + "bad\n" + format_row(row(1, seed=2)))
    assert list(found.rows["note"]) == ["", 'why, said "he",\nand when\n\n', "", ""]
    assert list(found.rows["line"]) == [2, 3, 7, 9]
    assert found.problems == (Problem(8, "the line has 1 field, but the header has 18"),)


def test_a_note_as_the_writer_has_it_stays_on_one_line(path: Path):
    Writer(path).append(closing(1, note="killed,\nor so it seems\x00"))
    assert len(path.read_bytes().split(b"\n")) == 3
    assert list(record.read(path).rows["note"]) == ["killed, or so it seems"]


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\0\0", b"x" * 200_000 + b"\n1,2\n"], ids=["png", "long"])
def test_a_file_of_another_kind_has_no_usable_line(path: Path, content: bytes):
    path.write_bytes(content)
    found = record.read(path)
    assert found.rows.empty
    assert any(one.reason.startswith("the header lacks model, recipe, ") for one in found.problems)


def test_a_quote_that_is_never_closed_is_named_by_its_line(path: Path):
    rows = [row(1), closing(2, note="OPEN"), row(2)]
    found = read_text(path, text_of(*rows).replace("OPEN", '"why'))
    assert rows_of(found) == [row(1)]
    assert [one.line for one in found.problems] == [3]


@pytest.mark.parametrize("garbage", [b"\x00" * 40, b"\xff\xfe\xfd", b"\x89PNG\x0d\x0a\x1a", b'"' * 7])
def test_bytes_that_are_no_text_spoil_only_their_own_line(path: Path, garbage: bytes):
    path.write_bytes(text_of(row(1)).encode() + garbage.replace(b"\n", b"") + b"\n" + format_row(row(2)).encode())
    found = record.read(path)
    assert rows_of(found)[0] == row(1)
    assert 3 in [one.line for one in found.problems]
    if garbage.count(b'"') % 2 == 0:
        assert rows_of(found) == [row(1), row(2)]


def test_every_reason_is_one_line(path: Path):
    values = format_row(row(1)).rstrip("\n").split(",")
    values[COLUMNS.index("device")] = "a\nb\x1b[31m"
    path.write_text(HEADER + format_line(values))
    found = record.read(path, models={"unpadded"})
    assert [one.reason.isprintable() for one in found.problems] == [True]


def test_a_record_with_every_fault_at_once_still_gives_the_rest(path: Path):
    text = text_of(row(1), row(1), closing(2)) + "bad\n" + HEADER + format_row(row(4)) + format_row(row(2))
    found = read_text(path, "\ufeff" + text.replace("\n", "\r\n") + "torn", encoding="utf-8")
    assert rows_of(found) == [row(1), closing(2), row(2)]
    assert [one.line for one in found.problems] == sorted(one.line for one in found.problems)
    assert {one.line for one in found.problems if one.left_out} == {3, 5, 6, 7, 9}


@pytest.mark.slow
def test_a_hundred_thousand_rows_are_read_in_seconds(path: Path):
    lines = [format_row(row(epoch, seed=77_777)) for epoch in range(1, 21)]
    text = HEADER + "".join(line.replace("77777", str(seed)) for seed in range(MANY // 20) for line in lines)
    path.write_text(text)
    started = time.process_time()
    found = record.read(path)
    seconds = time.process_time() - started
    assert len(found.rows) == MANY
    assert found.problems == ()
    assert list(found.rows["line"]) == list(range(2, MANY + 2))
    assert seconds < 20, seconds


# Several processes

APPENDING = """
import os, sys
sys.path.insert(0, {helpers!r})
from pathlib import Path
from bench.record.record import Writer
from sample_rows import row
os.write(1, b"ready\\n")
sys.stdin.read()
for epoch in range(1, {rows} + 1):
    Writer(Path({path!r})).append(row(epoch, seed=int(sys.argv[1])))
    os.write(1, b"%d\\n" % epoch)
"""


@pytest.mark.slow
def test_ten_processes_append_while_half_of_them_are_killed(path: Path):
    rows, processes = 200, 10
    seed = 20260131
    chance = random.Random(seed)
    helpers = str(Path(sample_rows.__file__).parent)
    program = APPENDING.format(helpers=helpers, rows=rows, path=str(path))
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        for number in range(processes)
    ]
    kill_after = [chance.randrange(1, rows) if number % 2 else None for number in range(processes)]

    def follow(number: int) -> list[int]:
        child = children[number]
        acknowledged = []
        with child.stdout as stdout:
            for line in stdout:
                acknowledged.append(int(line))
                if len(acknowledged) == kill_after[number]:
                    child.kill()
        return acknowledged

    try:
        for child in children:
            assert child.stdout.readline() == b"ready\n"
        for child in children:
            child.stdin.close()
        with ThreadPoolExecutor(processes) as pool:
            acknowledged = list(pool.map(follow, range(processes)))
        codes = [child.wait(60) for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert codes == [-signal.SIGKILL if number % 2 else 0 for number in range(processes)], seed

    Writer(path).append(row(1, seed=processes))  # this sets aside a row that a killed process left torn
    found = record.read(path)
    assert found.problems == (), seed
    assert path.read_text().count(HEADER) == 1
    for number in range(processes):
        recorded = list(found.rows.loc[found.rows["seed"] == number, "epoch"])
        assert recorded == list(range(1, len(recorded) + 1)), seed
        assert len(acknowledged[number]) <= len(recorded) <= len(acknowledged[number]) + 1, seed
    assert all(len(acknowledged[number]) == rows for number in range(0, processes, 2)), seed


HOLDING = """
import sys
from pathlib import Path
from bench.record import record
with record.exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(path: Path):
    """Another process that holds the lock of the record."""
    command = [sys.executable, "-c", HOLDING, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "held\n"
        yield child
        child.kill()


def test_the_error_names_the_process_that_holds_the_record(path: Path, holder: subprocess.Popen[str]):
    with pytest.raises(UnusableInput) as caught, record.exclusive(path):
        pytest.fail("two hold it")
    message = str(caught.value)
    assert message.startswith(f"{path}: process {holder.pid} on {socket.gethostname()} is training into it: wait for")
    assert "--runs" in message


def test_the_lock_of_a_record_does_not_cover_another_record(path: Path, holder: subprocess.Popen[str]):
    with record.exclusive(path.with_name("others.csv")):
        pass


def test_the_death_of_a_job_releases_its_lock(path: Path, holder: subprocess.Popen[str]):
    holder.kill()
    holder.wait()
    with record.exclusive(path):
        pass


def test_the_next_job_may_begin_as_soon_as_one_has_ended(path: Path, holder: subprocess.Popen[str]):
    holder.stdin.close()
    assert holder.wait(30) == 0
    for _ in range(2):
        with record.exclusive(path):
            pass


def test_a_job_that_fails_releases_the_lock(path: Path):
    with pytest.raises(RuntimeError), record.exclusive(path):
        raise RuntimeError
    with record.exclusive(path):
        pass


def test_a_record_can_be_read_while_a_job_holds_it(path: Path, holder: subprocess.Popen[str]):
    path.write_text(text_of(row(1)))
    assert rows_of(record.read(path)) == [row(1)]


def test_a_record_where_nothing_can_be_written_cannot_be_held(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableInput, match=r"cannot be written \(Not a directory\).*--runs"):  # noqa: SIM117
        with record.exclusive(tmp_path / "file" / "runs.csv"):
            pytest.fail("held nevertheless")


def test_holding_a_record_leaves_nothing_but_its_state_folder(path: Path):
    with record.exclusive(path):
        pass
    assert list(path.parent.iterdir()) == [record.state_folder(path)]
    assert record.state_folder(path) == path.parent / ".runs.csv.state"


@pytest.mark.parametrize("deleted", [False, True])
def test_a_file_replaced_or_deleted_before_it_is_locked_still_gets_the_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deleted: bool
):
    path = tmp_path / "runs.csv"
    writer = Writer(path)
    writer.append(row())
    lock, calls = fcntl.flock, []

    def late(descriptor: int, operation: int) -> None:
        if not calls:
            content = path.read_bytes()
            path.unlink()
            if not deleted:
                path.write_bytes(content)
        calls.append(descriptor)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    writer.append(row(epoch=2))
    assert len(calls) == 2
    assert path.read_text() == text_of(row(), row(epoch=2))
