"""Tests of `writer`: whatever others do to a file between two rows, no row is lost, and none is in the file twice."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import synthetic
from sample_rows import HEADER, closing, row, text_of

from bench import files
from bench.errors import UnusableInput
from bench.record import misses, record, verifications
from bench.record.record import Writer
from bench.record.rows import Run, format_row
from bench.record.verifications import Verified

FIRST = [row(epoch) for epoch in (1, 2, 3)]
OTHER = row(1, seed=9)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.csv"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "runs.kept.csv"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    """The writer of a job that has written three epochs into a record which had another run."""
    path.write_text(text_of(OTHER))
    with record.exclusive(path) as one:
        one.prepare()
        for epoch in FIRST:
            one.append(epoch)
        yield one


def saved_by_an_editor(path: Path, text: str) -> None:
    """Put another file in the place of the first, as many editors and git do."""
    beside = path.with_name("edited")
    beside.write_text(text)
    os.replace(beside, path)


def written_in_place(path: Path, text: str) -> None:
    path.write_text(text)


def deleted_first(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


CHANGES: list[Callable[[Path, str], None]] = [saved_by_an_editor, written_in_place, deleted_first]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "left",
    [
        text_of(OTHER),
        text_of(OTHER, *FIRST[:1]),
        text_of(*FIRST[1:]),
        text_of(OTHER, *FIRST) + "# a comment\n",
        text_of(),
        "",
        text_of(OTHER, *FIRST)[:-30],
        text_of(OTHER, *FIRST).replace("\n", "\r\n"),
        text_of(row(1, seed=10)),
        text_of(OTHER, row(1, seed=2), *FIRST[1:]),
    ],
    ids=["stash", "cut", "first gone", "comment", "header", "empty", "torn", "CRLF", "other rows", "same size"],
)
def test_rows_that_a_change_has_removed_are_written_again_and_no_row_twice(
    path: Path, writer: Writer, change: Callable[[Path, str], None], left: str
):
    change(path, left)
    for epoch in (4, 5):
        writer.append(row(epoch))
    assert writer.finish() == ""
    content = path.read_bytes().decode()
    assert content.startswith(left[: left.rfind("\n") + 1])
    epochs = record.read(path).epochs
    assert sorted(epochs.loc[epochs["seed"] == 1, "epoch"]) == [1, 2, 3, 4, 5]
    assert not any("the same run" in problem.reason for problem in record.read(path).problems)


def test_missing_rows_are_written_in_their_order_before_the_new_row(
    path: Path, writer: Writer, caplog: pytest.LogCaptureFixture
):
    path.write_text(text_of(FIRST[1]))
    writer.append(row(4))
    assert path.read_text() == text_of(FIRST[1], FIRST[0], FIRST[2], row(4))
    assert caplog.messages == [f"{path}: has changed while this job is running: 2 rows had to be written again"]


def test_a_record_that_is_deleted_or_moved_away_is_begun_again_with_all_rows_of_the_job(path: Path, writer: Writer):
    path.rename(path.with_name("moved.csv"))
    writer.append(row(4))
    assert path.read_text() == text_of(*FIRST, row(4))
    assert path.with_name("moved.csv").read_text() == text_of(OTHER, *FIRST)


def test_a_change_after_the_last_row_is_seen_at_the_end(path: Path, writer: Writer):
    path.write_text(HEADER)
    assert writer.finish() == ""
    assert path.read_text() == text_of(*FIRST)


@pytest.mark.parametrize("moment", ["write_all", "os.fsync"])
def test_a_change_while_a_row_is_written_is_seen(
    path: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch, moment: str
):
    def cut_first(*arguments: object) -> None:
        monkeypatch.undo()
        with path.open("r+") as file:
            file.readline()
            file.truncate(file.tell())
        undisturbed(*arguments)

    undisturbed = files.write_all if moment == "write_all" else os.fsync
    monkeypatch.setattr(f"bench.files.{moment}", cut_first)
    writer.append(row(4))
    assert writer.finish() == ""
    found = record.read(path)
    assert found.problems == ()
    assert sorted(found.epochs["epoch"]) == [1, 2, 3, 4]


@pytest.mark.parametrize("moment", ["write_all", "os.fsync"])
def test_a_change_that_keeps_the_size_while_a_row_is_written_is_seen(
    path: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch, moment: str
):
    def overwritten_first(*arguments: object) -> None:
        monkeypatch.undo()
        path.write_text(path.read_text().replace(format_row(FIRST[1]), format_row(row(2, seed=2))))
        undisturbed(*arguments)

    undisturbed = files.write_all if moment == "write_all" else os.fsync
    monkeypatch.setattr(f"bench.files.{moment}", overwritten_first)
    writer.append(row(4))
    assert writer.finish() == ""
    assert path.read_text() == text_of(OTHER, FIRST[0], row(2, seed=2), FIRST[2], row(4), FIRST[1])


def test_closing_rows_are_written_again_too(path: Path, writer: Writer):
    writer.append(closing(4))
    path.write_text(HEADER)
    writer.append(closing(4, note="another reason"))
    assert path.read_text() == text_of(*FIRST, closing(4), closing(4, note="another reason"))


def test_what_others_append_stays_and_costs_one_look(
    path: Path, writer: Writer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    with path.open("a") as file:
        file.write(format_row(row(1, seed=2)))
    writer.append(row(4))
    assert path.read_text() == text_of(OTHER, *FIRST, row(1, seed=2), row(4))
    assert caplog.messages == [f"{path}: has changed while this job is running: 0 rows had to be written again"]
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("the file was read though it has not changed"))
    writer.append(row(5))
    assert len(caplog.messages) == 1


def test_an_epoch_that_another_program_has_appended_meanwhile_is_not_appended_again(path: Path, writer: Writer):
    """For example, `git pull` has brought the same runs from another machine."""
    theirs = [replace(row(epoch), machine="another processor") for epoch in (4, 5)]
    with path.open("a") as file:
        file.writelines(map(format_row, theirs))
    for epoch in (4, 5, 6):
        writer.append(row(epoch))
    assert path.read_text() == text_of(OTHER, *FIRST, *theirs, row(6))
    assert writer.finish() == ""


def test_an_epoch_after_a_gap_is_not_appended_again(path: Path):
    """An earlier job has written the epochs 3 and 4, and the first two have been lost since."""
    path.write_text(text_of(row(3), row(4)))
    with record.exclusive(path) as writer:
        recorded = record.read(path)
        assert recorded.epochs.empty
        writer.expect_runs(recorded, [Run("unpadded", "0123abcd", "cpu", "89ef4567", 1, 5).key])
        writer.prepare()
        for epoch in range(1, 6):
            writer.append(row(epoch))
        assert writer.finish() == ""
    assert path.read_text() == text_of(row(3), row(4), row(1), row(2), row(5))


def test_the_earlier_epochs_of_a_run_that_a_job_continues_are_written_again(path: Path):
    path.write_text(text_of(row(1), row(2), row(1, seed=2)))
    with record.exclusive(path) as writer:
        writer.expect_runs(record.read(path), [Run("unpadded", "0123abcd", "cpu", "89ef4567", 1, 3).key])
        writer.prepare()
        path.write_text(HEADER)
        writer.append(row(3))
    assert path.read_text() == text_of(row(1), row(2), row(3))


def test_a_change_between_reading_the_record_and_the_first_row_is_seen(path: Path):
    path.write_text(HEADER)
    with record.exclusive(path) as writer:
        writer.expect_runs(record.read(path), [])
        path.write_text(text_of(row(1)))
        writer.prepare()
        writer.append(row(1))
    assert path.read_text() == text_of(row(1))


# What cannot be put back


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "left", [text_of(*FIRST).replace(",", ";"), "<<<<<<< HEAD\n" + text_of(*FIRST), "\ufeff" + text_of(*FIRST)]
)
def test_rows_go_beside_a_file_that_is_no_record_any_more(
    path: Path,
    kept: Path,
    writer: Writer,
    change: Callable[[Path, str], None],
    left: str,
    caplog: pytest.LogCaptureFixture,
):
    change(path, left)
    writer.append(row(4))
    writer.append(row(5))
    assert path.read_text() == left
    assert kept.read_text() == text_of(*FIRST, row(4), row(5))
    assert writer.finish() == (
        f"{path}: lacks 5 rows of this job, which {kept} has: "
        "correct the file, and append these rows to it, or join both records with `merge`"
    )
    reason = "line 1: not the header of a record"
    assert caplog.messages == [f"{path}: {reason}: rows of this job are kept in {kept}"]


def test_rows_go_beside_a_file_with_a_quote_that_is_never_closed(
    path: Path, kept: Path, writer: Writer, caplog: pytest.LogCaptureFixture
):
    """Appended rows would be a part of that field, and nobody could read them."""
    left = text_of(OTHER, *FIRST) + 'a,"b"\n,"why\nmore\n'
    path.write_text(left)
    writer.append(row(4))
    assert (path.read_text(), kept.read_text()) == (left, text_of(*FIRST, row(4)))
    assert caplog.messages == [f"{path}: line 7: a quote is never closed: rows of this job are kept in {kept}"]
    path.write_text(text_of(OTHER, *FIRST) + "closed\n")
    writer.append(row(5))
    assert list(record.read(path).epochs["epoch"]) == [1, 1, 2, 3, 4, 5]
    assert writer.finish() == ""


@pytest.mark.parametrize("line", ['he said "yes"', '"two\nlines"', '"a ""b"""', '"x"y', "x" * 200_000])
def test_rows_follow_any_line_after_which_they_can_be_read(path: Path, writer: Writer, line: str):
    path.write_text(text_of(OTHER, *FIRST) + line + "\n")
    writer.append(row(4))
    assert list(record.read(path).epochs["epoch"]) == [1, 1, 2, 3, 4]


def test_a_job_does_not_begin_with_a_file_that_has_a_quote_which_is_never_closed(path: Path):
    path.write_text(text_of(row(1), closing(2, note="OPEN"), row(2)).replace("OPEN", '"why'))
    with pytest.raises(
        UnusableInput, match=rf"^{path}:3: a quote is never closed, so nothing was appended: correct it"
    ):
        Writer(path).prepare()


def test_rows_are_put_back_as_soon_as_the_file_is_a_record_again(path: Path, kept: Path, writer: Writer):
    sound = path.read_text()
    path.write_text("nonsense\n")
    writer.append(row(4))
    path.write_text(sound)
    writer.append(row(5))
    assert path.read_text() == text_of(OTHER, *FIRST, row(4), row(5))
    assert writer.finish() == ""
    assert kept.read_text() == text_of(*FIRST, row(4))


def test_rows_that_an_earlier_job_has_kept_are_not_kept_again(path: Path, kept: Path):
    for _ in range(2):
        path.write_text(text_of(*FIRST))
        with record.exclusive(path) as writer:
            writer.expect(FIRST)
            writer.prepare()
            path.write_text("nonsense\n")
            writer.append(row(4))
            assert "lacks 4 rows" in writer.finish()
    assert kept.read_text() == text_of(*FIRST, row(4))


def test_another_result_for_an_epoch_that_an_earlier_job_has_kept_is_kept_too(path: Path, kept: Path, writer: Writer):
    theirs = replace(row(2), correct=1)
    kept.write_text(text_of(theirs))
    path.write_text("nonsense\n")
    writer.append(row(4))
    assert kept.read_text() == text_of(theirs, *FIRST, row(4))


def test_rows_that_are_kept_beside_the_record_are_written_again_if_somebody_removes_them(
    path: Path, kept: Path, writer: Writer
):
    path.write_text("nonsense\n")
    writer.append(row(4))
    kept.unlink()
    assert "lacks 4 rows" in writer.finish()
    assert kept.read_text() == text_of(*FIRST, row(4))


def test_a_file_that_cannot_keep_the_rows_either_ends_the_job_with_a_line(path: Path, kept: Path, writer: Writer):
    path.write_text("nonsense\n")
    writer.append(row(4))
    kept.write_text("nonsense too\n")
    with pytest.raises(UnusableInput, match=rf"^{kept}:1: not the header of a record, so nothing was appended: "):
        writer.append(row(5))


def test_a_long_line_without_an_end_is_moved_aside_in_a_moment(path: Path, writer: Writer):
    with path.open("ab") as file:
        file.write(b"x" * 50_000_000)
    before = time.process_time()
    writer.append(row(4))
    assert time.process_time() - before < 3
    assert path.read_text() == text_of(OTHER, *FIRST, row(4))
    assert path.with_name("runs.csv.torn").stat().st_size == 50_000_001


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_rows_go_beside_a_folder_or_a_fifo_that_has_taken_the_place_of_the_record(
    path: Path, kept: Path, writer: Writer, make: Callable[[Path], None]
):
    path.unlink()
    make(path)
    writer.append(row(4))
    assert kept.read_text() == text_of(*FIRST, row(4))
    assert "lacks 4 rows" in writer.finish()


@pytest.mark.parametrize("target", ["runs.csv", "nowhere/runs.csv"])
def test_rows_go_beside_a_link_that_leads_nowhere_and_has_taken_the_place_of_the_record(
    path: Path, kept: Path, writer: Writer, target: str
):
    path.unlink()
    path.symlink_to(target)
    writer.append(row(4))
    assert kept.read_text() == text_of(*FIRST, row(4))
    path.unlink()
    writer.append(row(5))
    assert writer.finish() == ""
    assert path.read_text() == text_of(*FIRST, row(4), row(5))


def test_rows_go_beside_a_record_with_another_result_for_the_same_epoch(path: Path, kept: Path, writer: Writer):
    changed = replace(row(2), correct=1)
    path.write_text(text_of(FIRST[0], changed, FIRST[2]))
    writer.append(row(4))
    assert path.read_text() == text_of(FIRST[0], changed, FIRST[2], row(4))
    assert kept.read_text() == text_of(row(2))
    assert "lacks 1 row of this job" in writer.finish()


def test_a_row_that_contradicts_one_after_a_gap_goes_beside_the_record(path: Path, kept: Path):
    path.write_text(text_of(replace(row(2), correct=1)))
    with record.exclusive(path) as writer:
        writer.expect_runs(record.read(path), [Run("unpadded", "0123abcd", "cpu", "89ef4567", 1, 2).key])
        writer.prepare()
        writer.append(row(1))
        writer.append(row(2))
        assert "lacks 1 row of this job" in writer.finish()
    assert path.read_text() == text_of(replace(row(2), correct=1), row(1))
    assert kept.read_text() == text_of(row(2))


def test_a_record_in_a_folder_that_is_gone_ends_the_job_with_a_line(tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with record.exclusive(folder / "runs.csv") as writer:
        writer.append(row(1))
        folder.rename(tmp_path / "moved")
        with pytest.raises(UnusableInput, match=r"runs\.kept\.csv: cannot be written \(No such file or directory\)"):
            writer.append(row(2))
    assert (tmp_path / "moved" / "runs.csv").read_text() == text_of(row(1))


# The files beside the record


def test_misses_that_a_change_has_removed_are_written_again(tmp_path: Path):
    one = synthetic.record(tmp_path, synthetic.full({"unpadded": 9997}, seeds=(1, 2)))
    runs = [Run("unpadded", synthetic.RECIPE, "cpu", synthetic.CPU, seed, 19) for seed in (1, 2, 3)]
    writer = misses.Writer(one.path)
    writer.append(runs[0], 19, [(8, 5, 6)])
    whole = misses.path_beside(one.path).read_text()
    misses.path_beside(one.path).unlink()
    writer.append(runs[1], 19, [(9, 5, 6)])
    misses.path_beside(one.path).write_text(whole)
    writer.append(runs[1], 19, [(9, 5, 6)])
    writer.append(runs[2], 19, [])
    assert writer.finish() == ""
    lines = misses.path_beside(one.path).read_text().splitlines()
    assert [line.split(",")[4:] for line in lines[1:]] == [["1", "19", "8:5>6"], ["2", "19", "9:5>6"], ["3", "19", ""]]


def test_misses_that_have_no_place_go_beside_the_record_that_keeps_the_rows(tmp_path: Path):
    writer = misses.Writer(tmp_path / "runs.csv")
    writer.append(Run("unpadded", synthetic.RECIPE, "cpu", synthetic.CPU, 1, 19), 19, [(8, 5, 6)])
    misses.path_beside(tmp_path / "runs.csv").write_text("a;b\n")
    writer.append(Run("unpadded", synthetic.RECIPE, "cpu", synthetic.CPU, 2, 19), 19, [(8, 5, 7)])
    assert misses.path_beside(tmp_path / "runs.kept.csv").read_text().count("\n") == 3
    said = writer.finish()
    assert "runs.misses.csv: lacks 2 rows of this job" in said
    assert said.endswith(": correct the file, and append these rows to it")  # `merge` would need a record of this name


def test_verifications_that_a_change_has_removed_are_written_again(tmp_path: Path):
    runs = tmp_path / "runs.csv"
    found = [
        Verified("unpadded", "0123abcd", "cpu", "89ef4567", seed, 1, True, "2026-02-01T12:00:00Z", "89ef4567")
        for seed in (1, 2)
    ]
    writer = verifications.Writer(runs)
    writer.append(found[0])
    verifications.path_beside(runs).write_text("")
    writer.append(found[1])
    assert verifications.path_beside(runs).read_text() == verifications.TABLE.format(found)


# One file, several names

HOLDING = """
import sys
from pathlib import Path
from bench.record import record
with record.exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the record."""
    path.write_text(HEADER)
    command = [sys.executable, "-c", HOLDING, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "held\n"
        yield child
        child.kill()


@pytest.mark.parametrize("link", [os.link, os.symlink])
@pytest.mark.parametrize("name", ["other.csv", "folder/runs.csv"])
def test_a_record_with_two_names_is_held_by_one_job(
    path: Path, holder: subprocess.Popen[str], link: Callable[[Path, Path], None], name: str
):
    other = path.parent / name
    other.parent.mkdir(exist_ok=True)
    link(path, other)
    with pytest.raises(UnusableInput, match=r" is training into it: wait for it"), record.exclusive(other):
        pytest.fail("two hold it")


def test_a_record_is_held_by_one_job_even_if_its_state_folder_is_deleted(path: Path, holder: subprocess.Popen[str]):
    folder = record.state_folder(path)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    with pytest.raises(UnusableInput, match=r"another process is training into it: wait for it"):  # noqa: SIM117
        with record.exclusive(path):
            pytest.fail("two hold it")


def test_a_process_that_has_not_written_its_name_yet_is_another_process(path: Path, holder: subprocess.Popen[str]):
    (record.state_folder(path) / "holder").write_text("")
    with pytest.raises(UnusableInput, match=rf"^{path}: another process is training into it: wait for it"):  # noqa: SIM117
        with record.exclusive(path):
            pytest.fail("two hold it")


def test_the_job_after_a_killed_one_is_named_and_leaves_no_name_when_it_ends(path: Path, holder: subprocess.Popen[str]):
    holder.kill()
    holder.wait()
    ours = rf"^{path}: process {os.getpid()} on {socket.gethostname()} is training into it"
    with record.exclusive(path), pytest.raises(UnusableInput, match=ours), record.exclusive(path):
        pytest.fail("two hold it")
    assert not (record.state_folder(path) / "holder").exists()


def test_the_process_that_holds_a_record_is_named_by_a_symbolic_link_too(path: Path, holder: subprocess.Popen[str]):
    other = path.with_name("other.csv")
    other.symlink_to(path.name)
    with pytest.raises(UnusableInput, match=rf"process {holder.pid} on {socket.gethostname()} is training into it"):  # noqa: SIM117
        with record.exclusive(other):
            pytest.fail("two hold it")


def test_a_job_whose_record_another_job_has_begun_anew_writes_beside_it(path: Path, kept: Path, writer: Writer):
    """Somebody has deleted the record and its state folder, and has started another job."""
    path.unlink()
    for file in record.state_folder(path).iterdir():
        file.unlink()
    command = [sys.executable, "-c", HOLDING, str(path)]
    path.write_text(text_of(FIRST[0]))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "held\n"
        writer.append(row(4))
        child.kill()
    assert path.read_text() == text_of(FIRST[0])
    assert kept.read_text() == text_of(*FIRST, row(4))
    writer.append(row(5))
    assert path.read_text() == text_of(FIRST[0], *FIRST[1:], row(4), row(5))


# What is no file


def test_something_that_is_no_file_is_refused_and_never_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "a FIFO")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "a socket"))
        ours, terminal = os.openpty()
        (tmp_path / "a device").symlink_to(os.ttyname(terminal))
        for kind in ("a FIFO", "a socket", "a device"):
            path = tmp_path / kind
            acts: list[Callable[[], object]] = [
                lambda path=path: record.read(path),
                lambda path=path: Writer(path).prepare(),
                lambda path=path: record.exclusive(path).__enter__(),
                lambda path=path: files.require_regular(path),
            ]
            for act in acts[:3]:
                with pytest.raises(UnusableInput, match=rf"^{path}: cannot be .* \(it is {kind}, not a file\): "):
                    act()
            with pytest.raises(OSError, match=f"it is {kind}, not a file"):
                acts[3]()
        os.close(ours)
        os.close(terminal)
