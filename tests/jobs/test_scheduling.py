"""Tests of `scheduling`: a run ends in time, with its own status and reason, and leaves no process behind."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import clusters
import misbehaving
import pytest
from actors import ACTOR, MARK, acts, acts_together, endings, execute, marked, none_left, pass_on, task

from bench.jobs import scheduling
from bench.jobs.events import Ended, EpochFinished, Event, Stage, Started, Stop, Waiting
from bench.jobs.plan import Planned
from bench.jobs.worker.task import Task
from bench.record.environments import EXACT
from bench.record.rows import Run

needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc")


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Marks the processes that a test starts."""
    value = f"{os.getpid()}-{request.node.name}-{time.monotonic_ns()}"
    pass_on(monkeypatch, **{MARK: value})
    return value


# Real workers, each with a fault of its own

Network = type[misbehaving.Behaves]

QUICK: dict[Network, tuple[str, str]] = {
    misbehaving.Raises: ("error", "ValueError: first line second line"),
    misbehaving.ExitsAtOnce: (
        "error",
        "the process exited with code 1 before its last epoch; it last printed: last words",
    ),
    misbehaving.IsKilled: ("error", r"the process was ended by SIGKILL \(out of memory\?\)"),
    misbehaving.LeavesAGrandchild: ("ok", ""),
    misbehaving.Behaves: ("ok", ""),
}
FAULTS: dict[Network, tuple[str, str]] = QUICK | {
    misbehaving.Exits: ("error", "the process exited with code 3 before its last epoch"),
    misbehaving.ReadsNowhere: ("error", "the process was ended by SIGSEGV.*"),
    misbehaving.IsNotANumber: ("diverged", "the training loss of epoch 1 is nan"),
    misbehaving.PrintsMuch: ("ok", ""),
}
"""The status and the reason with which a run of each network must end."""


@dataclass(frozen=True)
class Job:
    """The faults of a job, its events, and the processes that it left behind."""

    faults: dict[Network, tuple[str, str]]
    events: list[Event]
    left: list[str]

    def of(self, network: Network) -> list[Event]:
        return [event for event in self.events if event.run.model == network.__name__]

    def ending(self, network: Network) -> tuple[str, str]:
        (ended,) = (event for event in self.of(network) if isinstance(event, Ended))
        return ended.status, ended.reason


@pytest.fixture(
    scope="module", params=[QUICK, pytest.param(FAULTS, marks=pytest.mark.slow)], ids=["some faults", "all faults"]
)
def job(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """One job of faulty runs, two at a time."""
    folder = tmp_path_factory.mktemp("job")
    value = f"{os.getpid()}-job-{time.monotonic_ns()}"
    with pytest.MonkeyPatch.context() as patch:
        pass_on(patch, **{MARK: value})
        events = list(execute([task(folder, network) for network in request.param], {"cpu": 2}, Stop()))
    none_left(value)
    return Job(request.param, events, marked(value))


def test_a_fault_ends_its_own_run_with_its_status_and_reason(job: Job):
    for network, (status, reason) in job.faults.items():
        found_status, found_reason = job.ending(network)
        assert found_status == status, (network, found_reason)
        assert re.fullmatch(reason, found_reason), (network, found_reason)


def test_the_patience_with_a_run_is_an_hour_or_a_hundred_times_what_is_expected() -> None:
    def planned(seconds: float, recorded: int = 0) -> Planned:
        return Planned(Run("unpadded", "0a011c29", "cpu", EXACT.digest, 1, 20), recorded, seconds)

    assert scheduling.epoch_limit([]) == scheduling.epoch_limit([planned(20 * 30), planned(0, 20)]) == 3600
    assert scheduling.epoch_limit([planned(20 * 30), planned(10 * 50, 10)]) == 5000


def test_every_run_begins_and_ends_once_whatever_happens_to_the_others(job: Job):
    for network in job.faults:
        kinds = [type(event) for event in job.of(network)]
        trains = job.ending(network)[0] == "ok"
        assert kinds == [Started, EpochFinished, Ended] if trains else [Started, Ended]


def test_a_run_that_prints_or_leaves_something_behind_trains_like_any_other(job: Job):
    def trained(network: Network) -> tuple[int, float, float]:
        (epoch,) = (event.epoch for event in job.of(network) if isinstance(event, EpochFinished))
        return epoch.correct, epoch.test_loss, epoch.train_loss

    expected = trained(misbehaving.Behaves)
    for network in {misbehaving.PrintsMuch, misbehaving.LeavesAGrandchild} & job.faults.keys():
        assert trained(network) == expected


@needs_proc
def test_nothing_is_left_running_after_a_job(job: Job):
    assert job.left == []


@pytest.mark.slow
def test_a_run_that_hangs_is_ended_at_its_limit(tmp_path: Path, mark: str):
    started = time.monotonic()
    events = list(execute([task(tmp_path, misbehaving.Hangs)], {"cpu": 1}, Stop(), limit=4))
    assert 4 <= time.monotonic() - started < 20
    reason = "no epoch finished within 4 seconds"
    assert endings(events[1:]) == [(1, "timeout", reason)]  # a busy machine may not have described itself in time
    assert none_left(mark)


@needs_proc
def test_a_stop_ends_all_runs_within_seconds_and_begins_none(tmp_path: Path, mark: str):
    stop = Stop()
    tasks = [task(tmp_path, misbehaving.Hangs, seed) for seed in (1, 2, 3)]
    timer = threading.Timer(1.5, stop.request, ["by SIGINT"])
    timer.start()
    started = time.monotonic()
    events = list(execute(tasks, {"cpu": 2}, stop))
    assert time.monotonic() - started < 6
    first, second = tasks[0].run, tasks[1].run
    told = [replace(one, machine="") if isinstance(one, Ended) else one for one in events]  # a fast worker names it
    assert [one for one in told if not isinstance(one, Stage)] == [
        *(Started(first), Started(second)),
        *(Ended(first, "interrupted", "by SIGINT"), Ended(second, "interrupted", "by SIGINT")),
    ]
    assert none_left(mark)


@needs_proc
def test_a_caller_that_stops_listening_leaves_no_worker_behind(tmp_path: Path, mark: str):
    events = execute([task(tmp_path, misbehaving.Hangs, seed) for seed in (1, 2)], {"cpu": 2}, Stop())
    next(events)
    next(events)
    assert marked(mark)
    events.close()
    assert none_left(mark)


@needs_proc
def test_the_workers_of_a_killed_job_end_themselves(tmp_path: Path, mark: str):
    code = (
        "from pathlib import Path; import sys, actors, misbehaving; from bench.jobs.events import Stop\n"
        "actors.children.PASSED += (actors.MARK,)\n"
        "one = actors.task(Path(sys.argv[1]), misbehaving.Hangs)\n"
        "for event in actors.execute([one, one], {'cpu': 2}, Stop()):\n"
        "    print('started', flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": clusters.IMPORTED},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert [parent.stdout.readline() for _ in range(2)] == ["started\n"] * 2
        deadline = time.monotonic() + 10
        while len(marked(mark)) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(marked(mark)) == 3
        parent.kill()
    assert none_left(mark, seconds=30)


# A worker that acts out a script: how the scheduler listens to it


@pytest.fixture
def actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts the acting program in place of the worker's Python."""
    path = tmp_path / "actor"
    path.write_text(ACTOR.format(python=sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(path))
    return path


def most_at_once(events: Iterable[Event]) -> int:
    going, most = 0, 0
    for event in events:
        going += isinstance(event, Started) - isinstance(event, Ended)
        most = max(most, going)
    return most


@pytest.mark.usefixtures("actor")
class TestListening:
    def test_the_events_of_a_run_come_in_order(self):
        (one,) = acts("epoch 1; epoch 2; epoch 3; done")
        events = list(execute([one], {"cpu": 1}, Stop()))
        assert [type(event) for event in events] == [Started, EpochFinished, EpochFinished, EpochFinished, Ended]
        assert [event.epoch.epoch for event in events[1:4]] == [1, 2, 3]
        assert events[4] == Ended(one.run, "ok", "", "a stage")

    def test_what_a_run_gives_names_the_machine_that_its_worker_reported(self, monkeypatch: pytest.MonkeyPatch):
        pass_on(monkeypatch, MACHINE="a processor, unlike this one")
        events = list(execute(acts("epoch 1; exit 1"), {"cpu": 1}, Stop()))
        assert [type(event) for event in events] == [Started, EpochFinished, Ended]
        assert [event.machine for event in events[1:]] == ["a processor, unlike this one"] * 2

    @pytest.mark.parametrize("slots", [1, 2, 3, 10])
    def test_runs_begin_in_the_order_given_and_no_more_at_once_than_there_are_slots(self, slots: int):
        tasks = acts(*["sleep 0.1; done"] * 7)
        events = list(execute(tasks, {"cpu": slots}, Stop()))
        assert [event.run for event in events if isinstance(event, Started)] == [one.run for one in tasks]
        assert most_at_once(events) == min(slots, 7)
        assert len(endings(events)) == 7

    def test_a_slot_is_taken_again_while_the_other_is_still_busy(self):
        events = list(execute(acts("sleep 1.5; done", "done", "done", "done"), {"cpu": 2}, Stop()))
        assert [event.run.seed for event in events if isinstance(event, Ended)] == [1, 2, 3, 0]

    def test_exact_runs_share_a_process_on_a_gpu_and_each_ends_in_its_own_way(self):
        script = "epoch 1 of run 2; diverge 1; epoch 1 of run 0; done 0; exit 3"
        beside, other = acts_together(script, 3), acts("epoch 1; done", device="cuda")
        events = list(execute([beside[0], *other, *beside[1:]], {"cpu": 2, "cuda": 1}, Stop()))
        started = [event.run for event in events if isinstance(event, Started)]
        assert started == [*(one.run for one in beside), other[0].run]
        finished = [event.run for event in events if isinstance(event, EpochFinished)]
        assert finished == [beside[2].run, beside[0].run, other[0].run]
        assert [(event.run, event.status, event.reason) for event in events if isinstance(event, Ended)] == [
            (beside[0].run, "ok", ""),
            (beside[1].run, "diverged", "a loss"),
            (beside[2].run, "error", "the process exited with code 3 before its last epoch"),
            (other[0].run, "ok", ""),
        ]

    def test_runs_that_are_side_by_side_are_interrupted_together_but_not_those_that_have_ended(self):
        tasks, stop, events = acts_together("done 1; epoch 1 of run 0; sleep 600", 2), Stop(), []
        for event in execute(tasks, {"cuda": 1}, stop):
            events.append(event)
            if isinstance(event, EpochFinished):
                stop.request("by SIGINT")
        assert endings(events) == [(0, "interrupted", "by SIGINT"), (1, "ok", "")]

    def test_runs_that_are_side_by_side_have_one_limit(self):
        tasks = acts_together("done 1; sleep 600", 2)
        reason = "no epoch finished within 1 seconds"
        assert endings(execute(tasks, {"cuda": 1}, Stop(), limit=1)) == [(0, "timeout", reason), (1, "ok", "")]

    def test_more_tasks_go_beside_the_first_as_long_as_they_are_exact(self):
        tasks = [
            *acts_together("done", 2),
            *acts_together("done", 1, recipe="89ef4567"),
            *acts("epoch 1; done", device="cuda"),
        ]
        waiting = list(tasks)
        events = list(execute([], {"cuda": 1}, Stop(), more=lambda device: waiting.pop(0) if waiting else None))
        kinds = [(type(event).__name__, event.run) for event in events if isinstance(event, Started | Ended)]
        assert [run for _, run in kinds] == [one.run for one in (*tasks[:3], *tasks[:3], tasks[3], tasks[3])]
        assert [kind for kind, _ in kinds] == ["Started"] * 3 + ["Ended"] * 3 + ["Started", "Ended"]

    def test_an_own_network_shares_no_process_with_another_on_a_gpu(self):
        ours, own, other = (acts_together("done", 2, recipe) for recipe in ("0123abcd", "11111111", "22222222"))
        own, other = (
            [replace(one, architecture=replace(one.architecture, document=None)) for one in tasks]
            for tasks in (own, other)
        )
        events = list(execute([*own, *ours, *other], {"cuda": 1}, Stop()))
        kinds = [(type(event).__name__, event.run) for event in events if isinstance(event, Started | Ended)]
        assert [run for _, run in kinds] == [one.run for tasks in (own, ours, other) for one in (*tasks, *tasks)]
        assert [kind for kind, _ in kinds] == ["Started", "Started", "Ended", "Ended"] * 3

    def test_each_device_has_slots_of_its_own(self):
        on_cpu, on_gpu = (acts(*["sleep 0.3; done"] * 3, device=device) for device in ("cpu", "cuda"))
        tasks = [one for pair in zip(on_cpu, on_gpu, strict=True) for one in pair]
        events = list(execute(tasks, {"cpu": 2, "cuda": 1, "mps": 1}, Stop()))
        assert len(endings(events)) == 6
        assert most_at_once(events) == 3
        for device, slots in (("cpu", 2), ("cuda", 1)):
            of_device = [event for event in events if event.run.device == device]
            assert most_at_once(of_device) == slots
            assert [event.run.seed for event in of_device if isinstance(event, Started)] == [0, 1, 2]

    def test_more_tasks_are_asked_for_when_a_slot_is_free_and_may_depend_on_what_has_ended(self):
        tasks = acts("sleep 0.5; done", "done", "done", "done", "exit 1")
        ended: list[int] = []
        asked: list[str | None] = []

        def more(device: str | None) -> Task | None:
            asked.append(device)
            return tasks.pop(0) if tasks and 3 not in ended else None

        events = []
        for event in execute([], {"cpu": 2}, Stop(), more=more):
            events.append(event)
            if isinstance(event, Ended):
                ended.append(event.run.seed)
        assert most_at_once(events) == 2
        assert sorted(ended) == [0, 1, 2, 3]
        assert set(asked) == {"cpu"}
        assert len(tasks) == 1

    def test_nothing_to_train_is_over_at_once(self):
        assert list(execute([], {"cpu": 2}, Stop())) == []

    def test_a_stop_before_the_beginning_begins_nothing(self):
        stop = Stop()
        stop.request("by SIGINT")
        assert list(execute(acts("done"), {"cpu": 2}, stop)) == []

    def test_a_stop_keeps_the_epochs_that_were_finished(self):
        (one,) = acts("epoch 1; sleep 600")
        stop = Stop()
        events = []
        for event in execute([one], {"cpu": 1}, stop):
            events.append(event)
            if isinstance(event, EpochFinished):
                stop.request("by SIGTERM")
        assert [type(event) for event in events] == [Started, EpochFinished, Ended]
        assert events[2] == Ended(one.run, "interrupted", "by SIGTERM", "a stage")

    def test_a_hanging_run_costs_the_others_nothing(self):
        tasks = acts("epoch 1; sleep 600", "sleep 0.5; epoch 1; done", "epoch 1; done")
        events = list(execute(tasks, {"cpu": 2}, Stop(), limit=2))
        assert endings(events) == [
            (0, "timeout", "no epoch finished within 2 seconds"),
            (1, "ok", ""),
            (2, "ok", ""),
        ]

    def test_the_limit_is_that_of_an_epoch_and_not_of_a_run(self):
        (one,) = acts("sleep 1; epoch 1; sleep 1; epoch 2; sleep 1; epoch 3; done")
        assert endings(execute([one], {"cpu": 1}, Stop(), limit=2.2)) == [(0, "ok", "")]

    def test_printing_is_no_sign_of_life(self):
        (one,) = acts(";".join(["say b'working'; sleep 0.25"] * 40))
        started = time.monotonic()
        assert endings(execute([one], {"cpu": 1}, Stop(), limit=1))[0][1] == "timeout"
        assert time.monotonic() - started < 6

    def test_a_worker_that_does_not_end_after_its_last_message_is_ended(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(scheduling, "_END_LIMIT", 0.5)
        assert endings(execute(acts("epoch 1; done; sleep 600"), {"cpu": 1}, Stop())) == [(0, "ok", "")]

    @pytest.mark.parametrize("crash", ["exit 1", f"kill {int(signal.SIGABRT)}"])
    def test_a_crash_after_the_last_message_spoils_nothing(self, crash: str):
        assert endings(execute(acts(f"epoch 1; done; {crash}"), {"cpu": 1}, Stop())) == [(0, "ok", "")]

    def test_a_message_that_a_kill_has_torn_is_ignored(self):
        events = list(execute(acts(f"epoch 1; tear; kill {int(signal.SIGKILL)}"), {"cpu": 1}, Stop()))
        assert [event.epoch.epoch for event in events if isinstance(event, EpochFinished)] == [1]
        assert endings(events) == [(0, "error", "the process was ended by SIGKILL (out of memory?)")]

    def test_exit_code_0_before_the_last_epoch_is_an_error(self):
        reason = "the process exited with code 0 before its last epoch"
        assert endings(execute(acts("epoch 1; exit 0"), {"cpu": 1}, Stop())) == [(0, "error", reason)]

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGABRT, signal.SIGBUS])
    def test_a_signal_is_named(self, number: signal.Signals):
        (ending,) = endings(execute(acts(f"kill {int(number)}"), {"cpu": 1}, Stop()))
        assert ending == (0, "error", f"the process was ended by {number.name}")

    @pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="there are no real-time signals")
    def test_a_signal_without_a_name_has_its_number(self):
        number = int(signal.SIGRTMIN) + 1
        assert endings(execute(acts(f"kill {number}"), {"cpu": 1}, Stop()))[0][2].endswith(f"by signal {number}")

    @pytest.mark.parametrize(
        ("said", "quoted"),
        [
            (r"b'one\ntwo\n\n'", "two"),
            (r"b'a \x1b[31mred\x07 word'", "a [31mred word"),
            (r"b'\xff\xfe no text'", "\ufffd\ufffd no text"),
            (r"b'y' * 100000", "y" * 200),
        ],
    )
    def test_the_reason_quotes_the_last_line_that_the_process_printed(self, said: str, quoted: str):
        (ending,) = endings(execute(acts(f"say {said}; exit 1"), {"cpu": 1}, Stop()))
        expected = f"the process exited with code 1 before its last epoch; it last printed: {quoted}"
        assert ending == (0, "error", expected)

    def test_a_process_that_ends_before_it_knows_its_task_is_an_error_of_its_run(self, actor: Path):
        actor.write_text("#!/bin/sh\nexit 7\n")
        events = list(execute(acts("done", "done", "done"), {"cpu": 2}, Stop()))
        reason = "the process exited with code 7 before its last epoch"
        assert endings(events) == [(seed, "error", reason) for seed in range(3)]

    def test_a_process_that_cannot_be_started_is_an_error_of_its_run(self, actor: Path):
        actor.unlink()
        events = list(execute(acts("done", "done"), {"cpu": 1}, Stop()))
        reason = "no process could be started: No such file or directory"
        assert endings(events) == [(seed, "error", reason) for seed in range(2)]

    @pytest.mark.parametrize("which", [1, 2, 3])
    def test_a_worker_whose_threads_cannot_be_started_is_an_error_of_its_run(
        self, opened: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, which: int
    ):
        start, calls = threading.Thread.start, []

        def limited(thread: threading.Thread) -> None:
            calls.append(thread)
            if len(calls) == 3 + which:  # each worker has three threads
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)
        events = list(execute(acts("done", "sleep 600; done", "done"), {"cpu": 1}, Stop()))
        reason = "no process could be started: can't start new thread"
        assert endings(events) == [(0, "ok", ""), (1, "error", reason), (2, "ok", "")]
        assert all(is_over(process) for process in opened)

    @pytest.mark.parametrize("last", ["done", "exit 1", f"kill {int(signal.SIGKILL)}", "sleep 600"])
    @pytest.mark.parametrize("ends_early", [False, True])
    def test_no_pipe_of_a_worker_stays_open(self, opened: list[subprocess.Popen[bytes]], last: str, ends_early: bool):
        events = execute(acts(f"epoch 1; {last}", f"say b'x'; epoch 1; {last}"), {"cpu": 2}, Stop(), limit=1)
        for _ in zip(range(3), events, strict=False) if ends_early else events:
            pass
        events.close()
        assert len(opened) == 2
        assert all(is_over(process) for process in opened)

    def test_a_worker_that_never_reads_its_task_leaves_no_pipe_open(
        self, actor: Path, opened: list[subprocess.Popen[bytes]]
    ):
        actor.write_text("#!/bin/sh\nexit 7\n")
        list(execute(acts("done" + " " * 100_000), {"cpu": 1}, Stop()))
        assert all(is_over(process) for process in opened)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes of the workers."""
    found: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def recording(*arguments: Any, **keywords: Any) -> subprocess.Popen[bytes]:
        found.append(popen(*arguments, **keywords))
        return found[-1]

    monkeypatch.setattr(scheduling.subprocess, "Popen", recording)
    return found


def is_over(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process was waited for, and its pipes are closed."""
    pipes = process.stdin, process.stdout, process.stderr
    return process.returncode is not None and all(pipe.closed for pipe in pipes)


# Slots


def test_the_cpu_has_as_many_slots_as_asked_for_and_a_gpu_one():
    assert scheduling.slots(7) == {"cpu": 7, "cuda": 1, "mps": 1}


def test_a_worker_starts_although_the_current_folder_was_deleted(
    actor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "deleted"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    actor.write_text(actor.read_text().replace("words = ", "os.getcwd(); words = "))
    assert endings(execute(acts("done"), {"cpu": 1}, Stop())) == [(0, "ok", "")]


@pytest.mark.slow
def test_waiting_events_report_that_time_passes(tmp_path: Path, mark: str):
    events = list(scheduling.execute([task(tmp_path, misbehaving.Hangs)], {"cpu": 1}, Stop(), limit=4))
    assert sum(isinstance(event, Waiting) for event in events) >= 4


@pytest.mark.slow
def test_a_run_says_when_its_training_begins(tmp_path: Path, mark: str):
    one = task(tmp_path, misbehaving.Behaves)
    events = [event for event in scheduling.execute([one], {"cpu": 1}, Stop()) if not isinstance(event, Waiting)]
    assert [type(event) for event in events] == [Started, Stage, EpochFinished, Ended]
    assert events[1] == Stage(one.run, "training")


# A job that is paused

PAUSED = """
import sys, time
from pathlib import Path
from actors import acts, endings
from bench.jobs import scheduling
from bench.jobs.events import EpochFinished, Stop

sys.executable = sys.argv[1]
scheduling._PAUSE = 1.0
events = []
for event in scheduling.execute(acts(sys.argv[2]), {"cpu": 1}, Stop(), limit=3):
    events.append(event)
    if isinstance(event, EpochFinished) and event.epoch.epoch == 1:
        print("trains", flush=True)
print(endings(events), flush=True)
"""


@pytest.mark.parametrize(
    ("script", "ending"),
    [
        pytest.param(  # messages wait
            "epoch 1; sleep 1.5; epoch 2; sleep 4; epoch 3; done", (0, "ok", ""), id="busy", marks=pytest.mark.slow
        ),
        pytest.param(  # no message waits yet
            "epoch 1; sleep 7.5; epoch 2; done", (0, "ok", ""), id="slow", marks=pytest.mark.slow
        ),
        pytest.param(
            "epoch 1; sleep 600",
            (0, "timeout", "no epoch finished within 3 seconds"),
            id="hanging",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_time_in_which_the_job_was_paused_is_not_held_against_its_workers(
    actor: Path, root: Path, script: str, ending: tuple[int, str, str]
):
    python = re.findall("^#!(.*) -IS", actor.read_text())[0]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests" / "helpers")])}
    command = [python, "-c", PAUSED, str(actor), script]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout.readline() == "trains\n"
        job.send_signal(signal.SIGSTOP)
        time.sleep(6)
        job.send_signal(signal.SIGCONT)
        assert job.stdout.readline() == f"{[ending]}\n"
