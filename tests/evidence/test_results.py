"""Tests of `results`: rows become runs and groups, the same in whatever order the rows stand."""

from __future__ import annotations

import dataclasses
import itertools
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import synthetic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.evidence.results import Group, Series, groups
from bench.network.specification import VARIED
from bench.record.environments import EXACT
from bench.record.rows import Row
from models import ARCHITECTURES

MIXED: list[Row] = [
    *synthetic.run_rows("gap_head", 7, [9800, 9850, 9900], ending=("error", "boom")),
    *synthetic.run_rows("unpadded", 2, [9700, 9100], batch_statistics={2: 9690}),
    *synthetic.run_rows("unpadded", 1, [9750], device="cuda", environment=synthetic.GPU),
    *synthetic.run_rows("unpadded", 10, [9701]),
    *synthetic.run_rows("unpadded", 1, [9760], environment="00000001", machine=""),
    *synthetic.run_rows("unpadded", 3, [9600], recipe="00000000"),
    *synthetic.run_rows("squeeze_fc", 1, [], ending=("timeout", "")),
    *synthetic.run_rows("nobody", 1, [9000]),
]


def grouped(folder: Path, rows: list[Row]) -> tuple[Group, ...]:
    return groups(synthetic.record(folder, rows), synthetic.architectures())


def only_run(folder: Path, rows: list[Row]) -> Series:
    ((run,),) = (group.runs for group in grouped(folder, rows))
    return run


def test_groups_follow_the_networks_then_recipe_device_and_environment_and_runs_their_seeds(tmp_path: Path) -> None:
    found = grouped(tmp_path, MIXED)
    assert [(one.model, one.recipe, one.device, one.environment, [run.seed for run in one.runs]) for one in found] == [
        ("squeeze_fc", synthetic.RECIPE, "cpu", synthetic.CPU, [1]),
        ("unpadded", synthetic.RECIPE, "cpu", "00000001", [1]),
        ("unpadded", synthetic.RECIPE, "cpu", synthetic.CPU, [2, 10]),
        ("unpadded", synthetic.RECIPE, "cuda", synthetic.GPU, [1]),
        ("unpadded", "00000000", "cpu", synthetic.CPU, [3]),
        ("gap_head", synthetic.RECIPE, "cpu", synthetic.CPU, [7]),
    ]
    assert [one.is_current for one in found] == [True, True, True, True, False, True]
    budgets = [ARCHITECTURES[one.model].recipe.epochs for one in found if one.is_current]
    assert [one.budget for one in found if one.is_current] == budgets
    assert [one.machine for one in found][1:3] == ["", synthetic.MACHINES[synthetic.CPU]]


def test_a_record_without_rows_has_no_groups(tmp_path: Path) -> None:
    assert grouped(tmp_path, []) == ()


def test_groups_of_other_recipes_are_sorted_by_recipe_before_device(tmp_path: Path) -> None:
    rows = [
        *synthetic.run_rows("unpadded", 1, [9700], recipe="bbbbbbbb"),
        *synthetic.run_rows("unpadded", 1, [9700], recipe="aaaaaaaa", device="cuda", environment=synthetic.GPU),
    ]
    assert [(one.recipe, one.device) for one in grouped(tmp_path, rows)] == [("aaaaaaaa", "cuda"), ("bbbbbbbb", "cpu")]


def test_a_group_of_exact_runs_stands_with_those_of_its_first_device(tmp_path: Path) -> None:
    places = {"00000001": "cpu", "ffffffff": "cpu", "00000002": "cuda"}
    rows = [
        *(row for device in ("cuda", "cpu") for row in exact(1, [9700], device)),
        *(
            row
            for one, device in places.items()
            for row in synthetic.run_rows("unpadded", 1, [9700], device=device, environment=one)
        ),
    ]
    found = [one.environment for one in grouped(tmp_path, rows)]
    assert found == ["00000001", EXACT.digest, "ffffffff", "00000002"]


def test_runs_of_another_recipe_are_not_measured_with_the_epochs_of_this_one(tmp_path: Path) -> None:
    """A run of 19 epochs is one of 19 epochs, even if the network is now trained for 10, or for 25."""
    rows = synthetic.run_rows("unpadded", 1, [9900] * 18 + [9957], recipe="00000000", ending=("error", "boom"))
    rows += synthetic.run_rows("unpadded", 2, [9900] * 3, recipe="00000000")
    for epochs in (10, 25):
        recipe = dataclasses.replace(ARCHITECTURES["unpadded"].recipe, epochs=epochs)
        now = {"unpadded": synthetic.with_recipe(ARCHITECTURES["unpadded"], recipe=recipe)}
        (group,) = groups(synthetic.record(tmp_path, rows), now)
        assert (group.is_current, group.budget, group.runs[0].ending) == (False, 19, "error: boom")


def test_runs_in_which_one_kind_varies_are_groups_of_their_own_with_the_epochs_of_the_recipe(tmp_path: Path) -> None:
    architectures = synthetic.architectures("unpadded")
    recipes = {vary: architectures["unpadded"].varied(vary).digest for vary in VARIED}
    rows = [
        *synthetic.run_rows("unpadded", 1, [9900] * 3, recipe="00000000"),
        *(row for one in recipes.values() for row in synthetic.run_rows("unpadded", 1, [9900] * 3, recipe=one)),
        *synthetic.run_rows("unpadded", 1, [9900] * 3),
    ]
    found = groups(synthetic.record(tmp_path, rows), architectures)
    assert [(one.vary, one.recipe) for one in found] == [
        ("", synthetic.RECIPE),
        *recipes.items(),
        ("", "00000000"),
    ]
    assert [one.is_current for one in found] == [True, False, False, False, False]
    assert [(one.budget, len(one.complete)) for one in found] == [(19, 0)] * 4 + [(3, 1)]


def test_a_group_of_exact_runs_names_every_machine_once(tmp_path: Path) -> None:
    machines = ("b", "a", "", "b")
    rows = [
        row
        for seed, machine in enumerate(machines)
        for row in synthetic.run_rows("unpadded", seed, [9700], environment=EXACT.digest, machine=machine)
    ]
    (group,) = grouped(tmp_path, rows)
    assert (group.machines, group.machine) == (("a", "b"), "a or b")
    assert [run.seed for run in group.runs] == [0, 1, 2, 3]


def test_a_run_that_another_machine_has_continued_is_one_run(tmp_path: Path) -> None:
    rows = synthetic.run_rows("unpadded", 1, [9700, 9800], environment=EXACT.digest, machine="a")
    (group,) = grouped(tmp_path, [rows[0], dataclasses.replace(rows[1], machine="b")])
    assert (group.machines, [run.correct for run in group.runs]) == (("a", "b"), [(9700, 9800)])


def test_a_run_has_every_value_of_its_epochs_and_none_for_an_empty_field(tmp_path: Path) -> None:
    rows = synthetic.run_rows("unpadded", 2, [9700, 9100], batch_statistics={2: 9690})
    rows[0] = dataclasses.replace(rows[0], smallest_variance=None)
    assert only_run(tmp_path, rows[::-1]) == Series(
        seed=2,
        total=10_000,
        correct=(9700, 9100),
        smallest_variance=(None, 1e-9),
        correct_batch_statistics=(None, 9690),
        devices=("cpu",),
    )


def test_the_seconds_of_a_group_are_by_device_and_those_of_a_log_are_missing(tmp_path: Path) -> None:
    fast = synthetic.run_rows("unpadded", 1, [9700], environment=EXACT.digest, device="cuda", seconds=1.0)
    slow = synthetic.run_rows("unpadded", 1, [9700] * 3, environment=EXACT.digest, ending=("error", "boom"))
    *slow, stopped = (
        dataclasses.replace(row, train_seconds=seconds)
        for row, seconds in zip(slow, (9.0, 7.0, 8.0, None), strict=True)
    )
    (group,) = grouped(tmp_path, [*fast, *slow, stopped])
    assert [(one.device, len(one.seconds)) for one in group.timings] == [("cpu", 3), ("cuda", 1)]
    on_cpu, on_cuda = group.timings
    assert on_cuda.train_seconds == (fast[0].train_seconds,)
    assert on_cpu.train_seconds == (7, 8, 9)
    assert on_cpu.seconds == pytest.approx((7.6, 8.6, 9.6))
    assert (on_cpu.median_train_seconds, on_cpu.median_seconds) == (8, on_cpu.seconds[1])


def test_a_run_without_an_epoch_is_a_run(tmp_path: Path) -> None:
    run = only_run(tmp_path, synthetic.run_rows("unpadded", 4, [], ending=("timeout", "too slow")))
    assert (run.seed, run.total, run.correct, run.ending) == (4, 0, (), "timeout: too slow")


@pytest.mark.parametrize(("epochs", "ending"), [(18, "error: boom"), (19, ""), (20, "")])
def test_only_a_run_that_is_not_complete_has_ended_badly(tmp_path: Path, epochs: int, ending: str) -> None:
    rows = synthetic.run_rows("unpadded", 1, [9900] * epochs, ending=("error", "boom"))
    (group,) = grouped(tmp_path, rows)
    assert (group.runs[0].ending, len(group.complete)) == (ending, epochs >= 19)


def closing(epoch: int, status: str, note: str, at: str) -> Row:
    """The closing row of a run, without its epochs."""
    row = synthetic.run_rows("unpadded", 1, [9900] * (epoch - 1), ending=(status, note))[-1]
    return dataclasses.replace(row, recorded_at=at)


EARLY, LATE = "2026-01-31T12:00:00Z", "2026-01-31T12:00:01Z"


def test_the_last_ending_counts_and_in_the_same_second_the_one_of_the_later_epoch(tmp_path: Path) -> None:
    endings = [
        closing(9, "timeout", "too slow", EARLY),
        closing(2, "timeout", "a", LATE),
        closing(3, "error", "", LATE),
        closing(3, "interrupted", "", LATE),
    ]
    for first in range(len(endings)):
        assert only_run(tmp_path, [*endings[first:], *endings[:first]]).ending == "interrupted"


def test_of_two_endings_with_other_notes_alone_the_same_one_counts_in_any_order(tmp_path: Path) -> None:
    endings = [closing(3, "error", note, LATE) for note in "ab"]
    assert [only_run(tmp_path, order).ending for order in (endings, endings[::-1])] == ["error: b"] * 2


@pytest.mark.parametrize("status", ["interrupted", "error", "timeout"])
def test_a_divergence_is_final_whatever_ends_a_later_try(tmp_path: Path, status: str) -> None:
    endings = [closing(3, "diverged", "the loss is nan", EARLY), closing(3, status, "later", LATE)]
    for order in itertools.permutations(endings):
        run = only_run(tmp_path, list(order))
        assert (run.has_diverged, run.ending) == (True, "diverged: the loss is nan")


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(tmp_path: Path, shuffler: random.Random) -> None:
    shuffled = list(MIXED)
    shuffler.shuffle(shuffled)
    assert grouped(tmp_path, shuffled) == grouped(tmp_path, MIXED)


@pytest.mark.slow
def test_five_thousand_runs_are_grouped_in_seconds(tmp_path: Path) -> None:
    rows = [row for seed in range(1, 5001) for row in synthetic.run_rows("unpadded", seed, [9900] * 5)]
    found = synthetic.record(tmp_path, rows)
    started = time.process_time()
    (group,) = groups(found, synthetic.architectures())
    assert time.process_time() - started < 3  # a pass over the rows for each run takes longer
    assert len(group.runs) == 5000


# One seed of an exact run is one piece of evidence


def exact(seed: int, correct: Sequence[int], device: str = "cpu", **options: Any) -> list[Row]:
    return synthetic.run_rows("unpadded", seed, correct, environment=EXACT.digest, device=device, **options)


def test_an_exact_seed_from_two_devices_is_one_run_with_the_epochs_of_the_longer_one(tmp_path: Path) -> None:
    (group,) = grouped(tmp_path, [*exact(1, [9700, 9800, 9900], "cuda"), *exact(1, [9700]), *exact(2, [9750])])
    assert (group.devices, group.device) == (("cpu", "cuda"), "cpu and cuda")
    assert [(run.seed, run.correct, run.devices) for run in group.runs] == [
        (1, (9700, 9800, 9900), ("cpu", "cuda")),
        (2, (9750,), ("cpu",)),
    ]


def test_seeds_of_exact_runs_from_two_devices_count_together(tmp_path: Path) -> None:
    cpu = [row for seed in range(1, 6) for row in exact(seed, [9941] * 19)]
    cuda = [row for seed in (4, 5, 6, 7, 8) for row in exact(seed, [9941] * 19, "cuda")]
    (group,) = grouped(tmp_path, [*cpu, *cuda])
    assert [run.seed for run in group.runs] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len(group.complete) == 8


def test_native_runs_of_two_devices_stay_apart_even_with_the_same_numbers(tmp_path: Path) -> None:
    rows = [row for device in ("cpu", "cuda") for row in synthetic.run_rows("unpadded", 1, [9700], device=device)]
    assert [(one.devices, len(one.runs)) for one in grouped(tmp_path, rows)] == [(("cpu",), 1), (("cuda",), 1)]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_contradicted_seed_counts_up_to_the_epoch_before_and_is_not_finished(tmp_path: Path, device: str) -> None:
    rows = [*exact(3, [9700, 9800, 9941] * 7, device="cpu"), *exact(3, [9700, 9800, 9940, 9941], device=device)]
    (group,) = grouped(tmp_path, rows)
    (run,) = group.runs
    assert run.correct == (9700, 9800)
    assert run.ending == "contradicted: the record has two different results of its epoch 3"
    assert (run.is_contradicted, group.complete) == (True, ())


def test_a_contradiction_beyond_the_epochs_of_the_recipe_changes_nothing(tmp_path: Path) -> None:
    (group,) = grouped(tmp_path, [*exact(3, [9700] * 20), *exact(3, [9700] * 19 + [9701], device="cuda")])
    assert (len(group.complete), group.runs[0].ending) == (1, "")


def test_a_run_that_diverged_on_one_device_and_went_on_on_another_is_contradicted(tmp_path: Path) -> None:
    diverged = exact(3, [9700], ending=("diverged", "the loss is nan"))
    (group,) = grouped(tmp_path, [*diverged, *exact(3, [9700, 9800], device="cuda")])
    (run,) = group.runs
    assert (run.correct, run.has_diverged, run.is_contradicted) == ((9700,), False, True)
