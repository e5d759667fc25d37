"""Tests of `images`: missed images and disagreements are the same when counted one by one."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.evidence.summary import Images, summarise
from bench.evidence.summary.images import MOST_MISSED, _agreement, _most_missed
from bench.network import structure_facts
from bench.record import misses
from bench.record.environments import EXACT
from bench.record.misses import Missed
from bench.record.rows import Row

LABELS = [image % 3 for image in range(8)]


def missed(predictions: list[int], seed: int = 1) -> Missed:
    """One run, from its predictions for the eight images."""
    wrong = [(image, LABELS[image], seen) for image, seen in enumerate(predictions) if seen != LABELS[image]]
    return Missed(("a", "00000000", "cpu", "00000000", seed, 3), 8, np.array(wrong, dtype=np.int64).reshape(-1, 3), 2)


runs_of_predictions = st.lists(st.lists(st.integers(0, 3), min_size=8, max_size=8), min_size=1, max_size=6)


@given(runs_of_predictions)
@settings(deadline=None)
def test_agreement_is_what_counting_gives(runs: list[list[int]]) -> None:
    found = _agreement("a", "cpu", [missed(one, seed) for seed, one in enumerate(runs)])
    wrong = [[seen != label for seen, label in zip(run, LABELS, strict=True)] for run in runs]
    assert found.differ == sum(len(set(seen)) > 1 for seen in zip(*runs, strict=True))
    assert found.missed_by_any == sum(any(image) for image in zip(*wrong, strict=True))
    assert found.missed_by_all == sum(all(image) for image in zip(*wrong, strict=True))
    pairs = [sum(a != b for a, b in zip(*pair, strict=True)) for pair in itertools.combinations(runs, 2)]
    assert found.pairwise == (pytest.approx(sum(pairs) / len(pairs)) if pairs else None)
    assert (found.runs, found.total, found.epoch) == (len(runs), 8, 3)


@given(runs_of_predictions)
@settings(deadline=None)
def test_the_most_missed_are_listed_with_what_is_seen_instead(runs: list[list[int]]) -> None:
    listed, as_often = _most_missed([missed(one) for one in runs])
    for one in listed:
        seen = [run[one.image] for run in runs if run[one.image] != LABELS[one.image]]
        assert (one.label, one.missed_by, one.runs) == (LABELS[one.image], len(seen), len(runs))
        assert dict(one.seen_as) == {digit: seen.count(digit) for digit in seen}
        assert [count for _, count in one.seen_as] == sorted((count for _, count in one.seen_as), reverse=True)
    assert [(-one.missed_by, one.image) for one in listed] == sorted((-one.missed_by, one.image) for one in listed)
    assert (as_often, len(listed)) == (0, len({image for run in runs for image, *_ in missed(run).images.tolist()}))


def test_images_missed_as_often_as_the_last_one_listed_are_counted() -> None:
    images = np.array([(image, 0, 1) for image in range(MOST_MISSED + 5)], dtype=np.int64)
    one = Missed(("a", "00000000", "cpu", "00000000", 1, 3), 100, images, 2)
    another = Missed(("a", "00000000", "cpu", "00000000", 2, 3), 100, images[-3:], 3)
    listed, as_often = _most_missed([one, another])
    assert [image.image for image in listed][:4] == [22, 23, 24, 0]
    assert (len(listed), as_often) == (MOST_MISSED, 5)


# From a record


def images_of(folder: Path, rows: list[Row], lines: list[list[str]]) -> Images:
    one = synthetic.record(folder, rows)
    synthetic.write_beside(one.path, lines)
    return summarise(one, synthetic.architectures(), structure_facts.load(), misses.read(one)).images


ROWS = synthetic.full({"unpadded": 9940, "gap_head": 9945}, seeds=(1, 2, 3))


def test_every_group_has_an_agreement_and_all_of_them_one_together(tmp_path: Path) -> None:
    found = images_of(tmp_path, ROWS, synthetic.misses(ROWS))
    assert [(one.model, one.label, one.epoch, one.runs) for one in found.groups] == [
        ("unpadded", "cpu", 19, 3),
        ("gap_head", "cpu", 20, 3),
    ]
    assert (found.together.model, found.together.epoch, found.together.runs, found.without) == ("", None, 6, 0)
    assert found.together.differ >= max(one.differ for one in found.groups)
    assert found.together.missed_by_all <= min(one.missed_by_all for one in found.groups)
    assert len(found.most_missed) == MOST_MISSED


def test_the_order_of_the_rows_changes_nothing(tmp_path: Path) -> None:
    lines = synthetic.misses(ROWS)
    expected = images_of(tmp_path, ROWS, lines)
    random.Random(1).shuffle(lines)
    assert images_of(tmp_path, ROWS, lines) == expected


def test_runs_are_looked_at_after_the_same_epoch(tmp_path: Path) -> None:
    early = [row for row in ROWS if row.model == "unpadded" and row.epoch <= 3]
    late = [row for row in ROWS if row.model == "unpadded"]
    beyond = synthetic.run_rows("unpadded", 4, synthetic.counts(4, 25))
    after_three, after_all = synthetic.misses(early), synthetic.misses(late)
    found = images_of(tmp_path, [*late, *beyond], [*after_three, *after_all[:1], *synthetic.misses(beyond)])
    assert [(one.epoch, one.runs) for one in found.groups] == [(3, 3)]
    found = images_of(tmp_path, late, [*after_three, *after_all[:2]])
    assert [(one.epoch, one.runs) for one in found.groups] == [(19, 2)]
    found = images_of(tmp_path, late, [*after_three[:1], *after_all[:1]])
    assert [(one.epoch, one.runs, one.pairwise) for one in found.groups] == [(19, 1, None)]


def test_complete_runs_without_predictions_are_counted(tmp_path: Path) -> None:
    found = images_of(tmp_path, ROWS, synthetic.misses(ROWS)[:2])
    assert (found.without, found.together.runs) == (4, 2)
    assert images_of(tmp_path, ROWS, []) == Images(without=6)


def test_a_run_that_collapses_in_the_epoch_that_is_looked_at_is_left_out_and_counted(tmp_path: Path) -> None:
    counts = {1: [9900] * 19, 2: [9900] * 18 + [9000], 3: [9900, 9000] + [9900] * 17}
    rows = [row for seed, correct in counts.items() for row in synthetic.run_rows("unpadded", seed, correct)]
    found = images_of(tmp_path, rows, synthetic.misses(rows))
    assert [(one.epoch, one.runs, one.missed_by_any < 1000) for one in found.groups] == [(19, 2, True)]
    assert (found.collapsed, found.without, found.together.runs) == (1, 0, 2)


def test_all_runs_together_are_those_on_the_largest_test_set(tmp_path: Path) -> None:
    rows = [
        replace(row, correct=4950, total=5000) if row.model == "gap_head" else row for row in ROWS if row.epoch <= 2
    ]
    found = images_of(tmp_path, rows, synthetic.misses(rows))
    assert [(one.model, one.runs, one.total) for one in found.groups] == [
        ("unpadded", 3, 10_000),
        ("gap_head", 3, 5000),
    ]
    assert (found.together.runs, found.together.total) == (3, 10_000)


def test_the_images_of_a_contradicted_epoch_do_not_count(tmp_path: Path) -> None:
    here = synthetic.run_rows("unpadded", 1, [9900] * 3, environment=EXACT.digest)
    there = synthetic.run_rows("unpadded", 1, [9900, 9900, 9901], environment=EXACT.digest, device="cuda")
    found = images_of(tmp_path, [*here, *there], [*synthetic.misses(here[:2]), *synthetic.misses(here)])
    assert [(one.epoch, one.runs) for one in found.groups] == [(2, 1)]


def test_runs_of_another_recipe_count_nowhere(tmp_path: Path) -> None:
    other = synthetic.run_rows("unpadded", 1, [9950] * 19, recipe="ffff0000")
    assert images_of(tmp_path, other, synthetic.misses(other)) == Images()


def test_a_complete_run_that_is_looked_at_after_an_earlier_epoch_is_not_missing(tmp_path: Path) -> None:
    early = synthetic.misses([row for row in ROWS if row.epoch <= 3])
    assert images_of(tmp_path, ROWS, early).without == 0
    unpadded = [row for row in ROWS if row.model == "unpadded"]
    last = synthetic.misses([row for row in unpadded if row.seed == 1])
    found = images_of(tmp_path, unpadded, [*early[:2], *last])
    assert ([(one.epoch, one.runs) for one in found.groups], found.without) == ([(3, 2)], 1)
