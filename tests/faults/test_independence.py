"""The bits of a run do not depend on anything around it."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from jobs import JOB, ONE, Undisturbed, deterministic
from quickly import Server

from bench.network import network_file
from bench.record import record
from bench.training.data import Dataset
from bench.training.native import NativeTrainer

SEED = 20260131
MODELS = ["unpadded", "ten_twenty_thirty"]
PROGRAM = Path(__file__).with_name("few_images.py")


def in_pieces(server: Server, undisturbed: Undisturbed, folder: Path, chance: random.Random) -> None:
    """Run the undisturbed job in random pieces: in random order, some epochs now and the rest later."""
    folder.mkdir()
    history = []
    pieces = [(model, seed, epochs) for model in MODELS for seed in (1, 2) for epochs in (1, 2, 3)]
    chance.shuffle(pieces)
    while pieces:
        several = [pieces.pop() for _ in range(min(len(pieces), chance.randrange(1, 4)))]
        epochs = several[0][2]
        words = [
            *("--models", ",".join(dict.fromkeys(model for model, _, _ in several))),
            *("--seeds", ",".join(dict.fromkeys(f"{seed}-{seed}" for _, seed, _ in several))),
            *("--epochs", epochs, "--devices", "cpu", "--jobs", chance.choice([1, 2, 3])),
        ]
        history.append(words)
        job = server.run("run", *words, folder=folder)
        assert job.code == 0, job.errors
    assert server.run("run", *JOB, folder=folder).code == 0
    assert record.read(folder / "runs.csv").problems == (), (SEED, history)
    assert deterministic(folder / "runs.csv") == undisturbed.rows, (SEED, history)


@pytest.mark.faults
def test_pieces_in_any_order_for_any_number_of_jobs_make_the_same_bits(
    server: Server, undisturbed: Undisturbed, tmp_path: Path
):
    chance = random.Random(SEED)
    for number in range(15):
        in_pieces(server, undisturbed, tmp_path / str(number), chance)


def test_jobs_side_by_side_make_the_same_bits(server: Server, undisturbed: Undisturbed, tmp_path: Path):
    jobs = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        jobs.append(server.start("run", *JOB, "--jobs", 2 - number, folder=tmp_path / str(number)))
    for number, job in enumerate(jobs):
        assert job.wait() == 0, job.errors
        assert deterministic(tmp_path / str(number) / "runs.csv") == undisturbed.rows


def few_images(folder: Path, *words: str, **variables: str) -> str:
    """Run a command in an interpreter of its own, and return its output."""
    environment = {name: text for name, text in {**os.environ, **variables}.items() if text}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


VARIABLES = {
    "BLIS_NUM_THREADS": "2",
    "GOTO_NUM_THREADS": "2",
    "MKL_DYNAMIC": "FALSE",
    "MKL_NUM_THREADS": "3",
    "NUMBA_NUM_THREADS": "2",
    "OMP_DYNAMIC": "FALSE",
    "OMP_NUM_THREADS": "7",
    "OPENBLAS_NUM_THREADS": "2",
    "PYTHONHASHSEED": "7",
    "VECLIB_MAXIMUM_THREADS": "2",
}
"""What the libraries that compute, and Python, read when they start."""

WIDE = """
from torch import nn


class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        drawn = {letter: nn.Conv2d(1, 64, 3, stride=2) for letter in set("abcdefghijklmnopqrstuvwxyz")}
        self.layers = nn.Sequential(
            drawn["a"],
            nn.ReLU(),
            nn.Conv2d(64, 64, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 11 * 11, 10),
            nn.LogSoftmax(1),
        )

    def forward(self, images):
        return self.layers(images)
"""
"""Layers so wide that a library with two threads divides their sums otherwise than with one.

The order of a set of texts decides which weights are drawn first.
"""


def weights_after_a_step(path: Path, dataset: Dataset, threads: int) -> bytes:
    """The weights after a native step that may use so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        trainer = NativeTrainer(network_file.read(path), 1, "cpu")
        trainer.train(dataset, torch.arange(128), 0, 0.1)
    finally:
        torch.set_num_threads(before)
    return b"".join(one.detach().numpy().tobytes() for one in trainer.network.parameters())


@pytest.mark.faults
@pytest.mark.parametrize("arithmetic", ["exact", "native"])
def test_wide_layers_have_the_same_bits_whatever_the_variables_of_the_libraries_say(
    tmp_path: Path, small: Dataset, arithmetic: str
):
    path = tmp_path / "wide.py"
    path.write_text(WIDE)
    if arithmetic == "native" and weights_after_a_step(path, small, 1) == weights_after_a_step(path, small, 2):
        pytest.skip("no number of threads changes a bit of these layers on this machine")
    words = ("--models", str(path), "--seeds", "1", "--epochs", "1", "--devices", "cpu", "--arithmetic", arithmetic)
    found = []
    for name, variables in (("quiet", dict.fromkeys(VARIABLES, "")), ("loud", VARIABLES)):
        (tmp_path / name).mkdir()
        few_images(tmp_path / name, "run", *words, **variables)
        found.append(deterministic(tmp_path / name / "runs.csv"))
    assert found[0] == found[1] != []


@pytest.mark.faults
def test_an_interpreter_of_its_own_makes_the_same_bits_whatever_its_variables_say(
    undisturbed: Undisturbed, tmp_path: Path
):
    few_images(tmp_path, "run", *ONE, **VARIABLES)
    assert deterministic(tmp_path / "runs.csv") == undisturbed.rows_of_one


@pytest.mark.faults
def test_another_instruction_set_is_another_native_environment_and_pooled_with_no_other(tmp_path: Path):
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this processor has only one")
    words = ("--models", "unpadded", "--seeds", "2", "--epochs", "1", "--devices", "cpu", "--arithmetic", "native")
    path = tmp_path / "runs.csv"
    few_images(tmp_path, "run", *words)
    before = path.read_bytes()
    for _ in range(2):  # the second time its runs are recorded
        few_images(tmp_path, "run", *words, ATEN_CPU_CAPABILITY="default")
    assert path.read_bytes().startswith(before)
    found = record.read(path)
    assert found.problems == ()
    here, there = found.epochs.drop_duplicates("environment")["environment"]
    assert list(found.epochs["environment"]) == [here, here, there, there]
    for digest, variables in ((here, {}), (there, {"ATEN_CPU_CAPABILITY": "default"})):
        plan = few_images(tmp_path, "plan", *words, **variables)
        assert re.findall(r"(\S+) +\d +(\d) of 1", plan) == [(digest, "1"), (digest, "1")]
    few_images(tmp_path, "report")
    page, data = ((tmp_path / "report" / name).read_text(encoding="utf-8") for name in ("unpadded.md", "data.md"))
    for digest in (here, there):
        assert f"## Claims on cpu {digest}" in page
        assert f"`environments/{digest}.json`" in data
        assert (tmp_path / "report" / "environments" / f"{digest}.json").exists()
