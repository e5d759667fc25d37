"""Tests of `differences`: it says what differs between a run and its record, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
import synthetic

from bench.jobs import differences
from bench.training.loop import Epoch


@pytest.mark.parametrize(
    ("recorded", "trained", "is_rounded"),
    [
        (0.0312, 0.03119384756612, True),
        (0.03119385, 0.03119384756612, True),
        (3.1e-05, 3.119384756612e-05, True),
        (0.0312, 0.03113, False),
        (0.0313, 0.03119384756612, False),
        (0.1234567890123456, 0.12345678901234561, False),  # the neighbouring float
        (0.03119384756612, 0.0312, False),
        (9900, 9901, False),
    ],
)
def test_a_recorded_value_that_a_spreadsheet_has_rounded_looks_so(recorded, trained, is_rounded):
    assert differences.looks_rounded(recorded, trained) is is_rounded


@pytest.mark.parametrize(
    ("column", "recorded", "shown"),
    [
        ("correct", 9899, "9899"),
        ("total", 9999, "9999"),
        ("test_loss", 0.25, "0.25"),
        ("test_loss", 0.5 + 2**-52, "0.5000000000000002"),
        ("train_loss", 0.25, "0.25"),
    ],
)
def test_a_difference_has_both_values_as_plain_numbers(tmp_path, column, recorded, shown):
    first = synthetic.run_rows("unpadded", 1, [9900])[0]
    before = {"correct": 9900, "test_loss": 0.5, column: recorded}
    epochs = synthetic.record(tmp_path, [replace(first, **before), *synthetic.run_rows("unpadded", 2, [9900])]).epochs
    now = Epoch(1, 9900, 10_000, 0.5, first.train_loss, 1.0, 1.0, None, None)
    assert differences.first(epochs.query("seed == 1"), [now]).startswith(
        f"epoch 1 differs in {column}: recorded {shown}, trained again {getattr(now, column)}"
    )


def test_equal_epochs_differ_in_nothing_and_a_missing_one_is_named(tmp_path):
    recorded = synthetic.record(tmp_path, synthetic.run_rows("unpadded", 1, [9900, 9910])).epochs
    now = [Epoch(epoch, correct, 10_000, 0.02, 0.03, 1.0, 1.0, None, None) for epoch, correct in ((1, 9900), (2, 9910))]
    assert differences.first(recorded, now) == ""
    assert differences.first(recorded, now[:1]) == "epoch 2 is recorded but was not trained again"


@pytest.mark.parametrize(("recorded", "is_rounded"), [(0.0312, True), (0.0313, False)])
def test_only_a_value_that_may_be_rounded_is_said_to_look_so(tmp_path, recorded, is_rounded):
    row = replace(synthetic.run_rows("unpadded", 1, [9900])[0], test_loss=recorded)
    now = Epoch(1, 9900, 10_000, 0.03119384756612, 0.03, 1.0, 1.0, None, None)
    said = differences.first(synthetic.record(tmp_path, [row]).epochs, [now])
    assert said.endswith("; the recorded value looks rounded") is is_rounded


def test_every_detail_that_differs_between_two_environments_is_named_with_both_values():
    before, now = {"blas": "mkl", "threads": "1", "old": "a"}, {"blas": "openblas", "threads": "1", "new": "b"}
    changed = "blas was mkl, is now openblas, new was unset, is now b, old was a, is now unset"
    assert differences.of_environments(before, now) == f"the environments differ: {changed}"
