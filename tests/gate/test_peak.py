"""Tests of `peak`: the loop makes the fused multiply-adds that it counts, and nothing on the core is faster."""

from __future__ import annotations

import time

import numpy
import pytest
import torch

from bench.gate import peak
from bench.gate.peak import CHAINS, LANES


def test_every_chain_makes_every_step_with_one_rounding_each():
    values = numpy.arange(1, CHAINS * LANES + 1, dtype=numpy.float32) / numpy.float32(7)
    start = values.copy()
    squares = numpy.tile(start[:LANES].astype(numpy.float64) ** 2, CHAINS)
    expected = start
    for _ in range(5):
        expected = (expected.astype(numpy.float64) + squares).astype(numpy.float32)
    peak.chains(values, 5)
    assert numpy.array_equal(values, expected)
    peak.chains(values, 0)
    assert numpy.array_equal(values, expected)


def test_a_run_takes_longer_with_more_steps():
    values = numpy.zeros(CHAINS * LANES, numpy.float32)

    def seconds(steps):
        started = time.thread_time()
        peak.chains(values, steps)
        return time.thread_time() - started

    seconds(1)
    assert min(seconds(1_000_000) for _ in range(3)) > 3 * min(seconds(100_000) for _ in range(3))


def test_the_peak_is_above_a_matrix_product_and_below_what_a_core_can_do():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    matrix, rates = torch.rand(512, 512), []
    for _ in range(10):
        started = time.thread_time()
        torch.mm(matrix, matrix)
        rates.append(512**3 / (time.thread_time() - started))
    torch.set_num_threads(before)
    found = peak.peak(0.1)
    assert found > 0.9 * max(rates)
    assert found < 4 * LANES * 7e9  # four units at 7 GHz


def test_the_peak_is_the_median_of_runs_for_so_long(monkeypatch):
    now, taken = [0.0], iter([4.0, 1.0, 2.0, 100.0])

    def run(values, steps):
        if steps > 1:
            now[0] += next(taken)

    monkeypatch.setattr(peak, "chains", run)
    monkeypatch.setattr(peak.time, "thread_time", lambda: now[0])
    monkeypatch.setattr(peak.time, "perf_counter", lambda: now[0])
    assert peak.peak(6.5) == pytest.approx(CHAINS * LANES * peak.STEPS / 2.0)
