"""Tests of `case`, `draws`, `module`, `rules` and `shares`: every rule for a verdict at its edges."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Iterable, Sequence
from typing import Any, get_args

import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.evidence.results import Group, Series
from bench.evidence.statistics import confidence_sequence
from bench.evidence.summary.pooled import summarise_group
from bench.evidence.verdicts import RULE, RULES, Verdict, expected_further_seeds, judge
from bench.network.specification import Architecture, Claim, ClaimKind, LoggedEpoch
from bench.network.structure_facts import AveragePool, Followed, Structure, load
from bench.wording import count
from models import ARCHITECTURES

STRUCTURES = load(ARCHITECTURES)
BUDGET = 19
HOLDS, DOES_NOT, HALF, UNDECIDED = "holds", "does not hold", "about half of all seeds do", "cannot be decided yet"
STANDING = {DOES_NOT: 0, HALF: 1, UNDECIDED: 1, HOLDS: 2}
DRAWS: tuple[ClaimKind, ...] = ("first_epoch", "best", "last")


def run(seed: int, correct: Sequence[int], ending: str = "") -> Series:
    nothing = (None,) * len(correct)
    return Series(seed, 10_000, tuple(correct), nothing, nothing, ending)


def hit_at(epoch: int | None, budget: int = BUDGET, height: int = 9940) -> list[int]:
    """Counts at the target in one epoch, and one image below it in all others."""
    return [height if number == epoch else 9939 for number in range(1, budget + 1)]


def ending_at(last: int, budget: int = BUDGET) -> list[int]:
    return [9900] * (budget - 1) + [last]


def group(counts: Iterable[Sequence[int]], others: Iterable[Series] = (), budget: int = BUDGET) -> Group:
    runs = (*(run(seed, correct) for seed, correct in enumerate(counts, start=1)), *others)
    return Group("unpadded", "0a1b2c3d", ("cpu",), "11112222", ("a machine",), budget, True, runs)


def network(claim: Claim, log: Sequence[int] = ()) -> Architecture:
    """A network with one claim, and a log of its own."""
    logged = tuple(LoggedEpoch(epoch, correct, "document") for epoch, correct in enumerate(log, start=1))
    document = dataclasses.replace(ARCHITECTURES["unpadded"].document, claims=(claim,), log=logged)
    return dataclasses.replace(ARCHITECTURES["unpadded"], document=document)


def verdict(
    kind: ClaimKind,
    value: int,
    runs: Group | None = None,
    *,
    log: Sequence[int] = (),
    contradiction: str = "",
    structure: Structure = STRUCTURES["unpadded"],
) -> Verdict:
    claim = Claim(kind, value, "what is claimed", "document", contradiction)
    (found,) = judge(network(claim, log), structure, runs)
    assert found.claim is claim
    return found


def having(**facts: Any) -> Structure:
    """A structure with these facts."""
    return dataclasses.replace(STRUCTURES["unpadded"], **facts)


def outcome(kind: ClaimKind, value: int, runs: Group | None = None) -> str:
    return verdict(kind, value, runs).outcome


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_claim_gets_a_verdict_in_the_order_of_the_document(name: str) -> None:
    architecture = ARCHITECTURES[name]
    found = judge(architecture, STRUCTURES[name], None)
    assert [one.claim for one in found] == list(architecture.document.claims)
    assert all(one.evidence and "|" not in one.evidence and "\n" not in one.evidence for one in found)


def test_every_kind_of_claim_can_be_judged() -> None:
    for kind in get_args(ClaimKind):
        assert verdict(kind, 3, group([hit_at(4)])).outcome in STANDING


def test_without_a_run_the_five_documents_are_judged_by_module_and_log_alone() -> None:
    decided = {
        name: {
            one.claim.kind: one.outcome
            for one in judge(ARCHITECTURES[name], STRUCTURES[name], None)
            if one.outcome != UNDECIDED
        }
        for name in ARCHITECTURES
    }
    size: dict[ClaimKind, str] = {"parameters": HOLDS, "parameters_below": HOLDS, "fully_connected_layers": HOLDS}
    assert decided == {
        "squeeze_fc": size | {"global_average_pooling": DOES_NOT},
        "expand_squeeze": size
        | {
            "first_epoch": DOES_NOT,
            "convolutions": HOLDS,
            "max_pools": HOLDS,
            "batch_norm_after_every_convolution": DOES_NOT,
            "dropout_after_every_convolution": HOLDS,
            "global_average_pooling": DOES_NOT,
        },
        "unpadded": size,
        "ten_twenty_thirty": size,
        "gap_head": size,
    }


# Exact claims.


@pytest.mark.parametrize("kind", ["parameters", "convolutions", "max_pools", "fully_connected_layers"])
def test_a_count_holds_if_it_is_equal(kind: ClaimKind) -> None:
    structure = having(**{kind: 7})
    assert [verdict(kind, value, structure=structure).outcome for value in (6, 7, 8)] == [DOES_NOT, HOLDS, DOES_NOT]
    assert verdict(kind, 7, structure=structure).evidence.startswith("7 ")


def test_fewer_parameters_means_fewer() -> None:
    assert [outcome("parameters_below", limit) for limit in (14_120, 14_121)] == [DOES_NOT, HOLDS]


@pytest.mark.parametrize("kind", ["batch_norm_after_every_convolution", "dropout_after_every_convolution"])
def test_convolutions_that_go_without_are_named(kind: ClaimKind) -> None:
    some = having(**{kind: Followed(8, (3, 5, 6), excludes_classifier=True)})
    found = verdict(kind, 1, structure=some)
    assert (found.outcome, "after 5 of 8" in found.evidence, "3, 5 and 6" in found.evidence) == (DOES_NOT, True, True)
    assert "is the classifier and is not counted" in found.evidence
    assert verdict(kind, 0, structure=some).outcome == HOLDS
    every = having(**{kind: Followed(8, (), excludes_classifier=False)})
    found = verdict(kind, 1, structure=every)
    assert (found.outcome, "after 8 of 8" in found.evidence) == (HOLDS, True)
    assert "the last convolution counts" in found.evidence


@pytest.mark.parametrize(
    ("pool", "expected", "seen"),
    [
        (AveragePool(9, 9, 1), HOLDS, "9 of 9 cells"),
        (AveragePool(4, 9, 1), DOES_NOT, "4 of 9 cells"),
        (AveragePool(16, 16, 4), DOES_NOT, "16 of 16 cells in 4 parts"),
        (None, DOES_NOT, "no average pool"),
    ],
)
def test_pooling_is_global_if_one_output_averages_every_cell(
    pool: AveragePool | None, expected: str, seen: str
) -> None:
    structure = having(global_average_pooling=pool)
    found = verdict("global_average_pooling", 1, structure=structure)
    assert found.outcome == expected
    assert found.evidence.endswith(seen)
    assert verdict("global_average_pooling", 0, structure=structure).outcome != expected


# Shares of seeds.


@pytest.mark.parametrize(
    ("hits", "seeds", "expected"),
    [
        (0, 1, UNDECIDED),
        (1, 1, UNDECIDED),
        (2, 2, UNDECIDED),
        (0, 4, UNDECIDED),
        (4, 4, UNDECIDED),
        (0, 5, DOES_NOT),
        (1, 5, UNDECIDED),
        (4, 5, UNDECIDED),
        (5, 5, HOLDS),
        (1, 8, UNDECIDED),
        (1, 13, DOES_NOT),
        (11, 13, UNDECIDED),
        (12, 13, HOLDS),
        (22, 44, UNDECIDED),
        (23, 46, HALF),
    ],
)
@pytest.mark.parametrize("kind", ["reaches_target", "epochs_below", "sustained"])
def test_a_share_is_decided_by_its_e_value_and_its_confidence_sequence(
    kind: ClaimKind, hits: int, seeds: int, expected: str
) -> None:
    value = {"reaches_target": 9940, "epochs_below": 20, "sustained": 4}[kind]
    runs = group([[9941] * BUDGET] * hits + [[9939] * BUDGET] * (seeds - hits))
    found = verdict(kind, value, runs)
    assert found.outcome == expected
    lower = scipy.stats.binomtest(hits, seeds, alternative="greater").proportion_ci(0.95).low
    upper = scipy.stats.binomtest(hits, seeds, alternative="less").proportion_ci(0.95).high
    assert f"{hits} of {seeds} seed" in found.evidence
    assert f"share at least {lower:.3f}, at most {upper:.3f}" in found.evidence
    assert ("90 % confidence sequence of the share: 0.3" in found.evidence) == (expected == HALF)
    assert (found.further == 0) == (expected != UNDECIDED)


@pytest.mark.parametrize("kind", ["reaches_target", "epochs_below", "sustained"])
def test_without_a_run_nothing_is_said_of_a_share(kind: ClaimKind) -> None:
    found = verdict(kind, 4, group([]))
    assert (found.outcome, found.evidence) == (UNDECIDED, "no seed has run; 5 seeds that agree would decide")


def test_the_evidence_of_about_half_has_the_sequence_that_unfinished_seeds_widen_downwards() -> None:
    cut = [run(seed, [9800]) for seed in (98, 99)]
    found = verdict("reaches_target", 9940, group([hit_at(3)] * 30 + [hit_at(None)] * 30, cut))
    least, most = confidence_sequence(30, 32).lower, confidence_sequence(30, 30).upper
    assert (found.outcome, found.further) == (HALF, 0)
    assert found.evidence.endswith(f"; 90 % confidence sequence of the share: {least:.3f} to {most:.3f}")


def test_five_of_five_is_no_certainty() -> None:
    assert "at least 0.549" in verdict("reaches_target", 9940, group([hit_at(19)] * 5)).evidence


@pytest.mark.parametrize(
    ("hits", "misses", "advice"),
    [
        (0, 0, "5 seeds that agree would decide"),
        (4, 0, "1 further seed would decide “holds” if the share stays the same"),
        (0, 2, "3 further seeds would decide “does not hold” if the share stays the same"),
        (4, 1, "20 further seeds would decide “holds” if the share stays the same"),
        (2, 2, "42 further seeds would decide “about half of all seeds do” if the share stays the same"),
        (11, 17, "204 further seeds would decide “does not hold” or “about half of all seeds do” if the share stays"),
    ],
)
def test_an_undecided_share_says_how_many_seeds_could_decide(hits: int, misses: int, advice: str) -> None:
    found = verdict("reaches_target", 9940, group([hit_at(7)] * hits + [hit_at(None)] * misses))
    assert found.outcome == UNDECIDED
    assert advice in found.evidence


def test_unfinished_runs_are_part_of_what_could_decide() -> None:
    # 4 more agreeing seeds make 5 of 5. The 2 unfinished runs could be 2 of them.
    found = verdict("reaches_target", 9940, group([hit_at(7)], [run(seed, [9800]) for seed in (8, 9)]))
    advice = "the 2 unfinished runs and 2 further seeds would decide if they turn out like the finished runs"
    assert found.evidence.endswith(f"; {advice}")


def test_the_evidence_counts_the_seeds_that_are_at_the_target_in_the_last_epoch() -> None:
    lost = [9941] * (BUDGET - 1) + [9939]
    found = verdict("reaches_target", 9940, group([ending_at(9941), lost, hit_at(None)]))
    assert (
        "2 of 3 seeds reached 9940 within 19 epochs (at or above it in the last epoch: 1 of 3 complete seeds); "
        in found.evidence
    )
    assert (
        "0 of 1 seed reached 9940 within 9 epochs (at or above it in the last epoch, 19: 1 of 1 complete seed); "
        in verdict("epochs_below", 10, group([hit_at(19)])).evidence
    )


def test_the_evidence_has_both_e_values_and_never_rounds_one_up_to_a_decision() -> None:
    assert (
        "; e-value 20.17 for, 0.09 against (20 decides)"
        in verdict("reaches_target", 9940, group([hit_at(3)] * 5)).evidence
    )
    assert "; e-value more than a million for, 0.0" in verdict("sustained", 1, group([[9941] * BUDGET] * 40)).evidence
    for hits in range(12):
        for misses in range(12):
            found = verdict("reaches_target", 9940, group([hit_at(3)] * hits + [hit_at(None)] * misses))
            shown = re.search(r"e-value ([0-9.]+) for, ([0-9.]+) against", found.evidence)
            if shown and found.outcome == UNDECIDED:
                assert max(map(float, shown.groups())) < 20


def test_a_later_seed_can_open_a_claim_again() -> None:
    assert outcome("reaches_target", 9940, group([hit_at(3)] * 5 + [hit_at(None)])) == UNDECIDED


def test_where_enough_runs_are_unfinished_finishing_them_is_the_advice() -> None:
    stopped = [run(seed, [9800]) for seed in range(5)]
    for unfinished, advice in ((5, "finishing the unfinished runs could"), (4, "5 seeds that agree would")):
        assert verdict("reaches_target", 9940, group([], stopped[:unfinished])).evidence.endswith(f"; {advice} decide")
    found = verdict("reaches_target", 9940, group([hit_at(7)] * 4, stopped[:1]))
    assert found.evidence.endswith("; finishing the unfinished runs could decide")


def test_the_target_is_reached_at_9940_and_not_at_9939() -> None:
    assert outcome("reaches_target", 9940, group([hit_at(10, height=9940)] * 5)) == HOLDS
    assert outcome("reaches_target", 9940, group([hit_at(10, height=9939)] * 5)) == DOES_NOT
    assert outcome("reaches_target", 9941, group([hit_at(10, height=9940)] * 5)) == DOES_NOT


def test_epochs_beyond_the_documented_ones_do_not_count() -> None:
    late = [9939] * BUDGET + [9960]
    assert outcome("reaches_target", 9940, group([late] * 5)) == DOES_NOT
    assert outcome("epochs_below", 30, group([late] * 5)) == DOES_NOT
    assert outcome("sustained", 1, group([[9939] * (BUDGET - 1) + [9941, 9939]] * 5)) == HOLDS
    assert outcome("last", 9960, group([late] * 19)) == DOES_NOT
    assert outcome("best", 9960, group([late] * 19)) == DOES_NOT


def test_fewer_than_20_epochs_looks_at_the_first_19() -> None:
    assert outcome("epochs_below", 20, group([hit_at(19, budget=20)] * 5, budget=20)) == HOLDS
    assert outcome("epochs_below", 20, group([hit_at(20, budget=20)] * 5, budget=20)) == DOES_NOT
    assert outcome("reaches_target", 9940, group([hit_at(20, budget=20)] * 5, budget=20)) == HOLDS


def test_nineteen_of_twenty_epochs_answer_a_claim_on_fewer_than_20() -> None:
    stopped = [run(seed, [9939] * 19) for seed in range(5)]
    assert outcome("epochs_below", 20, group([], stopped, budget=20)) == DOES_NOT
    assert outcome("reaches_target", 9940, group([], stopped, budget=20)) == UNDECIDED


def test_sustained_means_above_the_target_in_every_last_epoch() -> None:
    assert outcome("sustained", 4, group([[9000] * 15 + [9941] * 4] * 5)) == HOLDS
    assert outcome("sustained", 5, group([[9000] * 15 + [9941] * 4] * 5)) == DOES_NOT
    assert outcome("sustained", 4, group([[9999] * 15 + [9941, 9941, 9940, 9941]] * 5)) == DOES_NOT


def test_an_unfinished_run_that_has_reached_the_target_counts() -> None:
    cut = [run(9, hit_at(3)[:5], "timeout: too slow")]
    assert outcome("reaches_target", 9940, group([hit_at(3)] * 4)) == UNDECIDED
    assert outcome("reaches_target", 9940, group([hit_at(3)] * 4, cut)) == HOLDS
    assert "4 of 5 seeds" in verdict("sustained", 1, group([[9941] * BUDGET] * 4, cut)).evidence


def test_an_unfinished_run_without_a_hit_counts_against_the_lower_bound_alone() -> None:
    cut = [run(9, [9800] * 5, "error: out of memory")]
    found = verdict("reaches_target", 9940, group([hit_at(3)] * 5, cut))
    assert found.outcome == UNDECIDED
    assert (
        "within 19 epochs (at or above it in the last epoch: 0 of 5 complete seeds), 1 unfinished; share"
        in found.evidence
    )
    assert "at least 0.418, at most 1.000; " in found.evidence
    assert "finishing the unfinished runs could decide" in found.evidence
    assert outcome("reaches_target", 9940, group([hit_at(None)] * 5, cut)) == DOES_NOT
    assert "0 of 1 seed reached 9940 within 19 epochs, 1" in verdict("reaches_target", 9940, group([], cut)).evidence


def test_a_run_that_diverged_has_failed_whatever_it_reached() -> None:
    diverged = [run(9, [9941] * 12, "diverged: loss is not finite")]
    found = verdict("reaches_target", 9940, group([hit_at(3)] * 4, diverged))
    assert (found.outcome, "4 of 5 seeds" in found.evidence) == (UNDECIDED, True)
    assert "4 of 5 seeds" in verdict("sustained", 2, group([[9941] * BUDGET] * 4, diverged)).evidence


# Claims about a single run.


@pytest.mark.parametrize(
    ("epochs", "earlier", "equal", "later", "interval"),
    [
        ([11, 14, 17, 19, None], 1, 1, 3, "one new run: 11 to never with 67 % confidence"),
        ([3, 5], 2, 0, 0, "one new run: 3 to 5 with 33 % confidence"),
        ([3, 19], 1, 0, 1, "one new run: 3 to 19 with 33 % confidence"),
        ([None] * 5, 0, 0, 5, "one new run: never to never with 67 % confidence"),
    ],
)
def test_a_first_epoch_is_ranked_and_a_new_run_is_predicted(
    epochs: list[int | None], earlier: int, equal: int, later: int, interval: str
) -> None:
    evidence = verdict("first_epoch", 14, group([hit_at(epoch) for epoch in epochs])).evidence
    assert f"{len(epochs)} seeds: {earlier} earlier, {equal} equal, {later} later or never; {interval}" in evidence


@pytest.mark.parametrize(("kind", "seeds"), [("first_epoch", 39), ("best", 19), ("last", 19)])
def test_a_value_beyond_all_seeds_does_not_hold_from_a_fixed_number_of_seeds_on(kind: ClaimKind, seeds: int) -> None:
    value = 18 if kind == "first_epoch" else 9950
    for n in (1, seeds - 1):
        found = verdict(kind, value, group([hit_at(3)] * n))
        assert (found.outcome, found.further) == (UNDECIDED, seeds - n)
        further = count(seeds - n, "further seed")
        assert found.evidence.endswith(f"; {further} would decide if all are on the same side")
    found = verdict(kind, value, group([hit_at(3)] * seeds))
    assert (found.outcome, found.evidence.endswith("; p = 0.050")) == (DOES_NOT, True)
    assert outcome(kind, value, group([hit_at(3)] * (seeds + 9))) == DOES_NOT
    found = verdict(kind, value, group([]))
    assert (found.outcome, found.evidence, found.further) == (
        UNDECIDED,
        f"no seed has run; {seeds} seeds decide at the latest",
        seeds,
    )


def test_a_first_epoch_can_be_too_early_and_too_late() -> None:
    runs = group([hit_at(3 + seed % 13) for seed in range(39)])
    assert [outcome("first_epoch", epoch, runs) for epoch in (1, 2, 3, 9, 15, 16, 19)] == [
        *[DOES_NOT] * 2,
        *[HOLDS] * 3,
        *[DOES_NOT] * 2,
    ]


def test_one_seed_on_the_other_side_settles_a_claim_on_one_run() -> None:
    epochs = group([hit_at(epoch) for epoch in (None, 12, None, 14, 17)])
    found = verdict("first_epoch", 14, epochs)
    assert (found.outcome, found.further) == (HOLDS, 0)
    assert (
        found.evidence == "5 seeds: 1 earlier, 1 equal, 3 later or never; one new run: 12 to never with 67 % confidence"
    )
    assert [outcome("first_epoch", epoch, epochs) for epoch in (11, 12, 13, 18)] == [UNDECIDED, HOLDS, HOLDS, HOLDS]


def test_seeds_after_the_fixed_number_change_nothing() -> None:
    usual = [hit_at(3)] * 39
    assert outcome("first_epoch", 9, group([*usual, hit_at(12)])) == DOES_NOT
    assert outcome("first_epoch", 9, group([hit_at(12), *usual])) == HOLDS


@pytest.mark.parametrize("kind", ["best", "last"])
def test_an_accuracy_is_only_ever_too_high(kind: ClaimKind) -> None:
    values = [9941, 9943, 9945, 9947, 9949]
    runs = group([ending_at(value) for value in values])
    assert [outcome(kind, value, runs) for value in (9900, 9941, 9949)] == [HOLDS] * 3
    assert outcome(kind, 9950, runs) == UNDECIDED
    half = scipy.stats.t.ppf(0.975, 4) * 10**0.5 * (1 + 1 / 5) ** 0.5  # 9.62
    assert 9 < half < 10
    found = verdict(kind, 9950, runs)
    assert "5 seeds: 5 lower, 0 equal, 0 higher; one new run: 9936 to 9954 with 95 % confidence" in found.evidence


def test_best_and_last_are_those_of_the_run() -> None:
    runs = group(
        [
            [9800] * 5 + [best] + [9800] * 12 + [last]
            for best, last in zip(range(9940, 9959), range(9920, 9939), strict=True)
        ]
    )
    assert [outcome("best", value, runs) for value in (9958, 9959)] == [HOLDS, DOES_NOT]
    assert [outcome("last", value, runs) for value in (9938, 9939)] == [HOLDS, DOES_NOT]


@pytest.mark.parametrize(
    ("kind", "value", "usual"), [("first_epoch", 9, 3), ("first_epoch", 2, 5), ("best", 9950, 3), ("last", 9950, 3)]
)
def test_a_run_that_diverged_counts_against_a_claim_on_one_run(kind: ClaimKind, value: int, usual: int) -> None:
    diverged = [run(99, [9900] * 3, "diverged: loss is not finite")]
    seeds = 39 if kind == "first_epoch" else 19
    found = verdict(kind, value, group([hit_at(usual)] * (seeds - 1), diverged))
    assert (found.outcome, ", 1 diverged" in found.evidence) == (DOES_NOT, True)
    found = verdict(kind, value, group([hit_at(usual)] * 3, diverged))
    assert (found.outcome, found.further) == (UNDECIDED, seeds - 4)


def test_only_complete_runs_are_draws() -> None:
    cut = [run(99, [9999], "interrupted")]
    values = [ending_at(value) for value in (9941, 9943, 9945, 9947, 9949)]
    assert verdict("best", 9945, group(values, cut)) == verdict("best", 9945, group(values))
    assert verdict("first_epoch", 9, group(values, cut)).evidence == verdict("first_epoch", 9, group(values)).evidence
    assert "no seed has all 19 epochs" in verdict("best", 9945, group([], cut)).evidence
    assert "no seed has its one epoch" in verdict("best", 9945, group([], [run(99, [], "error")], budget=1)).evidence
    assert "no seed has run" in verdict("best", 9945, None).evidence


# Claims that the document itself contradicts.

LOG = [9900, 9939, 9941, 9945, 9942]


@pytest.mark.parametrize(
    ("kind", "value", "contradicted"),
    [
        ("first_epoch", 3, False),
        ("first_epoch", 2, True),
        ("best", 9945, False),
        ("best", 9942, True),
        ("last", 9942, False),
        ("last", 9945, True),
        ("reaches_target", 9940, False),
        ("reaches_target", 9945, False),
        ("reaches_target", 9946, True),
        ("epochs_below", 4, False),
        ("epochs_below", 3, True),
        ("sustained", 3, False),
        ("sustained", 4, True),
    ],
)
def test_what_its_own_log_contradicts_is_named(kind: ClaimKind, value: int, contradicted: bool) -> None:
    found = verdict(kind, value, log=LOG, contradiction="so it is")
    said = "the document's own log alone decides" if kind in DRAWS else "the log does not confirm it"
    assert (f"; {said}: so it is" in found.evidence) is contradicted
    assert ("caveat: so it is" in found.evidence) is not contradicted
    assert found.outcome == (DOES_NOT if contradicted and kind in DRAWS else UNDECIDED)
    assert "log" not in verdict(kind, value, log=()).evidence


def test_a_claim_that_only_the_documented_run_bears_out_says_that_its_log_has_it() -> None:
    """The log ends above 9940 three times, which no seed does, and its best is above all seeds."""
    seeds = group([[9930] * BUDGET] * 19)
    for kind, value in (("sustained", 3), ("best", 9945)):
        found = verdict(kind, value, seeds, log=LOG, contradiction="so it is")
        assert found.outcome == DOES_NOT
        assert found.evidence.endswith("; the document's own log has it; caveat: so it is")
    assert "the document's own log" not in verdict("sustained", 3, seeds, log=()).evidence
    assert "the document's own log" not in verdict("best", 9945, group([[9950] * BUDGET] * 19), log=LOG).evidence


def test_a_log_that_ends_at_the_target_does_not_stay_above_it() -> None:
    for last, is_contradicted in ((9940, True), (9941, False)):
        evidence = verdict("sustained", 2, log=[9900, 9941, last]).evidence
        assert ("the log does not confirm it" in evidence) is is_contradicted


def test_a_log_says_nothing_of_a_claim_about_the_module() -> None:
    found = verdict("parameters", 1, log=LOG)
    assert found.outcome == DOES_NOT
    assert "log" not in found.evidence


def test_a_range_of_more_seeds_than_were_ranked_says_how_many_it_has() -> None:
    runs = [ending_at(9930 + seed) for seed in range(25)]
    assert (
        "19 seeds: 19 lower, 0 equal, 0 higher; one new run by all 25: " in verdict("last", 9960, group(runs)).evidence
    )
    assert "; one new run: " in verdict("last", 9960, group(runs[:19])).evidence


def test_a_log_that_shows_otherwise_needs_no_words_to_be_named() -> None:
    found = verdict("last", 9945, log=LOG)
    assert (found.outcome, "the document's own log alone decides: it shows" in found.evidence) == (DOES_NOT, True)


def test_seeds_that_agree_with_a_contradicted_first_epoch_do_not_save_it() -> None:
    runs = group([hit_at(2 + seed % 3) for seed in range(40)])
    assert verdict("first_epoch", 3, runs, log=LOG).outcome == HOLDS
    assert verdict("first_epoch", 2, runs, log=LOG).outcome == DOES_NOT


def test_seeds_decide_whether_a_network_reaches_what_its_document_did_not() -> None:
    found = verdict("reaches_target", 9946, group([[9950] * BUDGET] * 5), log=LOG)
    assert (found.outcome, "the log does not confirm it: it shows" in found.evidence) == (HOLDS, True)


def test_a_structure_that_its_own_table_contradicts_is_named() -> None:
    found = verdict("global_average_pooling", 1, contradiction="4 of 9 in the table")
    assert found.evidence.endswith("contradicted by the notebook: 4 of 9 in the table")


# A failed run never improves a verdict.

epochs_to_hit = st.one_of(st.none(), st.integers(1, BUDGET))
one_complete = st.tuples(epochs_to_hit, st.integers(9930, 9950)).map(lambda pair: [*hit_at(pair[0])[:-1], pair[1]])
complete_runs = st.tuples(st.lists(one_complete, max_size=10), st.integers(1, 5)).map(lambda pair: pair[0] * pair[1])
stopped_runs = st.lists(
    st.tuples(st.integers(0, BUDGET - 1), epochs_to_hit, st.sampled_from(["", "error", "diverged: not finite"])).map(
        lambda made: run(1000, hit_at(made[1])[: made[0]], made[2])
    ),
    max_size=4,
)
never_hit = st.integers(0, BUDGET - 1).map(lambda epochs: [9900] * epochs)
failures = st.one_of(
    st.tuples(never_hit, st.sampled_from(["error: out of memory", "timeout", "interrupted", ""])),
    st.tuples(st.integers(0, BUDGET - 1).map(lambda epochs: [9945] * epochs), st.just("diverged: not finite")),
).map(lambda made: run(2000, *made))
CLAIMS: tuple[tuple[ClaimKind, int], ...] = (
    ("reaches_target", 9940),
    ("epochs_below", 20),
    ("epochs_below", 12),
    ("sustained", 2),
    ("first_epoch", 2),
    ("first_epoch", 10),
    ("best", 9941),
    ("last", 9940),
    ("last", 9951),
)


def standing(kind: ClaimKind, value: int, runs: Group) -> int:
    return STANDING[outcome(kind, value, runs)]


@given(st.sampled_from(CLAIMS), complete_runs, stopped_runs, failures)
@settings(max_examples=400, deadline=None)
def test_adding_a_failed_run_never_improves_a_verdict(
    claim: tuple[ClaimKind, int], counts: list[list[int]], stopped: list[Series], failed: Series
) -> None:
    assert standing(*claim, group(counts, [*stopped, failed])) <= standing(*claim, group(counts, stopped))


@given(st.sampled_from(CLAIMS[:4]), complete_runs, stopped_runs)
@settings(max_examples=200, deadline=None)
def test_adding_a_complete_run_without_success_never_improves_a_share(
    claim: tuple[ClaimKind, int], counts: list[list[int]], stopped: list[Series]
) -> None:
    assert standing(*claim, group([*counts, hit_at(None)], stopped)) <= standing(*claim, group(counts, stopped))


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_the_evidence_has_the_counts_and_bounds_of_the_table(data: st.DataObject) -> None:
    runs = group(data.draw(complete_runs), data.draw(stopped_runs))
    claim = Claim("reaches_target", 9940, "what is claimed", "document")
    table = summarise_group(runs, "cpu", 0, network(claim), STRUCTURES["unpadded"])
    (found,) = table.verdicts
    first = table.first
    if not runs.runs:
        assert found.evidence.startswith("no seed has run; ")
        return
    unfinished = f", {first.undecided} unfinished" if first.undecided else ""
    assert f"{first.hits} of {first.runs} seed" in found.evidence
    complete = count(len(table.last), "complete seed")
    kept = f" (at or above it in the last epoch: {table.at_target_last} of {complete})" if table.last else ""
    assert f"within 19 epochs{kept}{unfinished}; " in found.evidence
    assert f"share at least {first.share_at_least:.3f}, at most {first.share_at_most:.3f}" in found.evidence
    assert sum(seed.first is not None for seed in table.seeds) == first.hits
    assert (table.latest.share, table.latest.share_at_most) == (first.share, first.share_at_most)


def test_runs_on_another_test_set_decide_nothing_about_the_claims_on_accuracy() -> None:
    runs = group([hit_at(None)] * 6)
    small = dataclasses.replace(runs, runs=tuple(dataclasses.replace(one, total=5000) for one in runs.runs))
    assert outcome("reaches_target", 9940, runs) == DOES_NOT
    for kind, value in CLAIMS:
        found = verdict(kind, value, small)
        assert (found.outcome, found.evidence) == (UNDECIDED, "tested on 5,000 images, not 10,000")
    assert outcome("parameters", STRUCTURES["unpadded"].parameters, small) == HOLDS
    claims = [network(Claim(kind, value, "what is claimed", "document")) for kind, value in CLAIMS]
    assert all(expected_further_seeds(one, STRUCTURES["unpadded"], small, 40) == {} for one in claims)


def test_a_run_without_an_epoch_was_not_tested_on_other_images() -> None:
    nothing = dataclasses.replace(run(9, [], "error: out of memory"), total=0)
    assert verdict("reaches_target", 9940, group([hit_at(None)] * 5, [nothing])).outcome == DOES_NOT


@given(st.sampled_from(CLAIMS), complete_runs, stopped_runs, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_the_order_of_the_seeds_does_not_matter(
    claim: tuple[ClaimKind, int], counts: list[list[int]], stopped: list[Series], shuffler: random.Random
) -> None:
    runs = group(counts, stopped)
    shuffled = list(runs.runs)
    shuffler.shuffle(shuffled)
    assert verdict(*claim, dataclasses.replace(runs, runs=tuple(shuffled))).outcome == outcome(*claim, runs)


@given(st.sampled_from(CLAIMS), complete_runs, stopped_runs)
@settings(max_examples=200, deadline=None)
def test_open_claims_say_how_many_further_seeds_would_decide(
    claim: tuple[ClaimKind, int], counts: list[list[int]], stopped: list[Series]
) -> None:
    runs = group(counts, stopped)
    found = verdict(*claim, runs)
    assert found.further is not None
    if found.outcome != UNDECIDED:
        assert found.further == 0
    elif found.further == 0:
        assert "finishing the unfinished runs could decide" in found.evidence
    settled = group(counts, [one for one in stopped if not is_unsettled(claim, one)])
    expected, without = (
        expected_further_seeds(network(found.claim), STRUCTURES["unpadded"], one, 40) for one in (runs, settled)
    )
    assert list(expected) == [found.claim] * (found.outcome == UNDECIDED)
    (seeds,) = without.values() or (0.0,)
    assert all(one == seeds for one in expected.values())
    assert (seeds > 0) == (outcome(*claim, settled) == UNDECIDED and len(settled.runs) < 40)
    assert seeds <= max(0, 40 - len(settled.runs))


def is_unsettled(claim: tuple[ClaimKind, int], one: Series) -> bool:
    evidence = verdict(*claim, group([], [one])).evidence
    return "1 unfinished" in evidence or "no seed has all" in evidence


def test_the_rule_is_four_sentences_that_say_when_it_was_fixed() -> None:
    assert len(RULE) == 4
    assert all(sentence.endswith(".") and ". " not in sentence for sentence in RULE)
    assert "fixed on 26 November 2026" in RULE[-1]


def test_an_open_claim_says_that_it_was_decided_before() -> None:
    said = "after the first 5 seeds the verdict was “holds”, and later seeds opened it again"
    for first_epochs, is_said in (([3] * 5 + [None], True), ([3, None] + [3] * 4, False)):
        found = verdict("reaches_target", 9940, group(map(hit_at, first_epochs)))
        assert found.outcome == UNDECIDED
        assert (said in found.evidence) is is_said


def test_the_rules_are_sentences() -> None:
    assert all(rule.endswith(".") and "|" not in rule and "\n" not in rule and "  " not in rule for rule in RULES)
    numbers = " ".join(RULES)
    assert "9940" not in " ".join((*RULE, *RULES))
    assert [number for number in ("5 seeds", "39 seeds", "19 seeds", "one half", "95 %") if number not in numbers] == []
