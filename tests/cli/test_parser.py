"""Tests of `parser`, `commands`, `selection`, `streams` and `interruptions`: what the words of a command line mean."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cli import networks
from bench.cli.commands import UNUSABLE
from bench.cli.parser import main
from bench.cli.selection import parse_seeds
from bench.errors import UnusableInput
from bench.jobs import cores, job
from bench.jobs.events import Ended
from bench.jobs.job import Outcome, Paths, Selection
from bench.network.specification import DEVICES
from bench.record import record
from bench.record.environments import EXACT
from bench.record.record import Writer
from bench.record.rows import COLUMNS, Run
from bench.report import files
from bench.training import environment
from models import ARCHITECTURES

RUN = Run("unpadded", "0123abcd", "cpu", "89ef4567", 1, 3)
COMMANDS = ("all", "run", "plan", "report", "list", "show", "verify", "check", "compare", "merge", "judge")

Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs every test in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command line that must be refused, and returns its one line."""

    def said(*words: str) -> str:
        code = main(words)
        captured = capsys.readouterr()
        assert code == 2
        assert captured.out == ""
        assert captured.err.startswith("bench: ")
        assert captured.err.count("\n") == 1, captured.err
        return captured.err.removeprefix("bench: ").rstrip("\n")

    return said


def in_process(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.run(command, text=True, stderr=subprocess.PIPE, check=False, timeout=120, **options)


# Seeds


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("1", (1,)),
        ("5", (1, 2, 3, 4, 5)),
        ("2-4", (2, 3, 4)),
        ("0-1", (0, 1)),
        ("7-7", (7,)),
        ("3,8", (3, 8)),
        ("8,3", (8, 3)),
        ("0,5", (0, 5)),
        ("1,4-6,2", (1, 4, 5, 6, 2)),
        ("3,3,1-3", (3, 1, 2)),
        ("18446744073709551615-18446744073709551615", (2**64 - 1,)),
        ("12345678-12345678", (12_345_678,)),
    ],
)
def test_seeds_are_a_number_of_them_or_a_list_with_ranges(text: str, seeds: tuple[int, ...]):
    assert parse_seeds(text) == seeds


MALFORMED_SEEDS = (
    *("", " ", "x", "-1", "1-", "-", "3-1", "1,", ",1", "1,,2", "1.5", "1e3", "+2", "1 - 2", "1..5", "1:5", "1-2-3"),
    *("٣", "0x10", "18446744073709551616-18446744073709551616", "0-99999999999", "1,18446744073709551616", "12345678"),
)


@pytest.mark.parametrize("text", ["0", "00", *MALFORMED_SEEDS])
def test_seeds_that_mean_nothing_are_refused(text: str):
    with pytest.raises(UnusableInput, match=r"^--seeds"):
        parse_seeds(text)


@pytest.mark.parametrize(
    "text", ["0-9999999,20000000-20000000", ",".join(f"{n}0000000-{n}4999999" for n in range(1, 9))]
)
def test_all_ranges_together_have_a_limit(text: str):
    started = time.process_time()
    with pytest.raises(UnusableInput) as error:
        parse_seeds(text)
    assert str(error.value) == f"--seeds {text}: these are too many seeds: give at most 10000000"
    assert time.process_time() - started < 1


@given(st.integers(1, 5000))
def test_a_number_means_the_seeds_from_one(number: int):
    assert parse_seeds(str(number)) == tuple(range(1, number + 1))


@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=20, unique=True))
def test_a_list_means_just_the_seeds_in_it(seeds: list[int]):
    assert parse_seeds(",".join(map(str, seeds))) == tuple(seeds)


@given(st.integers(0, 2**64 - 200), st.integers(0, 100))
def test_a_range_means_both_its_ends_and_all_between(first: int, more: int):
    assert parse_seeds(f"{first}-{first + more}") == tuple(range(first, first + more + 1))


@given(st.text(st.sampled_from("0123456789,- .x\n"), max_size=6))
def test_any_text_means_different_seeds_or_is_refused(text: str):
    try:
        seeds = parse_seeds(text)
    except UnusableInput:
        return
    assert seeds
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**64 for seed in seeds)


# Wrong words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required: COMMAND; see `bench --help`"),
        (["fly"], "invalid choice: 'fly'"),
        (["Run"], "invalid choice: 'Run'"),
        (["--seeds", "5"], "see `bench --help`"),
        (["run", "--fast"], "unrecognized arguments: --fast; see `bench run --help`"),
        (["run", "--seed", "7"], "unrecognized arguments: --seed 7; see `bench run --help`"),
        (["report", "--rep=here"], "unrecognized arguments: --rep=here; see `bench report --help`"),
        (["--hel"], "see `bench --help`"),
        (["run", "5"], "unrecognized arguments: 5"),
        (["show"], "the following arguments are required: NAME; see `bench show --help`"),
        (["show", "resnet"], "resnet: no such network; choose from squeeze_fc, expand_squeeze, unpadded, ten_twenty_"),
        (["compare", "old.csv"], "the following arguments are required: NEW.csv"),
        (["compare", "old.csv", "new.csv"], "old.csv: no such file"),
        (["merge", "a.csv", "b.csv"], "the following arguments are required: -o/--output; see `bench merge --help`"),
        (["merge", "-o", "all.csv"], "the following arguments are required: RUNS.csv"),
        (["merge", "a.csv", "b.csv", "-o", "all.csv"], "a.csv: no such file: name the records to join"),
        (["report", "--seeds", "5"], "unrecognized arguments: --seeds 5"),
        (["run", "--seeds"], "argument --seeds: expected one argument; see `bench run --help`"),
        (["run", "--models", "two\nlines"], "--models two lines: no such network"),
    ],
)
def test_a_command_that_is_no_command_is_refused(refused: Refused, words: Sequence[str], said: str):
    assert said in refused(*words)


@pytest.mark.parametrize("command", ["all", "run", "plan", "verify"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--models", "resnet"],
            "--models resnet: no such network; choose from squeeze_fc, expand_squeeze, unpadded, ",
        ),
        (["--models", ""], "--models : no such network"),
        (["--models", "unpadded,,gap_head"], "--models : no such network"),
        (["--models", "unpadded gap_head"], "--models unpadded gap_head: no such network"),
        (["--models", "Unpadded"], "--models Unpadded: no such network"),
        (["--devices", "tpu"], "--devices tpu: no such device; choose from auto, cpu, cuda, mps"),
        (["--devices", ""], "--devices : no such device"),
        (["--devices", "cpu,CUDA"], "--devices CUDA: no such device"),
        (["--seeds", "0"], "--seeds 0: at least one seed is needed"),
        (["--seeds", "1-x"], "--seeds 1-x: give N for 1 to N, A-B, or a list like 3,8"),
        (["--epochs", "0"], "argument --epochs: '0' is not a whole number from 1 to 999999999"),
        (["--epochs", "-3"], "argument --epochs: '-3' is not a whole number from 1 to 999999999"),
        (["--epochs", "1.5"], "argument --epochs: '1.5' is not a whole number from 1 to 999999999"),
        (["--epochs", ""], "argument --epochs: '' is not a whole number from 1 to 999999999"),
        (["--epochs", "9" * 30], "is not a whole number from 1 to 999999999"),
        (["--jobs", "0"], "argument --jobs: '0' is not a whole number from 1 to 999999999"),
        (["--jobs", "all"], "argument --jobs: 'all' is not a whole number from 1 to 999999999"),
        (["--jobs", "٣"], "argument --jobs: '٣' is not a whole number from 1 to 999999999"),
    ],
)
def test_a_selection_that_means_nothing_is_refused(refused: Refused, command: str, words: Sequence[str], said: str):
    assert said in refused(command, *words)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("command", ["all", "run", "plan"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--until-decided", "--seeds", "5"],
            "--seeds: cannot be used with --until-decided, which trains seeds 1, 2, ",
        ),
        (["--until-decided", "--epochs", "3"], "--epochs: cannot be used with --until-decided, "),
        (
            ["--until-decided", "--vary", "order"],
            "--vary: cannot be used with --until-decided, because such runs count ",
        ),
        (["--at-most", "8"], "--at-most: can only be used with --until-decided; give --seeds N for seeds 1 to N"),
        (["--until-decided", "--at-most", "1001"], "--at-most 1001: give at most 1000"),
        (["--until-decided", "--at-most", "0"], "argument --at-most: '0' is not a whole number"),
    ],
)
def test_until_decided_takes_no_other_choice_of_seeds(refused: Refused, command: str, words: Sequence[str], said: str):
    assert said in refused(command, *words)


@pytest.mark.parametrize("command", ["all", "run", "plan"])
def test_a_kind_that_cannot_vary_is_refused(refused: Refused, command: str):
    assert "argument --vary: invalid choice: 'steps' (choose from " in refused(command, "--vary", "steps")


@pytest.mark.parametrize("command", ["all", "run", "plan"])
def test_an_arithmetic_that_does_not_exist_is_refused(refused: Refused, command: str):
    assert "argument --arithmetic: invalid choice: 'fast' (choose from " in refused(command, "--arithmetic", "fast")


@pytest.mark.parametrize("text", [one for one in MALFORMED_SEEDS if one.strip()])
def test_malformed_seeds_are_quoted(refused: Refused, text: str):
    assert refused("plan", "--seeds", text).startswith(f"--seeds {text}: ")


@pytest.mark.parametrize("command", ["all", "run", "plan"])
@pytest.mark.parametrize("device", [device for device in DEVICES if device not in environment.available_devices()])
def test_a_device_that_is_not_here_is_an_error_that_names_those_present(refused: Refused, command: str, device: str):
    here = ", ".join(environment.available_devices())
    assert (
        refused(command, "--devices", f"cpu,{device}")
        == f"--devices {device}: this machine has no such device: choose from {here}"
    )
    assert list(Path().glob("*")) == []


# Unusable files


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no network."""

    def fails(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", fails)


@pytest.mark.parametrize("command", ["all", "run", "plan", "report", "verify", "check"])
@pytest.mark.parametrize("name", ["runs.csv", "."])
def test_a_record_that_is_a_folder_is_refused(refused: Refused, command: str, name: str):
    Path(name).mkdir(exist_ok=True)
    message = refused(command, "--runs", name)
    assert message.startswith(f"{name}: ")
    assert "folder" in message or "Is a directory" in message
    assert message.endswith("--runs")
    assert list(Path().iterdir()) == ([] if name == "." else [Path(name)])


@pytest.mark.parametrize("command", ["all", "run"])
def test_a_record_that_cannot_be_written_is_refused_before_anything_is_trained(
    refused: Refused, command: str, root: Path
):
    Path("file").touch()
    message = refused(command, "--runs", "file/runs.csv", "--data", str(root / "data"))
    assert message.startswith("file/")
    assert "cannot be written (Not a directory)" in message
    assert "--runs" in message


@pytest.mark.parametrize("command", ["all", "run"])
def test_a_file_that_is_no_record_is_refused_and_left_as_it_is(refused: Refused, command: str, root: Path, capsys):
    Path("notes.txt").write_text("buy bread")
    code = main([command, "--runs", "notes.txt", "--data", str(root / "data")])
    lines = capsys.readouterr().err.splitlines()
    assert code == 2
    assert lines[-1].startswith("bench: notes.txt:1: not the header of a record, so nothing was appended: ")
    assert Path("notes.txt").read_text() == "buy bread"


@pytest.mark.parametrize("command", ["all", "run"])
@pytest.mark.usefixtures("offline")
def test_a_missing_data_folder_is_one_line_when_there_is_no_network(command: str, capsys: pytest.CaptureFixture[str]):
    assert main([command, "--data", "nowhere"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.splitlines()[-1]
    assert last.startswith("bench: nowhere/MNIST/raw: train-images-idx3-ubyte.gz, ")
    assert "missing, and the download failed (" in last
    assert "or name a folder that has them with --data" in last
    assert not Path("nowhere").exists()


def test_a_data_folder_below_a_file_is_refused(refused: Refused):
    Path("file").touch()
    assert "Not a directory" in refused("run", "--data", "file/data")


def test_an_altered_data_file_is_refused(refused: Refused, root: Path):
    shutil.copytree(root / "data", "data")
    path = Path("data/MNIST/raw/t10k-labels-idx1-ubyte.gz")
    path.write_text("<html>")
    assert refused("run").startswith(f"{path}: this is not the published file (an HTML page): delete it")


@pytest.mark.parametrize("command", ["all", "report"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_trained(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, command: str
):
    monkeypatch.setattr(job, "run", pytest.fail)
    Path("file").touch()
    assert refused(command, "--report", "file/report").startswith("file/report: cannot be written (")


@pytest.mark.parametrize("command", ["all", "report"])
def test_a_page_that_is_no_report_is_kept_and_nothing_is_trained(refused: Refused, command: str):
    Path("README.md").write_text("My project.")
    Path("runs.csv").touch()
    message = refused(command, "--report", ".")
    assert message.startswith("README.md: not written by the `report` of this release, so nothing was written: choose")
    assert sorted(path.name for path in Path().iterdir()) == ["README.md", "runs.csv"]
    assert Path("README.md").read_text() == "My project."


@pytest.mark.parametrize(
    "words",
    [
        ["report", "--report", ""],
        ["report", "--runs", ""],
        ["all", "--data", ""],
        ["check", "--runs", ""],
        ["check", "--markdown", ""],
        ["compare", "", "b.csv"],
        ["judge", "", "--target", "99%"],
        ["judge", "log.csv", "--target", "99%", "--report", ""],
        ["merge", "a.csv", "-o", ""],
    ],
    ids=" ".join,
)
def test_an_empty_path_is_refused(refused: Refused, words: list[str]):
    """It would be the folder one stands in. Most often a variable of the shell is not set."""
    assert "the path is empty: perhaps a variable is not set" in refused(*words)
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    "content", [b"a,b\n1,2\n", b"buy bread", b"\x89PNG\r\n\x1a\n\0\0", b'"open\n', b"model,recipe\n"]
)
def test_a_file_that_is_no_record_gives_no_report(refused: Refused, content: bytes):
    Path("notes.txt").write_bytes(content)
    assert refused("report", "--runs", "notes.txt").startswith("notes.txt:1: not a record, its header lacks ")
    assert [path.name for path in Path().iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("content", ["", "model,rec", ",".join(COLUMNS)])
def test_a_record_that_was_only_begun_gives_an_empty_report(content: str, monkeypatch: pytest.MonkeyPatch):
    written: list[Path] = []
    monkeypatch.setattr(files, "write", lambda found, architectures, folder, data: written.append(folder) or ())
    Path("runs.csv").write_text(content)
    assert main(["report"]) == 0
    assert written == [Path("report")]


def test_what_only_an_earlier_report_had_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    gone = tuple(Path("report") / f"network_{number}.md" for number in range(7))
    monkeypatch.setattr(files, "write", lambda *_: gone)
    assert main(["report"]) == 0
    names = ", ".join(f"network_{number}.md" for number in range(5))
    assert capsys.readouterr().out.splitlines()[1] == f"Removed, because only the earlier report had it: {names} …."


def test_a_missing_record_does_not_replace_a_report(refused: Refused):
    page = Path("report/README.md")
    page.parent.mkdir()
    page.write_text("a report")
    assert refused("report", "--runs", "rums.csv").startswith(
        f"rums.csv: no such record; {page} is the report of another"
    )
    assert page.read_text() == "a report"


def test_a_record_that_another_job_holds_is_refused(refused: Refused):
    with record.exclusive(Path("runs.csv")):
        message = refused("run")
    assert message.startswith(f"runs.csv: process {os.getpid()} on ")
    assert "is training into it" in message


# Right words


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Selection, Paths]]:
    """Replaces the job by one that ends at once, and collects what it was asked for."""
    asked: list[tuple[Selection, Paths]] = []

    def run(selection: Selection, paths: Paths, *, cluster: None) -> Outcome:
        asked.append((selection, paths))
        return Outcome(trained=1)

    monkeypatch.setattr(job, "run", run)
    return asked


def test_without_options_everything_there_is_is_trained(jobs: list[tuple[Selection, Paths]]):
    assert main(["run"]) == 0
    here = environment.available_devices()
    number = cores.usable().number
    selection = Selection(tuple(ARCHITECTURES.values()), here, (1, 2, 3, 4, 5), None, number, arithmetic="auto")
    assert jobs == [(selection, Paths(Path("runs.csv"), Path("report"), Path("data")))]


@pytest.mark.parametrize(("words", "number"), [([], 2), (["--jobs", "3"], 3)])
def test_a_limit_of_the_container_is_named_unless_the_user_chooses_the_number_of_runs(
    jobs: list[tuple[Selection, Paths]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    number: int,
):
    monkeypatch.setattr(cores, "usable", lambda: cores.Cores(2, "the memory is small"))
    assert main(["run", *words]) == 0
    assert jobs[0][0].jobs == number
    said = "" if words else "bench: 2 runs at a time, because the memory is small; see --jobs\n"
    assert capsys.readouterr().err == said


def test_many_runs_are_announced_before_the_slow_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def stopped(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(networks, "inspect", stopped)
    started = time.process_time()
    assert main(["plan", "--seeds", "2000000"]) == 130
    assert time.process_time() - started < 5
    assert capsys.readouterr().err == (
        "bench: comparing 10,000,000 runs with the record, which takes a while\nbench: interrupted\n"
    )


def test_every_option_reaches_the_job(jobs: list[tuple[Selection, Paths]]):
    words = "run --models gap_head,unpadded,gap_head --seeds 3,8 --devices cpu,auto --epochs 2 --jobs 3 "
    words += "--arithmetic native --vary order"
    files = ["--runs", "a folder/ä.csv", "--report", "b", "--data", "c"]
    assert main([*words.split(), *files]) == 0
    ((selection, paths),) = jobs
    assert [one.name for one in selection.architectures] == ["gap_head", "unpadded"]
    assert [one.recipe.vary for one in selection.architectures] == ["order", "order"]
    assert selection.vary == "order"
    assert selection.devices == environment.available_devices()
    assert (selection.seeds, selection.epochs, selection.jobs, selection.arithmetic) == ((3, 8), 2, 3, "native")
    assert paths == Paths(Path("a folder/ä.csv"), Path("b"), Path("c"))


@pytest.mark.parametrize(("words", "seeds"), [((), 40), (("--at-most", "8"), 8)])
def test_until_decided_may_take_seeds_from_1_on(
    jobs: list[tuple[Selection, Paths]], words: tuple[str, ...], seeds: int
):
    assert main(["run", "--models", "unpadded", "--devices", "cpu", "--until-decided", *words]) == 0
    ((selection, _),) = jobs
    assert (selection.until_decided, selection.seeds) == (True, tuple(range(1, seeds + 1)))


@pytest.mark.parametrize("command", ["run", "all"])
@pytest.mark.parametrize(
    ("outcome", "code", "out", "error"),
    [
        (Outcome(trained=2), 0, "", ""),
        (
            Outcome(trained=0),
            0,
            "All of this is already recorded in runs.csv. To train it again, use `verify` or another --runs file.\n",
            "",
        ),
        (
            Outcome(2, (Ended(RUN, "timeout", "too long"),)),
            1,
            "",
            "bench: unpadded on cpu, seed 1: timeout: too long\n",
        ),
        (
            Outcome(2, (), 2),
            130,
            "",
            "bench: interrupted by SIGINT; every finished epoch is kept. To continue, run the same command",
        ),
        (Outcome(2, (), 15), 143, "", "bench: interrupted by SIGTERM; every finished epoch is kept"),
        (Outcome(2, (), 1), 129, "", "bench: interrupted by SIGHUP; every finished epoch is kept"),
    ],
)
def test_the_exit_code_tells_the_outcome_of_the_job_and_all_always_writes_the_report(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    outcome: Outcome,
    code: int,
    out: str,
    error: str,
):
    written: list[Path] = []
    monkeypatch.setattr(job, "run", lambda selection, paths, cluster: outcome)
    monkeypatch.setattr(files, "write", lambda found, architectures, folder, data: written.append(folder) or ())
    assert main([command, "--report", "here"]) == code
    captured = capsys.readouterr()
    assert written == ([Path("here")] if command == "all" else [])
    assert out in captured.out
    assert captured.err.startswith(error) if error else captured.err == ""


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome(2), 2),
        (Outcome(2, (Ended(RUN, "timeout", "too long"),)), 2),
        (Outcome(2, (), 2), 130),
        (Outcome(2, (), 15), 143),
    ],
)
def test_an_unwritable_report_hides_neither_a_failed_run_nor_an_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], outcome: Outcome, code: int
):
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "here/README.md")

    monkeypatch.setattr(job, "run", lambda selection, paths, cluster: outcome)
    monkeypatch.setattr(files, "write", full)
    assert main(["all", "--report", "here"]) == code
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "bench: here/README.md: cannot be written (No space left on device): choose another --report"
    assert ("bench: unpadded on cpu, seed 1: timeout: too long" in said) == bool(outcome.failed)
    assert any("interrupted" in line for line in said) == (outcome.interrupted_by is not None)


def test_an_interrupt_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def interrupted(selection: Selection, paths: Paths, *, cluster: None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "run", interrupted)
    assert main(["run"]) == 130
    assert capsys.readouterr().err == "bench: interrupted\n"


def test_a_second_interrupt_during_the_message_about_the_first_does_no_harm(monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "run", interrupted)
    monkeypatch.setattr(sys.stderr, "write", interrupted)
    assert main(["run"]) == 130


def test_an_interrupt_in_a_callback_of_the_garbage_collector_is_not_lost():
    code = (
        "import time\n"
        "from bench.cli.interruptions import lost_interrupts_repeated\n"
        "class Callback:\n"
        "    def __del__(self):\n"
        "        raise KeyboardInterrupt\n"
        "with lost_interrupts_repeated():\n"
        "    try:\n"
        "        Callback()\n"
        "        time.sleep(60)\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)


def test_a_plan_is_printed_and_nothing_is_made(capsys: pytest.CaptureFixture[str]):
    assert main(["plan", "--models", "unpadded,gap_head", "--seeds", "2", "--devices", "cpu", "--epochs", "3"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert [line.split()[0] for line in lines[2:6]] == ["unpadded", "unpadded", "gap_head", "gap_head"]
    assert lines[-1].startswith("4 of 4 runs to train, 12 epochs: about ")
    assert captured.err == ""
    assert list(Path().iterdir()) == []


def test_a_plan_says_what_the_seed_changes_unless_it_changes_everything(capsys: pytest.CaptureFixture[str]):
    words = ["plan", "--models", "unpadded", "--seeds", "2", "--devices", "cpu", "--epochs", "3"]
    assert main([*words, "--vary", "weights"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == (
        "With --vary weights, the seed changes only the first weights; the order of the images and dropout are those "
        "of seed 1. Such runs have a recipe of their own and count for no claim."
    )
    assert main(words) == 0
    assert "seed 1" not in capsys.readouterr().out


def test_a_plan_has_the_environment_that_belongs_to_the_arithmetic(capsys: pytest.CaptureFixture[str]):
    native = environment.describe("cpu").digest
    for words, expected in (([], EXACT.digest), (["exact"], EXACT.digest), (["native"], native)):
        chosen = ["--arithmetic", *words] if words else []
        assert main(["plan", "--models", "unpadded", "--seeds", "1", "--devices", "cpu", *chosen]) == 0
        assert expected in capsys.readouterr().out.splitlines()[2].split()


def test_a_plan_warns_about_unreadable_lines(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture):
    Writer(Path("runs.csv")).prepare()
    with Path("runs.csv").open("a") as file:
        file.write("bad\n" * 9)
    assert main(["plan", "--models", "unpadded", "--seeds", "1", "--devices", "cpu"]) == 0
    said = [entry.getMessage() for entry in caplog.records]
    assert said[0] == "runs.csv:2: the line has 1 field, but the header has 18"
    assert len(said) == 6
    assert "4 more" in said[-1]
    assert "warn" not in capsys.readouterr().out.lower()


def test_the_list_has_every_network(capsys: pytest.CaptureFixture[str]):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert [name for name in ARCHITECTURES if name in out] == list(ARCHITECTURES)
    assert all(f"{one.document.parameters:,}" in out for one in ARCHITECTURES.values())


@pytest.mark.slow
def test_the_networks_of_a_folder_are_shown_with_their_parameters(root: Path, capsys: pytest.CaptureFixture[str]):
    Path("two").mkdir()
    for name in ("unpadded", "ten_twenty_thirty"):
        Path("two", f"{name}.py").symlink_to(root / "models" / f"{name}.py")
    assert main(["show", "two"]) == 0
    out = capsys.readouterr().out
    for one in (ARCHITECTURES["unpadded"], ARCHITECTURES["ten_twenty_thirty"]):
        assert f'{one.name}: "{one.document.title}"' in out
        assert f"{one.document.parameters:,}" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code in (0, None)
    captured = capsys.readouterr()
    assert captured.out.startswith(f"usage: bench {command}")
    assert captured.err == ""


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert [command for command in COMMANDS if f"\n    {command} " in out] == list(COMMANDS)


# As a process of its own


def test_help_answers_at_once(root: Path):
    def processor_time() -> float:
        used = os.times()
        return used.children_user + used.children_system

    started = processor_time()
    assert in_process("--help", cwd=root, stdout=subprocess.DEVNULL).returncode == 0
    assert processor_time() - started < 0.5


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        (["--help"], {"torch", "pandas", "numpy", "tqdm", "tabulate"}),
        (["run", "--help"], {"torch", "pandas", "numpy"}),
        (["list"], {"torch", "torchvision", "pandas"}),
        (["report", "--runs", "none.csv"], {"torch", "torchvision"}),
        (["merge", "none.csv", "-o", "all.csv"], {"torch", "torchvision", "matplotlib"}),
        (["run", "--models", "resnet"], {"torch"}),
        (["plan", "--seeds", "0"], {"torch"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_imports_no_more_than_it_needs(words: list[str], absent: set[str]):
    code = (
        "import sys, atexit\n"
        "from bench.cli.parser import main\n"
        f"atexit.register(lambda: print('IMPORTED', *sorted(set(sys.modules) & {absent!r})))\n"
        f"main({words!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)
    assert done.stdout.splitlines()[-1] == "IMPORTED", done.stderr


@pytest.mark.parametrize("words", [["--help"], ["list"]], ids=" ".join)
def test_a_reader_that_has_gone_is_no_failure(words: list[str]):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = in_process(*words, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_first_line_alone_may_be_read():
    command = f"set -o pipefail; '{sys.executable}' -m bench list | head -1"
    done = subprocess.run(["bash", "-c", command], text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("words", ["--help", "list"])
def test_a_closed_standard_output_is_no_failure(words: str):
    done = subprocess.run(["sh", "-c", f"'{sys.executable}' -m bench {words} >&-"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["list"]], ids=" ".join)
def test_a_full_disk_under_standard_output_is_one_line(words: list[str]):
    with Path("/dev/full").open("w") as full:
        done = in_process(*words, stdout=full)
    assert done.returncode == 2
    assert (
        done.stderr
        == "bench: standard output: cannot be written (No space left on device): redirect it to another file\n"
    )


@pytest.mark.parametrize("words", [["run", "--help"], ["list"], ["run", "--models", "größer"]], ids=" ".join)
def test_a_terminal_that_knows_only_ascii_is_enough(words: list[str]):
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    done = in_process(*words, env=plain, stdout=subprocess.PIPE)
    assert done.returncode == (2 if "größer" in words else 0), done.stderr
    assert (done.stdout + done.stderr).isascii()
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["fly"], 2, "invalid choice: 'fly'"),
        (["run", "--seeds", "0"], 2, "--seeds 0: at least one seed is needed"),
        (["plan", "--runs", "."], 2, "Is a directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_process_ends_with_the_code_and_the_line(words: list[str], code: int, said: str):
    done = in_process(*words, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_the_command_is_installed_under_its_name():
    path = Path(sys.executable).with_name("bench")
    if not path.exists():
        pytest.skip("the project is not installed beside this Python")
    done = subprocess.run([path, "fly"], text=True, capture_output=True, check=False)
    assert done.returncode == UNUSABLE
    assert done.stderr.startswith("bench: ")
