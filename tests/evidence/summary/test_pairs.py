"""Tests of `pairs`: a paired test uses the seeds that both sides have finished."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic

from bench.evidence.summary import summarise
from bench.network import structure_facts


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
