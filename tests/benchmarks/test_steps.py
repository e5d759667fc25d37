"""The time of a training step of each network, measured in turns with the calibration."""

from __future__ import annotations

import time
from statistics import median

import pytest
import torch

from bench.gate import calibration
from bench.training.exact import ExactTrainer
from models import ARCHITECTURES

ROUNDS = 20


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_calibration(benchmark):
    benchmark.pedantic(calibration.workload(), rounds=ROUNDS, warmup_rounds=3)


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_step(name, benchmark, dataset):
    recipe, trainer = ARCHITECTURES[name].recipe, ExactTrainer(ARCHITECTURES[name], 1)
    batch = torch.arange(recipe.batch_size)

    def step():
        trainer.train(dataset, batch, 0, recipe.learning_rate)

    work = calibration.workload()
    calibrations = []

    def calibrate():
        calibrations.append(calibration.seconds(work))

    benchmark.pedantic(step, setup=calibrate, rounds=ROUNDS, warmup_rounds=3)
    assert calibrations
    if benchmark.disabled:  # benchmarks are disabled if tests run in parallel, as times would mean nothing
        return
    steps = benchmark.stats.stats.data
    benchmark.extra_info["ratio"] = median(
        taken / before for taken, before in zip(steps, calibrations[-len(steps) :], strict=True)
    )
    assert benchmark.extra_info["ratio"] > 0
