"""Tests of `verify`, `retraining`: they train recorded runs again, and succeed only if all of them are identical."""

from __future__ import annotations

import json
import re
import shutil
import signal
from dataclasses import fields, replace

import pytest
import synthetic

from bench.errors import UnusableInput
from bench.jobs import job, retraining, verify
from bench.jobs.events import Ended, Stop
from bench.jobs.job import Paths, Selection
from bench.jobs.retraining import Trained
from bench.jobs.verify import Finding, Request, Verification, format_verification
from bench.record import environments, record, verifications
from bench.record.environments import EXACT, Environment
from bench.record.rows import REPRODUCIBLE, Run
from bench.training import environment
from bench.training.loop import Epoch
from models import ARCHITECTURES

SUBSET = (512, 300)
EVERYTHING = Request(None, None, None, None, 2)
NAMES = ("unpadded", "gap_head")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, root):
    """Two exact runs of two epochs."""
    folder = tmp_path_factory.mktemp("trained")
    where = Paths(folder / "runs.csv", folder / "report", root / "data")
    job.run(Selection(tuple(ARCHITECTURES[name] for name in NAMES), ("cpu",), (1,), 2, 2), where, SUBSET)
    return where


@pytest.fixture
def places(trained, tmp_path):
    """A copy of the record, to be spoilt."""
    shutil.copy(trained.runs, tmp_path / "runs.csv")
    return replace(trained, runs=tmp_path / "runs.csv")


def verified(request, places):
    return verify.verify(request, ARCHITECTURES, places, SUBSET)


def edit(places, before, after):
    text = places.runs.read_text()
    assert before in text
    places.runs.write_text(text.replace(before, after))


def test_what_training_again_reproduces_is_identical_and_the_record_is_only_read(trained):
    before = trained.runs.read_bytes()
    found = verified(EVERYTHING, trained)
    assert found.is_identical
    assert [finding.epochs for finding in found.findings] == [2, 2]
    assert format_verification(found)[-1] == "2 of 2 runs identical, bit for bit."
    assert trained.runs.read_bytes() == before
    assert kept(trained) == [("gap_head", 2, True), ("unpadded", 2, True)]


def kept(places):
    """The verifications kept beside the record, as model, epochs and outcome."""
    found = verifications.read(record.read(places.runs))
    assert found.problems == ()
    assert {(one.verified_in, one.machine) for one in found.found} <= {
        (EXACT.digest, environment.machine(environment.describe("cpu")))
    }
    return sorted((one.model, one.epochs, one.identical) for one in found.found)


@pytest.mark.slow
def test_a_prefix_of_the_epochs_can_be_verified_whatever_the_order_of_the_rows(places):
    header, *rows = places.runs.read_text().splitlines(keepends=True)
    places.runs.write_text("".join([header, *reversed(rows)]))
    found = verified(Request(("unpadded",), None, (1,), 1, 2), places)
    assert [(finding.epochs, finding.difference) for finding in found.findings] == [(1, "")]
    assert kept(places) == [("unpadded", 1, True)]


def test_each_result_is_kept_when_its_run_ends_so_a_crash_loses_only_the_others(places, monkeypatch):
    def train(runs, rows, *_):
        own = rows[rows["model"] == runs[0].model].sort_values("epoch")
        names = [field.name for field in fields(Epoch)]
        yield Trained(runs[0], tuple(Epoch(**row) for row in own[names].to_dict("records")))
        raise MemoryError

    monkeypatch.setattr(verify.retraining, "train", train)
    with pytest.raises(MemoryError):
        verified(EVERYTHING, places)
    (one,) = kept(places)
    assert one in {("gap_head", 2, True), ("unpadded", 2, True)}


def test_a_signal_ends_a_download_at_once(places, monkeypatch):
    handlers = []

    def ensure(_):
        handlers.append(signal.getsignal(signal.SIGINT))
        raise UnusableInput("stop here")

    monkeypatch.setattr(verify.data, "ensure", ensure)
    with pytest.raises(UnusableInput, match="stop here"):
        verified(EVERYTHING, places)
    assert handlers == [signal.getsignal(signal.SIGINT)] == [signal.default_int_handler]


@pytest.mark.slow
def test_a_record_is_verified_even_if_the_outcome_cannot_be_written(places, caplog):
    (places.runs.parent / "runs.verified.csv").mkdir()
    assert verified(replace(EVERYTHING, epochs=1), places).is_identical
    assert caplog.text.count("runs.verified.csv: cannot be written") == 1


@pytest.mark.parametrize("failure", ["interrupted: by SIGINT", "error: boom"])
def test_a_run_that_ends_early_is_not_stored_and_says_why(places, monkeypatch, failure):
    def train(runs, *_):
        yield from (Trained(run, (), failure) for run in runs)

    monkeypatch.setattr(verify.retraining, "train", train)
    found = verified(EVERYTHING, places)
    assert not found.is_identical
    assert [one.difference for one in found.findings] == [f"the new training ended early: {failure}"] * 2
    assert kept(places) == []


@pytest.mark.slow
def test_the_first_difference_is_named_with_epoch_column_and_both_values(places):
    row = record.read(places.runs).epochs.query("model == 'unpadded' and epoch == 2").iloc[0]
    edit(places, f",{float(row['test_loss'])!r},", f",{float(row['test_loss']) + 1e-9!r},")
    found = verified(Request(("unpadded",), None, None, None, 2), places)
    assert not found.is_identical
    (line, summary) = format_verification(found)
    assert "epoch 2 differs in test_loss" in line
    assert repr(float(row["test_loss"])) in line
    assert repr(float(row["test_loss"]) + 1e-9) in line
    assert summary == "0 of 1 run identical, bit for bit."


@pytest.mark.slow
def test_a_difference_in_one_run_does_not_hide_that_the_other_is_identical(places):
    row = record.read(places.runs).epochs.query("model == 'unpadded' and epoch == 1").iloc[0]
    edit(
        places,
        f",1,{row['correct']},300,{float(row['test_loss'])!r}",
        f",1,{row['correct'] - 1},300,{float(row['test_loss'])!r}",
    )
    found = verified(EVERYTHING, places)
    assert not found.is_identical
    assert {finding.name.split()[0]: bool(finding.difference) for finding in found.findings} == {
        "unpadded": True,
        "gap_head": False,
    }
    assert kept(places) == [("gap_head", 2, True), ("unpadded", 2, False)]


@pytest.mark.slow
def test_a_run_that_is_asked_for_and_not_recorded_is_a_failure(places):
    found = verified(Request(("unpadded",), ("cpu",), (1, 2), 1, 2), places)
    assert not found.is_identical
    assert [finding.difference for finding in found.findings if "seed 2" in finding.name] == [
        "not compared: no finished epoch is recorded"
    ]


def test_how_much_is_trained_and_what_is_not_recorded_is_said_before_the_training(places, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(verify.retraining.scheduling, "execute", interrupt)
    with pytest.raises(KeyboardInterrupt):
        verified(Request(("unpadded",), None, tuple(range(1, 10)), 1, 2), places)
    said = capsys.readouterr().err.splitlines()
    unrecorded = "; ".join(f"model unpadded, seed {seed}" for seed in (2, 3, 4))
    assert said[0] == f"Not recorded, so not compared: {unrecorded}; 5 more."
    assert re.fullmatch(r"1 run, 1 epoch to train again: about \d+ s\.", said[1])


def test_exact_or_native_runs_can_be_asked_for_alone(places):
    edit(
        places,
        f"gap_head,{ARCHITECTURES['gap_head'].digest},cpu,{EXACT.digest}",
        f"gap_head,{ARCHITECTURES['gap_head'].digest},cpu,11112222",
    )
    rows = record.read(places.runs).epochs
    found = {
        one: set(verify._requested(rows, replace(EVERYTHING, arithmetic=one)).model)
        for one in ("auto", "exact", "native")
    }
    assert found == {"auto": set(NAMES), "exact": {"unpadded"}, "native": {"gap_head"}}


@pytest.mark.parametrize(
    "request_", [Request(None, None, (7,), None, 1), Request(("squeeze_fc",), None, None, None, 1)]
)
def test_nothing_to_compare_is_an_error(places, request_):
    with pytest.raises(UnusableInput, match=r"runs\.csv: has no finished epoch of the requested runs: choose other"):
        verified(request_, places)


def test_of_a_run_that_ended_in_its_first_epoch_nothing_is_called_unrecorded(tmp_path, root):
    architecture = ARCHITECTURES["unpadded"]
    ending = ("diverged", "the loss is not finite")
    rows = synthetic.run_rows(
        "unpadded", 1, [], recipe=architecture.digest, environment=EXACT.digest, ending=ending, machine="one"
    )
    recorded = synthetic.record(tmp_path, rows)
    with pytest.raises(UnusableInput, match="has no finished epoch of the requested runs"):
        verified(EVERYTHING, Paths(recorded.path, tmp_path, root / "data"))


def test_a_missing_record_is_an_error(tmp_path, root):
    with pytest.raises(UnusableInput, match=r"runs\.csv: no such record to verify"):
        verified(EVERYTHING, Paths(tmp_path / "runs.csv", tmp_path, root / "data"))


def test_another_recipe_is_not_compared_and_is_a_failure(places):
    edit(places, ARCHITECTURES["unpadded"].digest, "ffffffff")
    found = verified(Request(("unpadded",), None, None, None, 2), places)
    assert "recorded with recipe ffffffff" in found.findings[0].difference
    assert kept(places) == []


@pytest.mark.slow
def test_runs_in_which_only_the_weights_vary_are_continued_and_verified(trained, tmp_path):
    """They follow the same path as ordinary runs. So seed 1 has the rows of the ordinary seed 1, up to the recipe."""
    varied = ARCHITECTURES["unpadded"].varied("weights")
    where = replace(trained, runs=tmp_path / "runs.csv")
    for epochs in (1, 2):
        job.run(Selection((varied,), ("cpu",), (1, 2), epochs, 2), where, SUBSET)
    rows = {one: record.read(path.runs).epochs for one, path in (("varied", where), ("ordinary", trained))}
    assert set(rows["varied"]["recipe"]) == {varied.digest}
    counted = {
        name: found.query("model == 'unpadded' and seed == 1").sort_values("epoch")[list(REPRODUCIBLE)]
        for name, found in rows.items()
    }
    assert counted["varied"].to_numpy().tolist() == counted["ordinary"].to_numpy().tolist()
    found = verified(EVERYTHING, where)
    assert found.is_identical
    names = [f"unpadded on cpu, seed {seed} (environment {EXACT.digest}, --vary weights)" for seed in (1, 2)]
    assert sorted(one.name for one in found.findings) == names


@pytest.mark.slow
def test_an_exact_run_of_a_gpu_is_verified_on_a_cpu(places, monkeypatch):
    here = environment.describe("cpu")
    monkeypatch.setattr(verify.environment, "available_devices", lambda: ("cpu",))
    edit(places, ",cpu,", ",cuda,")
    assert verified(Request(("unpadded",), None, None, 1, 2), places).is_identical
    (one,) = verifications.read(record.read(places.runs)).found
    assert (one.device, one.machine) == ("cuda", environment.machine(here))


@pytest.mark.parametrize("epochs", [(1, 2), (2, 1)])
def test_runs_with_the_same_key_are_trained_once_with_the_most_epochs(places, monkeypatch, epochs):
    """An exact run that is recorded on a CPU and on a GPU is the same run, where there is no GPU."""

    def execute(tasks, *_):
        yield from (Ended(task.run, "ok", "") for task in tasks)

    monkeypatch.setattr(retraining.scheduling, "execute", execute)
    run = Run("unpadded", ARCHITECTURES["unpadded"].digest, "cpu", EXACT.digest, 1, 2)
    runs, rows = [replace(run, epochs=one) for one in epochs], record.read(places.runs).epochs
    assert list(retraining.train(runs, rows, ARCHITECTURES, places, 1, SUBSET, Stop())) == [Trained(run)]


@pytest.mark.slow
def test_what_cannot_be_compared_here_is_no_failure_beside_what_can(places):
    absent = next(device for device in ("cuda", "mps") if device not in environment.available_devices())
    rows = places.runs.read_text()
    native = [line.replace(f",cpu,{EXACT.digest},", f",{absent},0123abcd,") for line in rows.splitlines()[1:]]
    places.runs.write_text(rows + "\n".join(native) + "\n")
    found = verified(Request(("unpadded",), None, None, 1, 2), places)
    assert found.is_identical
    lines = format_verification(found)
    assert [line.partition(": ")[2] for line in lines] == [
        "identical in 1 epoch",
        f"not compared: this machine has no {absent}",
        "",
    ]
    assert lines[-1] == "1 of 1 run identical, bit for bit; 1 run cannot be compared here."
    alone = verified(Request(("unpadded",), (absent,), None, 1, 2), places)
    assert not alone.is_identical
    assert format_verification(alone)[-1] == "0 of 0 runs identical, bit for bit; 1 run cannot be compared here."


def test_runs_that_cannot_be_compared_for_one_reason_share_a_line():
    absent = [Finding(f"seed {seed}", 19, "not compared: no GPU", cannot=True) for seed in (1, 2, 3)]
    other = Finding("seed 4", 19, "not compared: another release", cannot=True)
    lines = format_verification(Verification((absent[0], Finding("seed 5", 19), other, *absent[1:])))
    assert lines == [
        "seed 5: identical in 19 epochs",
        "seed 1 and 2 more: not compared: no GPU",
        "seed 4: not compared: another release",
        "1 of 1 run identical, bit for bit; 4 runs cannot be compared here.",
    ]


@pytest.mark.slow
def test_an_exact_run_is_verified_on_a_machine_of_another_environment(places, monkeypatch):
    elsewhere = Environment((("platform", "another"),))
    monkeypatch.setattr(verify.environment, "describe", lambda device: elsewhere)
    monkeypatch.setattr(verify.environment, "machine", lambda native: "another machine")
    assert verified(Request(("unpadded",), None, None, 1, 2), places).is_identical
    (one,) = verifications.read(record.read(places.runs)).found
    assert (one.environment, one.verified_in, one.machine) == (EXACT.digest, EXACT.digest, "another machine")


def described_as(places, arithmetic):
    """Say that the record was made in another arithmetic. Return the findings of a verification, which trains none."""
    other = Environment((("arithmetic", arithmetic), ("device", "cpu")))
    edit(places, EXACT.digest, other.digest)
    environments.add(places.runs, [other])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify.retraining.scheduling, "execute", pytest.fail)
        found = verified(Request(("unpadded",), None, None, None, 2), places)
    assert not found.is_identical
    assert kept(places) == []
    return format_verification(found)


def test_rows_of_the_arithmetic_of_release_0_1_0_get_a_line_that_names_this_release(places, root):
    old = json.loads((root / "report" / "environments" / "a5a73a76.json").read_text())["arithmetic"]
    line, summary = described_as(places, old)
    assert line.partition(": ")[2] == (
        "not compared: recorded in the arithmetic of release 0.1.0, which this release does not have: "
        "to verify it, check out release 0.1.0 of this project with git, and run the same command there"
    )
    assert summary == "0 of 0 runs identical, bit for bit; 1 run cannot be compared here."


def test_rows_of_another_version_of_the_exact_arithmetic_get_a_line_with_both_versions(places):
    line, _ = described_as(places, "exact 99")
    assert line.endswith(": not compared: recorded in the arithmetic 'exact 99', but this release has 'exact 1'")


@pytest.fixture(scope="module")
def natively(tmp_path_factory, root):
    """A native run of two epochs."""
    folder = tmp_path_factory.mktemp("natively")
    where = Paths(folder / "runs.csv", folder / "report", root / "data")
    job.run(Selection((ARCHITECTURES["unpadded"],), ("cpu",), (1,), 2, 2, arithmetic="native"), where, SUBSET)
    return where


@pytest.mark.slow
def test_another_environment_is_compared_and_named_when_the_numbers_differ(natively, tmp_path):
    shutil.copy(natively.runs, tmp_path / "runs.csv")
    places = replace(natively, runs=tmp_path / "runs.csv")
    here = environment.describe("cpu")
    other = Environment(tuple(sorted((dict(here.details) | {"threads": "8"}).items())))
    edit(places, here.digest, other.digest)
    request = Request(("unpadded",), None, None, 1, 2)
    assert verified(request, places).is_identical
    row = record.read(places.runs).epochs.query("model == 'unpadded' and epoch == 1").iloc[0]
    edit(places, f",{float(row['train_loss'])!r},", f",{float(row['train_loss']) / 2!r},")
    difference = verified(request, places).findings[0].difference
    assert "differs in train_loss" in difference
    assert f"recorded in environment {other.digest}" in difference
    published = environments.path_in_report(tmp_path / "report", other.digest)
    published.parent.mkdir(parents=True)
    published.write_text(other.to_json())
    difference = verified(request, replace(places, report=tmp_path / "report")).findings[0].difference
    assert "threads was 8, is now 1" in difference
