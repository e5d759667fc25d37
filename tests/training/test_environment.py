"""Tests of `environment`: the digest changes with everything that can change the bits, and with nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from bench.errors import UnusableInput
from bench.training import environment
from bench.training.environment import Environment


def test_the_digest_is_eight_hex_digits_and_the_same_twice():
    digest = environment.describe("cpu").digest
    assert len(digest) == 8
    assert int(digest, 16) >= 0
    assert environment.describe("cpu").digest == digest


def test_every_detail_changes_the_digest():
    here = environment.describe("cpu")
    digests = {here.digest}
    for name, _ in here.details:
        digests.add(Environment(tuple((n, v + "x" if n == name else v) for n, v in here.details)).digest)
    assert len(digests) == len(here.details) + 1


def digest_in_another_process(**variables: str) -> str:
    code = "from bench.training import environment; print(environment.describe('cpu').digest)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **variables}
    )
    return done.stdout.strip()


def test_another_instruction_set_is_another_environment():
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this processor has only one")
    assert digest_in_another_process() == environment.describe("cpu").digest
    assert digest_in_another_process(ATEN_CPU_CAPABILITY="default") != environment.describe("cpu").digest
    assert digest_in_another_process(ONEDNN_MAX_CPU_ISA="SSE41") != environment.describe("cpu").digest


def test_another_number_of_threads_is_another_environment(monkeypatch):
    here = environment.describe("cpu").digest
    monkeypatch.setattr(environment, "THREADS", 2)
    assert environment.describe("cpu").digest != here


def test_an_unrelated_variable_is_the_same_environment():
    assert digest_in_another_process(COLUMNS="40", HOME="/nowhere") == environment.describe("cpu").digest


def test_a_configured_process_has_the_number_of_threads_in_the_digest():
    code = (
        "from bench.training import environment; environment.configure('cpu'); "
        "import torch; print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == environment.THREADS
    assert ("threads", str(environment.THREADS)) in environment.describe("cpu").details


def test_the_json_has_every_detail_and_the_words_name_the_machine():
    here = environment.describe("cpu")
    assert json.loads(here.to_json()) == dict(here.details)
    assert torch.__version__ in here.machine
    assert "," not in here.machine  # it is a field of a CSV file, and people split such lines at commas


def test_an_absent_device_is_an_error_that_names_those_present():
    absent = [device for device in ("cuda", "mps") if device not in environment.available_devices()]
    assert absent, "every kind of device is here?"
    with pytest.raises(UnusableInput, match=rf"{absent[0]}.*this machine has no such device.*cpu"):
        environment.describe(absent[0])
