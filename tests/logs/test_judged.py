"""Tests of `judged`: the claims of the options, the record of a log, and the notes."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import pytest

from bench.errors import UnusableInput
from bench.evidence.results import groups
from bench.evidence.summary import summarise
from bench.logs.judged import Claimed, architecture, as_record, notes
from bench.logs.log import Log, LoggedRun
from bench.network.specification import Target


def log(*runs: tuple[int, ...], total: int = 10_000, has_images: bool = True) -> Log:
    logged = tuple(LoggedRun(f"run {seed}", seed, counts) for seed, counts in enumerate(runs, start=1))
    return Log((Path("a log.csv"),), logged, total, has_images, Fraction(not has_images, 2), ("read so",))


@pytest.mark.parametrize("text", ["99.4%", "99.4 %", "99,4%", "99.4", "0.994", "0,9940"])
def test_an_accuracy_can_be_written_as_share_or_in_per_cent(text: str):
    network = architecture(log((9940,)), Claimed(text))
    assert network.target == Target(9940, 10_000)
    assert [claim.text for claim in network.claims] == ["99.4 % within 1 epoch"]


def test_an_accuracy_can_be_a_count_of_images():
    network = architecture(log((9940,)), Claimed("9940", best="9951"))
    assert [claim.text for claim in network.claims] == [
        "9940 of 10,000 within 1 epoch",
        "9951 of 10,000 in the best epoch",
    ]


def test_the_target_is_the_first_count_that_is_not_below_it():
    assert architecture(log((9_000,), total=9_984), Claimed("99.4%")).target == Target(9925, 9_984)


def test_every_option_is_a_claim_and_the_longest_run_has_all_epochs():
    network = architecture(log((9940,), (1, 2, 3)), Claimed("99.4%", 2, "99.5%", "0.991"))
    assert [(claim.kind, claim.value, claim.text) for claim in network.claims] == [
        ("reaches_target", 9940, "99.4 % within 3 epochs"),
        ("first_epoch", 2, "99.4 % first in epoch 2"),
        ("best", 9950, "99.5 % in the best epoch"),
        ("last", 9910, "99.1 % in the last epoch"),
    ]
    assert architecture(log((1,)), Claimed("99.4%", epochs=20)).recipe.epochs == 20


@pytest.mark.parametrize(
    ("claimed", "message"),
    [
        (Claimed("high"), "--target high: is no accuracy: give it like 99.4% or 0.994"),
        (Claimed("nan"), "--target nan: is no accuracy: give it like 99.4% or 0.994"),
        (Claimed("1"), "--target 1: may be 1 % or all images: give 1% or 100%"),
        (Claimed("0"), "--target 0: every run reaches this: give an accuracy above 0"),
        (Claimed("101%"), "--target 101%: is more than 100 %: give it like 99.4% or 0.994"),
        (Claimed("100.5"), "--target 100.5: is more than 100 %: give it like 99.4% or 0.994"),
        (Claimed("9999999"), "--target 9999999: there are only 10,000 test images: give a smaller number"),
        (Claimed("99%", best="-5"), "--best -5: is no accuracy: give it like 99.4% or 0.994"),
        (Claimed("99%", 3), "--first-epoch 3: a run has 2 epochs: give --epochs if it should have more"),
    ],
)
def test_a_claim_that_cannot_be_read_is_refused(claimed: Claimed, message: str):
    with pytest.raises(UnusableInput) as caught:
        architecture(log((9940, 9950)), claimed)
    assert str(caught.value) == message


def test_a_count_of_images_needs_their_number():
    with pytest.raises(UnusableInput, match="--target 9940: the log has no number of test images: give per cent, or"):
        architecture(log((9940,), has_images=False), Claimed("9940"))


def test_the_record_of_a_log_is_one_group_without_seconds():
    found = log((9900, 9940), (9950,))
    network = architecture(found, Claimed("99.4%"))
    record = as_record(found, network)
    (group,) = groups(record, {network.name: network})
    assert [(run.seed, run.correct, run.total) for run in group.runs] == [
        (1, (9900, 9940), 10_000),
        (2, (9950,), 10_000),
    ]
    assert group.timings == ()
    summary = summarise(record, {network.name: network}, {})
    assert summary.is_of_a_log
    (one,) = summary.networks[0].groups
    assert (one.label, len(one.verdicts)) == ("log", 1)
    assert [problem.reason for problem in summary.problems] == [
        "accuracies are numbers of correct images, of 10,000",
        "read so",
        "the runs have numbers here: 1 is run 1, 2 is run 2",
    ]


def test_an_accuracy_at_the_target_is_said_to_be_rounded_perhaps_if_the_total_is_unknown():
    claimed = Claimed("99.4%")
    rounded = log((9940,), has_images=False)
    for found, is_said in (
        (rounded, True),
        (dataclasses.replace(rounded, rounding=Fraction(0)), False),
        (log((9941,), has_images=False), False),
        (log((9940,)), False),
    ):
        said = notes(found, architecture(found, claimed))
        assert any("may have rounded it up" in note for note in said) == is_said


def test_an_accuracy_in_whole_per_cents_below_the_target_is_said_to_be_rounded_perhaps():
    found = dataclasses.replace(log((9800, 9900, 10_000), has_images=False), rounding=Fraction(50))
    said = notes(found, architecture(found, Claimed("99.4%")))
    assert [note.partition(",")[0] for note in said if "rounded" in note] == ["9900 counts as below the target"]
