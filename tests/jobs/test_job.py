"""Tests of `job` and `recording`: the main job, on the first images of MNIST, trains what the record lacks."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import emulated_gpu
import misbehaving
import pytest
import synthetic

from bench.errors import UnusableInput
from bench.jobs import job, progress, scheduling
from bench.jobs.cluster.workers import Cluster, Worker
from bench.jobs.events import Ended, EpochFinished, Started
from bench.jobs.job import Paths, Selection
from bench.network import structure_facts
from bench.network.specification import Architecture, Recipe
from bench.record import catalogue, environments, misses, record
from bench.record.environments import EXACT
from bench.record.rows import EPOCH_KEY, REPRODUCIBLE
from bench.training import environment
from bench.training.loop import Epoch
from models import ARCHITECTURES

SUBSET = (1024, 500)
TWO = (ARCHITECTURES["unpadded"], ARCHITECTURES["ten_twenty_thirty"])


def selection(architectures=TWO, seeds=(1,), epochs=3, jobs=2):
    return Selection(tuple(architectures), ("cpu",), tuple(seeds), epochs, jobs)


def places(folder: Path, root: Path) -> Paths:
    return Paths(folder / "runs.csv", folder / "report", root / "data")


def deterministic(path: Path) -> list[tuple[object, ...]]:
    rows = record.read(path).epochs[[*EPOCH_KEY, *REPRODUCIBLE]]
    return sorted(rows.itertuples(index=False, name=None))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, root):
    """The record of a job that nothing disturbed: two networks, one seed, three epochs."""
    where = places(tmp_path_factory.mktemp("undisturbed"), root)
    assert job.run(selection(), where, SUBSET) == job.Outcome(trained=2)
    return where


def test_a_job_records_every_epoch_of_every_run(undisturbed):
    found = record.read(undisturbed.runs)
    assert not found.problems
    assert len(found.epochs) == len(found.rows) == 2 * 3
    assert found.epochs.groupby(["model", "seed"])["epoch"].apply(list).tolist() == [[1, 2, 3]] * 2
    assert set(found.epochs["environment"]) == {EXACT.digest}
    assert set(found.epochs["machine"]) == {environment.machine(environment.describe("cpu"))}
    assert (found.epochs["total"] == 500).all()


def test_the_misses_of_every_epoch_are_kept_and_agree_with_its_row(undisturbed):
    recorded = record.read(undisturbed.runs)
    found = misses.read(recorded)
    assert found.problems == ()
    assert {(one.key[0], one.key[5]): len(one.images) for one in found.runs} == {
        (row.model, row.epoch): row.total - row.correct for row in recorded.epochs.itertuples()
    }


@pytest.mark.faults
def test_misses_are_written_before_the_row_so_that_a_crash_between_costs_neither(tmp_path, root, monkeypatch):
    where, one = places(tmp_path, root), selection(TWO[:1], (1,), 2)
    append = record.Writer.append

    def killed(writer, row):
        if row.epoch == 2:
            raise KeyboardInterrupt
        append(writer, row)

    with monkeypatch.context() as patch:
        patch.setattr(record.Writer, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            job.run(one, where, SUBSET)
    between = misses.read(record.read(where.runs))
    assert [one.key[5] for one in between.runs] == [1]
    assert between.problems == ()  # the epoch of the last row may be on its way into the record
    job.run(one, where, SUBSET)
    after = misses.read(record.read(where.runs))
    assert ([one.key[5] for one in after.runs], after.problems) == ([1, 2], ())
    assert misses.path_beside(where.runs).read_text().count("\n") == 4  # the header, and the second row twice


def test_a_file_of_another_kind_in_the_place_of_the_misses_ends_a_job_before_it_trains(tmp_path, root):
    where = places(tmp_path, root)
    misses.path_beside(where.runs).write_text("name,score\n")
    with pytest.raises(UnusableInput, match="not the header of a record's misses"):
        job.run(selection(), where, SUBSET)
    assert record.read(where.runs).rows.empty


def test_the_environments_details_are_kept_beside_the_record(undisturbed):
    assert environments.read(undisturbed.runs) == {EXACT.digest: EXACT}
    assert not undisturbed.report.exists()


def pretended(monkeypatch):
    """Let runs end after one more epoch without any training, each on a machine of its own. Return the tasks so far."""
    given = []

    def execute(tasks, slots, stop, limit, more):
        for task in itertools.chain(tasks, iter(lambda: more("cpu"), None)):
            given.append(task)
            number, machine = len(task.recorded) + 1, f"machine {len(given)}"
            yield Started(task.run)
            yield EpochFinished(task.run, Epoch(number, 400, 500, 0.5, 0.25, 1.0, 1.0, None, None), None, machine)
            yield Ended(task.run, *(("ok", "") if task.run.epochs == number else ("error", "boom")), machine)

    monkeypatch.setattr(job.scheduling, "execute", execute)
    return given


def test_native_runs_are_recorded_in_the_environment_of_this_machine_beside_exact_ones(tmp_path, root, monkeypatch):
    where, given, here = places(tmp_path, root), pretended(monkeypatch), environment.describe("cpu")
    for arithmetic, trained in (("auto", 1), ("exact", 0), ("native", 1)):
        chosen = replace(selection(TWO[:1], (1,), 1), arithmetic=arithmetic)
        assert job.run(chosen, where, SUBSET) == job.Outcome(trained=trained)
    assert [task.run.environment for task in given] == [EXACT.digest, here.digest]
    assert list(record.read(where.runs).epochs["environment"]) == [EXACT.digest, here.digest]
    assert environments.read(where.runs) == {EXACT.digest: EXACT, here.digest: here}


def test_files_that_explain_the_rows_and_are_lost_under_a_job_are_written_again(tmp_path, root, monkeypatch):
    where, given = places(tmp_path, root), pretended(monkeypatch)
    execute = job.scheduling.execute

    def lose(*arguments):
        yield from execute(*arguments)
        environments.path_beside(where.runs).unlink()
        where.runs.unlink()

    monkeypatch.setattr(job.scheduling, "execute", lose)
    assert job.run(selection(epochs=1), where, SUBSET) == job.Outcome(trained=len(given))
    assert environments.read(where.runs) == {EXACT.digest: EXACT}
    assert len(record.read(where.runs).epochs) == len(given) == 2


def test_the_network_of_a_user_is_kept_as_it_is_even_if_only_one_kind_varies(tmp_path, root, monkeypatch, capsys):
    own = replace(ARCHITECTURES["unpadded"], name="own", document=None)
    where, given = places(tmp_path, root), pretended(monkeypatch)
    structures = {"own": structure_facts.load()["unpadded"]}
    job.run(Selection((own.varied("order"),), ("cpu",), (1, 2), 1, 1, structures), where, SUBSET)
    assert [task.run.recipe for task in given] == [own.varied("order").digest] * 2
    assert catalogue.read(where.runs).architectures["own"].digest == own.digest
    assert "With --vary order, the seed changes only the order of the images; " in capsys.readouterr().err


def test_a_job_whose_rows_have_no_place_says_so_in_its_outcome(tmp_path, root, monkeypatch):
    where, given = places(tmp_path, root), pretended(monkeypatch)
    execute = job.scheduling.execute

    def spoil(*arguments):
        yield from execute(*arguments)
        where.runs.write_text("something else\n")

    monkeypatch.setattr(job.scheduling, "execute", spoil)
    (line,) = job.run(selection(epochs=1), where, SUBSET).lacking
    assert line.startswith(f"{where.runs}: lacks {len(given)} rows of this job, which {record.aside(where.runs)} has: ")
    assert len(record.read(record.aside(where.runs)).epochs) == len(given) == 2


def test_every_row_has_the_machine_that_its_own_worker_has_reported(tmp_path, root, monkeypatch):
    where, given = places(tmp_path, root), pretended(monkeypatch)
    assert len(job.run(selection(epochs=2), where, SUBSET).failed) == len(given) == 2
    rows = record.read(where.runs).rows
    assert list(zip(rows["status"], rows["machine"], strict=True)) == [
        *(("ok", "machine 1"), ("error", "machine 1")),
        *(("ok", "machine 2"), ("error", "machine 2")),
    ]


def test_the_closing_row_of_a_run_has_the_epoch_that_it_did_not_finish(tmp_path, root, monkeypatch):
    where, given = places(tmp_path, root), pretended(monkeypatch)
    for _ in range(2):
        job.run(selection(TWO[:1], epochs=9), where, SUBSET)
    assert len(given) == 2
    rows = record.read(where.runs).rows
    assert list(zip(rows["status"], rows["epoch"], strict=True)) == [("ok", 1), ("error", 2), ("ok", 2), ("error", 3)]


def test_a_run_goes_on_after_its_recorded_epochs_whatever_the_order_of_their_rows(tmp_path, root, monkeypatch):
    where, given, correct = places(tmp_path, root), pretended(monkeypatch), [400, 420, 410]
    rows = synthetic.run_rows("unpadded", 1, correct, recipe=TWO[0].digest, environment=EXACT.digest)
    synthetic.record(tmp_path, reversed(rows))
    job.run(selection(TWO[:1], epochs=4), where, SUBSET)
    (task,) = given
    assert [counts[0] for counts in task.recorded] == correct


def until_decided(monkeypatch, correct, rows=None):
    """Let runs end with these correct images in all epochs, until the job is killed after so many rows. Return them."""
    given = []

    def execute(tasks, slots, stop, limit, more):
        assert tasks == []
        for task in iter(lambda: more("cpu"), None):
            yield Started(task.run)
            for epoch in range(len(task.recorded) + 1, task.run.epochs + 1):
                if len(given) == rows:
                    raise KeyboardInterrupt
                given.append((task.run.model, task.run.seed, epoch))
                counts = correct(task.run.model, task.run.seed), 10_000
                yield EpochFinished(task.run, Epoch(epoch, *counts, 0.5, 0.25, 1.0, 1.0, None, None), None, "a machine")
            yield Ended(task.run, "ok", "", "a machine")

    monkeypatch.setattr(job.scheduling, "execute", execute)
    return given


@pytest.mark.parametrize("rows", [1, 30, 100, 170])
def test_a_job_until_decided_ends_with_every_claim_decided_or_at_most_so_many_seeds_even_if_it_is_killed(
    tmp_path, root, monkeypatch, capsys, rows
):
    """The last claim of `ten_twenty_thirty` is above every seed, so it would take 19 of them."""

    def correct(model, seed):
        return 9930 if model == "unpadded" and seed % 2 else 9942

    where = places(tmp_path, root)
    chosen = replace(selection(TWO, range(1, 9), None, jobs=1), until_decided=True)
    killed = until_decided(monkeypatch, correct, rows)
    with pytest.raises(KeyboardInterrupt):
        job.run(chosen, where)
    assert len(killed) == rows
    capsys.readouterr()
    went_on = until_decided(monkeypatch, correct)
    job.run(chosen, where)
    assert "Still open with at most 8 seeds: ten_twenty_thirty on cpu: 99.44 % in epoch 20" in capsys.readouterr().err
    assert len({*killed, *went_on}) == len(killed) + len(went_on) == 8 * (19 + 20)
    found = record.read(where.runs)
    assert not found.problems
    assert len(found.epochs) == 8 * (19 + 20)
    assert job.run(chosen, where) == job.Outcome(trained=0)


def test_the_progress_of_a_job_until_decided_counts_the_runs_that_are_expected(tmp_path, root, monkeypatch, capsys):
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0.0)
    until_decided(monkeypatch, lambda *_: 9942, rows=1)
    with pytest.raises(KeyboardInterrupt):
        job.run(replace(selection(TWO[:1], range(1, 41), None), until_decided=True), places(tmp_path, root))
    announced, shown = capsys.readouterr().err.splitlines()
    (expected,) = re.findall(r": probably (\d+) runs, ", announced)
    assert int(expected) < 40
    assert shown.startswith(f"0 of {expected} runs done, ")


def test_the_same_job_again_trains_nothing_and_writes_nothing(undisturbed):
    before = undisturbed.runs.read_bytes()
    assert job.run(selection(), undisturbed, SUBSET) == job.Outcome(trained=0)
    assert undisturbed.runs.read_bytes() == before


@pytest.mark.slow
def test_neither_jobs_nor_order_nor_company_changes_a_bit(undisturbed, tmp_path, root):
    where = places(tmp_path, root)
    job.run(selection(reversed(TWO), (2, 1), 3, jobs=1), where, SUBSET)
    assert set(deterministic(undisturbed.runs)) < set(deterministic(where.runs))


@pytest.mark.slow
def test_more_epochs_continue_a_run_instead_of_starting_it_again(undisturbed, tmp_path, root):
    where = places(tmp_path, root)
    job.run(selection(epochs=1), where, SUBSET)
    first = where.runs.read_text()
    job.run(selection(epochs=3), where, SUBSET)
    assert where.runs.read_text().startswith(first)
    assert deterministic(where.runs) == deterministic(undisturbed.runs)


@pytest.mark.slow
def test_rows_lost_from_the_record_come_back_from_the_saved_states(undisturbed, tmp_path, root):
    where = places(tmp_path, root)
    job.run(selection(), where, SUBSET)
    lines = where.runs.read_text().splitlines(keepends=True)
    where.runs.write_text("".join(lines[:3]))
    job.run(selection(), where, SUBSET)
    assert deterministic(where.runs) == deterministic(undisturbed.runs)


@pytest.mark.slow
def test_without_its_saved_states_a_run_is_trained_again_and_agrees_with_the_record(undisturbed, tmp_path, root):
    where = places(tmp_path, root)
    job.run(selection(epochs=2), where, SUBSET)
    for path in (record.state_folder(where.runs) / "checkpoints").iterdir():
        path.unlink()
    job.run(selection(epochs=3), where, SUBSET)
    assert deterministic(where.runs) == deterministic(undisturbed.runs)


@pytest.mark.slow
def test_a_record_that_training_contradicts_is_not_continued(tmp_path, root):
    where = places(tmp_path, root)
    one = selection(TWO[:1], (1,), 1)
    job.run(one, where, SUBSET)
    row = record.read(where.runs).epochs.iloc[0]
    where.runs.write_text(where.runs.read_text().replace(f",1,{row['correct']},500,", f",1,{row['correct'] - 1},500,"))
    outcome = job.run(selection(TWO[:1], (1,), 2), where, SUBSET)
    assert len(outcome.failed) == 1
    assert f"epoch 1 is recorded as ({row['correct'] - 1}, 500" in outcome.failed[0].reason
    assert list(record.read(where.runs).rows["status"]) == ["ok", "error"]


DRIVER = """
import sys
from pathlib import Path
from bench.jobs import job
from bench.jobs.events import Ended, EpochFinished, Started
from bench.jobs.job import Paths, Selection
from models import ARCHITECTURES
two = (ARCHITECTURES["unpadded"], ARCHITECTURES["ten_twenty_thirty"])
folder, root = Path(sys.argv[1]), Path(sys.argv[2])
places = Paths(folder / "runs.csv", folder / "report", root / "data")
outcome = job.run(Selection(two, ("cpu",), (1,), 3, 2), places, (1024, 500))
sys.exit(128 + outcome.interrupted_by if outcome.interrupted_by else 0)
"""


STUCK = """
import os
import time
from bench.jobs.events import Stop
def stuck(stop, reason):
    os.write(2, b"stuck\\n")
    time.sleep(600)
Stop.request = stuck
"""
"""Code by which a job does not come to its end when a signal asks it to."""


def start(folder: Path, root: Path, before: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", before + DRIVER, str(folder), str(root)]
    return subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)


def wait_for_rows(path: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() or path.read_bytes().count(b"\n") < count + 1:
        assert time.monotonic() < deadline, "no row appeared"
        time.sleep(0.02)


def workers() -> list[int]:
    """The process numbers of all workers on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"bench.jobs.worker" in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_a_job_killed_half_way_and_started_again_ends_with_the_same_bits(undisturbed, tmp_path, root):
    before = set(workers()) if Path("/proc").exists() else set()
    first = start(tmp_path, root)
    wait_for_rows(tmp_path / "runs.csv", 2)
    first.kill()
    first.wait()
    deadline = time.monotonic() + 10
    while Path("/proc").exists() and set(workers()) - before:
        assert time.monotonic() < deadline, "workers outlive the job"
        time.sleep(0.05)
    kept = (tmp_path / "runs.csv").read_text()
    second = start(tmp_path, root)
    assert second.wait() == 0, second.stderr.read()
    assert (tmp_path / "runs.csv").read_text().startswith(kept)
    assert deterministic(tmp_path / "runs.csv") == deterministic(undisturbed.runs)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_an_interrupted_job_closes_its_runs_stops_within_seconds_and_goes_on(undisturbed, tmp_path, root, number):
    first = start(tmp_path, root)
    wait_for_rows(tmp_path / "runs.csv", 1)
    first.send_signal(number)
    asked = time.monotonic()
    assert first.wait(timeout=30) == 128 + number
    assert time.monotonic() - asked < 5
    closing = record.read(tmp_path / "runs.csv").rows.query("status != 'ok'")
    assert set(closing["status"]) == {"interrupted"}
    assert closing["note"].str.contains(number.name).all()
    second = start(tmp_path, root)
    assert second.wait() == 0, second.stderr.read()
    assert deterministic(tmp_path / "runs.csv") == deterministic(undisturbed.runs)


@pytest.mark.slow
def test_a_second_interrupt_ends_the_job_at_once_with_a_valid_record(tmp_path, root):
    first = start(tmp_path, root, STUCK)
    try:
        wait_for_rows(tmp_path / "runs.csv", 1)
        first.send_signal(signal.SIGINT)
        assert any("stuck" in line for line in first.stderr)
        first.send_signal(signal.SIGINT)
        assert first.wait(timeout=10) == 130
    finally:
        first.kill()
        first.wait()
    found = record.read(tmp_path / "runs.csv")
    assert not found.problems
    assert set(found.rows["status"]) == {"ok"}


def test_a_second_job_on_the_same_record_is_told_who_holds_it(tmp_path, root):
    first = start(tmp_path, root)
    try:
        wait_for_rows(tmp_path / "runs.csv", 0)
        with pytest.raises(UnusableInput, match=f"process {first.pid} on .* is training into it"):
            job.run(selection(), places(tmp_path, root), SUBSET)
    finally:
        first.kill()
        first.wait()


@pytest.mark.slow
def test_a_run_that_diverges_is_not_trained_again_and_has_still_failed(tmp_path, root):
    source = Path(misbehaving.__file__).read_text()
    network = Architecture("IsNotANumber", source, "IsNotANumber", Recipe(0.01, 256, 3), TWO[0].document)
    stored = {network.name: structure_facts.load(["unpadded"])["unpadded"]}
    one = Selection((network,), ("cpu",), (1,), 3, 1, stored, arithmetic="native")
    where = places(tmp_path, root)
    first = job.run(one, where, SUBSET)
    assert [(ended.status, ended.reason) for ended in first.failed] == [
        ("diverged", "the training loss of epoch 1 is nan")
    ]
    before = where.runs.read_bytes()
    assert job.run(one, where, SUBSET) == replace(first, trained=0)
    assert where.runs.read_bytes() == before
    more = job.run(replace(one, seeds=(1, 2)), where, SUBSET)
    assert (more.trained, [ended.run.seed for ended in more.failed]) == (1, [1, 2])


def test_files_beside_the_record_that_were_damaged_do_not_hide_the_outcome(monkeypatch, tmp_path, root):
    where = places(tmp_path, root)
    failed = Ended(None, "error", "out of memory")

    def damaging(*_):
        environments.path_beside(where.runs).write_text("rubbish")
        return [failed], None

    monkeypatch.setattr(job.recording, "record_events", damaging)
    outcome = job.run(selection(TWO[:1]), where, SUBSET)
    assert (outcome.trained, outcome.failed) == (1, (failed,))
    (said,) = outcome.lacking
    assert said.startswith(f"{environments.path_beside(where.runs)}: is not JSON: ")


@pytest.mark.slow
def test_all_rows_of_a_job_go_into_the_record_that_a_link_named_at_its_start(monkeypatch, tmp_path, root):
    link, before, after = (tmp_path / name / "runs.csv" for name in ("link", "before", "after"))
    for path in (link, before, after):
        path.parent.mkdir()
    link.symlink_to(before)
    undisturbed = misses.Writer.append

    def switching(*arguments):
        link.unlink()
        link.symlink_to(after)
        monkeypatch.undo()
        undisturbed(*arguments)

    monkeypatch.setattr(misses.Writer, "append", switching)
    job.run(selection(TWO[:1], epochs=2), Paths(link, tmp_path / "report", root / "data"), SUBSET)
    found = record.read(before)
    assert list(found.epochs["epoch"]) == [1, 2]
    assert [one.key[5] for one in misses.read(found).runs] == [1, 2]
    assert list(after.parent.iterdir()) == []


def test_an_absent_device_trains_nothing(tmp_path, root):
    absent = next(device for device in ("cuda", "mps") if device not in environment.available_devices())
    with pytest.raises(UnusableInput, match="this machine has no such device"):
        job.run(Selection(TWO, ("cpu", absent), (1,), 1, 1), places(tmp_path, root), SUBSET)
    assert not (tmp_path / "runs.csv").exists()


def test_a_long_job_starts_with_an_estimate_and_a_smaller_command(capsys):
    from bench.jobs.plan import Planned
    from bench.record.rows import Run

    run = Run("unpadded", "0" * 8, "cpu", "0" * 8, 1, 19)
    job._announce([Planned(run, 0, 5000.0)], selection(), None)
    printed = capsys.readouterr().err
    assert "about 83 min" in printed
    assert "--seeds 2 --epochs 3" in printed
    job._announce([Planned(run, 0, 50.0)], selection(), None)
    assert "--seeds" not in capsys.readouterr().err


@pytest.fixture(autouse=True)
def _packages_are_found_from_anywhere(monkeypatch, root):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")])))


def test_a_gpu_of_a_cluster_trains_natively(tmp_path):
    details = {device: environments.Environment((("device", device),)) for device in ("cpu", "cuda")}
    workers = tuple(Worker(f"tcp://{one}", one, 1, one, details[one], "a machine") for one in details)
    cluster = Cluster("tcp://here", TWO[:1], workers, frozenset(), None)
    chosen = replace(selection(TWO[:1]), devices=("cpu", "cuda"))
    planned = job.make_plan(chosen, cluster, record.read(tmp_path / "runs.csv"))
    found = {one.run.device: one.run.environment for one in planned}
    assert found == {"cpu": EXACT.digest, "cuda": details["cuda"].digest}
    with pytest.raises(UnusableInput, match="unpadded cannot be trained so, because of a GPU of a cluster"):
        job.make_plan(replace(chosen, arithmetic="exact"), cluster, record.read(tmp_path / "runs.csv"))


# A GPU, for which the host stands

ON_EMULATED_GPU = """
import sys
sys.path.insert(0, {helpers!r})
import emulated_gpu
from bench.jobs.worker import process
from bench.training import environment, golden, together
describe = environment.describe
environment.describe = lambda device: describe("cpu")
environment.configure = lambda device: None
golden.require_on_gpu = lambda name, gpu: None
together.this_gpu = emulated_gpu.gpu
process.main()
"""


@pytest.mark.slow
@pytest.mark.skipif(not emulated_gpu.is_here(), reason="g++ is missing, which stands for NVRTC")
def test_a_job_on_a_gpu_trains_its_seeds_in_one_process_and_records_the_bits_of_the_cpu(tmp_path, root, monkeypatch):
    native = environment.describe("cpu")
    monkeypatch.setattr(environment, "describe", lambda device: native)
    code = ON_EMULATED_GPU.format(helpers=str(root / "tests" / "helpers"))
    started = []

    def on_gpu(module):
        started.append(module)
        return [sys.executable, "-P", "-c", code]

    on_cpu, beside = (replace(places(tmp_path, root), runs=tmp_path / f"{name}.csv") for name in ("cpu", "cuda"))
    chosen = selection(TWO[:1], (1, 2, 3), 2)
    job.run(chosen, on_cpu, (200, 150))
    monkeypatch.setattr(scheduling, "child_command", on_gpu)
    first = replace(chosen, devices=("cuda",), seeds=(2,), epochs=1)
    assert job.run(first, beside, (200, 150)) == job.Outcome(trained=1)
    assert job.run(replace(chosen, devices=("cuda",)), beside, (200, 150)) == job.Outcome(trained=3)
    assert started == ["bench.jobs.worker"] * 2
    found = record.read(beside.runs)
    assert found.problems == ()
    assert set(found.epochs["device"]) == {"cuda"}
    assert set(found.epochs["environment"]) == {EXACT.digest}
    numbers = ["seed", "epoch", *REPRODUCIBLE]
    ours, theirs = (record.read(one.runs).epochs[numbers].sort_values(numbers[:2]) for one in (beside, on_cpu))
    assert ours.values.tolist() == theirs.values.tolist()
    missed = [
        [(*one.key[4:], *map(str, one.images)) for one in misses.read(record.read(at.runs)).runs]
        for at in (beside, on_cpu)
    ]
    assert sorted(missed[0]) == sorted(missed[1])
