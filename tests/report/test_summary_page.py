"""Tests of `numbers`: docs/summary.md describes every key of summary.json, and its examples print what they say."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import synthetic
from reports import MIXED

from bench.evidence.summary import summarise
from bench.network import structure_facts
from bench.network.specification import LOGGED, Architecture, Claim, Recipe
from bench.record import catalogue, misses, record
from bench.record.environments import EXACT
from bench.record.ledger import Problem
from bench.record.verifications import Verifications
from bench.report.numbers import as_json
from models import ARCHITECTURES

DATA = {"networks": "NAME", "documented_log": "EPOCH", "seen_as": "DIGIT"}
"""The objects whose keys are data, with the word that stands for such a key on the page."""


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "summary.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def published(root: Path) -> dict[str, Any]:
    return json.loads((root / "report" / "summary.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The numbers of a made-up record that has what a published one may lack, and those of a record without a run."""
    path = tmp_path_factory.mktemp("made_up") / "runs.csv"
    networks = synthetic.architectures("expand_squeeze", "unpadded")
    optional = {"dropout": 0.1, "augmentation": ("RandomRotation(7)",), "schedule": "StepLR(step_size=6)"}
    own = synthetic.with_recipe(ARCHITECTURES["gap_head"], name="own", recipe=Recipe(0.01, 128, 4, **optional))
    networks["own"] = synthetic.with_recipe(own, document=None)
    varied = networks["own"].varied("order").digest
    networks["log"] = synthetic.with_recipe(
        Architecture("log", "", "", Recipe(0, 0, 4), own_claims=(Claim("best", 9950, "made up", "option"),))
    )
    rows = [
        *MIXED,
        *synthetic.run_rows("expand_squeeze", 1, [9950] * 20, device="cuda", environment=synthetic.GPU),
        *synthetic.run_rows("unpadded", 5, [], ending=("error", "no space")),
        *(dataclasses.replace(row, smallest_variance=None) for row in synthetic.collapsing(6)),
        *(row for seed in (1, 2) for row in synthetic.run_rows("own", seed, [9900, 9910, 9950, 9900 + seed])),
        *(row for seed in (1, 2) for row in synthetic.run_rows("own", seed, [9900] * 4, recipe=varied)),
        *synthetic.run_rows("expand_squeeze", 1, [9900], recipe="ffff0000"),
        *synthetic.run_rows("own", 1, [9950, 9800, 9950, 9950], device="cuda", environment=synthetic.GPU),
        *(dataclasses.replace(row, total=60_000) for row in synthetic.run_rows("log", 1, [9950] * 3, device=LOGGED)),
    ]
    problems = (Problem(2, "is made up"),)
    recorded = record.from_rows(path, rows, problems)
    synthetic.write_beside(
        path, synthetic.misses([row for row in rows if row.seed == 1 and row.model in ARCHITECTURES])
    )
    missed = dataclasses.replace(misses.read(recorded), problems=problems)
    whole = summarise(recorded, networks, structure_facts.load(), missed, Verifications((), problems))
    empty = summarise(record.from_rows(path, [], []), networks, structure_facts.load())
    return [json.loads(as_json(one)) for one in (whole, empty)]


def _keys(value: Any, path: str = "") -> Iterator[tuple[str, bool]]:
    """The path of every key in a value, and whether its value is null."""
    if isinstance(value, dict):
        data = DATA.get(path.rpartition(".")[2])
        for key, one in value.items():
            here = f"{path}.{data or key}".removeprefix(".")
            yield here, one is None
            yield from _keys(one, here)
    if isinstance(value, list):
        for one in value:
            yield from _keys(one, f"{path}[]")


def _rows(page: str) -> list[tuple[set[str], str]]:
    """The paths of the keys in each row of the page's tables, and when they are null."""
    prefixes, found = [""], []
    for line in page.splitlines():
        if line.startswith("#"):
            prefixes = [f"{one}." for one in _in_code(line)] or [""]
        elif line.startswith("| `"):
            key, _, null = line.strip("|").split("|")
            found.append(({prefix + one for prefix in prefixes for one in _in_code(key)}, null.strip()))
    return found


def _in_code(text: str) -> list[str]:
    """Every text in backticks. `a{b,c}` stands for `ab` and `ac`."""
    return [path for one in re.findall(r"`([^`]+)`", text) for path in _expanded(one)]


def _expanded(text: str) -> list[str]:
    before, brace, rest = text.partition("{")
    if not brace:
        return [text]
    inside, _, after = rest.partition("}")
    return [before + one + end for one in inside.split(",") for end in _expanded(after)]


def _with_parents(paths: set[str]) -> set[str]:
    """The paths, and those of the objects and arrays around them."""
    parts = [path.split(".") for path in paths]
    return {".".join(some[:end]).removesuffix("[]") for some in parts for end in range(1, len(some) + 1)}


def test_the_page_describes_every_key_and_no_other(page: str, published: dict[str, Any], made_up: list[Any]) -> None:
    described = _with_parents({path for paths, _ in _rows(page) for path in paths})
    assert {path for path, _ in _keys(published)} - described == set()
    assert described == {path for one in (published, *made_up) for path, _ in _keys(one)}


def test_no_key_is_described_twice(page: str) -> None:
    described = [path for paths, _ in _rows(page) for path in paths]
    assert sorted(described) == sorted(set(described))


def test_the_page_says_of_those_keys_alone_that_may_be_null_when_they_are(
    page: str, published: dict[str, Any], made_up: list[Any]
) -> None:
    null = {path for one in (published, *made_up) for path, is_null in _keys(one) if is_null}
    for paths, said in _rows(page):
        names, found = ({path.rpartition(".")[2] for path in some} for some in (paths, paths & null))
        assert found == (names if said else set()), said


def test_the_examples_print_the_outcomes_the_first_epochs_and_the_means(
    page: str, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    exec(code, {})
    lines = capsys.readouterr().out.splitlines()
    recorded, _ = catalogue.read_record(root / "runs.csv")
    expected = []
    for network in sorted(
        summarise(recorded, ARCHITECTURES, structure_facts.load()).networks, key=lambda one: one.name
    ):
        (group,) = (one for one in network.groups if one.group.environment == EXACT.digest)
        expected += [f"{network.name} | {one.claim.text} | {one.outcome}" for one in group.verdicts]
        runs = recorded.epochs.query("model == @network.name and recipe == @network.architecture.digest")
        runs = runs[runs["environment"] == EXACT.digest].pivot(index="seed", columns="epoch", values="correct")
        first = {
            seed: next((epoch for epoch, count in run.items() if count >= 9940), None) for seed, run in runs.iterrows()
        }
        expected += [f"{network.name} first {first}"]
        complete = runs.dropna()
        expected += [f"{network.name} mean {[round(images / len(complete), 1) for images in complete.sum().tolist()]}"]
    assert lines == expected
