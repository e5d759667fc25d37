"""Tests of `sequential`: the oracle follows every path of successes and failures, with a look after every seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from math import comb

import pytest
import scipy.integrate
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from bench.evidence.statistics import confidence_sequence, e_value, expected_seeds, further_seeds, share_decided

counts = st.tuples(st.integers(0, 60), st.integers(0, 60))
decided = cache(share_decided)


def follow(share: float, seeds: int) -> tuple[Mapping[str | None, float], float]:
    """The probability of each decision by `seeds` seeds, with None for no decision, and the expected seeds until it."""
    paths, found, expected = {0: 1.0}, dict[str | None, float](), 0.0
    for n in range(1, seeds + 1):
        expected += sum(paths.values())
        after: dict[int, float] = {}
        for successes, weight in paths.items():
            after[successes + 1] = after.get(successes + 1, 0.0) + weight * share
            after[successes] = after.get(successes, 0.0) + weight * (1 - share)
        paths = {}
        for successes, weight in after.items():
            decision = decided(successes, n - successes)
            if decision is None:
                paths[successes] = weight
            else:
                found[decision] = found.get(decision, 0.0) + weight
    return {**found, None: sum(paths.values())}, expected


def ever(side: str, share: float, seeds: int) -> float:
    """The probability that one side is ever decided, whatever else is decided before."""
    paths, found = {0: 1.0}, 0.0
    for n in range(1, seeds + 1):
        after: dict[int, float] = {}
        for successes, weight in paths.items():
            after[successes + 1] = after.get(successes + 1, 0.0) + weight * share
            after[successes] = after.get(successes, 0.0) + weight * (1 - share)
        found += sum(weight for successes, weight in after.items() if decided(successes, n - successes) == side)
        paths = {successes: weight for successes, weight in after.items() if decided(successes, n - successes) != side}
    return found


def test_golden_e_values() -> None:
    assert e_value(5, 0) == Fraction(807, 40)  # 20.175
    assert float(e_value(4, 1)) == pytest.approx(1.045, abs=5e-4)
    assert e_value(0, 0) == 1


def test_golden_least_successes_that_decide() -> None:
    least = {
        n: next(some for some in range(n + 1) if decided(some, n - some) == "most")
        for n in (5, 6, 7, 8, 10, 11, 13, 15, 20, 25, 30, 40, 50, 75, 100)
    }
    golden = "5:5 6:6 7:7 8:8 10:10 11:11 13:12 15:13 20:17 25:20 30:24 40:30 50:36 75:51 100:66"
    assert " ".join(f"{n}:{some}" for n, some in least.items()) == golden
    assert all(decided(some, n - some) is None for n in range(5) for some in range(n + 1))


@pytest.mark.parametrize(("seeds", "probability"), [(20, 0.034), (100, 0.040), (400, 0.0432)])
def test_golden_probability_of_a_wrong_decision_at_one_half(seeds: int, probability: float) -> None:
    assert ever("most", 0.5, seeds) == pytest.approx(probability, abs=5e-4)


@pytest.mark.parametrize(
    ("share", "seeds"), [(0.2, 19.6), (0.35, 76.0), (0.5, 66.7), (0.6, 91.0), (0.7, 47.9), (0.95, 7.0)]
)
def test_golden_expected_seeds_until_decided(share: float, seeds: float) -> None:
    assert follow(share, 200)[1] == pytest.approx(seeds, abs=0.06)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.3, 0.4, 0.45, 0.5])
def test_a_wrong_decision_is_ever_made_in_at_most_5_percent_on_either_side(share: float) -> None:
    assert ever("most", share, 300) <= 0.05
    assert ever("few", 1 - share, 300) == pytest.approx(ever("most", share, 300))
    if share <= 0.3:
        assert ever("about half", share, 300) <= 0.05
        assert ever("about half", 1 - share, 300) <= 0.05


@pytest.mark.parametrize("share", [0.45, 0.5, 0.55])
def test_a_share_near_one_half_ends_as_about_half(share: float) -> None:
    found, _ = follow(share, 200)
    assert 0.84 <= found["about half"] <= 0.92
    assert found[None] < 0.01


def test_half_of_46_seeds_are_the_fewest_that_are_about_half() -> None:
    assert next(n for n in range(2, 100, 2) if decided(n // 2, n // 2)) == 46


def test_no_share_stays_open_after_242_seeds() -> None:
    still_open = [n for n in range(230, 270) for some in range(n + 1) if decided(some, n - some) is None]
    assert max(still_open) == 241


@given(counts)
def test_the_e_value_is_the_mixture_that_it_says(count: tuple[int, int]) -> None:
    successes, failures = count
    uniform = scipy.integrate.quad(lambda p: 2 * (2 * p) ** successes * (2 * (1 - p)) ** failures, 0.5, 1)[0]
    every = 2.0**successes if failures == 0 else 0
    assert float(e_value(successes, failures)) == pytest.approx(0.55 * uniform + 0.45 * every, rel=1e-6, abs=1e-9)


@given(counts, st.sampled_from([0.5, 0.4, 0.1]))
def test_the_e_value_never_rises_on_average_where_at_most_half_succeed(count: tuple[int, int], share: float) -> None:
    p = Fraction(share)
    after = p * e_value(count[0] + 1, count[1]) + (1 - p) * e_value(count[0], count[1] + 1)
    assert after <= e_value(*count)


@given(counts, st.integers(0, 5))
def test_the_two_sides_mirror_each_other_and_never_hold_together(count: tuple[int, int], unfinished: int) -> None:
    mirrored = {"most": "few", "few": "most", "about half": "about half", None: None}
    assert decided(count[1], count[0]) == mirrored[decided(*count)]
    assert min(e_value(*count), e_value(count[1], count[0])) <= 1
    # a run without an end never helps the successes
    if decided(*count, unfinished) == "most":
        assert decided(*count) == "most"
    if decided(*count) == "few":
        assert decided(*count, unfinished) == "few"


@given(counts)
def test_about_half_is_a_confidence_sequence_inside_30_to_70_percent(count: tuple[int, int]) -> None:
    interval = confidence_sequence(*count)
    if decided(*count) == "about half":
        assert 0.3 < interval.lower < interval.upper < 0.7
    elif decided(*count) is None:
        assert interval.lower <= 0.3 + 1e-9 or interval.upper >= 0.7 - 1e-9


@given(counts.filter(any))
def test_the_ends_of_the_confidence_sequence_are_where_its_definition_says(count: tuple[int, int]) -> None:
    n = sum(count)
    for end in (interval := confidence_sequence(*count)).lower, interval.upper:
        if 0 < end < 1:
            assert (n + 1) * scipy.stats.binom.pmf(count[0], n, end) == pytest.approx(0.1, rel=1e-6)
    assert interval.lower <= count[0] / n <= interval.upper
    assert (interval.lower == 0, interval.upper == 1) == (count[0] == 0, count[1] == 0)


def test_without_a_seed_every_share_is_in_the_confidence_sequence() -> None:
    assert (confidence_sequence(0, 0).lower, confidence_sequence(0, 0).upper) == (0, 1)


def test_the_confidence_sequence_has_the_true_share_at_every_look_in_90_percent() -> None:
    share, missed = 0.6, 0.0
    paths = {0: 1.0}
    for n in range(1, 201):
        after: dict[int, float] = {}
        for some, weight in paths.items():
            after[some + 1] = after.get(some + 1, 0.0) + weight * share
            after[some] = after.get(some, 0.0) + weight * (1 - share)
        inside = {some: (n + 1) * comb(n, some) * share**some * (1 - share) ** (n - some) >= 0.1 for some in after}
        missed += sum(weight for some, weight in after.items() if not inside[some])
        paths = {some: weight for some, weight in after.items() if inside[some]}
    assert 0.01 < missed <= 0.1


@pytest.mark.parametrize(
    ("count", "further"),
    [((5, 0), 0), ((0, 5), 0), ((0, 0), 5), ((4, 0), 1), ((0, 4), 1), ((1, 0), 4), ((4, 1), 20), ((2, 2), 42)],
)
def test_further_seeds_until_decided_if_the_share_stays_the_same(count: tuple[int, int], further: int) -> None:
    assert further_seeds(*count) == further


@given(counts)
def test_every_share_is_decided_in_the_end(count: tuple[int, int]) -> None:
    assert (further_seeds(*count) == 0) == (decided(*count) is not None)
    assert further_seeds(*count) == further_seeds(count[1], count[0])
    assert sum(count) + further_seeds(*count) <= 242 or sum(count) > 242


@pytest.mark.parametrize(
    ("successes", "failures", "at_most"), [(0, 0, 40), (4, 1, 40), (1, 4, 30), (3, 2, 12), (4, 0, 9)]
)
def test_the_expected_seeds_are_those_of_a_simulation_with_shares_drawn_from_what_is_known(
    successes: int, failures: int, at_most: int
) -> None:
    draw = random.Random(7)
    spent = []
    for _ in range(4000):
        share, some, n = draw.betavariate(successes + 1, failures + 1), successes, successes + failures
        while n < at_most and decided(some, n - some) is None:
            some, n = some + (draw.random() < share), n + 1
        spent.append(n - successes - failures)
    mean = sum(spent) / len(spent)
    assert expected_seeds(successes, failures, at_most) == pytest.approx(mean, abs=0.7)


def test_nothing_is_expected_where_nothing_is_open() -> None:
    assert expected_seeds(5, 0, 40) == expected_seeds(4, 1, 5) == expected_seeds(4, 1, 3) == 0


@pytest.mark.parametrize("function", [e_value, share_decided, further_seeds, confidence_sequence])
def test_negative_counts_are_refused(function: object) -> None:
    for count in ((-1, 2), (2, -1)):
        with pytest.raises(ValueError, match="negative"):
            function(*count)  # type: ignore[operator]


def test_fifty_thousand_seeds_are_judged_in_seconds() -> None:
    assert share_decided(30_000, 20_000) == "most"
    assert share_decided(25_000, 25_000) == "about half"
