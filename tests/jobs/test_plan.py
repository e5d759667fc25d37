"""Tests of `plan`: the runs that are missing, their order, and the time that they take."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sample_rows import text_of

from bench.errors import UnusableInput
from bench.jobs import plan
from bench.jobs.plan import Choice, Planned
from bench.network import structure_facts
from bench.network.specification import Architecture
from bench.record import record
from bench.record.environments import EXACT
from bench.record.record import Writer
from bench.record.rows import Row, Run
from models import ARCHITECTURES

HERE = {"cpu": "11111111", "cuda": "22222222"}
WORK = {"unpadded": 10**12, "gap_head": 4 * 10**12}
UNPADDED = ARCHITECTURES["unpadded"]
GAP_HEAD = ARCHITECTURES["gap_head"]


def run(model: str = "unpadded", device: str = "cpu", seed: int = 1, epochs: int = 3, **changes: str) -> Run:
    values = {"recipe": ARCHITECTURES[model].digest, "environment": HERE[device], **changes}
    return Run(model, values["recipe"], device, values["environment"], seed, epochs)


def planned(seconds: float, recorded: int = 0, **changes: object) -> Planned:
    return Planned(run(**changes), recorded, seconds)


@pytest.fixture
def recorded(tmp_path: Path):
    """Makes a record of runs, each with its number of epochs and the seconds of each epoch."""

    def make(*runs: tuple[Run, int, float]) -> object:
        """Each run is recorded a day before the one that stands before it."""
        path = tmp_path / "runs.csv"
        rows = [
            Row(*one.key, epoch, *(9000, 10_000, 0.5, 0.5, seconds - 1, 1.0), "ok", "", f"2026-01-{day:02}T12:00:00Z")
            for day, (one, epochs, seconds) in zip(range(31, 0, -1), runs, strict=False)
            for epoch in range(1, epochs + 1)
        ]
        path.write_text(text_of(*rows))
        return record.read(path).epochs

    return make


# The runs


def test_runs_are_networks_by_devices_by_seeds_in_the_order_given():
    runs = plan.expand([GAP_HEAD, UNPADDED], {"cuda": "22222222", "cpu": "11111111"}, [3, 1], 2, "native")
    assert [(one.model, one.device, one.environment, one.seed) for one in runs] == [
        (model, device, environment, seed)
        for model in ("gap_head", "unpadded")
        for device, environment in (("cuda", "22222222"), ("cpu", "11111111"))
        for seed in (3, 1)
    ]
    assert {one.epochs for one in runs} == {2}
    assert {one.recipe for one in runs if one.model == "gap_head"} == {GAP_HEAD.digest}


def test_without_a_number_of_epochs_each_document_has_its_own():
    runs = plan.expand(list(ARCHITECTURES.values()), {"cpu": "11111111"}, [1], None)
    assert {one.model: one.epochs for one in runs} == {
        **dict.fromkeys(("squeeze_fc", "expand_squeeze", "unpadded"), 19),
        **dict.fromkeys(("ten_twenty_thirty", "gap_head"), 20),
    }


@pytest.mark.parametrize("nothing", range(3))
def test_a_selection_without_networks_devices_or_seeds_has_no_runs(nothing: int):
    selection = [[UNPADDED], HERE, [1]]
    selection[nothing] = type(selection[nothing])()
    assert plan.expand(*selection, None) == []


# The arithmetic

UNCOVERED = replace(UNPADDED, name="own", uncovered=("torch.cumsum", "an augmentation"))
STRIDED = replace(UNPADDED, name="own", uncovered_on_gpu=("a convolution with strides",))


@pytest.mark.parametrize(
    ("architecture", "device", "choice", "expected"),
    [
        (UNPADDED, "cpu", "auto", "exact"),
        (UNPADDED, "cpu", "exact", "exact"),
        (UNPADDED, "cpu", "native", "native"),
        (UNPADDED, "cuda", "auto", "exact"),
        (UNPADDED, "cuda", "native", "native"),
        (UNPADDED, "mps", "auto", "native"),
        (UNCOVERED, "cpu", "auto", "native"),
        (UNCOVERED, "cpu", "native", "native"),
        (UNCOVERED, "cuda", "auto", "native"),
        (STRIDED, "cpu", "auto", "exact"),
        (STRIDED, "cuda", "auto", "native"),
    ],
)
def test_a_network_is_trained_exactly_where_that_is_possible_and_not_refused(
    architecture: Architecture, device: str, choice: Choice, expected: str
):
    assert plan.arithmetic_of(architecture, device, choice) == expected


@pytest.mark.parametrize(
    ("architecture", "device", "said"),
    [
        (UNCOVERED, "cpu", "own cannot be trained so, because of torch.cumsum, an augmentation"),
        (STRIDED, "cuda", "own cannot be trained so, because of a convolution with strides"),
        (UNCOVERED, "mps", "own cannot be trained so, because of the device mps"),
    ],
)
def test_exact_arithmetic_that_is_not_there_is_refused_with_all_reasons_in_a_line(
    architecture: Architecture, device: str, said: str
):
    with pytest.raises(UnusableInput) as error:
        plan.expand([architecture], {device: "22222222"}, [1], 1, "exact")
    assert str(error.value) == f"--arithmetic exact: {said}: use --arithmetic auto or native"


def test_the_documented_networks_are_all_covered():
    assert {one.uncovered for one in ARCHITECTURES.values()} == {()}


def test_exact_runs_are_in_one_environment_and_native_runs_in_that_of_their_device():
    found = plan.expand([UNPADDED, UNCOVERED], HERE, [1], 1)
    assert [(one.model, one.device, one.environment) for one in found] == [
        *(("unpadded", "cpu", EXACT.digest), ("unpadded", "cuda", EXACT.digest)),
        *(("own", "cpu", HERE["cpu"]), ("own", "cuda", HERE["cuda"])),
    ]
    assert {one.environment for one in plan.expand([UNPADDED], {"cpu": HERE["cpu"]}, [1], 1, "native")} == {HERE["cpu"]}


# Recorded epochs


@pytest.mark.parametrize(("epochs", "found", "is_done"), [(0, 0, False), (2, 2, False), (3, 3, True), (5, 3, True)])
def test_a_run_is_done_when_its_epochs_are_recorded(recorded, epochs: int, found: int, is_done: bool):
    (one,) = plan.make([run()], recorded((run(), epochs, 10)), WORK)
    assert (one.recorded, one.is_done) == (found, is_done)


def test_more_epochs_continue_a_run_and_fewer_find_it_done(recorded):
    epochs = recorded((run(), 3, 10))
    assert [one.recorded for one in plan.make([run(epochs=2), run(epochs=3), run(epochs=9)], epochs, WORK)] == [2, 3, 3]
    assert [one.seconds for one in plan.make([run(epochs=2), run(epochs=3), run(epochs=9)], epochs, WORK)] == [0, 0, 60]


@pytest.mark.parametrize(
    "other",
    [
        run(recipe="99999999"),
        run(environment="99999999"),
        run(seed=2),
        run(device="cuda"),
        run(device="cuda", environment=HERE["cpu"]),
        run(model="gap_head", recipe=UNPADDED.digest),
    ],
)
def test_only_the_same_run_counts_as_recorded(recorded, other: Run):
    (one,) = plan.make([run()], recorded((other, 3, 10)), WORK)
    assert one.recorded == 0


def test_a_closing_row_is_no_epoch(tmp_path: Path):
    path = tmp_path / "runs.csv"
    Writer(path).append(Row(*run().key, 1, *((None,) * 6), "error", "why", "2026-01-31T12:00:00Z"))
    (one,) = plan.make([run()], record.read(path).epochs, WORK)
    assert one.recorded == 0


def diverged(tmp_path: Path, one: Run, epochs: int, epoch: int) -> record.Record:
    """A record of a run that has some epochs and diverged in an epoch. It was then interrupted in a retry."""
    writer = Writer(tmp_path / "runs.csv")
    for number in range(1, epochs + 1):
        writer.append(Row(*one.key, number, 9000, 10_000, 0.5, 0.5, 9.0, 1.0, "ok", "", "2026-01-31T12:00:00Z"))
    for status in ("diverged", "interrupted"):
        writer.append(Row(*one.key, epoch, *((None,) * 6), status, "why", "2026-01-31T12:00:00Z"))
    return record.read(tmp_path / "runs.csv")


@pytest.mark.parametrize(("finished", "epoch"), [(0, 1), (3, 4)])
def test_a_run_that_has_diverged_is_over(tmp_path: Path, finished: int, epoch: int):
    found = diverged(tmp_path, run(), finished, epoch)
    (one,) = plan.make([run(epochs=9)], found.rows, WORK)
    assert (one.recorded, one.has_diverged, one.is_done, one.seconds) == (finished, True, True, 0)
    assert plan.longest_first([one]) == []
    assert plan.format_plan([one], jobs=1)[2].split()[-5:] == ["1", str(finished), "of", "9", "diverged"]


def test_a_run_that_diverged_later_than_asked_for_is_a_run_like_any_other(tmp_path: Path):
    found = diverged(tmp_path, run(), 3, 4)
    assert [(one.has_diverged, one.is_done) for one in plan.make([run(epochs=3), run(epochs=2)], found.rows, WORK)] == [
        (False, True)
    ] * 2


def test_a_divergence_of_another_run_or_after_a_missing_epoch_ends_no_run(tmp_path: Path):
    found = diverged(tmp_path, run(), 2, 4)  # the row of epoch 3 is lost
    assert [one.is_done for one in plan.make([run(epochs=9), run(epochs=9, seed=2)], found.rows, WORK)] == [
        False,
        False,
    ]


def test_the_largest_seed_is_recognised(recorded):
    largest = run(seed=2**64 - 1)
    (one,) = plan.make([largest], recorded((largest, 3, 10), (run(), 1, 10)), WORK)
    assert one.is_done


def test_the_plan_is_in_the_order_of_the_runs(recorded):
    runs = [run(model, seed=seed) for seed in (2, 1) for model in ("unpadded", "gap_head")]
    assert [one.run for one in plan.make(runs, recorded((runs[2], 1, 10)), WORK)] == runs


# The time


def test_without_a_record_the_time_follows_from_the_work(recorded):
    small, large = plan.make([run(), run("gap_head")], recorded(), WORK)
    assert small.seconds == 3 * 10**12 / plan.MULTIPLY_ACCUMULATES_PER_SECOND["cpu"]
    assert large.seconds == 4 * small.seconds


def test_without_a_record_exact_arithmetic_is_estimated_like_native_on_a_cpu_and_not_on_a_gpu(recorded):
    exact = [run(device=device, environment=EXACT.digest) for device in ("cpu", "cuda")]
    assert [one.seconds for one in plan.make(exact, recorded(), WORK)] == [3 * 10**12 / 3e10, 3 * 10**12 / 8e12]


def test_the_work_of_an_epoch_is_that_of_the_images_with_training_counted_three_times():
    stored = structure_facts.load()
    work = plan.epoch_work(stored)
    assert set(work) == set(ARCHITECTURES)
    assert work["unpadded"] == stored["unpadded"].multiply_accumulates * 190_000


def test_the_time_of_an_epoch_is_the_median_of_those_recorded(recorded):
    epochs = recorded((run(seed=7), 3, 10), (run(seed=8), 2, 100))
    (one,) = plan.make([run(epochs=4)], epochs, WORK)
    assert one.seconds == 4 * 10


def test_the_time_of_an_epoch_is_that_of_its_own_device_and_environment(recorded):
    exact = [run(seed=7, device=device, environment=EXACT.digest, epochs=1) for device in ("cpu", "cuda")]
    native = [run(seed=7, epochs=1), run(seed=7, environment="99999999", epochs=1)]
    epochs = recorded(*((one, 1, seconds) for one, seconds in zip([*exact, *native], (100, 2, 10, 70), strict=True)))
    others = [replace(one, seed=1) for one in [*exact, *native]]
    assert [one.seconds for one in plan.make(others, epochs, WORK)] == [100, 2, 10, 70]


def test_many_newer_epochs_of_another_network_do_not_change_the_time(recorded):
    epochs = recorded((run("gap_head", seed=7), 50, 100), (run(seed=7), 3, 7))
    (one,) = plan.make([run(epochs=1)], epochs, WORK)
    assert one.seconds == 7


def test_the_newest_epochs_give_the_time_wherever_they_stand_in_the_record(recorded):
    fast, slow = (run(seed=7), 40, 10), (run(seed=8), 60, 100)
    for epochs in (recorded(fast, slow), recorded(slow, fast).iloc[::-1]):
        newest = epochs.loc[epochs["recorded_at"].idxmax()]
        (one,) = plan.make([run(epochs=1)], epochs, WORK)
        assert one.seconds == newest["train_seconds"] + newest["eval_seconds"]


def test_the_time_of_a_new_network_is_corrected_by_those_recorded_here(recorded):
    twice_as_slow = 2 * WORK["gap_head"] / plan.MULTIPLY_ACCUMULATES_PER_SECOND["cpu"]
    (one,) = plan.make([run(epochs=1)], recorded((run("gap_head"), 1, twice_as_slow)), WORK)
    assert one.seconds == pytest.approx(2 * WORK["unpadded"] / plan.MULTIPLY_ACCUMULATES_PER_SECOND["cpu"])


def test_several_networks_recorded_here_correct_the_time_of_a_new_one_by_their_median(recorded):
    work = dict.fromkeys(ARCHITECTURES, 3 * 10**12)  # 100 s an epoch
    slower = {"gap_head": 100, "squeeze_fc": 200, "expand_squeeze": 1000}
    epochs = recorded(*((run(name), 1, seconds) for name, seconds in slower.items()))
    (one,) = plan.make([run(epochs=1)], epochs, work)
    assert one.seconds == pytest.approx(200)


def test_native_runs_on_a_gpu_do_not_correct_the_time_of_exact_ones_nor_these_theirs(recorded):
    native, exact = (run("gap_head", device="cuda", environment=one) for one in (HERE["cuda"], EXACT.digest))
    for measured, asked, expected in ((native, exact, 10**12 / 8e12), (exact, native, 10**12 / 1e11)):
        (one,) = plan.make(
            [run(device="cuda", environment=asked.environment, epochs=1)], recorded((measured, 1, 1e6)), WORK
        )
        assert one.seconds == expected


def test_the_time_on_another_device_is_not_corrected_by_those_recorded_here(recorded):
    of = recorded((run("gap_head"), 1, 1e6))
    native, exact = (run(epochs=1, device="cuda", environment=one) for one in (HERE["cuda"], EXACT.digest))
    found = [one.seconds for one in plan.make([native, exact], of, WORK)]
    assert found == [WORK["unpadded"] / 1e11, WORK["unpadded"] / 8e12]


def test_a_network_that_is_recorded_but_not_asked_for_is_no_obstacle(recorded):
    (one,) = plan.make([run()], recorded((run("squeeze_fc"), 2, 10)), WORK)
    assert one.seconds > 0


def test_only_what_is_missing_takes_time(recorded):
    (one,) = plan.make([run(epochs=10)], recorded((run(), 8, 10)), WORK)
    assert one.seconds == 20


# The order


def test_the_longest_run_comes_first_and_what_is_done_does_not_come():
    order = [planned(5, seed=4), planned(90, seed=2), planned(0, recorded=3, seed=3), planned(5, seed=1)]
    assert [one.run.seed for one in plan.longest_first(order)] == [2, 4, 1]


@pytest.mark.parametrize(
    ("seconds", "jobs", "expected"), [([4, 3, 2, 1], 2, 5), ([4, 3, 2, 1], 1, 10), ([4, 3], 9, 4), ([], 3, 0)]
)
def test_the_wall_time_is_that_of_the_longest_slot(seconds: Sequence[int], jobs: int, expected: int):
    assert plan.wall_seconds([planned(one, seed=one) for one in reversed(seconds)], jobs) == expected


def test_devices_train_at_once_and_a_gpu_one_run_at_a_time():
    both = [planned(one, seed=one, device=device) for device in HERE for one in (3, 4)]
    assert plan.wall_seconds(both, jobs=2) == 7
    assert plan.wall_seconds([one for one in both if one.run.device == "cpu"], jobs=2) == 4
    on_mps = [replace(one, run=replace(one.run, device="mps")) for one in both if one.run.device == "cuda"]
    assert plan.wall_seconds(on_mps, jobs=2) == 7


def test_the_wall_time_is_never_below_an_equal_share_nor_above_the_sum():
    for seconds in itertools.product((1, 5, 8), repeat=4):
        whole = [planned(one, seed=number) for number, one in enumerate(seconds)]
        for jobs in (1, 2, 3):
            assert sum(seconds) / jobs <= plan.wall_seconds(whole, jobs) <= sum(seconds)
            assert plan.wall_seconds(whole, jobs) >= max(seconds)


# The text


def test_a_plan_has_a_line_a_run_and_what_it_comes_to():
    lines = plan.format_plan([planned(3600, recorded=1, seed=1), planned(0, recorded=3, seed=2)], jobs=2)
    assert lines == [
        "network    device    environment      seed  epochs recorded    time left",
        "---------  --------  -------------  ------  -----------------  -----------",
        "unpadded   cpu       11111111            1  1 of 3             60 min",
        "unpadded   cpu       11111111            2  3 of 3             -",
        "",
        "1 of 2 runs to train, 2 epochs: about 60 min with 2 runs at a time on the CPU.",
    ]


def test_a_run_that_diverged_adds_no_epoch_to_what_is_left():
    diverged = Planned(run(seed=2), 1, 0.0, has_diverged=True)
    lines = plan.format_plan([planned(9, recorded=1), diverged], jobs=1)
    assert lines[-1].startswith("1 of 2 runs to train, 2 epochs: ")
    assert plan.format_plan([diverged], jobs=1)[-1] == "Nothing is left to train."


def test_the_amount_of_work_counts_only_the_epochs_that_are_left():
    assert plan.amount([planned(9, recorded=1), planned(9, seed=2)]) == "2 runs, 5 epochs"


@pytest.mark.slow
def test_a_plan_of_many_runs_is_formatted_in_seconds():
    whole = [planned(9, seed=seed) for seed in range(200_000)]
    started = time.process_time()
    assert len(plan.format_plan(whole, jobs=2)) == 200_004
    assert time.process_time() - started < 4  # tabulate takes more


def test_a_plan_with_nothing_left_says_so():
    assert plan.format_plan([planned(0, recorded=3)], jobs=2)[-1] == "Nothing is left to train."


@pytest.mark.parametrize("digest", ["12345678", "00000012", "1234e567", "0e000000", "deadbeef"])
def test_a_digest_that_looks_like_a_number_is_printed_as_it_is(digest: str):
    lines = plan.format_plan([planned(9, environment=digest)], jobs=1)
    assert digest in lines[2].split()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (45.4, "45 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (3600, "60 min"),
        (90 * 60, "1 h 30 min"),
        (7500, "2 h 05 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_a_duration_is_said_in_words_that_suit_its_size(seconds: float, said: str):
    assert plan.duration(seconds) == said


def test_a_run_is_named_by_network_device_and_seed():
    assert str(run(seed=4)) == "unpadded on cpu, seed 4"


def test_planning_needs_no_torch():
    code = "import sys, bench.jobs.plan, bench.record.record; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# On a cluster

CLUSTER = {"cpu": {EXACT.digest: 3, "aaaaaaaa": 2, "bbbbbbbb": 1}, "cuda": {"cccccccc": 1}}


def anywhere(
    *architectures: Architecture, seeds: int = 3, devices: Sequence[str] = ("cpu",), choice: Choice = "native"
) -> list[Run]:
    return plan.expand(architectures, dict.fromkeys(devices, ""), range(1, seeds + 1), 3, choice)


def test_exact_runs_are_left_where_they_are_and_do_not_change_how_native_runs_are_dealt_out(recorded):
    exact = anywhere(UNPADDED, choice="exact")
    epochs = recorded((run(seed=1, environment="bbbbbbbb"), 2, 5.0))
    assert plan.spread(exact, CLUSTER, epochs) == exact
    mixed = [one for pair in zip(exact, anywhere(GAP_HEAD), strict=True) for one in pair]
    found = plan.spread(mixed, CLUSTER, recorded())
    assert found[::2] == exact
    assert found[1::2] == plan.spread(anywhere(GAP_HEAD), CLUSTER, recorded())


def test_auto_on_a_cluster_is_exact_on_its_cpus_and_on_its_gpus(recorded):
    found = plan.spread(anywhere(UNPADDED, seeds=1, devices=("cpu", "cuda"), choice="auto"), CLUSTER, recorded())
    assert [one.environment for one in found] == [EXACT.digest, EXACT.digest]


def test_runs_are_dealt_out_in_their_order_in_proportion_to_the_slots(recorded):
    found = plan.spread(anywhere(UNPADDED, GAP_HEAD), CLUSTER, recorded())
    assert [(one.model, one.seed) for one in found] == [(one.model, one.seed) for one in anywhere(UNPADDED, GAP_HEAD)]
    assert [one.environment for one in found] == ["aaaaaaaa"] * 4 + ["bbbbbbbb"] * 2


def test_every_run_is_in_one_environment_of_its_device(recorded):
    found = plan.spread(anywhere(UNPADDED, devices=("cpu", "cuda")), CLUSTER, recorded())
    assert len(found) == len({(one.device, one.seed) for one in found}) == 6
    assert {one.environment for one in found if one.device == "cuda"} == {"cccccccc"}


def test_a_run_stays_where_most_of_it_is_recorded_and_the_others_are_dealt_out(recorded):
    epochs = recorded(
        (run(seed=1, environment="aaaaaaaa"), 1, 5.0),
        (run(seed=1, environment="bbbbbbbb"), 2, 5.0),
        (run(seed=3, environment="dddddddd"), 3, 5.0),  # an environment that is not there
    )
    found = plan.spread(anywhere(UNPADDED, seeds=4), CLUSTER, epochs)
    assert [one.environment for one in found] == ["bbbbbbbb", "aaaaaaaa", "aaaaaaaa", "bbbbbbbb"]


def test_a_run_that_only_failed_in_an_environment_is_dealt_out_like_a_new_one(tmp_path: Path):
    path = tmp_path / "runs.csv"
    failed = run(environment="bbbbbbbb")
    Writer(path).append(Row(*failed.key, 1, *((None,) * 6), "error", "out of memory", "2026-01-31T12:00:00Z"))
    (placed,) = plan.spread(anywhere(UNPADDED, seeds=1), CLUSTER, record.read(path).rows)
    assert placed.environment == "aaaaaaaa"


def test_a_run_that_has_diverged_stays_where_it_did(tmp_path: Path):
    found = diverged(tmp_path, run(environment="bbbbbbbb"), 0, 1)
    (placed,) = plan.spread(anywhere(UNPADDED, seeds=1), CLUSTER, found.rows)
    assert placed.environment == "bbbbbbbb"
    assert plan.make([placed], found.rows, WORK)[0].is_done


def test_the_order_of_the_workers_does_not_change_the_plan(recorded):
    nothing = recorded()
    digests = [8 * letter for letter in "abcdef"]
    for order in (digests, digests[::-1], digests[3:] + digests[:3]):
        workers = {"cpu": {EXACT.digest: 6, **dict.fromkeys(order, 1)}}
        placed = plan.spread(anywhere(UNPADDED, seeds=6), workers, nothing)
        assert [one.environment for one in placed] == digests
        assert {one.environment for one in plan.place_together(placed, workers, nothing)} == {digests[0]}


def test_the_environment_with_the_most_slots_comes_first_whatever_its_digest(recorded):
    workers = {"cpu": {EXACT.digest: 3, "aaaaaaaa": 1, "bbbbbbbb": 2}}
    placed = plan.spread(anywhere(UNPADDED), workers, recorded())
    assert [one.environment for one in placed] == ["bbbbbbbb", "bbbbbbbb", "aaaaaaaa"]
    assert {one.environment for one in plan.place_together(placed, workers, recorded())} == {"bbbbbbbb"}


def test_each_environment_of_a_cluster_trains_as_many_at_a_time_as_it_has_slots():
    whole = [planned(4.0, seed=seed, environment="aaaaaaaa") for seed in range(4)]
    whole += [planned(5.0, seed=9, environment="bbbbbbbb")]
    assert plan.wall_seconds(whole, 1, CLUSTER) == 8.0
    assert (
        plan.format_plan(whole, 1, CLUSTER)[-1] == "5 of 5 runs to train, 15 epochs: about 8 s on the present workers."
    )


def test_exact_and_native_runs_share_the_slots_of_a_cpu():
    exact = [planned(3.0, seed=seed, environment=EXACT.digest) for seed in range(3)]
    native = [planned(4.0, seed=seed, environment="aaaaaaaa") for seed in range(2)]
    assert plan.wall_seconds([*exact, *native], 1, CLUSTER) == 7.0  # two of the three slots are those of aaaaaaaa
    assert plan.wall_seconds(exact, 1, CLUSTER) == 3.0
    assert plan.wall_seconds([*exact, *native], 2) == 10.0


def test_until_decided_all_seeds_of_a_network_are_in_the_environment_where_most_of_it_is_recorded(recorded):
    """Seeds of two environments are never pooled, so they would decide nothing together."""
    found = plan.place_together(anywhere(UNPADDED, GAP_HEAD, seeds=4), CLUSTER, recorded())
    assert {one.environment for one in found} == {"aaaaaaaa"}
    epochs = recorded(
        (run(seed=1, environment="bbbbbbbb"), 3, 5.0),
        (run(seed=9, environment="dddddddd"), 9, 5.0),  # an environment that is not there
        (run(seed=1, environment="aaaaaaaa", recipe="ffff0000"), 9, 5.0),  # another recipe
    )
    found = plan.place_together(anywhere(UNPADDED, GAP_HEAD, seeds=4), CLUSTER, epochs)
    assert {(one.model, one.environment) for one in found} == {("unpadded", "bbbbbbbb"), ("gap_head", "aaaaaaaa")}
    exact = anywhere(UNPADDED, seeds=2, choice="auto")
    assert plan.place_together(exact, CLUSTER, epochs) == exact


def test_until_decided_the_epochs_of_all_seeds_say_where_most_of_a_network_is_recorded(recorded):
    long, short = run(seed=1, environment="aaaaaaaa"), [run(seed=seed, environment="bbbbbbbb") for seed in (2, 3)]
    epochs = recorded((long, 3, 5.0), *((one, 2, 5.0) for one in short))
    found = plan.place_together(anywhere(UNPADDED, seeds=4), CLUSTER, epochs)
    assert {one.environment for one in found} == {"bbbbbbbb"}
