"""Tests of `process` and `task`: the process that trains one run sends every epoch that the record lacks."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import misbehaving
import numba
import pytest
import torch

from bench.errors import UnusableInput
from bench.jobs.worker import checkpoint
from bench.jobs.worker.process import perform
from bench.jobs.worker.task import MissedImages, Task
from bench.network.specification import Architecture, Recipe
from bench.record.environments import EXACT
from bench.record.rows import Fingerprint, Run
from bench.training import data, environment, golden, loop
from bench.training.data import Dataset
from models import ARCHITECTURES

RECIPE = Recipe(learning_rate=0.01, batch_size=64, epochs=3)
SOURCE = Path(misbehaving.__file__).read_text()
ARCHITECTURE = Architecture("Behaves", SOURCE, "Behaves", RECIPE, ARCHITECTURES["unpadded"].document)

NATIVE = environment.describe("cpu").digest

MakeTask = Callable[..., Task]


@pytest.fixture
def make_task(tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeTask]:
    """Makes tasks of a small network on a few images. The images are read only once."""
    monkeypatch.setattr(data, "load", lambda folder: dataset)
    threads = torch.get_num_threads()

    def make(epochs: int, *recorded: Fingerprint, checkpoints: str = "checkpoints", **changes: Any) -> Task:
        run = Run(ARCHITECTURE.name, ARCHITECTURE.digest, "cpu", NATIVE, 1, epochs)
        task = Task(ARCHITECTURE, run, Path("data"), tmp_path / checkpoints, recorded, (300, 200))
        return dataclasses.replace(task, **changes)

    yield make
    torch.set_num_threads(threads)


def performed(task: Task) -> list[dict[str, Any]]:
    """The messages about epochs that a performed task sends. The message before them names the machine."""
    messages: list[dict[str, Any]] = []
    perform(task, messages.append)
    assert messages[0] == {"kind": "ready", "machine": environment.machine(environment.describe("cpu"))}
    epochs = [message for message in messages[1:] if message["kind"] != "stage"]
    assert {message["kind"] for message in epochs} <= {"epoch"}
    return epochs


def sent(task: Task) -> list[dict[str, Any]]:
    """The epochs that a performed task sends, without their seconds."""
    epochs = [dict(message["epoch"]) for message in performed(task)]
    for epoch in epochs:
        assert epoch.pop("train_seconds") > 0
        assert epoch.pop("eval_seconds") > 0
    return epochs


def fingerprint(epoch: dict[str, Any]) -> Fingerprint:
    return epoch["correct"], epoch["total"], epoch["test_loss"], epoch["train_loss"]


def test_every_epoch_is_sent_as_it_ends(make_task: MakeTask):
    epochs = sent(make_task(3))
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3]
    assert {epoch["total"] for epoch in epochs} == {200}
    assert epochs[2]["train_loss"] < epochs[0]["train_loss"]


def misses(task: Task) -> list[MissedImages | None]:
    """The misses that a performed task sends with each epoch."""
    return [message["misses"] for message in performed(task)]


def test_every_epoch_comes_with_its_misses(make_task: MakeTask, dataset: Dataset):
    task = make_task(3)
    trained = misses(task)
    state = next(checkpoint.load(task.checkpoints, task.run))
    assert [len(found) for found in trained] == [epoch.total - epoch.correct for epoch in state.history]
    assert all(trained)
    seen = {image: digit for image, _, digit in trained[2]}
    labels = dataset.test_labels[:200].tolist()
    assert [seen.get(image, label) for image, label in enumerate(labels)] == state.predictions.tolist()
    assert all(label == labels[image] for image, label, _ in trained[2])
    assert [image for image, *_ in trained[2]] == sorted(seen)
    assert misses(task) == [None, None, trained[2]]  # a saved state has the predictions of its last epoch


def test_a_state_of_a_later_epoch_has_no_misses_of_an_earlier_one(make_task: MakeTask):
    misses(make_task(3))
    assert misses(make_task(2)) == [None, None]


def test_what_is_recorded_is_not_sent_again_and_the_rest_is_the_same(make_task: MakeTask):
    straight = sent(make_task(3, checkpoints="straight"))
    first = sent(make_task(1))
    assert first == straight[:1]
    assert sent(make_task(3, fingerprint(first[0]))) == straight[1:]


def test_without_a_checkpoint_the_recorded_epochs_are_trained_again_and_not_sent(make_task: MakeTask):
    straight = sent(make_task(3))
    recorded = [fingerprint(epoch) for epoch in straight[:2]]
    assert sent(make_task(3, *recorded, checkpoints="others")) == straight[2:]


def test_an_epoch_that_ended_but_was_not_recorded_is_sent_from_the_checkpoint(make_task: MakeTask):
    epochs = sent(make_task(2))
    assert sent(make_task(2, fingerprint(epochs[0]))) == epochs[1:]
    assert sent(make_task(2)) == epochs


def test_a_run_goes_on_from_its_checkpoint(make_task: MakeTask, monkeypatch: pytest.MonkeyPatch):
    trained: list[int] = []
    train = loop.train

    def counted(*arguments: Any) -> Iterator[loop.State]:
        for state in train(*arguments):
            trained.append(len(state.history))
            yield state

    monkeypatch.setattr(loop, "train", counted)
    sent(make_task(1))
    sent(make_task(3))
    sent(make_task(3))
    assert trained == [1, 2, 3]


def test_no_more_epochs_are_sent_than_asked_for_however_many_a_checkpoint_has(make_task: MakeTask):
    epochs = sent(make_task(3))
    assert sent(make_task(2)) == epochs[:2]


def no_epoch(message: dict[str, Any]) -> None:
    """Receive the messages of a task that must not send an epoch."""
    assert message["kind"] in ("ready", "stage")


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("checkpoints", ["checkpoints", "others"])
def test_a_recorded_epoch_that_training_contradicts_is_refused(make_task: MakeTask, place: int, checkpoints: str):
    recorded = list(fingerprint(sent(make_task(1))[0]))
    recorded[place] += 1 if place < 2 else 1e-15
    with pytest.raises(
        UnusableInput, match=r"^epoch 1 is recorded as \(.*\), but training gives \(.*: correct the record"
    ):
        perform(make_task(2, tuple(recorded), checkpoints=checkpoints), no_epoch)


def test_another_environment_than_the_planned_one_is_refused_before_anything_is_read(make_task: MakeTask):
    task = make_task(1)
    here = task.run.environment
    other = dataclasses.replace(task, run=dataclasses.replace(task.run, environment="00000000"))
    with pytest.raises(UnusableInput, match=f"^the worker's environment is {here}, but the plan has 00000000$"):
        perform(other, pytest.fail)
    assert not task.checkpoints.exists()


# Exact arithmetic


@pytest.fixture
def exact(make_task: MakeTask) -> Callable[[Architecture], Task]:
    """Makes exact tasks of one epoch."""

    def make(architecture: Architecture) -> Task:
        run = Run(architecture.name, architecture.digest, "cpu", EXACT.digest, 1, 1)
        return make_task(1, architecture=architecture, run=run, checkpoints=f"{architecture.name}-exact")

    return make


def test_the_environment_of_a_run_decides_its_arithmetic(
    exact: Any, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
):
    used: list[str] = []
    train = loop.train

    def seen(*arguments: Any) -> Iterator[loop.State]:
        used.append(arguments[-1])
        return train(*arguments)

    monkeypatch.setattr(loop, "train", seen)
    (exactly,) = sent(exact(ARCHITECTURE))
    (natively,) = sent(make_task(1))
    assert used == ["exact", "native"]
    assert exactly["train_loss"] == pytest.approx(natively["train_loss"], rel=1e-4)
    assert exactly["train_loss"] != natively["train_loss"]  # a step rounds differently


@pytest.mark.parametrize(
    ("architecture", "checked"),
    [(ARCHITECTURES["unpadded"], "unpadded"), (ARCHITECTURE, "ten_twenty_thirty")],
    ids=["documented", "own"],
)
def test_nothing_exact_is_trained_where_the_golden_digest_differs(
    exact: Any, monkeypatch: pytest.MonkeyPatch, architecture: Architecture, checked: str
):
    monkeypatch.setitem(golden.DIGESTS, checked, "0" * 16)
    task = exact(architecture)
    with pytest.raises(
        UnusableInput, match=f"^this machine computes other bits for {checked} than the exact arithmetic defines: "
    ) as error:
        perform(task, no_epoch)
    assert "\n" not in str(error.value)
    assert not task.checkpoints.exists()


def test_a_documented_network_is_trained_as_it_was_planned_although_its_file_has_changed_since(
    exact: Any, monkeypatch: pytest.MonkeyPatch
):
    planned = ARCHITECTURES["unpadded"]
    changed = dataclasses.replace(planned, source=planned.source.replace("16", "12"))
    monkeypatch.setitem(ARCHITECTURES, "unpadded", changed)
    assert golden.differing(("unpadded",)) == ("unpadded",)
    assert len(sent(exact(planned))) == 1


def test_native_runs_are_trained_where_the_golden_digest_differs(make_task: MakeTask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(golden, "require", pytest.fail)
    assert len(sent(make_task(1))) == 1


def test_a_run_that_is_over_keeps_one_state(make_task: MakeTask):
    task = make_task(3)
    sent(task)
    assert len(list(task.checkpoints.iterdir())) == 1


def test_a_run_is_trained_on_the_first_images_when_only_they_are_asked_for(make_task: MakeTask):
    few = sent(make_task(1, checkpoints="few"))[0]
    more = sent(make_task(1, checkpoints="more", subset=(300, 201)))[0]
    assert (few["total"], more["total"]) == (200, 201)
    assert few["train_loss"] == more["train_loss"]


def stages(task: Task) -> list[str]:
    """The stages that a performed task reports."""
    messages: list[dict[str, Any]] = []
    perform(task, messages.append)
    return [message["stage"] for message in messages if message["kind"] == "stage"]


def test_a_worker_says_that_it_compiles_only_where_it_does(exact: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    @numba.njit
    def compiled(a: int) -> int:
        return a + 1

    require = golden.require

    def compiling(architecture: Architecture) -> None:
        compiled(1)
        compiled(1.0)
        require(architecture)

    require(ARCHITECTURE)  # load what is compiled already
    assert stages(exact(ARCHITECTURE)) == ["training"]
    monkeypatch.setattr(golden, "require", compiling)
    assert stages(exact(ARCHITECTURE)) == ["compiling", "training"]


def test_a_worker_describes_its_environment_once(make_task: MakeTask, monkeypatch: pytest.MonkeyPatch):
    described: list[str] = []
    describe = environment.describe
    monkeypatch.setattr(environment, "describe", lambda *words: described.append(words[0]) or describe(*words))
    sent(make_task(1))
    assert described == ["cpu", "cpu"]  # once by the worker, and once by this test for the message that it expects


# The process


def messages(task: Task, root: Path) -> list[dict[str, Any]]:
    """The messages of a worker process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.jobs.worker"],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        process.stdin.write(pickle.dumps((task,)))
        process.stdin.flush()
        lines = process.stdout.readlines()
        assert process.wait(60) == 0, process.stderr.read().decode()
    return [json.loads(line) for line in lines]


def test_the_message_on_unusable_input_names_no_exception(make_task: MakeTask, root: Path):
    folder = Path("/dev/null/nowhere")
    ready, message = messages(make_task(1, data=folder), root)
    assert ready == {"kind": "ready", "machine": environment.machine(environment.describe("cpu"))}
    assert (message["kind"], message["status"]) == ("failed", "error")
    assert message["reason"].startswith("/dev/null")
    assert "--data" in message["reason"]


def test_a_process_whose_golden_digest_differs_ends_its_run_as_an_error(
    exact: Any, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "sitecustomize.py").write_text(
        "from bench.training import golden\ngolden.DIGESTS['unpadded'] = 'other'\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(root)]))
    ready, message = messages(exact(ARCHITECTURES["unpadded"]), root)
    assert ready == {"kind": "ready", "machine": environment.machine(environment.describe("cpu"))}
    assert (message["kind"], message["status"]) == ("failed", "error")
    assert message["reason"] == (
        "this machine computes other bits for unpadded than the exact arithmetic defines: "
        "if models/unpadded.py was changed, undo that; otherwise use --arithmetic native, and report it"
    )


def test_a_task_survives_the_way_to_the_process(make_task: MakeTask):
    task = make_task(3, (1, 2, 0.1, 1e-300))
    assert pickle.loads(pickle.dumps(task)) == task


def test_the_worker_is_ready_to_listen_without_torch():
    code = "import sys, bench.jobs.worker.process; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
