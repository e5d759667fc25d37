"""Tests of `regression`, `baseline`, `findings` and `calibration`: the gate fails on what changed.

The gate fails on a changed network, another recipe, other bits, a slower step or nothing to check.
"""

from __future__ import annotations

import json
import time
import tomllib
from dataclasses import replace
from statistics import median

import pytest
import torch
from sample_rows import row, text_of
from torch import nn

from bench.errors import UnusableInput
from bench.gate import baseline, calibration, regression
from bench.gate.findings import Finding, format_findings, format_markdown
from bench.gate.regression import TOLERANCE, judge_speed, update
from bench.network import structure
from bench.network.specification import Architecture
from bench.record.rows import COLUMNS, format_line
from bench.training import environment, golden
from bench.training.exact import ExactTrainer
from models import ARCHITECTURES

DIFFERING = golden.differing

HERE = "AMD EPYC (26/2/1) AVX512; PyTorch 2.13.0+cpu; Linux x86_64"
"""A machine of which steps are stored. The tests run as if on this one."""

ROW = row(recipe=ARCHITECTURES["unpadded"].digest, environment="11111111", correct=9900)


@pytest.fixture
def runs(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(text_of(ROW))
    return path


@pytest.fixture(scope="module")
def structures():
    """The structures of the networks that were examined, by the text of the network: its classes and layers."""
    return {}


@pytest.fixture(autouse=True)
def examined_once(structures, monkeypatch):
    examine = structure.examine

    def known(network):
        return structures.get(str(network)) or structures.setdefault(str(network), examine(network))

    monkeypatch.setattr(structure, "examine", known)


@pytest.fixture(autouse=True)
def measured(monkeypatch):
    """Replaces the measurement of the steps by the stored speeds of one machine, which a test may change."""
    monkeypatch.setattr(environment, "machine", lambda native: HERE)
    speeds = {name: one.steps[HERE] for name, one in baseline.load().items()}
    monkeypatch.setattr(
        regression.speed,
        "step_ratios",
        lambda architectures, data: {one.name: speeds[one.name] for one in architectures},
    )
    return speeds


@pytest.fixture(autouse=True)
def differing(monkeypatch):
    """Replaces the short trainings by a set of the networks with other bits, which a test may change."""
    names = set()
    monkeypatch.setattr(golden, "differing", lambda chosen: tuple(name for name in chosen if name in names))
    return names


def check(architectures, runs):
    return regression.check(architectures, runs, runs.parent)


def stored_here(step):
    return baseline.Stored("00000000", {HERE: step})


def failed(findings):
    """The subjects of the failed checks, without the speed: it is not measured after another failure."""
    return [one.subject.split("/")[-1] for one in findings if not one.passed and one.subject != "speed"]


class WithOneMore(nn.Module):
    """A network with one more parameter than the documented one."""

    def __init__(self):
        super().__init__()
        self.network = ARCHITECTURES["unpadded"].build()
        self.scale = nn.Parameter(self.network.conv1.bias.detach()[:1].clone())

    def forward(self, images):
        return self.network(images)


class WithoutOneDropout(nn.Module):
    """The documented network without one of its layers, which has no parameters."""

    def __init__(self):
        super().__init__()
        self.network = ARCHITECTURES["unpadded"].build()
        self.network.dropout3 = nn.Identity()

    def forward(self, images):
        return self.network(images)


def changed(class_name: str) -> dict[str, Architecture]:
    source = f"from {__name__} import {class_name}"
    return {**ARCHITECTURES, "unpadded": replace(ARCHITECTURES["unpadded"], source=source, class_name=class_name)}


def test_the_committed_networks_and_a_sound_record_pass(runs):
    findings = check(ARCHITECTURES, runs)
    assert failed(findings) == []
    assert len(findings) == 5 * 6 + 2 + 5
    assert format_findings(findings)[-1] == "37 of 37 checks passed."


def test_one_more_parameter_fails(runs):
    findings = check(changed("WithOneMore"), runs)
    assert "unpadded: parameters" in failed(findings)
    assert any("FAILED" in line and "14,121, documented 14,120" in line for line in format_findings(findings))


def test_a_network_whose_table_differs_fails(runs):
    assert failed(check(changed("WithoutOneDropout"), runs)) == [
        "unpadded: layer table",
        "unpadded: structure",
        "unpadded: recipe",
        "unpadded: recipe of the runs",
    ]


def with_recipe(**changes):
    return replace(ARCHITECTURES["unpadded"], recipe=replace(ARCHITECTURES["unpadded"].recipe, **changes))


def with_source(old, new):
    source = ARCHITECTURES["unpadded"].source
    assert old in source
    return replace(ARCHITECTURES["unpadded"], source=source.replace(old, new))


@pytest.mark.parametrize(
    "other",
    [
        with_recipe(learning_rate=0.011),
        with_recipe(batch_size=64),
        with_recipe(momentum=0.8),
        with_recipe(epochs=20),
        with_recipe(dropout=0.2),
        with_recipe(schedule="StepLR(8)"),
        with_source("nn.Dropout(0.1)", "nn.Dropout(0.2)"),
    ],
    ids=["learning rate", "batch size", "momentum", "epochs", "dropout", "schedule", "a layer's dropout"],
)
def test_another_recipe_fails_against_the_stored_one_and_against_the_record(runs, other):
    findings = check({**ARCHITECTURES, "unpadded": other}, runs)
    assert failed(findings) == ["unpadded: recipe", "unpadded: recipe of the runs"]
    stored = ARCHITECTURES["unpadded"].digest
    (text,) = (one.text for one in findings if one.subject == "unpadded: recipe")
    assert text.startswith(f"{other.digest}, stored {stored}: if this is intended, run ")


def test_another_recipe_that_was_stored_still_fails_against_the_record(runs, monkeypatch):
    other, load = with_recipe(batch_size=64), baseline.load
    stored = {**load(), "unpadded": replace(load()["unpadded"], recipe=other.digest)}
    monkeypatch.setattr(regression.baseline, "load", lambda names: stored)
    assert failed(check({**ARCHITECTURES, "unpadded": other}, runs)) == ["unpadded: recipe of the runs"]


def test_other_work_than_stored_fails(runs, monkeypatch):
    load = regression.structure_facts.load

    def one_less(names):
        stored = load(names)
        work = stored["gap_head"].multiply_accumulates - 1
        return {**stored, "gap_head": replace(stored["gap_head"], multiply_accumulates=work)}

    monkeypatch.setattr(regression.structure_facts, "load", one_less)
    assert failed(check(ARCHITECTURES, runs)) == ["gap_head: multiply-accumulates", "gap_head: structure"]


def golden_texts(findings):
    """The text of the finding about each network's golden digest."""
    return {one.subject.split(":")[0]: one.text for one in findings if one.subject.endswith(": golden digest")}


def test_other_bits_fail_for_their_network_alone_and_before_the_speed(runs, differing, monkeypatch):
    monkeypatch.setattr(regression.speed, "step_ratios", lambda architectures, data: pytest.fail("measured"))
    differing.add("unpadded")
    findings = check(ARCHITECTURES, runs)
    assert failed(findings) == ["unpadded: golden digest"]
    expected = dict.fromkeys(ARCHITECTURES, "as defined")
    assert golden_texts(findings) == {**expected, "unpadded": "this machine or this code computes other bits"}


def test_the_bits_are_those_of_a_training(runs, monkeypatch):
    monkeypatch.setattr(golden, "differing", DIFFERING)
    monkeypatch.setitem(golden.DIGESTS, "unpadded", "0" * 16)
    assert failed(check(ARCHITECTURES, runs)) == ["unpadded: golden digest"]


def test_a_network_without_a_golden_digest_fails(runs, monkeypatch):
    monkeypatch.delitem(golden.DIGESTS, "gap_head")
    findings = check(ARCHITECTURES, runs)
    assert failed(findings) == ["gap_head: golden digest"]
    assert golden_texts(findings)["gap_head"].endswith("has no digest of this network: add it to DIGESTS")


def test_without_any_golden_digest_every_network_fails(runs, monkeypatch):
    monkeypatch.setattr(golden, "DIGESTS", {})
    assert failed(check(ARCHITECTURES, runs)) == [f"{name}: golden digest" for name in ARCHITECTURES]


def test_a_network_without_exact_arithmetic_fails_with_the_reason(runs, monkeypatch):
    def refuse(names):
        raise UnusableInput("gap_head has no exact arithmetic: erf")

    monkeypatch.setattr(golden, "differing", refuse)
    assert golden_texts(check(ARCHITECTURES, runs))["gap_head"] == "gap_head has no exact arithmetic: erf"


def test_no_record_and_no_network_are_errors(runs, tmp_path):
    with pytest.raises(UnusableInput, match="no such record"):
        check(ARCHITECTURES, tmp_path / "nothing.csv")
    with pytest.raises(UnusableInput, match="no network to check"):
        check({}, runs)
    with pytest.raises(UnusableInput, match="the structures of vanished are missing"):
        check({**ARCHITECTURES, "vanished": replace(ARCHITECTURES["unpadded"], name="vanished")}, runs)


def test_a_slower_step_fails_beyond_the_tolerance_and_a_faster_one_never(runs, measured):
    stored = measured["gap_head"]
    for factor, expected in ((1 + TOLERANCE + 0.01, ["gap_head: speed"]), (1 + TOLERANCE - 0.01, []), (0.5, [])):
        measured["gap_head"] = stored * factor
        assert failed(check(ARCHITECTURES, runs)) == expected


def with_steps(monkeypatch, steps):
    """Let the gate read other times of a step of gap_head, by machine."""
    load = baseline.load
    stored = {**load(), "gap_head": replace(load()["gap_head"], steps=steps)}
    monkeypatch.setattr(regression.baseline, "load", lambda names: stored)


def test_a_step_is_compared_with_that_of_this_machine(runs, measured, monkeypatch):
    with_steps(monkeypatch, {"slow": 9.0, HERE: 4.0})
    measured["gap_head"] = 4.0 * (1 + TOLERANCE) + 0.01
    (found,) = (one for one in check(ARCHITECTURES, runs) if one.subject == "gap_head: speed")
    assert (found.passed, found.text) == (False, "a step takes 5.01 times the calibration's time, stored 4.00 (+25 %)")


def test_on_a_machine_that_is_not_stored_a_step_is_compared_with_the_slowest_one(runs, measured, monkeypatch):
    with_steps(monkeypatch, {"slow": 8.0, "fast": 4.0})
    for ratio, passed, change in ((8.0 * (1 + TOLERANCE), True, "+25 %"), (10.1, False, "+26 %")):
        measured["gap_head"] = ratio
        (found,) = (one for one in check(ARCHITECTURES, runs) if one.subject == "gap_head: speed")
        assert found.passed == passed
        assert found.text.endswith(
            f"stored 8.00 ({change}); nothing is stored of {HERE}, so the slowest machine counts"
        )


def test_only_a_step_that_was_too_slow_is_measured_again_and_the_faster_time_counts(runs, measured, monkeypatch):
    stored, asked = dict(measured), []

    def step_ratios(architectures, data):
        asked.append([one.name for one in architectures])
        slow = {"gap_head": 2.0, "unpadded": 1.9} if len(asked) == 1 else {"gap_head": 1.1, "unpadded": 2.1}
        return {name: stored[name] * slow.get(name, 1) for name in asked[-1]}

    monkeypatch.setattr(regression.speed, "step_ratios", step_ratios)
    findings = check(ARCHITECTURES, runs)
    assert failed(findings) == ["unpadded: speed"]
    assert asked == [list(ARCHITECTURES), ["unpadded", "gap_head"]]
    texts = {one.subject: one.text for one in findings}
    assert texts["unpadded: speed"].endswith("(+90 %)")
    assert texts["gap_head: speed"].endswith("(+10 %)")


def test_the_speed_is_not_measured_while_anything_else_fails(runs, monkeypatch):
    monkeypatch.setattr(regression.speed, "step_ratios", lambda architectures, data: pytest.fail("measured"))
    runs.write_text(format_line(COLUMNS))
    findings = check(ARCHITECTURES, runs)
    assert "runs.csv" in failed(findings)
    assert [one.text for one in findings if one.subject == "speed"] == ["not measured: solve the problems above first"]


def test_a_vanished_network_fails(runs):
    without = {name: one for name, one in ARCHITECTURES.items() if name != "gap_head"}
    found = [one for one in check(without, runs) if not one.passed and one.subject == "gap_head: network"]
    files = ("models/structure.json", "bench/gate/baseline.json", "bench/training/golden.py")
    assert [one.text.split(",")[0] for one in found] == [f"is in {file}" for file in files]
    advice = "run `python -m bench check --update`"
    assert [one.text.rsplit(", ", 1)[1] for one in found] == [advice, advice, "delete its digest there"]


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "[]",
        "{}",
        '{"gap_head": 4.13}',
        '{"gap_head": {"steps": {"here": 4.13}}}',
        '{"gap_head": {"recipe": "4715eedb", "step": 4.13}}',
        '{"gap_head": {"recipe": "4715eedb", "steps": {}}}',
        '{"gap_head": {"recipe": "4715eedb", "steps": [4.13]}}',
        '{"gap_head": {"recipe": "4715eedb", "steps": {"here": "fast"}}}',
        '{"gap_head": {"recipe": "4715eedb", "steps": {"here": 4.13, "there": 0}}}',
    ],
    ids=["missing", "empty", "list", "no network", "number", "no recipe", "old", "no step", "steps", "text", "zero"],
)
def test_a_missing_or_broken_baseline_is_an_error_with_advice(tmp_path, content):
    path = tmp_path / "baseline.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UnusableInput, match=r"baseline.json: .*check --update"):
        baseline.load(["gap_head"], path)


def test_what_is_stored_is_read_again(tmp_path):
    path, stored = tmp_path / "baseline.json", baseline.load(ARCHITECTURES)
    baseline.store(stored, path)
    assert baseline.load(ARCHITECTURES, path) == stored
    assert path.read_bytes() == baseline.PATH.read_bytes()


def test_a_package_has_every_file_that_its_code_reads(root):
    shipped = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    patterns = [(root / package.replace(".", "/"), name) for package, names in shipped.items() for name in names]
    listed = {path for folder, name in patterns for path in folder.glob(name)}
    there = {
        path
        for package in ("bench", "models")
        for path in (root / package).rglob("*.*")
        if path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert baseline.PATH in there
    assert listed == there


def test_a_step_may_take_exactly_the_tolerance_longer():
    (found,) = judge_speed({"gap_head": stored_here(4.0)}, HERE, {"gap_head": 4.0 * (1 + TOLERANCE)})
    assert found.passed


def test_nothing_measured_is_an_error():
    with pytest.raises(UnusableInput, match="no step was measured"):
        judge_speed({"gap_head": stored_here(1.0)}, HERE, {})


def test_an_update_stores_what_is_and_says_what_changed(tmp_path, measured, monkeypatch):
    stored = []
    monkeypatch.setattr(regression.structure_facts, "store", stored.append)
    path = tmp_path / "baseline.json"
    old = {name: replace(one, steps={"there": 9.0, HERE: one.steps[HERE]}) for name, one in baseline.load().items()}
    unpadded = replace(old["unpadded"], recipe="00000000")
    baseline.store({**old, "unpadded": unpadded, "vanished": stored_here(3.0)}, path)
    measured["gap_head"] *= 2
    lines = update(ARCHITECTURES, tmp_path, path)
    new = json.loads(path.read_text())
    assert list(new) == list(ARCHITECTURES)
    for name, one in ARCHITECTURES.items():
        others = {} if name == "unpadded" else {"there": 9.0}  # what is stored of another recipe is of no use
        assert new[name] == {"recipe": one.digest, "steps": {**others, HERE: round(measured[name], 2)}}
    assert set(stored[0]) == set(ARCHITECTURES)
    assert "vanished: removed" in lines
    assert [line for line in lines if ": recipe" in line] == ["unpadded: recipe changed: 0a011c29"]
    assert any(line.startswith("gap_head: step") and line.endswith("(+100 %)") for line in lines)
    assert not any("structure" in line for line in lines)


def test_an_update_stores_the_median_of_three_measurements(tmp_path, measured, monkeypatch):
    monkeypatch.setattr(regression.structure_facts, "store", lambda structures: None)
    factors = iter((3.0, 1.0, 2.0))
    monkeypatch.setattr(
        regression.speed, "step_ratios", lambda architectures, data, known=measured: scaled(known, next(factors))
    )
    update(ARCHITECTURES, tmp_path, tmp_path / "baseline.json")
    new = baseline.load(ARCHITECTURES, tmp_path / "baseline.json")
    assert {name: one.steps for name, one in new.items()} == {
        name: {HERE: round(2 * ratio, 2)} for name, ratio in measured.items()
    }


def scaled(ratios, factor):
    return {name: factor * ratio for name, ratio in ratios.items()}


def test_an_update_names_what_is_new_and_which_structure_changed(tmp_path, monkeypatch):
    stored = regression.structure_facts.load()
    before = {**stored, "unpadded": replace(stored["unpadded"], parameters=1)}
    del before["gap_head"]
    monkeypatch.setattr(regression.structure_facts, "load", lambda: before)
    monkeypatch.setattr(regression.structure_facts, "store", lambda structures: None)
    lines = update(ARCHITECTURES, tmp_path, tmp_path / "baseline.json")
    assert [line for line in lines if "structure" in line] == [
        "unpadded: structure changed",
        "gap_head: structure is new",
    ]
    assert [line for line in lines if "recipe" in line] == [
        f"{name}: recipe is new: {one.digest}" for name, one in ARCHITECTURES.items()
    ]
    assert sum(line.endswith(" times the calibration's time, not stored before") for line in lines) == 5


def test_markdown_has_the_failures_first_and_shows_every_character():
    found = [Finding("a: b", True, "as stored"), Finding("c|d.csv:3", False, "model is 'x|<b>'")]
    lines = format_markdown(found)
    assert lines[0] == "**check**: 1 of 2 checks passed."
    assert [" ".join(line.split()) for line in lines[4:-1]] == [
        r"| **FAILED** | c\|d.csv:3 | model is 'x\|&lt;b>' |",
        "| ok | a: b | as stored |",
    ]


def test_the_time_of_a_step_is_processor_time():
    def wait():
        time.sleep(0.3)

    def work():
        deadline = time.process_time() + 0.1
        while time.process_time() < deadline:
            pass

    assert calibration.seconds(wait) < 0.1 <= calibration.seconds(work)


def test_a_ratio_compares_a_step_with_the_calibration_before_and_after_it(monkeypatch):
    works = iter((9.0, 1.0, 3.0, 5.0))  # the first is the warm-up
    monkeypatch.setattr(calibration, "workload", lambda: "work")
    monkeypatch.setattr(calibration, "seconds", lambda function: next(works) if function == "work" else 8.0)
    assert calibration.ratios("step", 2) == [8.0 / 2.0, 8.0 / 4.0]


@pytest.mark.slow
def test_a_step_made_twice_as_slow_fails_and_the_unchanged_one_passes_twenty_times_of_twenty(small):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    trainer = ExactTrainer(ARCHITECTURES["ten_twenty_thirty"], 1)
    batch = torch.arange(128)

    def step():
        trainer.train(small, batch, 0, 0.01)

    def slow():
        step()
        step()

    step()
    stored = {"it": stored_here(median(calibration.ratios(step, 25)))}
    unchanged = [{"it": median(calibration.ratios(step, 25))} for _ in range(20)]
    slowed = {"it": median(calibration.ratios(slow, 25))}
    torch.set_num_threads(before)
    assert [judge_speed(stored, HERE, one)[0].passed for one in unchanged] == [True] * 20, (stored, unchanged)
    assert not judge_speed(stored, HERE, slowed)[0].passed, (stored, slowed)
