"""Tests of `measure.py` and `parts.py`: what fails on a GPU is found quickly, and costs as little as possible."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import emulated_gpu
import measure
import numpy
import parts
import pytest

from bench.training.arithmetic.gpu import source
from bench.training.arithmetic.gpu.plan import Launch
from models import ARCHITECTURES

NAMES = list(ARCHITECTURES)


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def failing(name: str, error: Exception) -> Callable[[str, object], bool]:
    def work(network: str, _: object) -> bool:
        if network == name:
            raise error
        return True

    return work


def test_after_an_error_of_the_driver_the_process_ends_and_says_with_which_network(tmp_path: Path) -> None:
    part = parts.Part(tmp_path, "plain", NAMES[1:], emulated=True, slowly=False)
    with pytest.raises(SystemExit) as caught:
        part.of_each_network(failing(NAMES[2], RuntimeError("an illegal memory access")))
    assert caught.value.code == parts.FAULT + 1
    assert [one["network"] for one in results(tmp_path)] == [NAMES[2]]
    assert "illegal memory access" in results(tmp_path)[0]["error"]


def test_another_error_with_one_network_stops_no_other(tmp_path: Path) -> None:
    part = parts.Part(tmp_path, "plain", (), emulated=True, slowly=False)
    assert not part.of_each_network(failing(NAMES[2], KeyError("no such row")))
    assert [one["network"] for one in results(tmp_path)] == [NAMES[2]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", [NAMES, NAMES[2:]]),
        ("golden", [NAMES, [NAMES[1], "--slowly"], NAMES[2:]]),
        ("all", [[]]),
    ],
)
def test_another_process_goes_on_with_the_networks_after_a_fault(
    monkeypatch: pytest.MonkeyPatch, name: str, expected: list[list[str]]
) -> None:
    started: list[list[str]] = []

    def run(command: list[str], ends: float) -> int:
        assert ends > time.monotonic()
        _, _, networks = " ".join(command).partition("--networks ")
        started.append(networks.replace(",", " ").split())
        return parts.FAULT + 1 if len(started) == 1 and networks else 0

    monkeypatch.setattr(measure, "_run", run)
    measure._part(Path("folder"), name, emulated=False)
    assert started == expected


@pytest.mark.slow
def test_a_process_that_runs_too_long_is_ended_with_those_that_it_started(tmp_path: Path) -> None:
    late = tmp_path / "late"
    child = f"import time, pathlib; time.sleep(3); pathlib.Path({str(late)!r}).touch()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert measure._run([sys.executable, "-c", parent], time.monotonic() + 1) == measure._CUT_OFF
    time.sleep(3)
    assert not late.exists()


def test_without_any_golden_digest_the_other_parts_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []
    monkeypatch.setattr(measure, "_part", lambda _, name, __: [ran.append(name), 1][1:])
    assert measure.main([str(tmp_path)]) == 1
    assert ran == ["golden"]
    assert "left_out" in capsys.readouterr().out
    parts.Part(tmp_path, "golden", (), emulated=True, slowly=False).say(network=NAMES[0], same=True)
    assert measure.main([str(tmp_path)]) == 1
    assert ran == ["golden", *measure.LIMITS]


@pytest.mark.skipif(not emulated_gpu.is_here(), reason="g++ is missing, which stands for NVRTC")
def test_a_slow_part_launches_at_once_and_names_the_kernel_that_fails(tmp_path: Path) -> None:
    gpu = parts.Part(tmp_path, "golden", (), emulated=True, slowly=True).gpu()
    text = 'extern "C" __global__ void counts(double *to) { to[0] = to[0] + 1; }'
    kernels = gpu.device.load(gpu.compiler(source.text((), {}) + text, ""), ["counts"])
    address = gpu.device.allocate(8)
    gpu.device.write(address, numpy.zeros(1))
    launch = Launch("counts", (1, 1), 1, 0, ("to",))
    again = gpu.device.graph(lambda: gpu.device.launch(kernels, launch, {"to": address}, 1))
    for _ in range(2):
        again()
    assert gpu.device.read(address, numpy.empty(1))[0] == 2

    def refuse() -> None:
        raise RuntimeError("cuStreamSynchronize: an illegal memory access")

    gpu.device.wait = refuse
    with pytest.raises(RuntimeError, match="an illegal memory access, in the kernel counts"):
        again()
