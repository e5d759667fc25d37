"""Tests of `commands`, `parser`, `selection`: the command `judge`, from its words to its exit code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.parser import _parser, main
from bench.record.environments import EXACT
from models import ARCHITECTURES

LOG = "seed,epoch,accuracy\n" + "".join(
    f"{seed},{epoch},{9900 + 10 * epoch + seed}e-4\n" for seed in range(1, 6) for epoch in range(1, 6)
)
"""Five runs that reach 99.4 % in epoch 4."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("log.csv").write_text(LOG)
    return tmp_path


def test_a_log_is_judged_and_the_report_is_written(capsys: pytest.CaptureFixture[str]):
    claims = ["--target", "99.4%", "--first-epoch", "4", "--best", "99.5%", "--last", "99.53%", "--epochs", "5"]
    assert main(["judge", "log.csv", *claims, "--report", "found"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert "99.4 % within 5 epochs: holds" in lines
    assert "99.4 % first in epoch 4: holds" in lines
    assert lines[-1] == "The report is in found/README.md."
    page = Path("found/README.md").read_text()
    assert "\n# 99.4 % (9940 of 10,000)? The runs of a log, judged\n" in page
    assert "## How the log was read\n\n- accuracies are in parts of 10,000" in Path("found/methods.md").read_text()
    assert "(methods.md#how-the-log-was-read)" in Path("found/log.md").read_text()
    numbers = json.loads(Path("found/summary.json").read_text())["networks"]["log"]
    assert numbers["groups"][0]["claims"][0]["outcome"] == "holds"
    assert numbers["recipe"] is None
    assert sorted(figure.name for figure in Path("found").glob("*.svg")) == ["accuracy-log.svg", "evidence.svg"]
    assert "](accuracy-log.svg)" in Path("found/log.md").read_text()


def test_the_report_of_a_log_says_nothing_that_only_the_harness_could_know(capsys: pytest.CaptureFixture[str]):
    assert main(["judge", "log.csv", "--target", "99.4%", "--report", "found"]) == 0
    assert sorted(path.name for path in Path("found").glob("*.md")) == ["README.md", "log.md", "methods.md"]
    pages = "".join(path.read_text() for path in Path("found").glob("*.md"))
    for words in ("MNIST", "bench all", "(data.md", "learning rate 0", "test images: 10,000", "of 10,000 test images"):
        assert words not in pages, words
    for words in ("nan |", "What was left out", "seconds per epoch", "batch statistics", "sampling error"):
        assert words not in pages, words


def test_the_rules_in_the_report_of_a_log_name_no_target_but_its_own():
    assert main(["judge", "log.csv", "--target", "99.2%", "--report", "found"]) == 0
    assert "9940" not in Path("found/methods.md").read_text()


def test_the_same_log_gives_the_same_bytes():
    for name in ("a", "b"):
        assert main(["judge", "log.csv", "--target", "99.4%", "--report", name]) == 0
    for path in Path("a").iterdir():
        assert path.read_bytes() == (Path("b") / path.name).read_bytes()


def test_a_report_of_other_runs_is_kept(capsys: pytest.CaptureFixture[str]):
    Path("report").mkdir()
    Path("report/README.md").write_text("# 99.4 % on MNIST in under 20 epochs?\n")
    assert main(["judge", "log.csv", "--target", "99.4%", "--report", "report"]) == 2
    assert capsys.readouterr().err == (
        "bench: report/README.md: is another page than the report of a log and is kept: choose another --report\n"
    )
    assert main(["judge", "log.csv", "--target", "99.4%", "--report", "found"]) == 0
    assert main(["judge", "log.csv", "--target", "99.5%", "--report", "found"]) == 0


def test_files_beside_a_log_that_belong_to_a_record_are_not_read():
    shutil.copy("log.csv", "runs.csv")
    for name in ("runs.misses.csv", "runs.networks.json", "runs.verified.csv"):
        Path(name).write_text("nothing that could be read")
    assert main(["judge", "runs.csv", "--target", "99.4%", "--report", "found"]) == 0
    numbers = json.loads(Path("found/summary.json").read_text())
    assert numbers["problems_of_misses"] == numbers["problems_of_verifications"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["log.csv"], "the following arguments are required: --target; see `bench judge --help`"),
        (["--target", "99%"], "the following arguments are required: LOG.csv; see `bench judge --help`"),
        (["no.csv", "--target", "99%"], "no.csv: cannot be read (No such file or directory): name a CSV file"),
        (["log.csv", "--target", "high"], "--target high: is no accuracy: give it like 99.4% or 0.994"),
        (
            ["log.csv", "--target", "99%", "--column", "acc"],
            "--column acc: give ROLE=NAME, where the role is one",
        ),
        (["log.csv", "--target", "99%", "--column", "lr=x"], "--column lr=x: give ROLE=NAME"),
        (
            ["log.csv", "--target", "99%", "--column", "run=a", "--column", "run=b"],
            "--column run=b: the column of run is also a: name one of them",
        ),
        (["log.csv", "--target", "99%", "--epochs", "0"], "argument --epochs: '0' is not a whole number from 1"),
        (["log.csv", "--target", "99%", "--total", "7"], "log.csv:2: accuracy 99.11 % is 6.9377 of 7, no whole number"),
        (["log.csv", "--target", "99%", "--report", "log.csv"], "log.csv: cannot be written (File exists): choose"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_unusable_input_is_one_line_and_exit_code_2(words: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert main(["judge", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"bench: {message}"), captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("more", [[], ["--report", "found"]], ids=" ".join)
def test_a_log_is_judged_without_torch(more: list[str]):
    code = (
        "import sys\nfrom bench.cli.parser import main\n"
        f"assert main(['judge', 'log.csv', '--target', '99.4%', *{more!r}]) == 0\n"
        "print('IMPORTED', *sorted({'torch', 'torchvision', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)
    assert done.stdout.splitlines()[-1] == "IMPORTED", done.stderr


def test_the_readme_shows_what_its_example_prints(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(root)
    example = (root / "README.md").read_text().partition("```console\n$ python -m bench ")[2].partition("\n```")[0]
    command, _, shown = example.partition("\n…\n")  # the table before the verdict is left out
    words = [str(path) for word in command.split() for path in (sorted(Path().glob(word)) or [word])]
    assert main(words) == 0
    assert shown.startswith("90 % within 6 epochs: holds\n")
    assert capsys.readouterr().out.rstrip("\n").endswith(f"\n\n{shown}")


def test_the_documented_command_lines_are_valid(root: Path):
    said = re.findall(r"^python -m bench (judge [^#\n]+)", (root / "docs" / "logs.md").read_text(), flags=re.MULTILINE)
    assert len(said) == 3
    for line in said:
        _parser().parse_args(line.split())


def test_the_log_of_a_network_of_ours_gets_the_verdicts_of_the_report(root: Path, capsys: pytest.CaptureFixture[str]):
    header, *rows = (root / "runs.csv").read_text().splitlines()
    of = f"gap_head,{ARCHITECTURES['gap_head'].digest},cpu,{EXACT.digest},"
    Path("ours.csv").write_text("\n".join([header, *(row for row in rows if row.startswith(of))]))
    claimed = ["--target", "9940", "--first-epoch", "10", "--best", "9955", "--epochs", "20"]
    assert main(["judge", "ours.csv", *claimed, "--report", "found"]) == 0
    ours, theirs = (
        json.loads((folder / "summary.json").read_text())["networks"][name]["groups"][0]
        for folder, name in ((root / "report", "gap_head"), (Path("found"), "ours"))
    )
    assert theirs["seeds"] == ours["seeds"]
    assert theirs["time_to_target"] == ours["time_to_target"]
    verdicts = [{one["kind"]: (one["value"], one["outcome"]) for one in group["claims"]} for group in (ours, theirs)]
    for kind in ("reaches_target", "best"):
        assert verdicts[0][kind] == verdicts[1][kind]


@pytest.mark.parametrize(
    ("file", "line"),
    [("nofile.csv", "bench: nofile.csv: "), ("log.csv", "bench: the following arguments are required: --target; see")],
)
def test_without_a_target_the_first_thing_to_correct_is_named(file: str, line: str, capsys: pytest.CaptureFixture[str]):
    assert main(["judge", file]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(line)
