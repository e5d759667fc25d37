"""Tests of `pooled`: the numbers of one group, for complete, unfinished and diverged runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic

from bench.evidence.results import Group, Series
from bench.evidence.summary import summarise
from bench.evidence.summary.pooled import GroupSummary, final_mean, required, summarise_group
from bench.network import structure_facts
from bench.network.specification import Target
from bench.record.environments import EXACT
from models import ARCHITECTURES

BUDGET = 6


def run(seed: int, correct: list[int], ending: str = "") -> Series:
    nothing = (None,) * len(correct)
    return Series(seed, 10_000, tuple(correct), nothing, nothing, ending)


def summary(*runs: Series) -> GroupSummary:
    group = Group("unpadded", "0a1b2c3d", ("cpu",), "11112222", ("a machine",), BUDGET, True, runs)
    return summarise_group(group, "cpu", 0, ARCHITECTURES["unpadded"], None)


@pytest.mark.parametrize(
    ("target", "total", "fewest"),
    [(Target(9940), 10_000, 9940), (Target(9940), 5000, 4970), (Target(9940), 300, 299), (Target(1, 3), 10, 4)],
)
def test_the_target_in_another_number_of_images_is_rounded_up(target: Target, total: int, fewest: int) -> None:
    assert required(target, total) == fewest


def test_the_final_mean_is_that_of_the_last_five_epochs_of_a_complete_run() -> None:
    assert final_mean([9000, 9931, 9932, 9933, 9934, 9935], 6) == 9933
    assert final_mean([9931, 9932, 9933, 9934, 9935], 6) is None
    assert final_mean([9931, 9932, 9933, 9934], 4) is None


def test_a_complete_run_has_its_first_best_and_last_epoch_within_the_budget() -> None:
    (seed,) = summary(run(1, [9900, 9941, 9939, 9945, 9945, 9938, 9999])).seeds
    assert (seed.done, seed.first, seed.best, seed.best_epoch, seed.last) == (6, 2, 9945, 4, 9938)
    assert seed.is_over


def test_an_unfinished_run_has_no_last_accuracy_and_is_not_over() -> None:
    found = summary(run(1, [9900, 9941], "interrupted"))
    (seed,) = found.seeds
    assert (seed.done, seed.first, seed.last, seed.is_over) == (2, 2, None, False)
    assert (found.done, found.planned, found.last, found.best) == (2, BUDGET, (), (9941,))


def test_a_run_without_an_epoch_has_no_best_one_and_is_open() -> None:
    found = summary(run(1, [], "error: boom"))
    assert (found.best, found.seeds[0].best_epoch) == ((), None)
    assert (found.first.undecided, found.latest.undecided) == (1, 1)


def test_a_diverged_run_has_failed_whatever_it_had_reached() -> None:
    found = summary(run(1, [9900, 9950], "diverged: the loss is nan"))
    (seed,) = found.seeds
    assert (seed.first, seed.best, seed.last, seed.is_over) == (None, 9950, None, True)
    assert (found.first.hits, found.first.undecided, found.latest.hits) == (0, 0, 0)
    assert (found.done, found.planned) == (2, 2)


def test_the_last_epoch_at_the_target_of_an_unfinished_run_is_open() -> None:
    complete = run(1, [9900, 9941, 9900, 9941, 9900, 9900])
    found = summary(complete, run(2, [9900, 9941, 9900]))
    assert (found.first.hits, found.latest.hits) == (2, 1)
    assert found.latest.conditional_mean == 4
    assert (found.latest.share, found.latest.average_runtime) == (found.first.share, None)


def test_an_unfinished_run_says_nothing_of_the_epoch_in_which_it_was_last_at_the_target() -> None:
    """Epoch 2 is the last one at the target for one of the two complete runs, and may be that of the unfinished one."""
    runs = [run(1, [9900, 9941, 9900, 9941, 9900, 9900]), run(2, [9900, 9941, 9900, 9900, 9900, 9900])]
    assert summary(*runs, run(3, [9900, 9941, 9900])).latest.restricted_mean == pytest.approx(3)


def test_the_target_is_reached_lastingly_in_the_first_of_three_epochs_in_a_row() -> None:
    found = summary(run(1, [9940, 9941, 9900, 9940, 9941, 9942]), run(2, [9941, 9941, 9900, 9941, 9941, 9900]))
    assert (found.first.hits, found.sustained.hits, found.sustained.conditional_mean) == (2, 1, 4)
    assert found.first.average_runtime == 1
    assert found.sustained.average_runtime is None


def test_a_collapse_is_described_with_the_best_epoch_before_it() -> None:
    (seed,) = summary(run(1, [9900, 9930, 9800, 9931, 9931, 9931])).seeds
    ((epoch, correct, best_before),) = [(one.epoch, one.correct, one.best_before) for one in seed.collapses]
    assert (epoch, correct, best_before) == (3, 9800, 9930)


def test_a_collapse_has_what_was_recorded_of_its_own_epoch_and_none_is_beyond_the_budget() -> None:
    fallen = Series(1, 10_000, (9900, 9930, 9800, *[9931] * 3, 9000), (*range(1, 8),), (*range(11, 18),))
    (seed,) = summary(fallen).seeds
    assert [(one.epoch, one.smallest_variance, one.with_batch_statistics) for one in seed.collapses] == [(3, 3, 13)]


def test_only_complete_runs_count_as_at_the_target_in_the_last_epoch() -> None:
    runs = [run(1, [9900] * 5 + [9940]), run(2, [9940] * 5 + [9939]), run(3, [9940] * 3)]
    assert (summary(*runs).last, summary(*runs).at_target_last) == ((9940, 9939), 1)


def test_seeds_of_exact_and_of_older_arithmetic_are_judged_apart(tmp_path: Path) -> None:
    """Three successes in each of two environments are six seeds, but no verdict may count six."""
    rows = [
        row
        for environment, seeds in ((synthetic.CPU, (1, 2, 3)), (EXACT.digest, (1, 2, 4)))
        for seed in seeds
        for row in synthetic.run_rows("unpadded", seed, [9945] * 19, environment=environment)
    ]
    record = synthetic.record(tmp_path, rows)
    network = summarise(record, synthetic.architectures("unpadded"), structure_facts.load()).networks[0]
    assert {group.label for group in network.groups} == {f"cpu {synthetic.CPU}", "cpu exact"}
    for group in network.groups:
        (reached,) = (one for one in group.verdicts if one.claim.kind == "reaches_target")
        assert (reached.outcome, reached.further) == ("cannot be decided yet", 2)
        assert reached.evidence.startswith("3 of 3 seeds")
