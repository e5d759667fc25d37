"""Tests of `events`: the first signal asks a job to stop, and the second ends it at once."""

from __future__ import annotations

import os
import signal
import time

import pytest

from bench.jobs.events import Stop, stopped_by_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_requests_a_stop_and_names_itself(number: signal.Signals):
    before = signal.getsignal(number)
    stop = Stop()
    with stopped_by_signals(stop) as received:
        assert received == []
        os.kill(os.getpid(), number)
        time.sleep(0.05)
        assert (received, stop.reason) == ([number], f"by {number.name}")
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_ends_the_process_at_once(number: signal.Signals, monkeypatch: pytest.MonkeyPatch):
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    with stopped_by_signals(Stop()):
        for expected in ([], [128 + number]):
            os.kill(os.getpid(), number)
            time.sleep(0.05)
            assert codes == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_was_ignored_stays_ignored(number: signal.Signals, monkeypatch: pytest.MonkeyPatch):
    """`nohup` ignores SIGHUP, and a shell that puts a command into the background ignores SIGINT."""
    monkeypatch.setattr(os, "_exit", pytest.fail)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        stop = Stop()
        with stopped_by_signals(stop) as received:
            for _ in range(2):
                os.kill(os.getpid(), number)
            time.sleep(0.05)
            assert (received, stop.reason) == ([], "")
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
