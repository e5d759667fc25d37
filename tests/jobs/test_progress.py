"""Tests of `progress`: a job shows bars on a terminal, and plain lines elsewhere."""

from __future__ import annotations

import dataclasses
import fcntl
import io
import os
import pty
import re
import select
import struct
import termios

import pytest

from bench.jobs import progress
from bench.jobs.plan import Planned
from bench.jobs.progress import Progress
from bench.record.rows import Run
from bench.training.loop import Epoch

SHORT = Run("unpadded", "0123abcd", "cpu", "89ef4567", 1, 2)
LONG = Run("gap_head", "0123abcd", "cpu", "89ef4567", 1, 4)
PLAN = [Planned(SHORT, 0, 100.0), Planned(LONG, 1, 300.0)]


def epoch(number: int, correct: int = 9800) -> Epoch:
    return Epoch(number, correct, 10_000, 0.05, 0.06, 20.0, 1.0, None, None)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that stands still until told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    one = Clock()
    monkeypatch.setattr(progress, "time", one)
    return one


def screen(stream: Terminal) -> str:
    """Everything written so far, without the movements of the cursor."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", stream.getvalue())


# Without a terminal


def test_without_a_terminal_a_line_is_printed_every_half_minute(clock: Clock):
    stream = io.StringIO()
    with Progress(PLAN, stream) as shown:
        shown.started(SHORT, 0)
        shown.started(LONG, 1)
        assert stream.getvalue() == ""
        for _ in range(12):
            clock.now += 10
            shown.tick()
    assert len(stream.getvalue().splitlines()) == 4


def test_a_finished_epoch_prints_no_line_before_it_is_due(clock: Clock):
    stream = io.StringIO()
    with Progress(PLAN, stream) as shown:
        shown.started(SHORT, 0)
        clock.now += 29.9
        shown.epoch_finished(SHORT, epoch(1))
        assert stream.getvalue() == ""
        clock.now += 0.1
        shown.tick()
        assert stream.getvalue() != ""


def test_a_line_says_what_is_done_how_long_it_takes_and_where_each_run_is(clock: Clock):
    stream = io.StringIO()
    with Progress(PLAN, stream) as shown:
        shown.started(SHORT, 0)
        shown.started(LONG, 1)
        shown.epoch_finished(SHORT, epoch(1))
        shown.epoch_finished(SHORT, epoch(2))
        shown.ended(SHORT, "ok", "")
        clock.now += 40
        shown.epoch_finished(LONG, epoch(2, correct=9876))
    assert stream.getvalue() == (
        "1 of 2 runs done, about 40 s left; gap_head on cpu, seed 1: epoch 2/4 98.76 %\n"  # 200 of 400 s of work done
    )


def test_a_run_without_a_finished_epoch_is_said_to_be_starting(clock: Clock):
    stream = io.StringIO()
    with Progress(PLAN, stream) as shown:
        shown.started(SHORT, 0)
        clock.now += 30
        shown.tick()
    assert stream.getvalue() == ("0 of 2 runs done, time left not known yet; unpadded on cpu, seed 1: starting\n")


def test_a_line_says_what_a_run_does_before_its_first_epoch(clock: Clock):
    stream = io.StringIO()
    with Progress(PLAN, stream) as shown:
        shown.started(SHORT, 0)
        for name in ("compiling", "training"):
            shown.stage(SHORT, name)
            clock.now += 30
            shown.tick()
    assert [line.rpartition("; ")[2] for line in stream.getvalue().splitlines()] == [
        "unpadded on cpu, seed 1: compiling",
        "unpadded on cpu, seed 1: training",
    ]


def test_a_bar_says_at_once_what_a_run_does_before_its_first_epoch():
    stream = Terminal()
    with Progress(PLAN, stream) as shown:
        shown.started(SHORT, 0)
        shown.stage(SHORT, "compiling")
        assert re.search(r"unpadded on cpu, seed 1 +epoch 0/2 .*compiling", screen(stream))


def test_only_the_runs_that_are_expected_count_although_others_may_be_trained(clock: Clock):
    stream = io.StringIO()
    with Progress(PLAN, stream, expected=PLAN[1:]) as shown:
        shown.started(LONG, 1)
        clock.now += 40
        shown.epoch_finished(LONG, epoch(2))
    assert stream.getvalue().startswith("0 of 1 run done, about 80 s left; ")  # 100 of 300 s of work done


def test_the_time_left_counts_work_and_not_runs(clock: Clock):
    stream = io.StringIO()
    with Progress(PLAN, stream) as shown:
        shown.started(LONG, 1)
        for run, number in ((LONG, 2), (LONG, 3), (LONG, 4)):
            shown.epoch_finished(run, epoch(number))
        clock.now += 300
        shown.tick()
    assert "about 2 min left" in stream.getvalue()  # 300 of 400 s of work took 300 s


@pytest.mark.parametrize("status", ["diverged", "error", "timeout", "interrupted"])
@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_run_that_ends_badly_is_said_at_once_with_its_reason(stream: type[io.StringIO], status: str):
    written = stream()
    with Progress(PLAN, written) as shown:
        shown.started(SHORT, 0)
        shown.ended(SHORT, status, "the reason")
    assert f"unpadded on cpu, seed 1: {status}: the reason\n" in written.getvalue()


def test_a_run_that_ends_well_needs_no_line():
    stream = io.StringIO()
    with Progress(PLAN, stream) as shown:
        shown.started(SHORT, 0)
        shown.ended(SHORT, "ok", "")
    assert stream.getvalue() == ""


def test_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str], clock: Clock):
    with Progress(PLAN) as shown:
        clock.now += 30
        shown.tick()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("0 of 2 runs done")


def test_there_is_no_escape_sequence_without_a_terminal(clock: Clock):
    stream = io.StringIO()
    with Progress(PLAN, stream) as shown:
        shown.started(SHORT, 0)
        clock.now += 100
        shown.epoch_finished(SHORT, epoch(1))
        shown.ended(SHORT, "error", "why")
    assert all(line.isprintable() for line in stream.getvalue().splitlines())


# On a terminal


def test_a_terminal_has_a_bar_for_everything_and_one_for_each_run_that_goes_on():
    stream = Terminal()
    with Progress(PLAN, stream) as shown:
        shown.started(SHORT, 0)
        shown.started(LONG, 1)
        shown.epoch_finished(LONG, epoch(2, correct=9876))
        for bar in shown._bars.values():
            bar.refresh()
        seen = screen(stream)
        assert re.search(r"0 of 2 runs done +\d+%\|.*left", seen)
        assert re.search(r"unpadded on cpu, seed 1 +epoch 0/2", seen)
        assert re.search(r"gap_head on cpu, seed 1 +epoch 2/4 .*98\.76 %", seen)
        shown.ended(LONG, "ok", "")
        assert "1 of 2 runs done" in screen(stream)


def test_bars_follow_a_terminal_that_is_resized():
    ours, theirs = pty.openpty()

    def resize(columns: int) -> None:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))

    def drawn(columns: int) -> int:
        """Draw the bars on a terminal of so many columns, and return the length of the longest."""
        resize(columns)
        for bar in (shown._overall, *shown._bars.values()):
            bar.refresh()
        stream.flush()
        seen = b""
        while select.select([ours], [], [], 0.2)[0]:
            seen += os.read(ours, 1 << 16)
        text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", seen.decode())
        return max(len(line.rstrip()) for line in re.split(r"[\r\n]+", text))

    resize(120)
    with open(theirs, "w", closefd=False) as stream, Progress(PLAN, stream) as shown:
        shown.started(SHORT, 0)
        assert 100 < drawn(120) <= 120
        assert drawn(60) <= 60
        assert 100 < drawn(120) <= 120
    os.close(ours)
    os.close(theirs)


def test_the_bar_over_all_runs_is_measured_in_work():
    stream = Terminal()
    with Progress(PLAN, stream) as shown:
        shown.started(LONG, 1)
        for number in (2, 3, 4):
            shown.epoch_finished(LONG, epoch(number))
    assert re.findall(r"done +([0-9]+)%", screen(stream))[-1] == "75"


def test_a_new_run_takes_the_place_of_one_that_is_over():
    runs = [dataclasses.replace(SHORT, seed=seed) for seed in range(6)]
    with Progress([Planned(run, 0, 10.0) for run in runs], Terminal()) as shown:
        for run in runs[:3]:
            shown.started(run, 0)
        shown.ended(runs[1], "ok", "")
        shown.started(runs[3], 0)
        assert sorted(-bar.pos for bar in shown._bars.values()) == [1, 2, 3]


def test_the_bars_end_when_everything_ends_however_it_ends():
    stream = Terminal()
    shown = Progress(PLAN, stream)
    shown.started(SHORT, 0)
    with pytest.raises(KeyboardInterrupt), shown:
        raise KeyboardInterrupt
    assert shown._overall.disable
    assert all(bar.disable for bar in shown._bars.values())


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_nothing_to_do_is_shown_without_a_division_by_zero(stream: type[io.StringIO], clock: Clock):
    with Progress([Planned(SHORT, 2, 0.0)], stream()) as shown:
        shown.started(SHORT, 2)
        clock.now += 60
        shown.tick()
        shown.ended(SHORT, "ok", "")


# On a cluster


def test_a_line_says_on_which_worker_each_run_is(clock: Clock):
    stream = io.StringIO()
    with Progress(PLAN, stream) as shown:
        shown.started(SHORT, 0, "node7")
        clock.now += 30
        shown.tick()
    assert "unpadded on cpu, seed 1 on node7: starting" in stream.getvalue()


def test_a_bar_moves_with_its_run_to_another_worker():
    stream = Terminal()
    with Progress(PLAN, stream) as shown:
        shown.started(SHORT, 0, "node7")
        shown.lost(SHORT, "the worker node7 is lost; another worker will train the run again")
        shown.started(SHORT, 1, "node8")
        assert len(shown._bars) == 1
        shown.ended(SHORT, "ok", "")
    seen = screen(stream)
    assert "unpadded on cpu, seed 1: the worker node7 is lost; another worker will train the run again\n" in seen
    assert "unpadded on cpu, seed 1 on node7" in seen
    assert re.search("unpadded on cpu, seed 1 on node8 +epoch 1/2", seen)
    assert "1 of 2 runs done" in seen
