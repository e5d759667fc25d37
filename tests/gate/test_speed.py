"""Tests of `speed`, `pace` and `plain`: speeds are measured in turns, and the medians are printed."""

from __future__ import annotations

import itertools
import json

import pytest
import torch
import torch.nn.functional as F

from bench.errors import UnusableInput
from bench.gate import pace, plain, speed
from bench.gate.speed import Measurement, Speed, format_speed, to_json
from models import ARCHITECTURES

QUIET = Measurement("unpadded", (100.0, 110.0, 90.0), (400.0, 440.0, 360.0), 0.6, 1_000_000)
OTHER = Measurement("gap_head", (50.0, 50.0, 50.0), (100.0, 110.0, 90.0), 0.5, 2_000_000)


def test_the_overall_ratio_compares_the_time_of_one_epoch_of_each_network():
    assert Speed((QUIET,), 2, 1e9).ratio == pytest.approx(4)
    assert Speed((QUIET, OTHER), 2, 1e9).ratio == pytest.approx((1 / 100 + 1 / 50) / (1 / 400 + 1 / 100))


def test_the_json_has_the_public_form():
    content = json.loads(to_json(Speed((QUIET, OTHER), 2, 1e9)))
    assert content["ratio"] == pytest.approx(2.4)
    assert content["networks"] == {
        "unpadded": {"plain": 100.0, "ours": 400.0, "ratio": 4.0},
        "gap_head": {"plain": 50.0, "ours": 100.0, "ratio": 2.0},
    }


def test_the_table_has_ratio_convolution_and_the_share_of_the_peak():
    line = next(line for line in format_speed(Speed((QUIET,), 2, 8e8)) if line.startswith("unpadded"))
    assert line.split() == ["unpadded", "100", "400", "4.00", "0", "%", "60", "%", "1", "50", "%"]


def test_a_noisy_machine_gets_a_warning_with_advice():
    noisy = Measurement("unpadded", (100.0,) * 5, (400.0, 200.0, 600.0, 500.0, 300.0), 0.6, 1)
    assert any(
        "The measurement of unpadded is too noisy" in line and "Stop other programs" in line
        for line in format_speed(Speed((noisy,), 2, 1))
    )
    assert not any("noisy" in line for line in format_speed(Speed((QUIET,), 2, 1)))


def test_nothing_to_measure_is_an_error(root):
    with pytest.raises(UnusableInput, match="no network to measure"):
        speed.measure([], root / "data", 1)


def test_a_measuring_process_that_fails_is_an_error(root, monkeypatch):
    monkeypatch.setattr(speed, "ROUNDS", 1)
    lost = ARCHITECTURES["unpadded"]
    monkeypatch.setattr(speed, "_start", _start_nonsense)
    with pytest.raises(UnusableInput, match="measuring process ended"):
        speed.measure([lost], root / "data", 1)


def _start_nonsense(name, kind, root, variables, original=speed._start):
    return original("nobody", kind, root, variables)


def test_a_network_is_measured_plain_and_ours(root, monkeypatch):
    monkeypatch.setattr(speed, "ROUNDS", 2)
    monkeypatch.setattr(speed, "BURST", 0.3)
    found = speed.measure([ARCHITECTURES["ten_twenty_thirty"]], root / "data", 1)
    (one,) = found.networks
    assert len(one.plain) == len(one.ours) == 2
    assert min(one.plain + one.ours) > 10
    assert 0.1 < one.convolution < 0.95
    assert found.peak > 1e9


def test_the_plain_loop_is_the_notebooks_and_learns(root):
    network = ARCHITECTURES["ten_twenty_thirty"]
    assert list(itertools.islice(plain.steps(network, root / "data"), 3)) == [128, 128, 128]


def test_our_pace_is_that_of_the_training_itself(root):
    steps = pace.ours(ARCHITECTURES["ten_twenty_thirty"], root / "data")
    found = pace.measure(steps, 0.2)
    assert found["images"] % 128 == 0
    assert found["images"] >= 128
    assert found["seconds"] >= 0.2


def test_the_share_of_convolution_is_one_for_nothing_but_convolution():
    weight, images = torch.rand(16, 16, 3, 3), torch.rand(8, 16, 28, 28)
    assert pace.convolution_share((F.conv2d(images, weight).ndim for _ in itertools.count()), 3) > 0.8
    assert pace.convolution_share((images.exp().ndim for _ in itertools.count()), 3) == 0
