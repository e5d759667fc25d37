"""Tests of `until_decided`: which seed is next, with networks whose seeds succeed by a plan of the test."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.evidence.results import Series
from bench.evidence.verdicts import judge
from bench.jobs import plan
from bench.jobs.events import Ended, EpochFinished, Started
from bench.jobs.plan import Planned
from bench.jobs.until_decided import Place, UntilDecided, format_expected, format_open, next_run, places
from bench.jobs.worker.task import Task
from bench.network import structure_facts
from bench.network.specification import Claim
from bench.record.environments import EXACT
from bench.record.rows import Run
from bench.training.loop import Epoch
from models import ARCHITECTURES

STRUCTURES = structure_facts.load()
NAMES = ("unpadded", "gap_head")
REACHES = Claim("reaches_target", 9940, "99.4 %", "document")
LAST = Claim("last", 9951, "99.51 % in the end", "document")

Result = Callable[[str, int], Sequence[int] | None]
"""The correct images of a network's seed by epoch, or None for an error."""


def architecture(name: str, *claims: Claim):
    document = dataclasses.replace(ARCHITECTURES[name].document, claims=claims or (REACHES,), log=())
    return synthetic.with_recipe(ARCHITECTURES[name], document=document)


def begin(
    folder: Path,
    rows=(),
    at_most: int = 40,
    seconds: dict[str, float] | None = None,
    claims=(),
    where: tuple[str, str] = ("cpu", synthetic.CPU),
) -> list[Place]:
    """The places of two networks on a device and in an environment, given the rows of a record."""
    seconds = seconds or {}
    several = {name: architecture(name, *claims) for name in NAMES}
    recorded = synthetic.record(folder, rows)
    counts = recorded.epochs.groupby(["model", "seed"]).size().to_dict()
    planned = []
    for name, one in several.items():
        for seed in range(1, at_most + 1):
            run = Run(name, one.digest, *where, seed, one.recipe.epochs)
            done = counts.get((name, seed), 0)
            left = (run.epochs - done) * seconds.get(name, 10.0)
            planned.append(Planned(run, done, left))
    return list(places(planned, recorded, several, STRUCTURES))


def series(seed: int, correct: Sequence[int], ending: str = "") -> Series:
    return Series(seed, 10_000, tuple(correct), (), (), ending)


def having(place: Place, *runs: Series) -> Place:
    """The place, with runs that have ended."""
    over = {run.seed for run in runs if len(run.correct) >= place.group.budget or run.has_diverged}
    left = tuple(one for one in place.left if one.run.seed not in over)
    return dataclasses.replace(place, group=dataclasses.replace(place.group, runs=runs), left=left)


def hits(place: Place, *outcomes: bool) -> Place:
    counts = [[9950 if hit else 9900] * place.group.budget for hit in outcomes]
    return having(place, *(series(seed, one) for seed, one in enumerate(counts, start=1)))


def tasks(of: Sequence[Place]) -> list[Task]:
    recorded = {
        (place.key, run.seed): tuple((correct, 10_000, 0.1, 0.1) for correct in run.correct)
        for place in of
        for run in place.group.runs
    }
    return [
        Task(place.architecture, one.run, Path(), Path(), recorded.get((place.key, one.run.seed), ()))
        for place in of
        for one in place.left
    ]


def train(of: Sequence[Place], result: Result, slots: int = 2, events: int | None = None) -> UntilDecided:
    """Train with some slots, for a number of ends of runs or until nothing is left. Runs end in a random order."""
    deciding, going, draw = UntilDecided(of, tasks(of)), list[Task](), random.Random(5)
    while events is None or events > 0:
        while len(going) < slots and (task := deciding.take("cpu")) is not None:
            deciding.note(Started(task.run))
            going.append(task)
        if not going:
            break
        run = going.pop(draw.randrange(len(going))).run
        counts = result(run.model, run.seed)
        for epoch, correct in enumerate(counts or (), start=1):
            deciding.note(EpochFinished(run, Epoch(epoch, correct, 10_000, 0.1, 0.1, 1.0, 1.0, None, None)))
        deciding.note(Ended(run, "error" if counts is None else "ok", "" if counts else "boom"))
        events = None if events is None else events - 1
    return deciding


def trained(deciding: UntilDecided) -> dict[str, list[int]]:
    return {place.group.model: [run.seed for run in place.group.runs] for place in deciding.places}


def always(name: str, seed: int) -> list[int]:
    return [9950] * 20


def test_seeds_are_taken_in_order_until_every_claim_is_decided(tmp_path: Path):
    found = train(begin(tmp_path), lambda name, seed: [9950 if name == "unpadded" else 9900] * 20, slots=1)
    assert trained(found) == {name: [1, 2, 3, 4, 5] for name in NAMES}
    assert format_open(found.places) == ["Every claim about training is decided."]


def test_no_network_gets_more_seeds_than_allowed_and_its_open_claims_are_named(tmp_path: Path):
    found = train(begin(tmp_path, at_most=8), lambda name, seed: [9950 if seed % 2 else 9900] * 20)
    assert trained(found) == {name: [1, 2, 3, 4, 5, 6, 7, 8] for name in NAMES}
    assert format_open(found.places) == [f"Still open with at most 8 seeds: {name} on cpu: 99.4 %" for name in NAMES]


def test_exact_seeds_of_another_device_count_and_are_not_trained_again(tmp_path: Path):
    """Seeds 1 to 4 are from a GPU, and seed 6 is contradicted: seed 5 decides, and nobody trains seed 6."""
    name, digest = "unpadded", EXACT.digest
    rows = [
        row
        for seed in (1, 2, 3, 4, 6)
        for row in synthetic.run_rows(name, seed, [9950] * 19, environment=digest, device="cuda")
    ]
    rows += synthetic.run_rows(name, 6, [9951] * 19, environment=digest)
    several = {name: architecture(name, REACHES)}
    runs = [Run(name, several[name].digest, "cpu", digest, seed, 19) for seed in range(1, 8)]
    planned = [Planned(run, 19 if run.seed == 6 else 0, 10.0) for run in runs]
    (place,) = places(planned, synthetic.record(tmp_path, rows), several, STRUCTURES)
    assert place.key == (name, "cpu", digest)
    assert [one.run.seed for one in place.left] == [5, 7]
    found = train([place], lambda name, seed: [9950] * 19, slots=1)
    assert trained(found) == {name: [1, 2, 3, 4, 5, 6, 7]}


def test_seeds_are_left_in_ascending_order_whatever_the_order_of_the_plan(tmp_path: Path):
    one = architecture("unpadded")
    planned = [Planned(Run("unpadded", one.digest, "cpu", synthetic.CPU, seed, 19), 0, 10.0) for seed in (2, 3, 1)]
    (place,) = places(planned, synthetic.record(tmp_path, ()), {"unpadded": one}, STRUCTURES)
    assert [left.run.seed for left in place.left] == [1, 2, 3]


def test_every_claim_of_a_network_counts(tmp_path: Path):
    """Five seeds decide the share; the last accuracy, above all of them, takes 19."""
    found = train(begin(tmp_path, claims=(REACHES, LAST)), always)
    assert {len(seeds) for seeds in trained(found).values()} <= {19, 20}


def test_a_run_under_way_when_its_claim_is_decided_is_finished_and_counts(tmp_path: Path):
    found = train(begin(tmp_path), always, slots=7)
    assert all(seeds == list(range(1, len(seeds) + 1)) for seeds in trained(found).values())
    assert 10 <= sum(map(len, trained(found).values())) <= 10 + 2 * 6


def test_a_claim_that_is_decided_takes_no_further_seed(tmp_path: Path):
    one, other = begin(tmp_path)
    assert next_run([hits(one, *[True] * 5), hits(other, *[False] * 5)], ()) is None
    chosen = next_run([hits(one, *[True] * 5), hits(other, True, False)], ())
    assert chosen is not None
    assert (chosen.run.model, chosen.run.seed) == (other.group.model, 3)


def test_the_network_comes_first_that_decides_most_claims_per_hour(tmp_path: Path):
    one, other = begin(tmp_path, seconds={"unpadded": 10.0, "gap_head": 30.0})
    assert next_run([one, other], ()).run.model == "unpadded"
    # The other takes three times as long, but is nearly decided.
    assert next_run([hits(one, True, False), hits(other, *[True] * 4)], ()).run.model == "gap_head"
    # A run of the other takes a fourth longer, but says something of two claims.
    one, other = begin(tmp_path, seconds={"unpadded": 10.0, "gap_head": 12.0})
    both = architecture("gap_head", REACHES, dataclasses.replace(REACHES, value=9941))
    several = dataclasses.replace(other, architecture=both)
    assert [next_run([one, second], ()).run.model for second in (other, several)] == ["unpadded", "gap_head"]


def test_seeds_under_way_are_taken_into_account(tmp_path: Path):
    """With enough seeds of one network under way, another network comes first."""
    one, other = (hits(place, True, True, True, True) for place in begin(tmp_path))
    order = []
    for _ in range(10):
        chosen = next_run([one, other], [planned.run for planned in order])
        assert chosen is not None
        order.append(chosen)
    assert [planned.run.model for planned in order[:5]] == [order[0].run.model] * 5
    assert sorted((planned.run.model, planned.run.seed) for planned in order) == [
        (name, seed) for name in sorted(NAMES) for seed in range(5, 10)
    ]


def test_a_run_that_has_begun_is_finished_even_if_all_claims_are_decided(tmp_path: Path):
    one, other = begin(tmp_path)
    budget = one.group.budget
    runs = [series(seed, [9950] * budget) for seed in range(1, 6)]
    stopped = having(one, *runs, series(6, [9900] * 3, "interrupted: by SIGINT"))
    chosen = next_run([hits(other, *[True] * 5), stopped], ())
    assert chosen is not None
    assert chosen.run.seed == 6
    assert next_run([hits(other, *[True] * 5), stopped], [chosen.run]) is None


def test_a_run_that_fails_is_not_tried_twice_in_one_job_and_the_next_seeds_follow(tmp_path: Path):
    found = train(begin(tmp_path), lambda name, seed: None if seed == 3 else [9900] * 20, slots=1)
    assert trained(found) == {name: [1, 2, 3, 4, 5, 6] for name in NAMES}
    assert all([bool(run.ending) for run in place.group.runs].count(True) == 1 for place in found.places)


def test_a_diverged_run_is_over_and_counts_as_a_failure(tmp_path: Path):
    one, _ = begin(tmp_path)
    runs = [series(seed, [9950], "diverged: nan") for seed in range(1, 6)]
    assert having(one, *runs).open_claims() == {}
    rows = synthetic.run_rows("unpadded", 1, [9950], ending=("diverged", "the loss is nan"))
    (again, _) = begin(tmp_path, rows)
    assert (again.begun, again.left[0].run.seed) == ((), 2)


def test_where_no_worker_takes_a_run_no_other_run_is_given_up_too(tmp_path: Path):
    of = begin(tmp_path)
    deciding = UntilDecided(of, tasks(of))
    task = deciding.take(None)
    assert task is not None
    deciding.note(Ended(task.run, "error", "no worker of environment 11112222 for 600 seconds"))
    others = {deciding.take(None).run.model for _ in range(6)}
    assert others == set(NAMES) - {task.run.model}


def test_tasks_are_given_out_by_device_and_by_environment(tmp_path: Path):
    of = begin(tmp_path)
    deciding = UntilDecided(of, tasks(of))
    assert deciding.take("cuda") is None
    assert deciding.take(synthetic.GPU) is None
    assert deciding.take(synthetic.CPU) is not None


def test_a_gpu_takes_as_many_seeds_at_once_as_the_claims_of_all_networks_are_expected_to_need(tmp_path: Path):
    of = [hits(place, True) for place in begin(tmp_path, where=("cuda", EXACT.digest))]
    deciding, taken = UntilDecided(of, tasks(of)), []
    while (task := deciding.take("cuda")) is not None:
        taken.append(task.run)
    assert {name: sum(run.model == name for run in taken) for name in NAMES} == {
        place.group.model: len(place.expected()) for place in of
    }
    assert 2 <= len(taken) < 78
    for run in taken:
        deciding.note(Started(run))
        for _ in range(run.epochs):
            deciding.note(
                EpochFinished(run, Epoch(1, 9950 if run.seed % 2 else 9900, 10_000, 0.1, 0.1, 1.0, 1.0, None, None))
            )
        deciding.note(Ended(run, "ok", ""))
    assert deciding.take("cuda") is not None  # the outcomes were not as expected


@given(st.integers(0, 10**6), st.integers(1, 4), st.floats(0, 1), st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_whatever_the_outcomes_seeds_are_whole_and_every_claim_is_decided_or_has_all_its_seeds(
    tmp_path_factory: pytest.TempPathFactory, number: int, slots: int, share: float, at_most: int
):
    def result(name: str, seed: int) -> list[int] | None:
        drawn = random.Random(f"{number} {name} {seed}").random()
        return None if drawn > 0.95 else [9950 if drawn < share else 9900] * 20

    found = train(begin(tmp_path_factory.mktemp("record"), at_most=at_most, claims=(REACHES, LAST)), result, slots)
    for place in found.places:
        seeds = [run.seed for run in place.group.runs]
        assert seeds == list(range(1, len(seeds) + 1))
        still_open = [
            verdict
            for verdict in judge(place.architecture, place.structure, place.group)
            if verdict.outcome == "cannot be decided yet"
        ]
        assert not still_open or len(seeds) == at_most


@pytest.mark.parametrize("after", range(1, 12))
def test_a_job_that_is_killed_anywhere_goes_on_to_the_same_seeds(tmp_path: Path, after: int):
    def result(name: str, seed: int) -> list[int]:
        return [9950 if (seed * 7 + len(name)) % 4 else 9900] * ARCHITECTURES[name].recipe.epochs

    whole = train(begin(tmp_path, at_most=12), result, slots=1)
    first = train(begin(tmp_path, at_most=12), result, slots=1, events=after)
    rows = [
        row
        for place in first.places
        for run in place.group.runs
        for row in synthetic.run_rows(place.group.model, run.seed, run.correct)
    ]
    # the kill strikes in the middle of the next run
    following = next_run(first.places, ())
    if following is not None:
        counts = result(following.run.model, following.run.seed)[:5]
        rows += synthetic.run_rows(following.run.model, following.run.seed, counts)
    again = begin(tmp_path, rows, at_most=12)
    if following is not None:
        assert next_run(again, ()).run == following.run
    assert trained(train(again, _continued(result, following), slots=1)) == trained(whole)


def _continued(result: Result, following: Planned | None) -> Result:
    """A run that goes on sends only the epochs that are not recorded."""

    def rest(name: str, seed: int) -> Sequence[int] | None:
        counts = result(name, seed)
        begun = following is not None and (name, seed) == (following.run.model, following.run.seed)
        return counts[5:] if counts is not None and begun else counts

    return rest


def test_the_plan_says_how_many_seeds_are_expected_and_how_long(tmp_path: Path):
    rows = [
        row
        for name in NAMES
        for seed in range(1, 5)
        for row in synthetic.run_rows(name, seed, [9950 if name == "unpadded" or seed < 4 else 9900] * 20)
    ]
    of = begin(tmp_path, rows)
    lines = format_expected(of, jobs=2)
    cells = [line.split() for line in lines]
    assert cells[2][:5] == ["unpadded", "cpu", synthetic.CPU, "4", "1"]
    nearly, far = (len(place.expected()) for place in of)
    assert 1 <= nearly < far < 36
    assert f"{nearly} (seeds 5 to {4 + nearly})" in lines[2]
    assert lines[2].endswith(f"  {plan.duration(nearly * 19 * 10)}")
    seconds = plan.duration(plan.wall_seconds([one for place in of for one in place.expected()], 2))
    assert lines[-1] == (
        f"About {nearly + far} runs to train, {19 * nearly + 20 * far} epochs: about {seconds} "
        "with 2 runs at a time on the CPU."
    )


def test_a_run_that_has_begun_is_one_of_the_seeds_that_are_expected(tmp_path: Path):
    one, _ = begin(tmp_path)
    complete = [series(seed, [9950] * one.group.budget) for seed in (1, 2, 3)]
    stopped = having(one, *complete, series(4, [9900] * 3, "interrupted: by SIGINT"))
    needed = math.ceil(*stopped.open_claims().values())
    assert needed > 1
    assert [planned.run.seed for planned in stopped.expected()] == list(range(4, 4 + needed))


def test_a_plan_of_what_is_decided_says_that_nothing_is_left(tmp_path: Path):
    assert (
        format_expected([hits(place, *[True] * 5) for place in begin(tmp_path)], 2)[-1] == "Nothing is left to train."
    )


def test_a_network_without_claims_about_training_takes_no_seed(tmp_path: Path):
    parameters = Claim("parameters", 1, "1 parameter", "document")
    assert next_run(begin(tmp_path, claims=(parameters,)), ()) is None
