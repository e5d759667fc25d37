"""Tests of `components`: the numbers of each source stand in the tables, or a dash where they are not known."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from statistics import stdev, variance

import numpy as np
import pytest
import scipy.stats
import synthetic
from pages import section, tables
from reports import page, rendered, without_links, written

from bench.evidence.summary import summarise
from bench.network import structure_facts
from bench.network.specification import Vary
from bench.record.rows import Row
from bench.report.markdown import COMPONENTS
from bench.report.pages import components

TITLE = "## Where does the variance come from?"


def test_without_misses_the_epochs_and_the_choice_are_shown_and_no_figure(tmp_path: Path) -> None:
    data = page("data.md", tmp_path, synthetic.full(), "unpadded", "gap_head")
    components, choice = tables(section(data, TITLE))[:2]
    assert [row[0] for row in components[2:]] == ["`unpadded`", "`gap_head`", "**all**"]
    for row in components[2:]:
        assert row[3:6] == ["–"] * 3
        assert float(row[6]) > 0
    assert [row[3] for row in choice[2:]] == ["–"] * 3
    assert {row[4] for row in choice[2:4]} <= {"more than 5", *(f"{k} seeds" for k in range(2, 6)), "1 seed"}
    assert COMPONENTS not in rendered(tmp_path, synthetic.full({"unpadded": 9940}), "unpadded")


def test_a_log_of_an_earlier_network_asks_for_no_number_of_seeds(tmp_path: Path) -> None:
    rows = synthetic.full({"squeeze_fc": 9960, "gap_head": 9960})
    choice = tables(section(page("data.md", tmp_path, rows, "squeeze_fc", "gap_head"), TITLE))[1]
    assert [row[4:] for row in choice[2:4]] == [["–", "–"], ["1", "1"]]


def test_one_run_has_no_components_and_an_empty_record_no_table(tmp_path: Path) -> None:
    one = section(page("data.md", tmp_path, synthetic.full({"unpadded": 9940}, seeds=(1,)), "unpadded"), TITLE)
    assert len(tables(one)) == 1
    assert "more than 1" in one
    assert tables(section(page("data.md", tmp_path, []), TITLE)) == []


def test_pairs_of_places_have_a_table(tmp_path: Path) -> None:
    rows = [
        *synthetic.full({"unpadded": 9940}, seeds=(1, 2)),
        *synthetic.full({"unpadded": 9950}, seeds=(1, 2), device="cuda", environment=synthetic.GPU),
    ]
    last = tables(section(page("data.md", tmp_path, rows, "unpadded"), TITLE))[-1]
    assert last[2][:5] == ["`unpadded`", "cpu", "cuda", "2", "0"]
    assert last[2][5].startswith("−"), "first minus second, as in the tests"


def varied(plateaus: dict[Vary, int], seeds: range = range(1, 9)) -> list[Row]:
    """Complete runs of `unpadded` in which one kind varies, by kind and plateau."""
    ordinary = synthetic.architectures("unpadded")["unpadded"]
    found = [(ordinary.varied(vary).digest, plateau) for vary, plateau in plateaus.items()]
    return [row for recipe, one in found for row in synthetic.full({"unpadded": one}, seeds, recipe=recipe)]


def test_what_the_seed_changes_has_a_table_a_sentence_and_a_figure(tmp_path: Path) -> None:
    rows = [*synthetic.full({"unpadded": 9940, "gap_head": 9940}), *varied({"weights": 9938, "order": 9930})]
    files = written(tmp_path, rows, "unpadded", "gap_head")
    told = section(files["data.md"], TITLE)
    (kinds,) = (one for one in tables(told) if one[0][2] == "the seed changes")
    assert [row[:4] for row in kinds[2:]] == [
        ["`unpadded`", "cpu", "everything", "5"],
        ["`unpadded`", "cpu", "the first weights", "8"],
        ["`unpadded`", "cpu", "the order of the images", "8"],
        ["`unpadded`", "cpu", "dropout", "0"],
    ]
    assert kinds[5][4:] == ["0", "not measured", "not measured"]
    for row, plateau, seeds in ((kinds[2], 9940, 5), (kinds[3], 9938, 8), (kinds[4], 9930, 8)):
        runs = [synthetic.counts(seed, 19, plateau) for seed in range(1, seeds + 1)]
        for cell, counts in ((row[5], [run[-1] for run in runs]), (row[6], [max(run) for run in runs])):
            found, lower, upper = map(float, re.findall(r"[0-9.]+", cell))
            assert found == pytest.approx(stdev(counts), abs=0.051)
            quantiles = scipy.stats.chi2(seeds - 1).ppf([0.975, 0.025])
            bounds = np.sqrt((seeds - 1) * variance(counts) / quantiles)
            assert (lower, upper) == pytest.approx(tuple(bounds), abs=0.051)
    assert "To measure the effect of dropout, train these networks with `--vary dropout --seeds 1-8` too." in told
    brief = section(without_links(files["README.md"]), TITLE)
    weights, order = (row[5].split()[0] for row in kinds[3:5])
    kinds_in_words = f"{weights} if the seed changes only the first weights and {order} if only the order of the images"
    said = f"With 8 seeds of `unpadded`, it is {kinds_in_words}."
    assert f" images. {said} " in brief
    picture = rendered(tmp_path, rows, "unpadded", "gap_head")[COMPONENTS].decode()
    drawn = re.findall(r"<!-- (.*?) -->", picture)
    assert {f"unpadded: {kind}" for kind in ("everything", "weights", "order")} < set(drawn)
    assert "unpadded: dropout" not in drawn


def test_kinds_that_nobody_has_measured_come_with_the_options_that_measure_them(tmp_path: Path) -> None:
    data = page("data.md", tmp_path, synthetic.full({"unpadded": 9940}), "unpadded")
    assert (
        "**Weights, order of the images, dropout**: Not measured. To measure the effect of the first weights, train "
        "these networks with `--vary weights --seeds 1-8` too. For the rest, write `order` and `dropout` in place of "
        "`weights`."
    ) in section(data, TITLE)
    assert "seed changes only" not in page("README.md", tmp_path, synthetic.full({"unpadded": 9940}), "unpadded")


def test_a_network_without_dropout_says_so(tmp_path: Path) -> None:
    recipe = synthetic.architectures("unpadded")["unpadded"].varied("dropout").digest
    equal = [
        row for seed in (1, 2) for row in synthetic.run_rows("unpadded", seed, [9900] * 18 + [9930], recipe=recipe)
    ]
    (kinds,) = tables(section(page("data.md", tmp_path, equal, "unpadded"), TITLE))
    assert kinds[5][2:] == ["dropout", "2", "0", "0, all runs are equal", "0, all runs are equal"]
    structure = structure_facts.load()["unpadded"]
    layers = tuple(layer for layer in structure.layers if layer.kind != "Dropout")
    summary = summarise(
        synthetic.record(tmp_path, varied({"order": 9930})),
        synthetic.architectures("unpadded"),
        {"unpadded": replace(structure, layers=layers)},
    )
    shown = "\n".join(components.lines(summary.sources, {}))
    (kinds,) = tables(shown)
    assert kinds[5][2:] == ["dropout", "0", "0", "no dropout", "no dropout"]
    assert "--vary weights" in shown
    assert "`dropout`" not in shown


def test_the_recipe_of_a_kind_is_named_among_the_other_recipes(tmp_path: Path) -> None:
    rows = [*synthetic.full({"unpadded": 9940}), *varied({"order": 9930})]
    recipes = section(page("data.md", tmp_path, rows, "unpadded"), "## Runs of another recipe")
    (table,) = tables(recipes)
    digest = synthetic.architectures("unpadded")["unpadded"].varied("order").digest
    assert [row[1] for row in table[2:]] == [f"`{digest}` `--vary order`"]
    assert "the seed changes only one kind of random numbers" in recipes
    assert "Nobody knows their target" not in recipes
