"""Tests of `compare` and `findings`: which differences of two records are changes, and which runs are compared."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from comparisons import EARLY, HIGH, LATE, LOW, Files, hit_at, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import CPU, GPU, run_rows, with_recipe

from bench.errors import UnusableInput
from bench.evidence.comparison.compare import compare
from bench.evidence.comparison.findings import Comparison, Pair
from bench.network.specification import Target
from bench.record.environments import EXACT
from bench.record.rows import Row
from bench.report.comparison_text import format_comparison
from models import ARCHITECTURES

THIRD = "55556666"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("records"))


def findings(comparison: Comparison) -> dict[str, list[str]]:
    return {str(pair): [change.finding for change in pair.changes] for pair in comparison.pairs}


def only(comparison: Comparison) -> Pair:
    (pair,) = comparison.pairs
    return pair


@pytest.mark.parametrize(
    ("old", "new", "finding"), [(EARLY, LATE, "slower"), (LATE, EARLY, "faster"), (EARLY, [None] * 5, "slower")]
)
def test_slower_and_faster_to_the_target_are_changes_alike(
    files: Files, old: list[int | None], new: list[int | None], finding: str
) -> None:
    found = files.compare(rows("unpadded", old), rows("unpadded", new, GPU))
    assert findings(found) == {"unpadded on cpu": [finding, "all equal"]}
    assert found.exit_code == 1
    assert format_comparison(found)[-1] == f"Convergence changed: epochs to target of unpadded on cpu {finding}."


@pytest.mark.parametrize("longest", [0, 1, 3])
def test_a_network_whose_runs_all_diverge_is_slower_and_lower_however_early_they_do(files: Files, longest: int) -> None:
    failed = [
        row
        for seed in range(1, 6)
        for row in run_rows(
            "unpadded", seed, [9800] * min(longest, seed), ending=("diverged", "the loss is nan"), environment=GPU
        )
    ]
    found = files.compare(rows("unpadded", EARLY), failed)
    assert findings(found) == {"unpadded on cpu": ["slower", "lower"]}
    assert (only(found).epochs, only(found).old.seeds, only(found).new.diverged) == (19, 5, 5)
    assert found.exit_code == 1
    assert not any("no finished run" in note for note in found.notes)


def test_a_run_that_diverged_late_does_not_leave_out_the_runs_that_stopped_before(files: Files) -> None:
    stopped = [row for seed in (2, 3, 4, 5) for row in run_rows("unpadded", seed, [9900] * 5, environment=GPU)]
    diverged = run_rows("unpadded", 1, [9900] * 9, ending=("diverged", "the loss is nan"), environment=GPU)
    found = only(files.compare(rows("unpadded", EARLY), [*diverged, *stopped]))
    assert (found.epochs, found.new.seeds, found.new.unfinished) == (5, 5, 0)


@pytest.mark.parametrize(("old", "new", "finding"), [(LOW, HIGH, "higher"), (HIGH, LOW, "lower")])
def test_lower_and_higher_in_the_end_are_changes_alike(
    files: Files, old: list[int], new: list[int], finding: str
) -> None:
    found = files.compare(rows("unpadded", EARLY, last=old), rows("unpadded", EARLY, GPU, last=new))
    assert findings(found) == {"unpadded on cpu": ["no evidence", finding]}
    assert found.exit_code == 1


def test_equal_runs_are_no_evidence_of_a_change(files: Files) -> None:
    runs = {"last": HIGH, "times": EARLY}
    found = files.compare(rows("unpadded", **runs), rows("unpadded", environment=GPU, **runs))  # type: ignore[arg-type]
    assert findings(found) == {"unpadded on cpu": ["no evidence", "no evidence"]}
    assert [change.test.p_value for change in found.changes] == [1, 1]
    assert found.exit_code == 0
    assert format_comparison(found)[-1] == "No evidence that convergence changed, in 2 tests."


@pytest.mark.slow
@given(
    st.lists(st.one_of(st.none(), st.integers(1, 19)), min_size=2, max_size=5),
    st.lists(st.one_of(st.none(), st.integers(1, 19)), min_size=2, max_size=5),
)
@settings(max_examples=25, deadline=None)
def test_p_values_are_those_of_an_exact_test_where_never_counts_as_the_budget(
    files: Files, old: list[int | None], new: list[int | None]
) -> None:
    change = only(files.compare(rows("unpadded", old), rows("unpadded", new, GPU))).changes[0]
    one, other = ([19 if time is None else time for time in times] for times in (new, old))

    expected = scipy.stats.permutation_test((one, other), lambda x, y: np.mean(x) - np.mean(y))
    assert change.test.exact
    assert change.test.p_value == pytest.approx(expected.pvalue)
    assert change.new_mean == pytest.approx(np.mean(one))
    assert change.old_mean == pytest.approx(np.mean(other))
    assert change.test.difference == pytest.approx(change.new_mean - change.old_mean)


def test_old_and_new_in_each_others_place_give_the_opposite_finding(files: Files) -> None:
    one, other = rows("unpadded", EARLY, last=LOW), rows("unpadded", [9, 9, 10, 12, None, 7], GPU, last=[*HIGH, 9940])
    forward, backward = files.compare(one, other), files.compare(other, one)
    assert findings(forward) == {"unpadded on cpu": ["slower", "higher"]}
    assert findings(backward) == {"unpadded on cpu": ["faster", "lower"]}
    assert [change.adjusted for change in forward.changes] == [change.adjusted for change in backward.changes]


def test_holm_counts_every_test_that_could_be_significant(files: Files) -> None:
    models = ("squeeze_fc", "expand_squeeze", "unpadded")
    old = [row for model in models for row in rows(model, EARLY)]
    new = [*rows("squeeze_fc", LATE, GPU), *rows("expand_squeeze", EARLY, GPU), *rows("unpadded", EARLY, GPU)]
    found = files.compare(old, new)
    smallest = 2 / math.comb(10, 5)
    assert found.tests == 3  # the last accuracies are all equal
    assert [change.adjusted for change in found.changes] == [pytest.approx(3 * smallest), None, 1, None, 1, None]
    assert findings(found)["squeeze_fc on cpu"] == ["slower", "all equal"]
    assert found.smallest_adjusted == pytest.approx(3 * smallest)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (2, 6), (3, 3)])
def test_too_few_seeds_for_any_p_value_below_the_level(files: Files, n: int, m: int) -> None:
    found = files.compare(rows("unpadded", range(1, n + 1)), rows("unpadded", range(11, 11 + m), GPU))
    assert findings(found) == {"unpadded on cpu": ["too few seeds", "too few seeds"]}
    assert (found.tests, found.smallest_adjusted, found.exit_code) == (0, 1, 0)
    assert "Use at least 4 seeds on each side for 1 test." in format_comparison(found)[-1]


def test_unequal_numbers_of_seeds_are_compared(files: Files) -> None:
    found = files.compare(rows("unpadded", [3, 4, 5]), rows("unpadded", LATE, GPU))
    assert only(found).changes[0].test.p_value == pytest.approx(2 / math.comb(8, 3))
    assert findings(found)["unpadded on cpu"][0] == "slower"
    assert "3, 5" in "\n".join(format_comparison(found))


def test_ties_that_leave_no_room_are_not_evidence(files: Files) -> None:
    found = files.compare(rows("unpadded", [5] * 5), rows("unpadded", [5] * 4 + [6], GPU))
    assert findings(found) == {"unpadded on cpu": ["too many ties", "all equal"]}
    assert only(found).changes[0].adjusted is None


def test_a_network_with_its_own_target_is_compared_at_it(files: Files) -> None:
    own = {"unpadded": with_recipe(ARCHITECTURES["unpadded"], target=Target(9930))}
    never = [None] * 5
    old = files.record("old", rows("unpadded", never, last=LOW))
    new = files.record("new", rows("unpadded", never, GPU, last=HIGH))
    pair = only(compare(old, new, own))
    assert (pair.old.times, pair.new.times) == ((None,) * 5, (19,) * 5)


# Environments, recipes and networks that only one record has.


def test_two_environments_in_one_file_are_compared_one_by_one(files: Files) -> None:
    new = [*rows("unpadded", LATE, GPU), *rows("unpadded", EARLY, THIRD)]
    found = files.compare(rows("unpadded", EARLY), new)
    assert [(pair.old.environment, pair.new.environment, pair.new.seeds) for pair in found.pairs] == [
        (CPU, GPU, 5),
        (CPU, THIRD, 5),
    ]
    assert [pair.changes[0].finding for pair in found.pairs] == ["slower", "no evidence"]
    (note,) = found.notes
    assert f"2 environments in {found.new}, not pooled: {GPU}, {THIRD}" in note
    assert f"Environment {GPU}: Made-up GPU; PyTorch 9.9.9; Linux x86_64" in format_comparison(found)
    assert f"Environment {THIRD}: not described" in format_comparison(found)


def test_runs_that_both_records_have_are_not_compared_with_themselves(files: Files) -> None:
    old = [*rows("unpadded", EARLY), *rows("unpadded", EARLY, THIRD)]
    found = files.compare(old, [*old, *rows("unpadded", LATE, GPU)])
    assert [(pair.old.environment, pair.new.environment) for pair in found.pairs] == [(CPU, GPU), (THIRD, GPU)]


def test_a_record_without_a_new_environment_is_compared_with_its_equal(files: Files) -> None:
    old = [*rows("unpadded", EARLY), *rows("unpadded", EARLY, GPU)]
    found = files.compare(old, [*rows("unpadded", LATE), *rows("unpadded", EARLY, GPU)])
    assert [(pair.old.environment, pair.new.environment) for pair in found.pairs] == [(CPU, CPU), (GPU, GPU)]
    assert [pair.changes[0].finding for pair in found.pairs] == ["slower", "no evidence"]
    assert sum("both records have the same environment" in note for note in found.notes) == 2


def test_devices_are_never_compared_with_each_other(files: Files) -> None:
    old = [*rows("unpadded", EARLY), *rows("unpadded", LATE, GPU, device="cuda")]
    found = files.compare(old, [*rows("unpadded", EARLY, THIRD), *rows("unpadded", LATE, THIRD, device="cuda")])
    assert findings(found) == {
        "unpadded on cpu": ["no evidence", "all equal"],
        "unpadded on cuda": ["no evidence", "all equal"],
    }


def test_exact_runs_of_several_devices_are_compared_once_and_each_seed_counts_once(files: Files) -> None:
    exact = rows("unpadded", EARLY, EXACT.digest)
    on_a_gpu = rows("unpadded", EARLY, EXACT.digest, device="cuda")
    pair = only(files.compare([*exact, *on_a_gpu], [*on_a_gpu, *exact]))
    assert (pair.old.seeds, pair.new.seeds) == (5, 5)
    found = files.compare(exact, [*exact, *on_a_gpu])
    assert only(found).new.seeds == 5
    assert not any("only in" in note for note in found.notes)


def test_runs_of_a_recipe_that_the_network_no_longer_has_are_not_compared(files: Files) -> None:
    """Nobody knows their target and their number of epochs, even if both records have such runs."""
    other = "ffffffff"
    old = [*rows("unpadded", EARLY), *rows("unpadded", EARLY, recipe=other)]
    found = files.compare(old, [*rows("unpadded", LATE, GPU, recipe=other), *rows("unpadded", EARLY, GPU)])
    assert [(pair.new.seeds, pair.changes[0].finding) for pair in found.pairs] == [(5, "no evidence")]
    assert found.notes == tuple(
        f"unpadded on cpu: recipe {other} in {name} is not the network's recipe now, so it is not compared"
        for name in (found.old, found.new)
    )
    with pytest.raises(UnusableInput, match=f"recipe {other} in .* is not compared") as raised:
        files.compare(rows("unpadded", EARLY), rows("unpadded", LATE, GPU, recipe=other))
    assert f"unpadded on cpu: only in {found.old}" in str(raised.value)


def test_runs_in_which_only_one_kind_varies_are_named_and_not_compared(files: Files) -> None:
    varied = ARCHITECTURES["unpadded"].varied("order").digest
    old = [*rows("unpadded", EARLY), *rows("unpadded", EARLY, recipe=varied)]
    found = files.compare(old, rows("unpadded", LATE, GPU))
    assert [pair.changes[0].finding for pair in found.pairs] == ["slower"]
    reason = "varies only the order of the images, so it is not compared"
    assert found.notes == (f"unpadded on cpu: recipe {varied} in {found.old} {reason}",)


def test_exact_runs_are_compared_whatever_device_trained_them(files: Files) -> None:
    old, new = (rows("unpadded", EARLY, EXACT.digest, device=device) for device in ("cpu", "cuda"))
    found = files.compare(old, new)
    assert (only(found).old.seeds, only(found).new.seeds) == (5, 5)
    assert not any("only in" in note for note in found.notes)


def test_a_network_in_one_record_alone_is_named(files: Files) -> None:
    old = [*rows("unpadded", EARLY), *rows("gap_head", EARLY)]
    found = files.compare(old, [*rows("unpadded", EARLY, GPU), *rows("squeeze_fc", EARLY, GPU)])
    assert [pair.model for pair in found.pairs] == ["unpadded"]
    assert set(found.notes) == {f"gap_head on cpu: only in {found.old}", f"squeeze_fc on cpu: only in {found.new}"}
    assert all(f"Note: {note}." in format_comparison(found) for note in found.notes)


def test_unknown_networks_of_both_records_are_named_in_order(files: Files) -> None:
    strangers = [row for name in "dcbea" for row in run_rows(name, 1, [9000])]
    other = run_rows("stranger", 1, [9000], environment=GPU)
    found = files.compare([*rows("unpadded", EARLY), *strangers], [*rows("unpadded", EARLY, GPU), *other])
    assert found.notes == (
        f"{found.old}: networks not known here are ignored: a, b, c, d, e",
        f"{found.new}: networks not known here are ignored: stranger",
    )


def test_a_recipe_of_before_in_several_environments_is_named_once_for_a_device(files: Files) -> None:
    before = [row for one in (CPU, GPU) for row in rows("unpadded", [None], one, recipe="ffffffff")]
    found = files.compare([*rows("unpadded", EARLY), *before], rows("unpadded", EARLY, GPU))
    reason = "is not the network's recipe now, so it is not compared"
    assert found.notes == (f"unpadded on cpu: recipe ffffffff in {found.old} {reason}",)


def test_the_smallest_possible_adjusted_p_value_is_a_probability_however_many_tests_there_are(files: Files) -> None:
    found = files.compare(rows("unpadded", EARLY, last=LOW), rows("unpadded", LATE, GPU, last=LOW))
    many = replace(found, pairs=found.pairs * 100)
    assert (many.tests, many.smallest_adjusted) == (200, 1)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ([], [], "neither has runs"),
        (rows("unpadded", EARLY), [], "unpadded on cpu: only in .*old"),
        (rows("unpadded", EARLY), rows("gap_head", EARLY, GPU), "gap_head on cpu: only in .*new"),
        (rows("unpadded", EARLY), rows("unpadded", EARLY, GPU, device="cuda"), "unpadded on cuda: only in .*new"),
        (
            rows("unpadded", EARLY),
            run_rows("unpadded", 1, [], environment=GPU, ending=("error", "out of memory")),
            ": [^ ]*/new/[^ ]* has no finished run to compare",
        ),
        (
            run_rows("unpadded", 1, [], ending=("error", "out of memory")),
            run_rows("unpadded", 1, [], environment=GPU, ending=("error", "out of memory")),
            "old.* has no finished run to compare; .*new.* has no finished run to compare",
        ),
    ],
    ids=["no runs", "nothing new", "another network", "another device", "nothing finished", "nothing finished in both"],
)
def test_nothing_to_compare_is_one_line(files: Files, old: list[Row], new: list[Row], reason: str) -> None:
    with pytest.raises(UnusableInput, match=reason) as raised:
        files.compare(old, new)
    assert "nothing to compare" in str(raised.value)
    assert "\n" not in str(raised.value)


# Runs that are not complete.


def test_a_diverged_run_never_arrives_and_has_none_correct(files: Files) -> None:
    diverged = run_rows("unpadded", 9, [9941, 9950], environment=GPU, ending=("diverged", "the loss is not finite"))
    found = files.compare(rows("unpadded", EARLY), [*rows("unpadded", EARLY, GPU), *diverged])
    new = only(found).new
    assert (new.seeds, new.times.count(None), new.diverged, new.unfinished) == (6, 1, 1, 0)
    assert new.last == (9930, 9930, 9930, 9930, 9930, 0)
    assert only(found).changes[0].new_mean == pytest.approx((sum(EARLY) + 19) / 6)
    assert found.notes == (
        f"unpadded on cpu, {GPU}: 1 diverged, counted as never at the target and as 0 correct images",
    )


def test_a_run_that_diverged_after_the_epochs_compared_has_failed_all_the_same(files: Files) -> None:
    short = [row for seed in range(5) for row in run_rows("unpadded", seed, [9941, 9942], environment=GPU)]
    diverged = run_rows("unpadded", 9, [9941, 9950, 9950], environment=GPU, ending=("diverged", "the loss is nan"))
    old = [row for seed in range(5) for row in run_rows("unpadded", seed, [9900, 9941])]
    new = only(files.compare(old, [*short, *diverged])).new
    assert (new.times, new.last, new.diverged) == ((1,) * 5 + (None,), (9942,) * 5 + (0,), 1)


def test_a_run_that_stopped_early_is_left_out_and_named(files: Files) -> None:
    stopped = run_rows("unpadded", 9, [9941, 9950], environment=GPU, ending=("timeout", "too slow"))
    found = files.compare(rows("unpadded", EARLY), [*rows("unpadded", EARLY, GPU), *stopped])
    assert (only(found).new.seeds, only(found).new.unfinished) == (5, 1)
    assert found.notes == (f"unpadded on cpu, {GPU}: 1 stopped before epoch 19, left out",)
    swapped = files.compare([*rows("unpadded", EARLY, GPU), *stopped], rows("unpadded", EARLY))
    assert swapped.notes == found.notes


def test_short_records_are_compared_over_the_epochs_that_both_have(files: Files) -> None:
    short = [row for seed in range(5) for row in run_rows("unpadded", seed, [9900, 9941, 9935], environment=GPU)]
    found = files.compare(rows("unpadded", LATE), short)
    pair = only(found)
    assert (pair.epochs, pair.old.times, pair.new.times) == (3, (None,) * 5, (2,) * 5)
    assert (pair.old.last, pair.new.last) == ((9900,) * 5, (9935,) * 5)
    assert [change.finding for change in pair.changes] == ["faster", "higher"]
    assert found.notes == ("unpadded on cpu: only the first 3 of 19 epochs are in both",)
    shortest = [row for row in short if row.epoch == 1]
    assert files.compare(rows("unpadded", LATE), shortest).notes == (
        "unpadded on cpu: only the first of 19 epochs is in both",
    )


def test_epochs_beyond_the_documented_ones_do_not_count(files: Files) -> None:
    long = [row for seed in range(5) for row in run_rows("unpadded", seed, [*hit_at(None, 19), 9999])]
    found = files.compare(long, [*rows("unpadded", [None] * 5, GPU)])
    assert (only(found).epochs, only(found).old.times.count(None)) == (19, 5)
    assert findings(found) == {"unpadded on cpu": ["all equal", "all equal"]}


@given(st.lists(st.permutations(range(5)), min_size=2, max_size=2))
@settings(max_examples=10, deadline=None)
def test_the_order_of_the_rows_does_not_matter(files: Files, orders: list[list[int]]) -> None:
    old, new = rows("unpadded", EARLY, last=LOW), rows("unpadded", [5, 7, 9, None, 4], GPU, last=HIGH)
    shuffled = [
        [row for i in order for row in side if row.seed == i + 1]
        for order, side in zip(orders, (old, new), strict=True)
    ]
    assert files.compare(*shuffled) == files.compare(old, new)
