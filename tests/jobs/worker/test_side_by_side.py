"""Tests of `side_by_side`: runs that share a GPU, for which the host's compiler and processor stand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import emulated_gpu
import pytest

from bench.errors import UnusableInput
from bench.jobs.worker import checkpoint, side_by_side
from bench.jobs.worker.task import Task
from bench.network.specification import Architecture, Recipe
from bench.record import rows
from bench.record.environments import EXACT
from bench.record.rows import Fingerprint, Run
from bench.training import data, golden, loop, together
from bench.training.data import Dataset
from models import ARCHITECTURES

SOURCE = """
import torch
def make():
    nn = torch.nn
    layers = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(8), nn.Dropout(0.1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(27, 10), nn.LogSoftmax(1))
"""
DOCUMENT = ARCHITECTURES["unpadded"].document
SMALL = Architecture("Small", SOURCE, "make", Recipe(learning_rate=0.01, batch_size=64, epochs=3), DOCUMENT)
OTHER = replace(SMALL, name="Other", source=SOURCE.replace("0.1", "0.2"), recipe=Recipe(0.02, 50, 3))

Make = Callable[..., list[Task]]


@pytest.fixture
def make(tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes tasks of seeds of a network on a few images. The images are read only once."""
    if not emulated_gpu.is_here():
        pytest.skip("g++ is missing, which stands for NVRTC")
    monkeypatch.setattr(data, "load", lambda folder: dataset)
    monkeypatch.setattr(together, "this_gpu", emulated_gpu.gpu)
    monkeypatch.setattr(golden, "require_on_gpu", lambda architecture, gpu: None)

    def tasks(seeds: Sequence[int], epochs: int = 2, network: Architecture = SMALL) -> list[Task]:
        run = Run(network.name, network.digest, "cuda", EXACT.digest, 0, epochs)
        one = Task(network, run, Path("data"), tmp_path / "checkpoints", (), (150, 120))
        return [replace(one, run=replace(run, seed=seed)) for seed in seeds]

    return tasks


def trained(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """The messages, in the order of the runs. Those of a run are in their own order."""
    found: list[dict[str, Any]] = []
    side_by_side.train(tasks, found.append)
    assert found[0] == {"kind": "stage", "stage": "compiling"}
    stages = [message["run"] for message in found[1:] if message["kind"] == "stage"]
    assert len(set(stages)) == len(stages)  # each run begins once
    return [message for message in found[1:] if message["kind"] != "stage"]


def outline(messages: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(one["run"], one["epoch"]["epoch"] if one["kind"] == "epoch" else one["kind"]) for one in messages]


def epochs_of(messages: Sequence[dict[str, Any]], run: int) -> list[Fingerprint]:
    found = [one["epoch"] for one in messages if one["run"] == run and one["kind"] == "epoch"]
    return [(one["correct"], one["total"], one["test_loss"], one["train_loss"]) for one in found]


def by_the_cpu(task: Task, dataset: Dataset) -> list[Fingerprint]:
    run = task.run
    assert task.subset is not None
    states = loop.train(task.architecture, run.seed, "cpu", dataset.head(*task.subset), run.epochs)
    return [rows.fingerprint(state.history[-1]) for state in states]


@contextmanager
def memory_for(size: int) -> Iterator[None]:
    """Within this context, the GPU has so many bytes left. In the end, all of them are free again."""
    before = emulated_gpu.memory_in_use()
    emulated_gpu.limit_memory(before + size)
    try:
        yield
    finally:
        emulated_gpu.limit_memory(1 << 40)
    assert emulated_gpu.memory_in_use() == before


def test_seeds_side_by_side_send_the_epochs_that_the_cpu_has(make: Make, dataset: Dataset):
    tasks = make((4, 9))
    found = trained(tasks)
    assert outline(found) == [(0, 1), (1, 1), (0, 2), (1, 2), (0, "done"), (1, "done")]
    for i, task in enumerate(tasks):
        assert epochs_of(found, i) == by_the_cpu(task, dataset)
        assert [state.history[-1].epoch for state in checkpoint.load(task.checkpoints, task.run)] == [2]
    assert all(len(one["misses"]) == 120 - one["epoch"]["correct"] for one in found if one["kind"] == "epoch")


def test_networks_side_by_side_send_the_epochs_that_the_cpu_has(make: Make, dataset: Dataset):
    tasks = [one for pair in zip(make((1, 2)), make((1, 2), network=OTHER), strict=True) for one in pair]
    found = trained(tasks)
    for i, task in enumerate(tasks):
        assert outline([one for one in found if one["run"] == i]) == [(i, 1), (i, 2), (i, "done")]
        assert epochs_of(found, i) == by_the_cpu(task, dataset)


@pytest.mark.slow
def test_the_five_networks_side_by_side_send_the_epochs_that_the_cpu_has(make: Make, dataset: Dataset):
    tasks = [task for one in ARCHITECTURES.values() for task in make((1, 2), 1, one)]
    found = trained(tasks)
    assert sorted(outline(found), key=str) == [(i, what) for i in range(10) for what in ("done", 1)]
    assert [epochs_of(found, i) for i in range(10)] == [by_the_cpu(task, dataset) for task in tasks]


def test_an_error_of_a_network_ends_its_own_runs_only(make: Make, monkeypatch: pytest.MonkeyPatch):
    def require(architecture: Architecture, gpu: object) -> None:
        if architecture.name == "Other":
            raise UnusableInput("this GPU computes other bits")

    monkeypatch.setattr(golden, "require_on_gpu", require)
    found = trained([*make((1,), 1, OTHER), *make((1,), 1), *make((2,), 1, OTHER)])
    assert sorted(outline(found), key=str) == [(0, "failed"), (1, "done"), (1, 1), (2, "failed")]
    assert {one["reason"] for one in found if one["kind"] == "failed"} == {"this GPU computes other bits"}


def test_seeds_that_have_come_to_different_epochs_go_on_together_where_they_can(make: Make, dataset: Dataset):
    trained(make((1, 2), epochs=1))
    tasks = make((1, 2, 3))
    found = trained(tasks)
    assert outline(found) == [
        *((0, 1), (1, 1)),  # from the saved states
        *((0, 2), (1, 2), (0, "done"), (1, "done")),
        *((2, 1), (2, 2), (2, "done")),
    ]
    assert [epochs_of(found, i)[-1] for i in range(3)] == [by_the_cpu(task, dataset)[1] for task in tasks]


def test_a_seed_whose_record_differs_ends_alone(make: Make):
    tasks = make((1, 2))
    tasks[0] = replace(tasks[0], recorded=((1, 2, 0.5, 0.5),))
    found = trained(tasks)
    assert outline(found) == [(0, "failed"), (1, 1), (1, 2), (1, "done")]
    assert found[0]["reason"].startswith("epoch 1 is recorded as (1, 2, 0.5, 0.5), but training gives")


def test_seeds_that_do_not_fit_the_gpu_are_trained_in_halves(make: Make, dataset: Dataset):
    tasks = make((1, 2, 3), epochs=1)
    with memory_for(7_000_000):  # what two of them take
        found = trained(tasks)
    assert outline(found) == [(0, 1), (0, "done"), (1, 1), (2, 1), (1, "done"), (2, "done")]
    assert [epochs_of(found, i) for i in range(3)] == [by_the_cpu(task, dataset) for task in tasks]


def test_a_gpu_that_is_too_small_for_a_single_seed_is_said(make: Make):
    with memory_for(100_000):
        found = trained(make((1, 2), epochs=1))
    assert outline(found) == [(0, "failed"), (1, "failed")]
    assert {one["reason"] for one in found} == {"OutOfMemory: the memory of the GPU is not enough"}


def test_a_seed_for_which_the_others_leave_no_memory_waits_for_them(make: Make, dataset: Dataset):
    tasks = [*make((1,), 1), *make((1,), 1, OTHER), *make((2,), 1, OTHER)]
    with memory_for(4_000_000):  # what one of them takes
        found = trained(tasks)
    assert sorted(outline(found), key=str) == [(i, what) for i in range(3) for what in ("done", 1)]
    assert [epochs_of(found, i) for i in range(3)] == [by_the_cpu(task, dataset) for task in tasks]


def test_runs_take_memory_as_soon_as_others_give_it_back():
    shared = side_by_side._SharedGPU()
    free, tried = 2, threading.Semaphore(0)

    def begin(runs: Sequence[int]) -> Iterator[Any]:
        tried.release()
        if len(runs) > free - shared.count():
            raise MemoryError
        return iter(())

    assert shared.begin(begin, (1, 2, 3)) is None
    assert shared.begin(begin, (1, 2)) is not None
    assert shared.count() == 2
    waiting = threading.Thread(target=shared.begin, args=(begin, (3,)))
    waiting.start()
    for _ in range(3):
        assert tried.acquire(timeout=10)
    assert shared.count() == 2
    shared.end((1, 2))
    waiting.join(10)
    assert shared.count() == 1
    free = 0
    shared.end((3,))
    with pytest.raises(MemoryError):
        shared.begin(begin, (4,))
