"""Tests of `catalogue`: users' own networks are kept beside the record, and a report covers those with runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import synthetic

from bench.errors import UnusableInput
from bench.network import structure_facts
from bench.network.specification import Architecture, Claim, Recipe, Target
from bench.record import catalogue
from models import ARCHITECTURES

STRUCTURE = structure_facts.load(["unpadded"])["unpadded"]
RECIPE = Recipe(0.05, 64, 4, augmentation=("RandomRotation(degrees=7)",), schedule="StepLR(step_size=6)")
NET = Architecture(
    "net",
    "class Net: pass\n",
    "Net",
    RECIPE,
    target=Target(9900),
    own_claims=(Claim("best", 9951, "9951 of 10,000 in the best epoch", "file"),),
    gives_logits=True,
    uncovered=("torch.cumsum", "an augmentation"),
)
PLAIN = Architecture("plain", "class Plain: pass\n", "Plain", Recipe(0.01, 128, 19))


def add(runs: Path, *networks: Architecture) -> None:
    catalogue.add(runs, {one.name: one for one in networks}, {one.name: STRUCTURE for one in networks})


def runs_of(folder: Path, *networks: Architecture) -> Path:
    """A record of one short run of each network."""
    rows = [row for one in networks for row in synthetic.run_rows(one.name, 1, [9000], recipe=one.digest)]
    return synthetic.record(folder, rows).path


def test_the_file_stands_beside_the_record_under_its_name() -> None:
    assert catalogue.path_beside(Path("a/runs.csv")) == Path("a/runs.networks.json")


def test_a_network_comes_back_as_it_was(tmp_path: Path) -> None:
    runs = tmp_path / "runs.csv"
    add(runs, NET, PLAIN)
    found = catalogue.read(runs)
    assert found.architectures == {"net": NET, "plain": PLAIN}
    assert found.architectures["net"].digest == NET.digest
    assert found.structures == {"net": STRUCTURE, "plain": STRUCTURE}


def test_arguments_and_own_modules_come_back_and_other_networks_have_no_entry_for_them(tmp_path: Path) -> None:
    runs = tmp_path / "runs.csv"
    modules = (("blocks", "x = 1\n"), ("p.q", "y = 2\n"))
    whole = replace(NET, name="whole", arguments="norm='bn'", modules=modules, module="p.net")
    add(runs, NET, whole)
    found = catalogue.read(runs).architectures
    assert found == {"net": NET, "whole": whole}
    assert found["whole"].digest == whole.digest != NET.digest
    content = json.loads(catalogue.path_beside(runs).read_text())
    assert content["whole"].keys() - content["net"].keys() == {"arguments", "modules", "module"}


def test_a_network_of_an_earlier_version_has_nothing_uncovered(tmp_path: Path) -> None:
    runs = tmp_path / "runs.csv"
    add(runs, NET)
    path = catalogue.path_beside(runs)
    content = json.loads(path.read_text())
    del content["net"]["uncovered"]
    path.write_text(json.dumps(content))
    assert catalogue.read(runs).architectures == {"net": replace(NET, uncovered=())}


def test_no_file_means_no_networks(tmp_path: Path) -> None:
    assert catalogue.read(tmp_path / "runs.csv") == catalogue.Catalogue()
    catalogue.add(tmp_path / "runs.csv", {}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_network_replaces_an_earlier_one_of_its_name_and_no_other(tmp_path: Path) -> None:
    runs = tmp_path / "runs.csv"
    add(runs, NET, PLAIN)
    changed = replace(PLAIN, recipe=Recipe(0.02, 128, 19))
    add(runs, changed)
    assert catalogue.read(runs).architectures == {"net": NET, "plain": changed}


def test_nothing_is_written_if_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "runs.csv"
    add(runs, NET)
    monkeypatch.setattr(catalogue.files, "replace", lambda *_: pytest.fail("written"))
    add(runs, NET)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"net": {}}', '{"net": null}', '{"net": {"source": 1}}'])
def test_a_damaged_file_is_refused_and_not_replaced(tmp_path: Path, content: str) -> None:
    runs = tmp_path / "runs.csv"
    path = catalogue.path_beside(runs)
    path.write_text(content)
    for attempt in (lambda: catalogue.read(runs), lambda: add(runs, NET)):
        with pytest.raises(UnusableInput) as error:
            attempt()
        assert str(error.value).startswith(f"{path}: ")
    assert path.read_text() == content


def test_a_report_of_own_runs_alone_leaves_out_the_documented_networks(tmp_path: Path) -> None:
    runs = runs_of(tmp_path, NET)
    add(runs, NET, PLAIN)
    record, found = catalogue.read_record(runs)
    assert record.problems == ()
    assert found.architectures == {"net": NET}
    assert found.structures == {"net": STRUCTURE}


def test_a_report_of_own_and_documented_runs_covers_both(tmp_path: Path) -> None:
    runs = runs_of(tmp_path, NET, ARCHITECTURES["unpadded"])
    add(runs, NET)
    assert list(catalogue.read_record(runs)[1].architectures) == [*ARCHITECTURES, "net"]


def test_a_record_without_own_runs_is_about_the_documented_networks(tmp_path: Path) -> None:
    assert catalogue.read_record(tmp_path / "runs.csv")[1].architectures == ARCHITECTURES


def test_a_run_of_an_unknown_network_is_a_problem_and_left_out(tmp_path: Path) -> None:
    record, found = catalogue.read_record(runs_of(tmp_path, NET))
    assert [problem.line for problem in record.problems] == [2]
    assert "'net'" in record.problems[0].reason
    assert record.rows.empty
    assert found.architectures == ARCHITECTURES
