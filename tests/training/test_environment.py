"""Tests of `environment`: the digest changes with everything that can change native bits, and with nothing else."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest
import torch

from bench.errors import UnusableInput
from bench.record.environments import EXACT
from bench.training import environment


def test_the_digest_is_eight_hex_digits_and_the_same_twice():
    digest = environment.describe("cpu", "native").digest
    assert len(digest) == 8
    assert int(digest, 16) >= 0
    assert environment.describe("cpu", "native").digest == digest


CAUSES = {
    "PyTorch": lambda patch: patch.setattr(torch, "__version__", "99.0"),
    "system": lambda patch: patch.setattr(platform, "system", lambda: "another system"),
    "architecture": lambda patch: patch.setattr(platform, "machine", lambda: "another architecture"),
    "processor": lambda patch: patch.setattr(environment, "_processor", lambda: "another processor"),
    "instruction set": lambda patch: patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another"),
    "threads": lambda patch: patch.setattr(environment, "THREADS", 2),
    "operators": lambda patch: patch.setattr(environment, "OPERATORS", "float64"),
    **{
        name: lambda patch, name=name: patch.setenv(name, "another")
        for name in environment._LIBRARY_VARIABLES
        if name not in environment._REQUIRED_VARIABLES
    },
}


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_everything_that_can_change_native_bits_changes_the_digest(cause, monkeypatch):
    here = environment.describe("cpu", "native").digest
    cause(monkeypatch)
    assert environment.describe("cpu", "native").digest != here


GPU_CAUSES = {
    "model": lambda patch: patch.setattr(torch.cuda, "get_device_name", lambda: "another GPU"),
    "CUDA": lambda patch: patch.setattr(torch.version, "cuda", "99.0"),
    "cuDNN": lambda patch: patch.setattr(torch.backends.cudnn, "version", lambda: 99_000),
}


@pytest.mark.parametrize("cause", GPU_CAUSES.values(), ids=GPU_CAUSES)
def test_everything_of_a_gpu_that_can_change_native_bits_changes_the_digest(cause, monkeypatch):
    monkeypatch.setattr(environment, "available_devices", lambda: ("cpu", "cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91_000)
    here = environment.describe("cuda", "native").digest
    cause(monkeypatch)
    assert environment.describe("cuda", "native").digest != here


def digest_in_another_process(**variables: str) -> str:
    code = "from bench.training import environment; print(environment.describe('cpu', 'native').digest)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **variables}
    )
    return done.stdout.strip()


def test_another_instruction_set_is_another_environment():
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this processor has only one")
    assert digest_in_another_process() == environment.describe("cpu", "native").digest
    assert digest_in_another_process(ATEN_CPU_CAPABILITY="default") != environment.describe("cpu", "native").digest
    assert digest_in_another_process(ONEDNN_MAX_CPU_ISA="SSE41") != environment.describe("cpu", "native").digest


def test_an_unrelated_variable_is_the_same_environment():
    assert digest_in_another_process(COLUMNS="40", HOME="/nowhere") == environment.describe("cpu", "native").digest


def test_a_configured_process_has_the_number_of_threads_in_the_digest():
    code = (
        "from bench.training import environment; environment.configure('cpu'); "
        "import torch; print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == environment.THREADS
    assert ("threads", str(environment.THREADS)) in environment.describe("cpu", "native").details


@pytest.mark.parametrize(
    "machine", [{}, {"_processor": lambda: "another processor", "THREADS": 2}], ids=["this one", "another"]
)
def test_exact_arithmetic_is_one_environment_on_every_machine(machine, monkeypatch):
    for name, value in machine.items():
        monkeypatch.setattr(environment, name, value)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    monkeypatch.setattr(torch, "__version__", "99.0")
    assert environment.describe("cpu", "exact") == EXACT
    assert environment.describe("cpu", "exact") != environment.describe("cpu", "native")


def test_the_json_has_every_detail():
    here = environment.describe("cpu", "native")
    assert json.loads(here.to_json()) == dict(here.details)


def test_a_machine_is_described_by_processor_pytorch_and_system(monkeypatch):
    here = environment.machine("cpu")
    assert here.startswith(environment._processor())
    assert torch.backends.cpu.get_cpu_capability() in here
    assert f"PyTorch {torch.__version__}" in here
    assert here.endswith(f"{platform.system()} {platform.machine()}")
    assert "," not in here  # it is a field of a CSV file, and people split such lines at commas
    monkeypatch.setattr(environment, "_processor", lambda: "another processor")
    assert environment.machine("cpu").startswith("another processor")


@pytest.mark.parametrize("arithmetic", ["exact", "native"])
def test_an_absent_device_is_an_error_that_names_those_present(arithmetic):
    absent = [device for device in ("cuda", "mps") if device not in environment.available_devices()]
    assert absent, "every kind of device is here?"
    with pytest.raises(UnusableInput, match=rf"{absent[0]}.*this machine has no such device.*cpu"):
        environment.describe(absent[0], arithmetic)
    with pytest.raises(UnusableInput, match="this machine has no such device"):
        environment.machine(absent[0])
