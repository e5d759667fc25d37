"""Tests of `kinds`: how much the weights, the order and dropout each vary a run is that of the right runs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import scipy.stats
import synthetic
from numpy.typing import NDArray

from bench.evidence.results import Group, Series
from bench.evidence.summary import Kinds, Summary, kinds, summarise
from bench.network import structure_facts
from bench.network.specification import VARIED, Vary
from bench.record.rows import Row

SEEDS, REPETITIONS = 8, 2000
PLACE = ("cpu", synthetic.CPU)
LABELS = {PLACE: "cpu"}


def varied_rows(vary: Vary, plateau: int, seeds: range = range(1, 5), **options: object) -> list[Row]:
    recipe = synthetic.architectures("unpadded")["unpadded"].varied(vary).digest
    return synthetic.full({"unpadded": plateau}, seeds, recipe=recipe, **options)


def summary(folder: Path, rows: list[Row]) -> Summary:
    record = synthetic.record(folder, rows)
    return summarise(record, synthetic.architectures("unpadded", "gap_head"), structure_facts.load())


def test_each_kind_has_the_variance_of_its_own_runs_in_the_last_and_in_the_best_epoch(tmp_path: Path) -> None:
    ordinary = synthetic.full({"unpadded": 9940, "gap_head": 9940})
    by_kind = {"weights": varied_rows("weights", 9930), "order": varied_rows("order", 9920, range(1, 9))}
    of_before = synthetic.full({"unpadded": 9900}, range(1, 3), recipe="00000000")
    (found,) = summary(tmp_path, [*ordinary, *of_before, *by_kind["weights"], *by_kind["order"]]).sources.kinds
    assert (found.model, found.label, found.has_dropout) == ("unpadded", "cpu", True)
    assert [(one.vary, one.runs) for one in found.kinds] == [("", 5), ("weights", 4), ("order", 8), ("dropout", 0)]
    by_kind[""] = [row for row in ordinary if row.model == "unpadded"]
    for one in found.kinds[:3]:
        table = np.array([row.correct for row in by_kind[one.vary]]).reshape(one.runs, 19)
        for spread, counts in ((one.last, table[:, -1]), (one.best, table.max(axis=1))):
            assert spread is not None
            squares = ((counts - counts.mean()) ** 2).sum()
            assert spread.variance == pytest.approx(squares / (one.runs - 1))
            assert spread.error == pytest.approx(spread.variance * math.sqrt(2 / (one.runs - 1)))
            quantiles = scipy.stats.chi2(one.runs - 1).ppf([0.975, 0.025])
            assert (spread.interval.lower, spread.interval.upper) == pytest.approx(tuple(squares / quantiles))
    assert (found.kinds[3].last, found.kinds[3].best) == (None, None)
    assert not any(one.is_constant for one in found.kinds)


def test_runs_that_collapse_are_left_out_of_the_spread_and_counted(tmp_path: Path) -> None:
    recipe = synthetic.architectures("unpadded")["unpadded"].varied("weights").digest
    counts = {1: [9930] * 19, 2: [9932] * 19, 3: [9900] * 18 + [7005], 4: [9930, 9800] + [9950] * 17}
    rows = [row for seed, one in counts.items() for row in synthetic.run_rows("unpadded", seed, one, recipe=recipe)]
    (found,) = summary(tmp_path, rows).sources.kinds
    weights = found.kinds[1]
    assert (weights.vary, weights.runs, weights.collapsed) == ("weights", 2, 2)
    assert weights.last is not None
    assert weights.last.variance == weights.best.variance == 2


def test_runs_of_a_kind_are_no_evidence_of_a_claim_and_no_other_number_counts_them(tmp_path: Path) -> None:
    ordinary = synthetic.full({"unpadded": 9940, "gap_head": 9940})
    alone = summary(tmp_path, ordinary)
    every = [row for vary in VARIED for row in varied_rows(vary, 9960)]
    both = summary(tmp_path, [*ordinary, *every])
    assert both.networks == alone.networks
    assert (both.images, both.repeats) == (alone.images, alone.repeats)
    assert (both.between_networks, both.between_devices) == (alone.between_networks, alone.between_devices)
    assert both.sources.groups == alone.sources.groups
    assert both.sources.together == alone.sources.together
    assert both.sources.places == alone.sources.places
    assert alone.sources.kinds == ()
    assert [(one.vary, len(one.seeds), one.epochs) for one in both.other_recipes] == [
        (vary, 4, (19,) * 4) for vary in VARIED
    ]


def test_unfinished_runs_and_one_run_have_no_variance(tmp_path: Path) -> None:
    cut = [row for row in varied_rows("weights", 9930) if row.epoch < 19]
    assert summary(tmp_path, cut).sources.kinds == ()
    (found,) = summary(tmp_path, [*cut, *varied_rows("order", 9930, range(1, 2))]).sources.kinds
    assert [(one.runs, one.last, one.is_constant) for one in found.kinds] == [
        (0, None, False),
        (0, None, False),
        (1, None, False),
        (0, None, False),
    ]


def test_equal_runs_are_constant_and_a_network_can_have_no_dropout(tmp_path: Path) -> None:
    equal = [group([[9900, 9930]] * 3, "dropout")]
    (found,) = kinds(equal, LABELS, {})
    assert found.has_dropout is None
    assert [(one.is_constant, one.runs) for one in found.kinds] == [(False, 0)] * 3 + [(True, 3)]
    same_end = [group([[9900, 9930], [9901, 9930]], "dropout")]
    assert not kinds(same_end, LABELS, {})[0].kinds[3].is_constant
    structure = structure_facts.load()["unpadded"]
    layers = tuple(layer for layer in structure.layers if layer.kind != "Dropout")
    without = {"unpadded": type(structure)(**{**vars(structure), "layers": layers})}
    assert kinds(equal, LABELS, without)[0].has_dropout is False


def test_two_equal_runs_are_constant_but_not_beside_one_that_collapses() -> None:
    equal = [[9930] * 19] * 2
    both, collapsing = (
        kinds([group(counts, "order")], LABELS, {})[0].kinds[2] for counts in (equal, [*equal, [9930] * 18 + [7005]])
    )
    assert (both.is_constant, both.runs, both.collapsed) == (True, 2, 0)
    assert (collapsing.is_constant, collapsing.runs, collapsing.collapsed) == (False, 2, 1)


def test_epochs_beyond_those_of_the_recipe_are_no_part_of_a_spread() -> None:
    longer = replace(group([[9900, 9930, 9990], [9902, 9932, 9940]], "order"), budget=2)
    order = kinds([longer], LABELS, {})[0].kinds[2]
    assert order.last is not None
    assert order.best is not None
    assert (order.last.variance, order.best.variance) == (2, 2)


def test_networks_are_in_the_order_of_the_groups() -> None:
    groups = [replace(group([[9900]] * 2, "order"), model=model) for model in ("unpadded", "gap_head")]
    assert [one.model for one in kinds(groups, LABELS, {})] == ["unpadded", "gap_head"]


def test_every_place_has_runs_of_its_own(tmp_path: Path) -> None:
    rows = [
        *synthetic.full({"unpadded": 9940}),
        *varied_rows("order", 9930),
        *varied_rows("order", 9930, range(1, 4), device="cuda", environment=synthetic.GPU),
    ]
    found = summary(tmp_path, rows).sources.kinds
    assert [(one.label, [kind.runs for kind in one.kinds]) for one in found] == [
        ("cpu", [5, 0, 4, 0]),
        ("cuda", [0, 0, 3, 0]),
    ]


def group(counts: list[list[int]], vary: Vary) -> Group:
    runs = tuple(Series(seed, 10_000, tuple(run), (), ()) for seed, run in enumerate(counts, start=1))
    return Group(
        "unpadded", vary or "now", (PLACE[0],), PLACE[1], (), len(counts[0]), is_current=not vary, runs=runs, vary=vary
    )


def simulated(together: float) -> list[Kinds]:
    """Runs that are sums of effects with known variances: 30² by the weights, 40² by the order, 50² by dropout.

    Weights and order also have an effect together, with the variance `together`².
    """
    draw = np.random.default_rng(5)
    found = []
    for _ in range(REPETITIONS):
        weights, order, dropout = (scale * draw.normal(size=SEEDS) for scale in (30, 40, 50))

        def counts(w: NDArray[np.float64], o: NDArray[np.float64], d: NDArray[np.float64]) -> list[list[int]]:
            values = 5000 + w + o + d + together * (w / 30) * (o / 40)
            return [[round(float(value))] for value in values]

        first = [np.full(SEEDS, one[0]) for one in (weights, order, dropout)]
        groups = [
            group(counts(weights, order, dropout), ""),
            group(counts(weights, first[1], first[2]), "weights"),
            group(counts(first[0], order, first[2]), "order"),
            group(counts(first[0], first[1], dropout), "dropout"),
        ]
        found += kinds(groups, LABELS, {})
    return found


def test_the_variances_of_known_effects_are_found_again_and_covered_as_often_as_promised() -> None:
    found = simulated(together=0)
    for place, expected in enumerate((30**2 + 40**2 + 50**2, 30**2, 40**2, 50**2)):
        spreads = [spread for one in found if (spread := one.kinds[place].last)]
        values = [spread.variance for spread in spreads]
        assert fmean(values) == pytest.approx(expected, abs=4 * np.std(values) / math.sqrt(REPETITIONS))
        errors = [spread.error for spread in spreads]
        assert fmean(errors) == pytest.approx(float(np.std(values)), rel=0.1)
        covered = fmean(spread.interval.lower <= expected <= spread.interval.upper for spread in spreads)
        assert covered == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / REPETITIONS))


def test_a_kind_includes_what_it_does_together_with_the_others() -> None:
    """On average over what is fixed, it is the total effect of the kind (Homma and Saltelli 1996)."""
    found = simulated(together=35)
    expected = (30**2 + 40**2 + 50**2 + 35**2, 30**2 + 35**2, 40**2 + 35**2, 50**2)
    for place, variance in enumerate(expected):
        values = [spread.variance for one in found if (spread := one.kinds[place].last)]
        assert fmean(values) == pytest.approx(variance, abs=4 * np.std(values) / math.sqrt(REPETITIONS))
