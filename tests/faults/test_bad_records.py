"""On a bad record every command names the wrong line with a reason, uses the rest, and rewrites nothing."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import synthetic
from cases import few_by_default
from jobs import Undisturbed
from quickly import TRACEBACK, Server
from torch import nn

from bench.cli import parser
from bench.network import structure, structure_facts
from bench.record import record
from bench.record.rows import COLUMNS, Row, format_line, format_row
from bench.report.canvas import Picture
from bench.training import golden
from models import ARCHITECTURES

HEADER = format_line(COLUMNS)
LINES = 2 * 19 + 1


def rows() -> list[Row]:
    """Two complete runs."""
    found = [
        *synthetic.run_rows("unpadded", 1, synthetic.counts(1, 19)),
        *synthetic.run_rows("unpadded", 2, [9940] * 19),
    ]
    return [Row(**{name: getattr(row, name) for name in COLUMNS} | {"recipe": RECIPE}) for row in found]


RECIPE = ARCHITECTURES["unpadded"].digest
SOUND = HEADER + "".join(map(format_row, rows()))


def with_fields(line: int, **fields: str) -> str:
    """The sound record with other text in some fields of a line, numbered from 1."""
    lines = SOUND.splitlines(keepends=True)
    values = lines[line - 1].rstrip("\n").split(",")
    for name, text in fields.items():
        values[COLUMNS.index(name)] = text
    lines[line - 1] = ",".join(values) + "\n"
    return "".join(lines)


def with_line(line: int, text: str) -> str:
    """The sound record with a line inserted before another."""
    lines = SOUND.splitlines(keepends=True)
    lines.insert(line - 1, text)
    return "".join(lines)


def without_line(line: int) -> str:
    lines = SOUND.splitlines(keepends=True)
    del lines[line - 1]
    return "".join(lines)


def without_column(name: str) -> str:
    place = COLUMNS.index(name)
    lines = [line.split(",") for line in SOUND.splitlines()]
    return "".join(",".join(fields[:place] + fields[place + 1 :]) + "\n" for fields in lines)


def line_of(line: int) -> str:
    return SOUND.splitlines(keepends=True)[line - 1]


@dataclass(frozen=True)
class Bad:
    """A bad record: its content, the line and the reason to be named, and the number of epochs that remain."""

    content: bytes
    line: int
    reason: str
    epochs: int


def bad(text: str, line: int, reason: str, epochs: int, encoding: str = "utf-8") -> Bad:
    return Bad(text.encode(encoding), line, reason, epochs)


NOTE = line_of(39).replace(",ok,,", ',error,"killed, or\nso it seems",')

BAD: Mapping[str, Bad] = {
    "a byte-order mark": bad(SOUND, 1, "byte-order mark", 38, "utf-8-sig"),
    "UTF-16": bad(SOUND, 1, "the header lacks model", 0, "utf-16"),
    "CRLF": bad(SOUND.replace("\n", "\r\n"), 1, "carriage return", 38),
    "CR": bad(SOUND.replace("\n", "\r"), 1, "carriage return", 38),
    "semicolons": bad(SOUND.replace(",", ";"), 1, "the header lacks model", 0),
    "a missing column": bad(without_column("correct"), 1, "the header lacks correct", 0),
    "a column twice": bad(
        SOUND.replace("\n", ",\n").replace("statistics,\n", "statistics,note\n", 1),
        1,
        "a column twice",
        38,
    ),
    "reordered columns": bad(
        "".join(",".join(reversed(line.split(","))) + "\n" for line in SOUND.splitlines()), 1, "documented order", 38
    ),
    "a field too many": bad(with_line(5, line_of(5).replace("\n", ",x\n")), 5, "19 fields, but the header has 18", 38),
    "a field too few": bad(with_line(5, "unpadded,1\n"), 5, "2 fields, but the header has 18", 38),
    "an empty line": bad(with_line(5, "\n"), 5, "0 fields", 38),
    "a header in the middle": bad(with_line(5, HEADER), 5, "the line repeats the header", 38),
    "a row twice": bad(with_line(9, line_of(5)), 9, "the same run and epoch as on line 5", 38),
    "two values for an epoch": bad(
        with_line(9, line_of(5).replace(",10000,", ",9999,")), 9, "contradicts line 5 (on cpu): total is 9999 here", 38
    ),
    "NaN": bad(with_fields(20, test_loss="nan"), 20, "test_loss is 'nan'", 37),
    "a negative count": bad(with_fields(20, correct="-1"), 20, "correct is '-1'", 37),
    "a count beyond all images": bad(
        with_fields(20, correct="10001"), 20, "correct is 10001, more than the total of 10000", 37
    ),
    "a network nobody knows": bad(with_fields(20, model="lenet"), 20, "the network 'lenet' is not known", 37),
    "a gap in the epochs": bad(without_line(24), 24, "but its epoch 4 is missing", 22),
    "a mangled date": bad(with_fields(20, recorded_at="31.01.2026 12:00"), 20, "recorded_at is '31.01.2026 12:00'", 37),
    "a day that does not exist": bad(
        with_fields(20, recorded_at="9999-99-99T00:00:00Z"), 20, "recorded_at is '9999-99-99T00:00:00Z'", 37
    ),
    "seconds without end": bad(with_fields(20, train_seconds="1e308"), 20, "train_seconds is '1e308'", 37),
    "a number made a date": bad(with_fields(20, test_loss="02. Jan"), 20, "test_loss is '02. Jan'", 37),
    "a digest made a number": bad(with_fields(20, environment="1,11E+07"), 20, "19 fields", 37),
    "an empty file": bad("", 1, "the file is empty", 0),
    "no final newline": bad(SOUND[:-1], 39, "no newline at its end", 37),
    "a torn header": bad(HEADER[:30], 1, "no newline at its end", 0),
    "a quote never closed": bad(with_fields(30, note='"why'), 30, "fields, but the header has 18", 28),
    "bytes that are no text": Bad(
        with_line(5, "?\n").encode().replace(b"?\n", b"\xff\xfe\0\n"),
        5,
        "the line has 1 field, but the header has 18",
        38,
    ),
    "another file": Bad(b"\x89PNG\r\n\x1a\n\0\0\0\n", 1, "the header lacks model", 0),
    "a note with a newline, and a gap behind it": bad(
        without_line(39) + NOTE + line_of(39).replace(",19,9940,", ",21,9940,"), 41, "its epoch 19 is missing", 37
    ),
}


@pytest.fixture
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the figures of the report, as drawing takes long."""

    class Blank:
        def __getattr__(self, name: str) -> Callable[..., Picture]:
            return lambda *_: Picture(b"<svg/>", "a picture that nobody drew")

    monkeypatch.setattr("bench.report.files.figures", Blank())


@pytest.fixture(scope="module")
def examined() -> dict[type, structure_facts.Structure]:
    """The structures of the networks, as far as they are known."""
    return {}


@pytest.fixture
def quick_structures(monkeypatch: pytest.MonkeyPatch, examined: dict[type, structure_facts.Structure]) -> None:
    """Examines each network only once, as the networks are the same every time."""
    examine = structure.examine

    def once(network: nn.Module) -> structure_facts.Structure:
        if type(network) not in examined:
            examined[type(network)] = examine(network)
        return examined[type(network)]

    monkeypatch.setattr(structure, "examine", once)


@pytest.fixture(scope="module")
def differing() -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    return functools.cache(golden.differing)


@pytest.fixture
def quick_digests(monkeypatch: pytest.MonkeyPatch, differing: Callable[[tuple[str, ...]], tuple[str, ...]]) -> None:
    """Computes each golden digest only once."""
    monkeypatch.setattr(golden, "differing", differing)


@pytest.fixture(params=few_by_default(BAD, list(BAD)[::3], pytest.mark.faults))
def found(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bad:
    """A bad record, in the current folder."""
    monkeypatch.chdir(tmp_path)
    one = BAD[request.param]
    Path("runs.csv").write_bytes(one.content)
    return one


def printed(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    """Run a command that must end with an exit code, and return its output."""
    assert parser.main(words) == code, capsys.readouterr().err
    captured = capsys.readouterr()
    assert TRACEBACK not in captured.err
    return captured.out + captured.err


def untouched(one: Bad) -> bool:
    return Path("runs.csv").read_bytes() == one.content and not Path("runs.csv.torn").exists()


@pytest.mark.usefixtures("quick_structures", "quick_digests")
def test_check_names_the_line_and_the_reason_and_fails(found: Bad, capsys: pytest.CaptureFixture[str]):
    lines = printed(capsys, 1, "check").splitlines()
    failed = [line for line in lines if re.search(rf"FAILED +runs\.csv:{found.line} ", line)]
    assert any(found.reason in line for line in failed), lines
    assert untouched(found)


@pytest.mark.usefixtures("quick_figures")
def test_the_report_says_what_it_left_out_and_renders_the_rest(found: Bad, capsys: pytest.CaptureFixture[str]):
    if "header lacks" in found.reason:  # it is no record
        assert parser.main(["report"]) == 2
        assert "runs.csv:1: not a record, its header lacks " in capsys.readouterr().err
        assert not Path("report").exists()
        return
    printed(capsys, 0, "report")
    page = Path("report/data.md").read_text(encoding="utf-8")
    summary = json.loads(Path("report/summary.json").read_text())
    assert any((one["line"], found.reason in one["reason"]) == (found.line, True) for one in summary["problems"])
    assert re.search(rf"^\| {found.line} \| ", page[page.index("## What was left out") :], re.MULTILINE)
    groups = summary["networks"]["unpadded"]["groups"]
    contradicted = (
        16 if "contradicts" in found.reason else 0
    )  # from the contradicted epoch 4 on, the run does not count
    assert sum(len(seed["correct"]) for group in groups for seed in group["seeds"]) == found.epochs - contradicted
    assert untouched(found)


def test_the_plan_warns_of_what_it_leaves_out(
    found: Bad, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    printed(capsys, 0, "plan", "--models", "unpadded", "--seeds", "2", "--devices", "cpu")
    if "the network" not in found.reason:  # a plan reads only the networks that it was asked for
        assert any(f":{found.line}: " in message and found.reason in message for message in caplog.messages), (
            caplog.messages
        )
    assert untouched(found)


def test_a_comparison_uses_what_is_left(found: Bad, capsys: pytest.CaptureFixture[str]):
    code = parser.main(["compare", "runs.csv", "runs.csv"])
    captured = capsys.readouterr()
    assert TRACEBACK not in captured.err
    assert code == (0 if found.epochs >= 37 else code)
    assert code in (0, 2)
    assert untouched(found)


def test_every_bad_record_would_be_sound_without_its_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    """Otherwise the tests above could see another fault than their own."""
    path = tmp_path / "runs.csv"
    path.write_text(SOUND)
    printed(capsys, 0, "plan", "--runs", str(path), "--seeds", "1", "--devices", "cpu")
    assert caplog.messages == []
    assert len(record.read(path, ARCHITECTURES).epochs) == LINES - 1


# Verification needs a record that was trained here


def trained(undisturbed: Undisturbed, folder: Path, change: Callable[[list[str]], list[str]]) -> bytes:
    """Write the record of a job with changed lines into a folder, and return its content."""
    path = undisturbed.copy(folder)
    path.write_text("".join(change(path.read_text(encoding="utf-8").splitlines(keepends=True))), encoding="utf-8")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: [*lines[:-1], lines[-1][:-1]], 13),
        pytest.param(lambda lines: [*lines[:3], "nonsense\n", *lines[3:]], 4, marks=pytest.mark.faults),
        pytest.param(lambda lines: [*lines, lines[3]], 14, marks=pytest.mark.faults),
        pytest.param(lambda lines: [*lines[:-1], lines[-1].replace(",cpu,", ",tpu,")], 13, marks=pytest.mark.faults),
    ],
    ids=["no final newline", "nonsense", "a row twice", "a device nobody knows"],
)
def test_a_record_with_unusable_lines_is_not_verified(
    server: Server, undisturbed: Undisturbed, tmp_path: Path, change: Callable[[list[str]], list[str]], line: int
):
    content = trained(undisturbed, tmp_path, change)
    job = server.run("verify", "--models", "unpadded", "--seeds", "1-1", folder=tmp_path)
    assert job.code == 1
    assert TRACEBACK not in job.errors
    assert f"runs.csv:{line}: " in job.output
    assert (tmp_path / "runs.csv").read_bytes() == content


def test_a_record_with_a_harmless_problem_is_verified(server: Server, undisturbed: Undisturbed, tmp_path: Path):
    content = trained(undisturbed, tmp_path, lambda lines: [line.replace("\n", "\r\n") for line in lines])
    job = server.run("verify", "--models", "unpadded", "--seeds", "1-1", folder=tmp_path)
    assert job.code == 0, job.output
    assert "bench: WARNING: runs.csv:1: a line ends with a carriage return" in job.errors
    assert (tmp_path / "runs.csv").read_bytes() == content
