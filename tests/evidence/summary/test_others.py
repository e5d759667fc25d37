"""Tests of `others`: runs of a recipe that the network no longer has."""

from __future__ import annotations

from pathlib import Path

import synthetic

from bench.evidence.summary import OtherRecipe, Place, summarise
from bench.network import structure_facts


def test_runs_of_another_recipe_are_described_by_what_is_recorded_of_them(tmp_path: Path) -> None:
    """The target and the number of epochs are those of another recipe, and nobody knows them."""
    rows = [
        *synthetic.run_rows("unpadded", 1, [9900] * 19 + [9957], recipe="00000000"),
        *synthetic.run_rows("unpadded", 2, [9950, 9900], recipe="00000000", ending=("diverged", "the loss is nan")),
        *synthetic.run_rows("unpadded", 3, [], recipe="00000000", ending=("error", "boom")),
    ]
    found = summarise(synthetic.record(tmp_path, rows), synthetic.architectures(), structure_facts.load())
    assert found.other_recipes == (
        OtherRecipe(
            model="unpadded",
            recipe="00000000",
            device="cpu",
            environment=synthetic.CPU,
            seeds=(1, 2, 3),
            epochs=(20, 2, 0),
            best=(9957, 9950),
            last=(9957, 9900),
            diverged=1,
        ),
    )
    assert not found.current
    assert found.places == (Place("cpu", "cpu", synthetic.CPU, (synthetic.MACHINES[synthetic.CPU],), 3, 3),)


def test_several_recipes_in_one_place_are_one_place(tmp_path: Path) -> None:
    rows = [
        row for recipe in ("00000000", "00000001") for row in synthetic.run_rows("unpadded", 1, [9900], recipe=recipe)
    ]
    found = summarise(synthetic.record(tmp_path, rows), synthetic.architectures(), structure_facts.load())
    assert [(place.label, place.runs) for place in found.places] == [("cpu", 2)]
