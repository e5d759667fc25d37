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
from bench.record.environments import EXACT, Environment
from bench.training import environment


def test_the_digest_is_eight_hex_digits_and_the_same_twice():
    digest = environment.describe("cpu", "native").digest
    assert len(digest) == 8
    assert int(digest, 16) >= 0
    assert environment.describe("cpu", "native").digest == digest


def test_every_detail_changes_the_digest():
    here = environment.describe("cpu", "native")
    digests = {here.digest}
    for name, _ in here.details:
        digests.add(Environment(tuple((n, v + "x" if n == name else v) for n, v in here.details)).digest)
    assert len(digests) == len(here.details) + 1


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


def test_another_number_of_threads_is_another_environment(monkeypatch):
    here = environment.describe("cpu", "native").digest
    monkeypatch.setattr(environment, "THREADS", 2)
    assert environment.describe("cpu", "native").digest != here


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
    here = environment.machine(environment.describe("cpu", "native"))
    assert here.startswith(environment._processor())
    assert torch.backends.cpu.get_cpu_capability() in here
    assert f"PyTorch {torch.__version__}" in here
    assert here.endswith(f"{platform.system()} {platform.machine()}")
    assert "," not in here  # it is a field of a CSV file, and people split such lines at commas
    monkeypatch.setattr(environment, "_processor", lambda: "another processor")
    assert environment.machine(environment.describe("cpu", "native")).startswith("another processor")


@pytest.mark.parametrize("arithmetic", ["exact", "native"])
def test_an_absent_device_is_an_error_that_names_those_present(arithmetic):
    absent = [device for device in ("cuda", "mps") if device not in environment.available_devices()]
    assert absent, "every kind of device is here?"
    with pytest.raises(UnusableInput, match=rf"{absent[0]}.*this machine has no such device.*cpu"):
        environment.describe(absent[0], arithmetic)
