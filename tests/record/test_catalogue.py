"""Tests of `catalogue`: users' own networks are kept beside the record, and a report covers those with runs."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import synthetic

from bench.cli import parser
from bench.errors import UnusableInput
from bench.network import network_file, structure_facts
from bench.network.specification import RECIPE_BOUNDS, Architecture, Claim, Recipe, Target
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
    uncovered_on_gpu=("a convolution with strides",),
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


@pytest.mark.parametrize("end", [0, 1], ids=["smallest", "largest"])
def test_every_recipe_that_a_file_can_have_comes_back(tmp_path: Path, end: int) -> None:
    recipe = {name: bounds[end] for name, bounds in RECIPE_BOUNDS.items()}
    path = tmp_path / "net.py"
    path.write_text(f"from torch import nn\n\nRECIPE = {recipe!r}\n\n\nclass Net(nn.Module):\n    pass\n")
    one = network_file.read(path)
    assert one.recipe == Recipe(**recipe)
    add(tmp_path / "runs.csv", one)
    assert catalogue.read(tmp_path / "runs.csv").architectures["net"].recipe == one.recipe


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": replace(RECIPE, learning_rate=1e25)},
        {"arguments": "norm='\udcff'"},
        {"own_claims": (Claim("best", 2**63, "", "file"),)},
    ],
    ids=repr,
)
def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, changes: dict[str, object]) -> None:
    add(tmp_path / "runs.csv", PLAIN)
    with pytest.raises(UnusableInput, match=r"runs\.networks\.json: could not be read again: 'net': .*network's file$"):
        add(tmp_path / "runs.csv", replace(NET, **changes))
    assert list(catalogue.read(tmp_path / "runs.csv").architectures) == ["plain"]


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
    del content["net"]["uncovered"], content["net"]["uncovered_on_gpu"]
    path.write_text(json.dumps(content))
    assert catalogue.read(runs).architectures == {"net": replace(NET, uncovered=(), uncovered_on_gpu=())}


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


def changed(*place: str | int, to: object) -> str:
    """The text of a file with one network, in which the value at a place is another."""
    text = catalogue.format_catalogue(catalogue.Catalogue({"net": NET}, {"net": STRUCTURE}))
    content = {"": json.loads(text)}
    inner = content
    for name in ("", *place[:-1]):
        inner = inner[name]
    inner[place[-1]] = to
    return json.dumps(content[""])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (changed("net", "source", to="class Net(:\n"), "'net': source: is not a Python file that can be read"),
        (changed("net", "source", to="x = 1\0"), "'net': source: is not a Python file that can be read"),
        (changed("net", "source", to="(" * 100_000), "'net': source: is not a Python file that can be read"),
        (changed("net", "source", to="-" * 1_000_000 + "1"), "'net': source: is not a Python file that can be read"),
        (changed("net", "class_name", to="Net()"), "'net': class_name: a value is out of bounds"),
        (changed("net", "arguments", to="1) or exit("), "'net': arguments: 'make(1) or exit()' is not a call with"),
        (changed("net", "modules", to={"a": "("}), "'net': source: is not a Python file that can be read"),
        (changed("net", "modules", to={"a": 5}), "'net': modules: "),
        (changed("net", "recipe", "epochs", to="many"), "'net': recipe: epochs: 'many' is not a whole number"),
        (changed("net", "recipe", "epochs", to=10**9), "'net': recipe: epochs: a value is out of bounds"),
        (changed("net", "recipe", "batch_size", to=0), "'net': recipe: batch_size: a value is out of bounds"),
        (changed("net", "recipe", "momentum", to=1.5), "'net': recipe: momentum: a value is out of bounds"),
        (changed("net", "recipe", "dropout", to=2), "'net': recipe: dropout: a value is out of bounds"),
        (changed("net", "recipe", "vary", to="order"), "'net': recipe: vary: a value is out of bounds"),
        (changed("net", "recipe", "vary", to="steps"), "'net': recipe: vary: 'steps' is not one of"),
        (changed("net", "recipe", "schedule", to="exit"), "'net': recipe: 'exit' is not a call with plain arguments"),
        (changed("net", "recipe", "augmentation", to=["a(b)"]), "'net': recipe: 'a(b)' is not a call with plain"),
        (changed("net", "target", "correct", to=10_001), "'net': target: a value is out of bounds"),
        (changed("net", "claims", 0, "kind", to="fame"), "'net': claims: item 1: kind: 'fame' is not one of param"),
        (changed("net", "claims", 0, "value", to=-1), "'net': claims: a value is out of bounds"),
        (
            changed("net", "structure", "layers", 0, "shape", to="12"),
            "'net': structure: layers: item 1: shape: '12' is",
        ),
        (changed("net", "structure", "parameters", to=None), "'net': structure: parameters: None is not a whole"),
        (changed("net", "structure", "parameters", to=-1), "'net': structure: a value is out of bounds"),
        (changed("net", "later", to=1), "'net': the field 'later' is unknown"),
        (changed("", to={}), "'': the field 'source' is missing"),
        (changed("net", to=[]), "'net': a list is not an object"),
        (changed("", to=json.loads(changed("net", "gives_logits", to=True))["net"]), "'': its name: a value is out of"),
        ("[" * 100_000, "is not JSON"),
        ("NaN", "is not JSON"),
    ],
    ids=range(29),
)
def test_every_command_that_reads_the_networks_refuses_what_they_cannot_be_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, problem: str
) -> None:
    runs = str(runs_of(tmp_path, NET))
    path = catalogue.path_beside(Path(runs))
    path.write_text(content)
    before = sorted(tmp_path.iterdir())
    for words in (
        ("report", "--runs", runs, "--report", str(tmp_path / "report")),
        ("compare", runs, runs),
        ("merge", runs, "-o", str(tmp_path / "all.csv")),
    ):
        assert parser.main(words) == 2
        assert capsys.readouterr().err.startswith(f"bench: {path}: {problem}")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("place", "accepted", "refused"),
    [
        (("recipe", "learning_rate"), [5e-324, 1e18], [0, -0.1, math.nextafter(1e18, math.inf)]),
        (("recipe", "momentum"), [0, math.nextafter(1, 0)], [-5e-324, 1]),
        (("recipe", "batch_size"), [1, 60_000], [0, 60_001]),
        (("recipe", "epochs"), [1, 10_000], [0, 10_001]),
        (("recipe", "dropout"), [None, 0, math.nextafter(1, 0)], [-5e-324, 1]),
        (("target", "correct"), [1, 10_000], [0, 10_001]),
        (("target", "total"), [9900, 999_999_999], [9899, 10**9]),
        (("claims", 0, "value"), [0, 2**63 - 1], [-1]),
        (("structure", "parameters"), [0], [-1]),
        (("structure", "multiply_accumulates"), [0], [-1]),
    ],
    ids=lambda one: one[-1] if isinstance(one, tuple) else "",
)
def test_a_value_is_accepted_up_to_its_bounds_and_refused_beyond_them(
    tmp_path: Path, place: tuple[str | int, ...], accepted: list[float | None], refused: list[float]
) -> None:
    path = catalogue.path_beside(tmp_path / "runs.csv")
    for value in accepted:
        path.write_text(changed("net", *place, to=value))
        assert list(catalogue.read(tmp_path / "runs.csv").architectures) == ["net"]
    for value in refused:
        path.write_text(changed("net", *place, to=value))
        with pytest.raises(UnusableInput, match=r"'net': .*: a value is out of bounds"):
            catalogue.read(tmp_path / "runs.csv")


def test_a_name_has_one_line_and_at_most_the_characters_that_a_record_can_have(tmp_path: Path) -> None:
    path = catalogue.path_beside(tmp_path / "runs.csv")
    entry = json.loads(changed("net", "gives_logits", to=True))["net"]
    path.write_text(changed("x" * 4000, to=entry))
    assert {len(name) for name in catalogue.read(tmp_path / "runs.csv").architectures} == {3, 4000}
    for name in ("x" * 4001, "two\nlines"):
        path.write_text(changed(name, to=entry))
        with pytest.raises(UnusableInput, match="': its name: a value is out of bounds"):
            catalogue.read(tmp_path / "runs.csv")


def test_a_fifo_in_the_place_of_the_networks_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(catalogue.path_beside(tmp_path / "runs.csv"))
    with pytest.raises(UnusableInput, match="it is a FIFO, not a file"):
        catalogue.read(tmp_path / "runs.csv")


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
