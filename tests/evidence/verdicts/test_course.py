"""Tests of `course`: the evidence on a claim after each seed is the evidence of the verdict on these seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
import synthetic

from bench.evidence.results import Group, Series
from bench.evidence.statistics import e_value
from bench.evidence.verdicts import Course, courses
from bench.evidence.verdicts.course import MOST_SEEDS
from bench.network import structure_facts
from bench.network.specification import Architecture, Claim, ClaimKind
from models import ARCHITECTURES

BUDGET = 19


def architecture(kind: ClaimKind, value: int, log: bool = False) -> Architecture:
    claim = Claim(kind, value, "a claim", "document")
    own = ARCHITECTURES["unpadded"]
    assert own.document is not None
    document = dataclasses.replace(own.document, claims=(claim,), log=own.document.log if log else ())
    return synthetic.with_recipe(own, document=document)


def group(counts: Sequence[Sequence[int]], ending: str = "") -> Group:
    nothing = (None,) * BUDGET
    runs = [
        Series(seed, 10_000, tuple(correct), nothing, nothing, ending if len(correct) < BUDGET else "")
        for seed, correct in enumerate(counts, start=1)
    ]
    return Group("unpadded", synthetic.RECIPE, ("cpu",), synthetic.CPU, (), BUDGET, True, tuple(runs))


def course(kind: ClaimKind, value: int, counts: Sequence[Sequence[int]], ending: str = "") -> Course:
    (found,) = courses(architecture(kind, value), structure_facts.load()["unpadded"], group(counts, ending))
    return found


def test_each_seed_adds_to_the_e_value_of_either_side_in_the_order_of_the_seeds() -> None:
    hit, miss = [9940] * BUDGET, [9939] * BUDGET
    found = course("reaches_target", 9940, [hit, hit, miss, hit])
    tallies = ((1, 0), (2, 0), (2, 1), (3, 1))
    assert found.support == tuple(float(e_value(some, others)) for some, others in tallies)
    assert found.against == tuple(float(e_value(others, some)) for some, others in tallies)
    assert (found.is_of_a_share, found.settled) == (True, None)


@pytest.mark.parametrize(("ending", "against"), [("error: boom", (1, 0)), ("diverged: the loss is nan", (1, 1))])
def test_an_unfinished_seed_counts_against_a_claim_and_never_for_its_opposite(
    ending: str, against: tuple[int, int]
) -> None:
    found = course("reaches_target", 9940, [[9940] * BUDGET, [9900] * 3], ending)
    assert found.support[1] == float(e_value(1, 1))
    assert found.against[1] == float(e_value(against[1], against[0]))


@pytest.mark.parametrize(("kind", "seeds"), [("first_epoch", 39), ("last", 19), ("best", 19)])
def test_the_evidence_against_one_run_reaches_twenty_when_its_test_rejects(kind: ClaimKind, seeds: int) -> None:
    value = 1 if kind == "first_epoch" else 9950
    found = course(kind, value, [[9900] * (BUDGET - 1) + [9940]] * 50)
    assert len(found.against) == seeds
    assert found.against[-1] == pytest.approx(20)
    assert max(found.against[:-1]) < 20
    assert (found.settled, set(found.support)) == (None, {1.0})


def test_a_seed_that_is_as_good_settles_a_claim_on_one_run() -> None:
    found = course("last", 9940, [[9900] * BUDGET, [9940] * BUDGET, [9900] * BUDGET])
    assert (len(found.against), found.settled) == (2, 2)


def test_a_claim_that_the_log_contradicts_and_claims_on_the_module_have_no_course() -> None:
    structure, runs = structure_facts.load()["unpadded"], group([[9940] * BUDGET])
    assert courses(architecture("last", 9950, log=True), structure, runs) == ()  # the log ends at 9951
    assert len(courses(architecture("last", 9951, log=True), structure, runs)) == 1
    assert courses(architecture("parameters", 14_120), structure, runs) == ()
    assert courses(architecture("last", 9951), None, runs) == ()


def test_a_log_that_shows_otherwise_leaves_a_claim_on_a_share_its_course() -> None:
    structure, runs = structure_facts.load()["unpadded"], group([[9940] * BUDGET])
    (found,) = courses(architecture("reaches_target", 9999, log=True), structure, runs)
    assert found.is_of_a_share


def test_runs_on_another_test_set_have_no_course() -> None:
    runs = group([[4970] * BUDGET])
    small = dataclasses.replace(runs, runs=tuple(dataclasses.replace(one, total=5000) for one in runs.runs))
    assert courses(architecture("reaches_target", 9940), structure_facts.load()["unpadded"], small) == ()


def test_a_seed_that_is_not_over_is_no_evidence_on_one_run() -> None:
    found = course("last", 9940, [[9900], [9900] * BUDGET], "error: boom")
    assert found.against == pytest.approx((1, 2))


def test_a_course_of_very_many_seeds_stops_where_every_share_is_decided() -> None:
    found = course("reaches_target", 9940, [[9940] * BUDGET] * (MOST_SEEDS + 50))
    assert len(found.support) == MOST_SEEDS
    assert all(map(math.isfinite, found.support))
