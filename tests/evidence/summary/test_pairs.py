"""Tests of `pairs`: a paired test uses the seeds that both sides have finished."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import stdev

import pytest
import synthetic

from bench.evidence.summary import summarise
from bench.evidence.summary.pairs import Paired
from bench.network import structure_facts
from models import ARCHITECTURES


def test_a_seed_missing_in_one_network_is_not_paired(tmp_path: Path) -> None:
    rows = [row for row in synthetic.full(seeds=range(1, 6)) if row.model != "unpadded" or row.seed != 4]
    summary = summarise(synthetic.record(tmp_path, rows), synthetic.architectures(), structure_facts.load())
    for test in summary.between_networks:
        assert test.seeds == ((1, 2, 3, 5) if "unpadded" in (test.first, test.second) else (1, 2, 3, 4, 5))


def test_paired_tests_leave_out_an_unfinished_seed_and_count_a_diverged_one_as_never(tmp_path: Path) -> None:
    rows = synthetic.full({"unpadded": 9945, "gap_head": 9945}, seeds=(1, 2))
    rows += synthetic.run_rows("unpadded", 3, [9950] * 5, ending=("diverged", "the loss is nan"))
    rows += synthetic.run_rows("unpadded", 4, [9950] * 5, ending=("error", "boom"))
    rows += synthetic.full({"gap_head": 9945}, seeds=(3, 4))
    summary = summarise(synthetic.record(tmp_path, rows), synthetic.architectures(), structure_facts.load())
    last, first = summary.between_networks
    assert last.seeds == first.seeds == (1, 2, 3)
    counts = {group.group.model: [seed.last or 0 for seed in group.seeds][:3] for group in summary.current}
    times = {group.group.model: [seed.first or 19 for seed in group.seeds][:3] for group in summary.current}
    assert (counts["unpadded"][2], times["unpadded"][2]) == (0, 19)
    assert last.test.difference == pytest.approx((sum(counts["unpadded"]) - sum(counts["gap_head"])) / 3)
    assert first.test.difference == pytest.approx((sum(times["unpadded"]) - sum(times["gap_head"])) / 3)


def test_each_network_is_compared_with_itself_elsewhere_and_with_others_in_the_same_place(tmp_path: Path) -> None:
    rows = [
        row
        for device, environment in (("cpu", synthetic.CPU), ("cuda", synthetic.GPU))
        for row in synthetic.full({"unpadded": 9930, "gap_head": 9945}, (1, 2), device=device, environment=environment)
    ]
    summary = summarise(synthetic.record(tmp_path, rows), synthetic.architectures(), structure_facts.load())
    assert [(one.model, one.label, one.first, one.second, one.measure) for one in summary.between_devices] == [
        (name, "", "cpu", "cuda", measure) for measure in ("last", "first") for name in ("unpadded", "gap_head")
    ]
    assert [(one.model, one.label, one.first, one.second, one.measure) for one in summary.between_networks] == [
        ("", label, "unpadded", "gap_head", measure) for label in ("cpu", "cuda") for measure in ("last", "first")
    ]
    assert {one.test.difference for one in summary.between_devices} == {0}
    assert all(one.test.difference < 0 for one in summary.between_networks if one.measure == "last")


def pair_of_last(folder: Path, unpadded: list[int], gap_head: list[int]) -> Paired:
    """The paired test of the last accuracies of these runs, with the seeds 1, 2, …"""
    rows = [
        row
        for name, several in (("unpadded", unpadded), ("gap_head", gap_head))
        for seed, last in enumerate(several, start=1)
        for row in synthetic.run_rows(name, seed, [9900] * (ARCHITECTURES[name].recipe.epochs - 1) + [last])
    ]
    summary = summarise(synthetic.record(folder, rows), synthetic.architectures(), structure_facts.load())
    last, first = summary.between_networks
    assert first.measure == "first"
    return last


def test_the_deviation_is_that_of_the_differences_and_one_pair_has_none(tmp_path: Path) -> None:
    found = pair_of_last(tmp_path, [9910, 9920, 9930], [9905, 9911, 9921])
    assert found.deviation == pytest.approx(stdev((5, 9, 9)))
    assert (found.test.p_value, found.adjusted, found.smallest) == (0.25, 0.5, 0.5)
    assert pair_of_last(tmp_path, [9910], [9905]).deviation is None


def test_only_the_lowest_of_very_many_seeds_are_paired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["bench.evidence.summary.pairs"], "MOST_SEEDS", 2)
    assert pair_of_last(tmp_path, [9910, 9920, 9930], [9905, 9911, 9921]).seeds == (1, 2)


def test_a_first_epoch_beyond_the_smaller_budget_counts_as_that_budget(tmp_path: Path) -> None:
    rows = synthetic.run_rows("unpadded", 1, [9900] * 19) + synthetic.run_rows("gap_head", 1, [9900] * 19 + [9950])
    rows += synthetic.run_rows("unpadded", 2, [9900] * 19) + synthetic.run_rows("gap_head", 2, [9900] * 18 + [9950] * 2)
    summary = summarise(synthetic.record(tmp_path, rows), synthetic.architectures(), structure_facts.load())
    assert [one.test.difference for one in summary.between_networks if one.measure == "first"] == [0]
