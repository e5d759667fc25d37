"""Tests of `rows`: a row survives the way to text and back, and each column accepts only valid values."""

from __future__ import annotations

import csv
import dataclasses
import io
import string
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.record.rows import (
    BOUNDS,
    COLUMNS,
    DEVICES,
    EPOCH,
    EPOCH_KEY,
    LONGEST,
    LOSS,
    REPRODUCIBLE,
    REQUIRED,
    SECONDS,
    SEED,
    STATUSES,
    Malformed,
    Row,
    format_row,
    parse_row,
)

ROW = Row(
    model="unpadded",
    recipe="0123abcd",
    device="cpu",
    environment="89ef4567",
    seed=3,
    epoch=2,
    correct=9875,
    total=10_000,
    test_loss=0.0375,
    train_loss=0.125,
    train_seconds=21.5,
    eval_seconds=1.25,
    status="ok",
    note="",
    recorded_at="2026-01-31T12:00:00Z",
    machine="a processor; PyTorch 2.6; Linux x86_64",
    smallest_variance=1e-05,
    correct_batch_statistics=9870,
)
TEXT = {
    "model": "unpadded",
    "recipe": "0123abcd",
    "device": "cpu",
    "environment": "89ef4567",
    "seed": "3",
    "epoch": "2",
    "correct": "9875",
    "total": "10000",
    "test_loss": "0.0375",
    "train_loss": "0.125",
    "train_seconds": "21.5",
    "eval_seconds": "1.25",
    "status": "ok",
    "note": "",
    "recorded_at": "2026-01-31T12:00:00Z",
    "machine": "a processor; PyTorch 2.6; Linux x86_64",
    "smallest_variance": "1e-05",
    "correct_batch_statistics": "9870",
}
COUNTS = ("correct", "total")
MEASURED = ("test_loss", "train_loss", "train_seconds", "eval_seconds")
BAD_NUMBERS = ("nan", "NaN", "inf", "-inf", "-0.5", "1,5", "0x10", "12.03.2026", "#NUM!", " ", "1e999")
BAD_INTEGERS = ("-1", "1.0", "1e3", "+1", " 1", "1 ", "1_000", "one", "٣", "NaN", "2026-01-03", "1" * 5000)


def parse(**changes: str) -> Row:
    return parse_row({**TEXT, **changes})


def read_back(line: str) -> dict[str, str]:
    (values,) = csv.reader(io.StringIO(line, newline=""))
    return dict(zip(COLUMNS, values, strict=True))


def test_a_row_is_written_as_documented_and_read_back_the_same():
    assert format_row(ROW) == ",".join(TEXT.values()) + "\n"
    assert parse_row(TEXT) == ROW


def test_the_documented_columns_come_first_in_the_documented_order():
    documented = (
        "model recipe device environment seed epoch correct total test_loss train_loss train_seconds eval_seconds "
        "status note recorded_at"
    )
    assert documented.split() == list(REQUIRED) == list(COLUMNS[: len(REQUIRED)])


def test_the_reproducible_columns_leave_out_times_and_text():
    assert set(REQUIRED) - {*EPOCH_KEY, *REPRODUCIBLE} == {
        "train_seconds",
        "eval_seconds",
        "status",
        "note",
        "recorded_at",
    }


losses = st.floats(*LOSS)
digests = st.text("0123456789abcdef", min_size=8, max_size=8)
words = st.text(st.sampled_from(string.ascii_letters + string.digits + ",;:\"' äß€→"), max_size=40).map(
    lambda text: " ".join(text.split())
)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    status = draw(st.sampled_from(STATUSES))
    total = draw(st.integers(*BOUNDS["total"]))
    correct = draw(st.integers(0, total))
    measured = [*(draw(losses) for _ in range(2)), *(draw(st.floats(*SECONDS)) for _ in range(2))]
    if status != "ok" and draw(st.booleans()):
        return Row(
            *("net", draw(digests), draw(st.sampled_from(DEVICES)), draw(digests)),
            *(draw(st.integers(*SEED)), draw(st.integers(*EPOCH))),
            *((None,) * 6),
            *(status, draw(words), "2026-01-31T12:00:00.5+00:00", draw(words)),
        )
    return Row(
        *("net", draw(digests), draw(st.sampled_from(DEVICES)), draw(digests)),
        *(draw(st.integers(*SEED)), draw(st.integers(*EPOCH)), correct, total, *measured),
        *(status, draw(words), "2026-01-31T12:00:00Z", draw(words)),
        *(draw(st.none() | losses), draw(st.none() | st.integers(0, total))),
    )


@given(rows())
def test_every_row_reads_back_as_itself(row: Row):
    assert parse_row(read_back(format_row(row))) == row


@given(losses)
def test_a_float_keeps_every_bit(value: float):
    row = dataclasses.replace(ROW, test_loss=value)
    assert parse_row(read_back(format_row(row))).test_loss.hex() == value.hex()


def test_a_float_of_numpy_is_written_like_any_other():
    row = dataclasses.replace(ROW, test_loss=numpy.float64(0.1), train_loss=numpy.float64(2.5e-7))
    assert read_back(format_row(row)) == {**TEXT, "test_loss": "0.1", "train_loss": "2.5e-07"}


@pytest.mark.parametrize(
    ("note", "written"),
    [
        ("killed, or so it seems", "killed, or so it seems"),
        ('it said "no"', 'it said "no"'),
        ("two\nlines", "two lines"),
        ("an\r\nold line end\r", "an old line end"),
        ("bell \a, escape \x1b[31m, null \0", "bell , escape [31m, null"),
        ("a separator \u2028 of lines", "a separator of lines"),
        ("half a pair \udc80", "half a pair"),
        ("größer als 1 → ∞", "größer als 1 → ∞"),
        ("\n", ""),
    ],
)
def test_a_note_is_always_one_line(note: str, written: str):
    line = format_row(dataclasses.replace(ROW, status="error", note=note))
    assert line.count("\n") == 1
    line.encode()
    assert parse_row(read_back(line)).note == written


def test_a_newline_in_the_note_of_a_foreign_file_is_kept():
    assert parse(status="error", note="two\nlines").note == "two\nlines"


def test_a_row_follows_the_columns_of_the_file_it_is_written_to():
    header = (*REQUIRED, "comment", "smallest_variance")
    line = format_row(ROW, header)
    values = dict(zip(header, line.removesuffix("\n").split(","), strict=True))
    assert values == {**{name: TEXT[name] for name in REQUIRED}, "comment": "", "smallest_variance": "1e-05"}


def test_columns_beyond_the_required_ones_may_be_missing_or_empty():
    nothing: dict[str, Any] = {"machine": "", "smallest_variance": None, "correct_batch_statistics": None}
    expected = dataclasses.replace(ROW, **nothing)
    assert parse_row({name: TEXT[name] for name in REQUIRED}) == expected
    assert parse(machine="", smallest_variance="", correct_batch_statistics="") == expected


def test_an_unknown_column_is_ignored():
    assert parse_row({**TEXT, "comment": "by hand"}) == ROW


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "ok"])
def test_a_closing_row_needs_no_counts_and_no_measurements(status: str):
    row = parse(status=status, note="why", **dict.fromkeys((*COUNTS, *MEASURED), ""))
    assert (row.correct, row.total, row.test_loss, row.train_seconds, row.note) == (None, None, None, None, "why")


@pytest.mark.parametrize("column", [*COUNTS, *MEASURED])
def test_a_finished_epoch_needs_all_of_them(column: str):
    with pytest.raises(Malformed, match=rf"^{column} is '', not "):
        parse(**{column: ""})


@pytest.mark.parametrize("text", BAD_INTEGERS)
@pytest.mark.parametrize("column", ["seed", "epoch", *COUNTS, "correct_batch_statistics"])
def test_counts_are_whole_numbers_from_zero(column: str, text: str):
    with pytest.raises(Malformed, match=rf"^{column} is .*, not a whole number from \d+ to \d+$"):
        parse(**{column: text})


@pytest.mark.parametrize("text", BAD_NUMBERS)
@pytest.mark.parametrize("column", [*MEASURED, "smallest_variance"])
def test_losses_and_seconds_are_finite_numbers_from_zero(column: str, text: str):
    with pytest.raises(Malformed, match=rf"^{column} is .*, not a number from 0 to "):
        parse(**{column: text})


@pytest.mark.parametrize("text", BAD_NUMBERS)
def test_a_closing_row_has_no_bad_number_either(text: str):
    with pytest.raises(Malformed, match="train_loss"):
        parse(status="diverged", train_loss=text)


@pytest.mark.parametrize("text", ["", "0123abc", "0123abcde", "0123ABCD", "0123abcg", "1.23E+05", "00123456.0"])
@pytest.mark.parametrize("column", ["recipe", "environment"])
def test_digests_are_eight_hex_digits(column: str, text: str):
    with pytest.raises(Malformed, match=rf"^{column} is .*, not 8 hex digits$"):
        parse(**{column: text})


@pytest.mark.parametrize("text", ["", "CPU", "gpu", "cpu "])
def test_the_device_is_one_of_three(text: str):
    with pytest.raises(Malformed, match=rf"^device is '{text}', not one of cpu, cuda, mps$"):
        parse(device=text)


@pytest.mark.parametrize("text", ["", "OK", "done", "ok "])
def test_the_status_is_one_of_five(text: str):
    with pytest.raises(Malformed, match=r"^status is .*, not one of ok, diverged, error, timeout, interrupted$"):
        parse(status=text)


@pytest.mark.parametrize(
    "text", ["", "31.01.2026 12:00", "1/31/26 12:00", "46053.5", "2026-01-31T12:00:00", "2026-01-31T12:00:00+01:00"]
)
def test_a_time_that_a_spreadsheet_has_rewritten_is_refused(text: str):
    with pytest.raises(Malformed, match=r"^recorded_at is .*, not a UTC time like"):
        parse(recorded_at=text)


def test_a_network_has_a_name():
    with pytest.raises(Malformed, match=r"^model is empty$"):
        parse(model="")


NUMBERS = [column for column in COLUMNS if column in BOUNDS]


def test_every_column_with_a_number_has_bounds():
    texts = {"model", "recipe", "device", "environment", "status", "note", "recorded_at", "machine"}
    assert set(NUMBERS) == set(COLUMNS) - texts


@pytest.mark.parametrize("column", NUMBERS)
def test_a_number_at_a_bound_is_valid_and_beyond_it_is_not(column: str):
    others = {"correct": "0", "correct_batch_statistics": "0", "total": "999999999"}
    low, high = BOUNDS[column]
    for bound in (low, high):
        assert getattr(parse(**{**others, column: repr(bound)}), column) == bound
    for value in [low - 1, *([high + 1, 10**30] if isinstance(high, int) else [high * (1 + 1e-15), 1e308])]:
        with pytest.raises(Malformed, match=rf"^{column} is '.+', not a (whole )?number from {low:g} to "):
            parse(**{**others, column: repr(value)})


def test_a_loss_in_single_precision_is_always_within_the_bounds():
    largest = float(numpy.finfo(numpy.float32).max)
    assert parse(test_loss=repr(largest)).test_loss == largest


@pytest.mark.parametrize("text", ["1970-01-01T00:00:00Z", "2199-12-31T23:59:59Z", "2026-01-31T12:00:00.123456+00:00"])
def test_a_time_within_the_bounds_is_kept_as_it_is(text: str):
    assert parse(recorded_at=text).recorded_at == text


@pytest.mark.parametrize("text", ["9999-99-99T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-31T24:00:01Z"])
def test_a_day_or_an_hour_that_does_not_exist_is_refused(text: str):
    with pytest.raises(Malformed, match=rf"^recorded_at is '{text}', not a time in the years 1970 to 2199$"):
        parse(recorded_at=text)


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "0000-01-01T00:00:00Z"])
def test_a_year_far_away_is_refused(text: str):
    with pytest.raises(Malformed, match=rf"^recorded_at is '{text}', not a time in the years 1970 to 2199$"):
        parse(recorded_at=text)


def test_digits_of_other_scripts_are_no_time():
    with pytest.raises(Malformed, match=r"^recorded_at is .*, not a UTC time like"):
        parse(recorded_at="٢٠٢٦-٠١-٣١T١٢:٠٠:٠٠Z")


@pytest.mark.parametrize("column", LONGEST)
def test_a_text_has_a_longest_length_which_writing_keeps(column: str):
    long = "x" * (LONGEST[column] + 1)
    with pytest.raises(Malformed, match=rf"^{column} has 4001 characters, more than 4000$"):
        parse(**{column: long})
    written = read_back(format_row(dataclasses.replace(ROW, **{column: long})))
    assert getattr(parse_row(written), column) == long[:-1]


@pytest.mark.parametrize("column", ["correct", "correct_batch_statistics"])
def test_no_more_images_are_correct_than_there_are(column: str):
    assert getattr(parse(**{column: "10000"}), column) == 10_000
    with pytest.raises(Malformed, match=rf"^{column} is 10001, more than the total of 10000$"):
        parse(**{column: "10001"})


def test_a_reason_quotes_only_the_beginning_of_a_long_value():
    with pytest.raises(Malformed) as caught:
        parse(device="x" * 10_000)
    assert len(str(caught.value)) < 100


def test_a_perfect_and_a_hopeless_score_are_both_possible():
    assert parse(correct="10000").correct == 10_000
    assert parse(correct="0").correct == 0
