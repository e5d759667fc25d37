"""Every value that training can give reaches the report through record and statistics as it was."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import synthetic
import torch
from cases import few_by_default
from torch import nn

from bench.cli import parser
from bench.network import structure_facts
from bench.network.specification import Arithmetic
from bench.record import record
from bench.record.record import Writer
from bench.record.rows import BOUNDS, LONGEST, YEARS, Row
from bench.report.files import render
from bench.training.data import Dataset, Evaluation
from bench.training.exact import ExactTrainer
from bench.training.loop import Diverged, train
from bench.training.native import NativeTrainer
from models import ARCHITECTURES

BUDGET = 19
BELOW, TARGET = 9939, 9940


def at(*epochs: int, hit: int = TARGET, budget: int = BUDGET) -> list[int]:
    """The counts of a run that is at the target in these epochs only."""
    return [hit if epoch in epochs else BELOW for epoch in range(1, budget + 1)]


@dataclass(frozen=True)
class Case:
    """A run, and what the report must say about it: three times to target, and the words in the first table."""

    correct: Sequence[int]
    first: int | None
    sustained: int | None
    last_hit: int | None
    shown: str
    ending: tuple[str, str] | None = None


CASES = {
    "never": Case(at(), None, None, None, "never"),
    "at epoch 1": Case(at(1), 1, None, 1, "1"),
    "at the last epoch within the budget": Case(at(19), 19, None, 19, "19"),
    "one past the budget": Case([*at(), 9990], None, None, None, "never"),
    "exactly at the target": Case(at(7, hit=9940), 7, None, 7, "7"),
    "one image below it": Case(at(7, hit=9939), None, None, None, "never"),
    "hit and lost again": Case(at(5, 6, 7), 5, 5, 7, "5"),
    "hit, lost and hit again": Case(at(3, 17, 18, 19), 3, 17, 19, "3"),
    "always": Case([TARGET] * 19, 1, 1, 19, "1"),
    "all images": Case(at(2, hit=10_000), 2, None, 2, "2"),
    "a constant output": Case([980] * 19, None, None, None, "never"),
    "no image at all": Case([0] * 19, None, None, None, "never"),
    "diverged": Case([9000, 9100], None, None, None, "diverged", ("diverged", "the training loss of epoch 3 is nan")),
    "diverged in the first epoch": Case(
        [], None, None, None, "diverged", ("diverged", "the test loss of epoch 1 is nan")
    ),
    "cut short": Case([9000, 9100], None, None, None, "> 2", ("interrupted", "by SIGTERM")),
}

QUICK = ("never", "at the last epoch within the budget", "one past the budget", "hit, lost and hit again", "cut short")


def written(folder: Path, rows: Sequence[Row]) -> record.Record:
    """A record of these rows, appended one by one."""
    writer = Writer(folder / "runs.csv")
    writer.prepare()
    for row in rows:
        writer.append(row)
    return record.read(folder / "runs.csv")


@pytest.mark.parametrize("name", few_by_default(CASES, QUICK, pytest.mark.faults))
def test_a_run_reaches_the_report_as_it_was(tmp_path: Path, name: str):
    case = CASES[name]
    rows = synthetic.run_rows("unpadded", 1, case.correct, ending=case.ending)
    found = written(tmp_path, rows)
    assert found.problems == ()
    files = render(found, synthetic.architectures("unpadded"), structure_facts.load())
    (group,) = json.loads(files["summary.json"])["networks"]["unpadded"]["groups"]
    (seed,) = group["seeds"]
    within = list(case.correct[:BUDGET])
    is_whole = len(within) == BUDGET
    assert seed["first"] == case.first
    assert seed["best"] == max(within, default=None)
    assert seed["last"] == (within[-1] if is_whole else None)
    times = {name: group["time_to_target"][name] for name in ("first", "sustained", "last")}
    for name, time in (("first", case.first), ("sustained", case.sustained), ("last", case.last_hit)):
        assert times[name]["hits"] == (time is not None), name
        assert times[name]["conditional_mean"] == time, name
    has_diverged = case.ending is not None and case.ending[0] == "diverged"
    assert times["first"]["undecided"] == (0 if is_whole or has_diverged else 1)
    page = files["README.md"].decode() + files["unpadded.md"].decode()
    row = next(line for line in page.splitlines() if line.startswith("| [`unpadded`]"))
    assert f" {case.shown} |" in row
    assert bool(re.search(r"\bnan\b", page)) == (case.ending is not None and "nan" in case.ending[1])
    if case.ending is not None:
        assert case.ending[1] in page.replace("\\", "")


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "NaN"])
@pytest.mark.parametrize("column", ["test_loss", "train_loss"])
def test_a_loss_that_is_no_finite_number_never_gets_past_the_reader(tmp_path: Path, column: str, text: str):
    rows = synthetic.run_rows("unpadded", 1, [9000, 9100])
    path = tmp_path / "runs.csv"
    path.write_text(synthetic.text([rows[0], replace(rows[1], **{column: float(text)})]))
    found = record.read(path)
    assert list(found.epochs["epoch"]) == [1]
    assert [(one.line, column in one.reason) for one in found.problems] == [(3, True)]


def test_values_at_their_bounds_go_through_every_command_that_reads_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    recipe = ARCHITECTURES["unpadded"].digest
    runs = [synthetic.run_rows("unpadded", 1, [9940] * BUDGET, recipe=recipe) for _ in range(4)]
    ended = synthetic.run_rows("unpadded", 9, [], recipe=recipe, ending=("diverged", "n" * LONGEST["note"]))
    for number, bounds in enumerate(zip(*BOUNDS.values(), strict=True)):
        extreme = dict(zip(BOUNDS, bounds, strict=True))
        numbers = ("train_seconds", "eval_seconds", "test_loss", "train_loss", "smallest_variance", "seed")
        changes = {name: extreme[name] for name in numbers} | {"recorded_at": f"{YEARS[number]}-12-31T23:59:59Z"}
        runs[number] = [replace(row, **changes, machine="m" * LONGEST["machine"]) for row in runs[number]]
    images = BOUNDS["total"][1]
    runs[3] = [replace(row, seed=3, correct=images, total=images, correct_batch_statistics=0) for row in runs[3]]
    ended = [replace(row, epoch=BOUNDS["epoch"][1]) for row in ended]
    Path("runs.csv").write_text(synthetic.text([row for run in (*runs, ended) for row in run]))
    assert record.read(Path("runs.csv")).problems == ()
    for words in (
        ("plan", "--models", "unpadded", "--seeds", "12", "--devices", "cpu"),
        ("report",),
        ("compare", "runs.csv", "runs.csv"),
        ("merge", "runs.csv", "-o", "all.csv"),
    ):
        assert parser.main(words) == 0, capsys.readouterr().err
    assert not re.search(r"\b(inf|nan)\b", Path("report/README.md").read_text(encoding="utf-8"))


class Constant(nn.Module):
    """A network that gives every image the same scores."""

    def __init__(self, scores: Sequence[float]) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.tensor(scores))
        self.scale = 0.0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(self.scores + self.scale * images.mean(), dim=0).expand(len(images), 10)


def evaluated(scores: Sequence[float], dataset: Dataset) -> Evaluation:
    """The native evaluation of a network that always gives these scores."""
    trainer = NativeTrainer(ARCHITECTURES["unpadded"], 1, "cpu")
    trainer.network = Constant(scores)
    return trainer.evaluate(dataset)


def test_a_constant_output_counts_the_images_of_that_digit(dataset: Dataset):
    found = evaluated([1.0] + [0.0] * 9, dataset)
    assert found.correct == 980  # the zeros among the test images
    assert math.isfinite(found.loss)


def test_an_output_that_is_everywhere_the_same_counts_the_first_digit(dataset: Dataset):
    found = evaluated([0.0] * 10, dataset)
    assert found.correct == 980
    assert found.loss == pytest.approx(math.log(10), rel=1e-6)


@pytest.mark.parametrize(("arithmetic", "trainer"), [("exact", ExactTrainer), ("native", NativeTrainer)])
def test_a_test_loss_that_is_no_finite_number_is_a_divergence(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, arithmetic: Arithmetic, trainer: type
):
    evaluation = trainer.evaluate
    monkeypatch.setattr(trainer, "evaluate", lambda *arguments: replace(evaluation(*arguments), loss=math.inf))
    with pytest.raises(Diverged, match="the test loss of epoch 1 is inf"):
        next(train(ARCHITECTURES["unpadded"], 1, "cpu", dataset.head(128, 100), 1, arithmetic=arithmetic))
