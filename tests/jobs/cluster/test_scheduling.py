"""Tests of `scheduling`, `worker` and `workers`: runs on a real cluster whose workers die, come late or differ."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import bench

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

from actors import endings, none_left
from clusters import IMPORTED, listening, processes, until
from stages import Stage, execute

from bench.cli import parser
from bench.errors import UnusableInput
from bench.jobs import job
from bench.jobs.cluster import scheduling, worker, workers
from bench.jobs.cluster.worker import Description
from bench.jobs.events import Ended, EpochFinished, Event, Lost, Started, Stop
from bench.jobs.job import Paths, Selection
from bench.jobs.worker.task import Task
from bench.record import environments, misses, record
from bench.record.environments import EXACT
from bench.record.rows import EPOCH_KEY, REPRODUCIBLE
from bench.training import environment
from models import ARCHITECTURES

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc")

UNPADDED = ARCHITECTURES["unpadded"]
TWO = (UNPADDED, ARCHITECTURES["ten_twenty_thirty"])
SUBSET = (1024, 300)


# Workers that act out the script in the name of a network


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A cluster whose workers act."""
    with processes(tmp_path_factory.mktemp("stage"), Stage) as one:
        yield one
    assert none_left(one.mark, 30)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client looks at the cluster often."""
    monkeypatch.setattr(scheduling, "_WORKERS_POLL", 0.2)
    monkeypatch.setattr(scheduling, "_POLL", 0.1)


def of(events: list[Event], kind: type) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


def test_the_events_of_a_run_come_in_order_and_name_its_worker(stage: Stage) -> None:
    stage.only("one")
    events = list(execute(stage.address, "epoch 1; epoch 2; epoch 3; done", "epoch 1; exit 1"))
    assert [type(event) for event in events] == [
        *(Started, EpochFinished, EpochFinished, EpochFinished, Ended),
        *(Started, EpochFinished, Ended),
    ]
    assert [event.epoch.epoch for event in of(events, EpochFinished)] == [1, 2, 3, 1]
    assert {event.worker for event in of(events, Started)} == {"one"}
    reason = "the process exited with code 1 before its last epoch (on one)"
    assert endings(events) == [(0, "ok", ""), (1, "error", reason)]


def test_a_worker_has_one_run_at_a_time_and_one_that_joins_late_takes_the_next(stage: Stage) -> None:
    stage.only("one")
    used, stop = [], Stop()
    for event in execute(stage.address, "sleep 600", "sleep 600", stop=stop):
        if isinstance(event, Started):
            used.append(event.worker)
            stage.start("late") if len(used) == 1 else stop.request("all seen")
    assert used == ["one", "late"]


@pytest.mark.slow
def test_exact_runs_go_to_workers_of_any_environment_and_name_the_machine(stage: Stage) -> None:
    stage.only()
    stage.workers("one", MACHINE="a processor")
    stage.workers("two", MACHINE="another processor", PLATFORM="another")
    events = list(execute(stage.address, *["epoch 1; sleep 2; done"] * 2, digest=EXACT.digest))
    assert endings(events) == [(0, "ok", ""), (1, "ok", "")]
    machines = {"one": "a processor", "two": "another processor"}
    workers_by_run = {event.run: event.worker for event in of(events, Started)}
    assert sorted(workers_by_run.values()) == ["one", "two"]
    for event in (*of(events, EpochFinished), *of(events, Ended)):
        assert event.machine == machines[workers_by_run[event.run]]
    stage.only()


@pytest.mark.slow
def test_tasks_that_are_given_one_by_one_are_trained_and_outlive_a_worker(stage: Stage) -> None:
    stage.only("one", "two")
    events = []
    for event in execute(stage.address, "epoch 1; sleep 3; done", *["epoch 1; done"] * 3, one_by_one=True):
        events.append(event)
        if isinstance(event, Started) and event.run.seed == 0 and not of(events, Lost):
            stage.kill(event.worker)
    assert endings(events) == [(seed, "ok", "") for seed in range(4)]
    assert [event.run.seed for event in of(events, Lost)] == [0]


def test_of_tasks_given_one_by_one_the_first_waits_for_a_worker_as_long_as_any(stage: Stage) -> None:
    stage.only("one")
    events = list(execute(stage.address, "done", digest="89ef4567", one_by_one=True, patience=1))
    assert endings(events) == [(0, "error", "no worker of environment 89ef4567 for 1 seconds")]


@pytest.mark.slow
def test_a_worker_that_the_client_has_forgotten_for_a_moment_is_not_lost(stage: Stage, monkeypatch) -> None:
    """Every two seconds Dask's client replaces its list of workers by a summary that lacks them."""
    import dask

    stage.only("one")
    monkeypatch.setattr(scheduling, "_WORKERS_POLL", 0.001)
    with dask.config.set({"distributed.client.scheduler-info-interval": "1ms"}):
        events = list(execute(stage.address, "sleep 2; done"))
    assert [type(event) for event in events] == [Started, Ended]


@pytest.mark.slow
def test_a_run_whose_workers_keep_dying_is_given_up_with_the_name_of_the_last(stage: Stage) -> None:
    stage.only("one", "two", "three")
    events = []
    for event in execute(stage.address, "epoch 1; sleep 600"):
        events.append(event)
        if isinstance(event, EpochFinished):
            stage.kill(of(events, Started)[-1].worker)
    names = [event.worker for event in of(events, Started)]
    assert sorted(names) == ["one", "three", "two"]
    assert [event.reason for event in of(events, Lost)] == [
        f"the worker {name} is lost; another worker will train the run again" for name in names[:2]
    ]
    assert endings(events) == [(0, "error", f"its worker was lost 3 times; the last one was {names[2]}")]
    assert events[-1].machine == "a stage"


@pytest.mark.slow
def test_a_worker_that_is_back_under_its_address_begins_the_run_anew_with_what_is_recorded(
    stage: Stage, monkeypatch
) -> None:
    """Dask itself would start the old task again. That task knows nothing of the epochs recorded since."""
    import distributed

    handed: list[Task] = []
    submit = distributed.Client.submit

    def seen(client, function, task, *rest, **options):
        handed.append(pickle.loads(task))
        return submit(client, function, task, *rest, **options)

    monkeypatch.setattr(distributed.Client, "submit", seen)
    monkeypatch.setattr(scheduling, "_WORKERS_POLL", 600.0)  # the client does not see that the worker was away
    stage.only("back")
    with workers.connect(stage.address, [UNPADDED]) as connected:
        port = ("--worker-port", connected.workers[0].address.rsplit(":", 1)[1])
    events = []
    for event in execute(stage.address, "epoch 1; sleep 3; done"):
        events.append(event)
        if len(of(events, EpochFinished)) == 1 and isinstance(event, EpochFinished):
            stage.kill("back")
            stage.start("back", *port)
    assert [type(event) for event in events] == [Started, EpochFinished, Lost, Started, EpochFinished, Ended]
    assert endings(events) == [(0, "ok", "")]
    assert [one.recorded for one in handed] == [(), ((90, 100, 0.5, 0.5),)]


@pytest.mark.slow
def test_runs_without_a_worker_of_their_environment_wait_for_one_before_they_are_closed(stage: Stage) -> None:
    stage.only("one")
    events = []
    for event in execute(stage.address, "epoch 1; sleep 600", "done", patience=1.5):
        events.append(event)
        if isinstance(event, EpochFinished):
            stage.kill("one")
    reason = f"no worker of environment {events[0].run.environment} for 1.5 seconds"
    assert endings(events) == [(0, "error", reason), (1, "error", reason)]


def test_a_stop_ends_the_runs_in_progress_and_cancels_the_queued_ones(stage: Stage) -> None:
    stage.only("one", "two")
    stop, events = Stop(), []
    for event in execute(stage.address, *["epoch 1; sleep 600"] * 5, stop=stop):
        events.append(event)
        if len(of(events, EpochFinished)) == 2:
            stop.request("by SIGINT")
    assert len(of(events, Started)) == 2
    assert endings(events) == [(0, "interrupted", "by SIGINT"), (1, "interrupted", "by SIGINT")]
    until(stage.is_idle, "the end of what trains", 10)


@pytest.mark.slow
def test_the_loss_of_the_scheduler_ends_the_job_and_its_runs(tmp_path: Path) -> None:
    with processes(tmp_path, Stage) as stage:
        stage.only("one")
        job = execute(stage.address, "epoch 1; sleep 600", "done")
        events = [next(job), next(job)]
        stage.kill("scheduler")
        events.append(next(job))
        assert endings(events) == [(0, "interrupted", f"the scheduler {stage.address} is lost")]
        with pytest.raises(UnusableInput, match="the scheduler is lost: every finished epoch is kept"):
            next(job)
        until(stage.is_idle, "the end of what trains", 30)


@pytest.mark.slow
def test_the_death_of_the_client_ends_its_runs(stage: Stage) -> None:
    stage.only("one")
    code = (
        "import sys, stages\n"
        "for event in stages.execute(sys.argv[1], 'epoch 1; sleep 600'):\n"
        "    print(type(event).__name__, flush=True)"
    )
    command = [sys.executable, "-c", code, stage.address]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": IMPORTED}
    ) as client:
        assert [client.stdout.readline() for _ in range(2)] == ["Started\n", "EpochFinished\n"]
        assert not stage.is_idle()
        client.kill()
    until(stage.is_idle, "the end of what trains", 10)


def test_nothing_listens_beyond_the_loopback_address(stage: Stage) -> None:
    stage.only("one")
    before = listening(os.getpid())
    for event in execute(stage.address, "sleep 1; done"):
        if isinstance(event, Started):
            assert listening(os.getpid()) == before  # the client connects and does not listen
            assert [listening(one.pid) for one in stage.running.values()] == [{"0100007F"}] * 2


# Workers that may train, and workers that may not


def test_a_worker_without_the_same_bench994_is_left_out_with_a_line(stage: Stage, caplog) -> None:
    stage.only()
    (stage.folder / "other" / "bench").mkdir(parents=True)
    there = f'__version__ = "0.0.1"\n__path__ = [{str(Path(bench.__file__).parent)!r}]\n'
    (stage.folder / "other" / "bench" / "__init__.py").write_text(there)
    stage.workers("odd", PYTHONPATH=str(stage.folder / "other"))
    with pytest.raises(UnusableInput, match="this scheduler has no usable worker: start one with `dask worker"):
        list(execute(stage.address, "done"))
    here = workers.__version__
    expected = (
        f"worker odd left out: it has bench994 0.0.1, but this is {here}: install the same bench994 there as here"
    )
    assert expected in caplog.messages


def test_another_recipe_and_a_missing_bench994_get_a_line_each() -> None:
    native = dict(environment.describe("cpu").details)
    same = Description(workers.__version__, (UNPADDED.digest,), "cpu", native, "a machine")
    assert workers._obstacle(same, [UNPADDED]) == ""
    missing = workers._obstacle(ModuleNotFoundError("No module\nnamed 'bench'"), [UNPADDED])
    assert missing.startswith("it cannot describe itself (ModuleNotFoundError: No module named 'bench'): install ")
    other = workers._obstacle(dataclasses.replace(same, recipes=("0123abcd",)), [UNPADDED])
    assert other.startswith(f"its unpadded has the recipe 0123abcd, but here it is {UNPADDED.digest}: ")


def test_a_worker_that_reports_what_is_no_message_loses_its_run(stage: Stage, monkeypatch) -> None:
    hear = scheduling._Job.hear

    def garbled(self, event) -> None:
        content = event[1]["event"]
        text = content.replace('"epoch": 2', '"epoch": -2')
        hear(self, (event[0], {**event[1], "event": text}))

    monkeypatch.setattr(scheduling._Job, "hear", garbled)
    stage.only("one")
    events = list(execute(stage.address, "epoch 1; epoch 2; sleep 60; done"))
    assert len(of(events, EpochFinished)) == 1
    reason = "its worker sent what is no message: epoch is -2, not a number from 1 to 1e+09 (on one)"
    assert endings(events) == [(0, "error", reason)]


def test_a_worker_of_the_same_version_has_the_recipe_in_which_one_kind_varies() -> None:
    varied = UNPADDED.varied("order")
    found = workers._description(worker._describe(pickle.dumps((varied,)), announces_gpu=False))
    assert isinstance(found, Description)
    assert found.recipes == (varied.digest,) != (UNPADDED.digest,)
    assert workers._obstacle(found, [varied]) == ""


def test_a_worker_that_announces_a_gpu_it_has_not_is_left_out(stage: Stage, caplog) -> None:
    if len(environment.available_devices()) > 1:
        pytest.skip("there is a GPU")
    stage.only("one")
    stage.start("gpu", "--resources", "GPU=1")
    until(lambda: stage.known("gpu"), "worker gpu")
    with workers.connect(stage.address, [UNPADDED]) as connected:
        assert [one.name for one in connected.workers] == ["one"]
        with pytest.raises(
            UnusableInput, match=r"--devices cuda: no worker of tcp://.* has this device; there is only cpu: start such"
        ):
            connected.require(("cpu", "cuda"))
    assert "worker gpu left out: it announces the resource GPU, but PyTorch sees no GPU there" in caplog.messages


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("run --cluster tcp://127.0.0.1:9 --jobs 2", "--jobs: cannot be used with --cluster; there,"),
        ("all --cluster tcp://127.0.0.1:9 --seeds x", "--seeds x: give N"),
        ("plan --cluster tcp://127.0.0.1:9 --devices tpu", "--devices tpu: no such device"),
        ("run --cluster tcp://127.0.0.1:9", "--cluster tcp://127.0.0.1:9: no scheduler answers ("),
        ("plan --cluster carrier://pigeon", "--cluster carrier://pigeon: no scheduler answers ("),
        ("run --cluster 127.0.0.1", "--cluster 127.0.0.1: no scheduler answers ("),
    ],
)
def test_unusable_words_get_one_line(words: str, message: str, capsys, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "_ANSWER_LIMIT", 1)
    assert parser.main(words.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"bench: {message}")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_dask_gets_one_line_with_the_name_of_the_extra(capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert parser.main(["plan", "--cluster", "tcp://127.0.0.1:9"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("bench: --cluster: Dask is not installed here")
    assert "pip install 'bench994[cluster]'" in error
    assert error.count("\n") == 1


# The command line


@pytest.mark.slow
def test_rows_carry_the_environment_of_their_worker_and_a_run_stays_there(
    stage: Stage, root: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stage.only()
    stage.start("here", SCRIPT="epoch 1; done", MACHINE="this one")
    stage.workers("there", SCRIPT="epoch 1; done", PLATFORM="another", MACHINE="that one")
    until(lambda: stage.known("here"), "worker here")
    words = ["--models", "unpadded", "--seeds", "2", "--arithmetic", "native", "--cluster", stage.address]
    assert parser.main(["run", *words, "--epochs", "1"]) == 0
    rows = record.read(tmp_path / "runs.csv").epochs
    assert list(zip(rows["epoch"], sorted(rows["seed"]), strict=True)) == [(1, 1), (1, 2)]
    kept = {digest: dict(one.details) for digest, one in environments.read(tmp_path / "runs.csv").items()}
    assert set(rows["environment"]) == set(kept)
    machines = {kept[row.environment]["platform"]: row.machine for row in rows.itertuples()}
    assert machines == {"a stage": "this one", "another": "that one"}

    stage.start("more", PLATFORM="another", MACHINE="that one")  # a fresh plan would now spread the runs differently
    until(lambda: stage.known("more"), "worker more")
    capsys.readouterr()
    assert parser.main(["plan", *words, "--epochs", "3"]) == 0
    planned = capsys.readouterr().out.splitlines()
    for row in rows.itertuples():
        assert any(re.search(rf"cpu +{row.environment} +{row.seed}  1 of 3 ", line) for line in planned)
    assert sorted(line[22:] for line in planned if line.startswith("environment ")) == [
        "cpu: 1 worker (here); this one",
        "cpu: 2 workers (more, there); that one",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_job_closes_its_runs_and_reports_it_like_a_local_job(
    stage: Stage, root: Path, tmp_path: Path, number: signal.Signals
) -> None:
    stage.only("one")
    words = ["run", "--models", "unpadded", "--seeds", "2", "--cluster", stage.address]
    with subprocess.Popen(
        [sys.executable, "-m", "bench", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        until(lambda: record.read(tmp_path / "runs.csv").rows.size or client.poll() is not None, "an epoch")
        client.send_signal(number)
        error = client.communicate(timeout=60)[1]
    assert client.returncode == 128 + number, error
    assert error.splitlines()[-1].startswith("bench: interrupted by SIG")
    assert "Traceback" not in error
    rows = record.read(tmp_path / "runs.csv").rows
    assert [(row.status, row.note) for row in rows.itertuples()] == [("ok", ""), ("interrupted", f"by {number.name}")]
    assert set(rows["machine"]) == {"a stage"}
    until(stage.is_idle, "the end of what trains", 30)


# Workers that train


def paths(folder: Path, root: Path) -> Paths:
    return Paths(folder / "runs.csv", folder / "report", root / "data")


def lines(path: Path) -> list[str]:
    """The deterministic columns of all finished epochs of a record, sorted. No epoch may be there twice."""
    header, *rows = (line.split(",") for line in path.read_text().splitlines())
    finished = [dict(zip(header, row, strict=False)) for row in rows if "ok" in row]
    assert len({tuple(row[name] for name in EPOCH_KEY) for row in finished}) == len(finished)
    return sorted(",".join(row[name] for name in (*EPOCH_KEY, *REPRODUCIBLE)) for row in finished)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_worker_and_a_late_one_leave_the_same_record_as_a_local_job(
    tmp_path: Path, root: Path, capsys
) -> None:
    selection = Selection(TWO, ("cpu",), (1, 2), 3, 2)
    local, remote = tmp_path / "local", tmp_path / "remote"
    job.run(selection, paths(local, root), SUBSET)

    with processes(tmp_path) as running:
        running.workers("one", "two")

        def states(name: str) -> list[Path]:
            return list((tmp_path / f"scratch-{name}").rglob("bench994/*/*.pt"))

        def disturb() -> None:
            until(lambda: states("one"), "an epoch on worker one", 600)
            running.kill("one")
            running.start("three")

        disturbance = threading.Thread(target=disturb)
        with workers.connect(running.address, TWO) as connected:
            disturbance.start()
            outcome = job.run(selection, paths(remote, root), SUBSET, connected)
        disturbance.join()
        assert outcome == job.Outcome(trained=4)
        assert states("three"), "the late one was not used"

    assert "the worker one is lost; another worker will train the run again" in capsys.readouterr().err
    assert lines(remote / "runs.csv") == lines(local / "runs.csv")
    recorded = record.read(remote / "runs.csv")
    assert (recorded.problems, len(recorded.epochs), len(recorded.rows)) == ((), 12, 12)
    assert sum(one.key[5] == 3 for one in misses.read(recorded).runs) == 4
