"""Tests of `files` and `written`: a report has the same bytes for the same rows, and every picture that its pages name.

After an intended change, `UPDATE_GOLDEN=1 pytest tests/report` rewrites the golden files. Read the difference before
you commit it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import GOLDEN, check_golden, tables
from reports import BROKEN_LINES, MIXED, TWO, rendered, without_links

from bench.errors import UnusableInput
from bench.network import structure_facts
from bench.record import environments
from bench.record.environments import EXACT, Environment
from bench.record.record import read
from bench.record.rows import Row
from bench.report import figures
from bench.report.canvas import Picture
from bench.report.files import render, write
from bench.report.markdown import figure_of, page_of
from bench.report.written import MARK
from models import ARCHITECTURES


@pytest.mark.parametrize(
    ("name", "rows", "names", "extra"),
    [
        ("mixed", MIXED, TWO, BROKEN_LINES),
        ("five_seeds", synthetic.full(), (), ""),
        ("empty", [], ("gap_head",), ""),
    ],
)
def test_golden(tmp_path: Path, name: str, rows: list[Row], names: tuple[str, ...], extra: str) -> None:
    files = rendered(tmp_path, rows, *names, extra=extra)
    folder = GOLDEN / f"report_{name}"
    if name != "mixed":
        check_golden(folder / "README.md", files["README.md"].decode())
        return
    for page in (one for one in files if one.endswith(".md")):
        check_golden(folder / page, files[page].decode())
    if "UPDATE_GOLDEN" in os.environ:
        (folder / "summary.json").write_bytes(files["summary.json"])
    stored = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    # Quantiles may differ in the last bit between releases of scipy. No reader would see it.
    assert _rounded(json.loads(files["summary.json"])) == _rounded(stored)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


SCRIPT = """
import sys
sys.path.insert(0, {helpers!r})
from pathlib import Path
from bench.report.files import render, write
from bench.record import record
import synthetic
write(record.read(Path(sys.argv[1])), synthetic.architectures(*{names!r}), Path(sys.argv[2]))
print("torch" in sys.modules, "matplotlib.pyplot" in sys.modules)
"""


@pytest.mark.slow
def test_bytes_do_not_depend_on_locale_time_zone_hash_seed_or_folder(tmp_path: Path, root: Path) -> None:
    outputs = []
    for place, surroundings in enumerate(
        (
            {"LC_ALL": "C", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "1"},
            {"LC_ALL": "de_DE.UTF-8", "TZ": "America/New_York", "PYTHONHASHSEED": "2"},
        )
    ):
        folder = tmp_path / f"folder {place}"
        folder.mkdir()
        synthetic.record(folder, MIXED, BROKEN_LINES)
        script = SCRIPT.format(helpers=str(Path(synthetic.__file__).parent), names=TWO)
        ran = subprocess.run(
            [sys.executable, "-c", script, str(folder / "runs.csv"), str(folder / "report")],
            cwd=root if place == 0 else folder,
            env={**os.environ, **surroundings, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout.split() == ["False", "False"]
        assert not ran.stderr
        outputs.append({path.name: path.read_bytes() for path in (folder / "report").iterdir()})
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) == 13


@pytest.mark.slow
def test_the_order_of_the_rows_never_changes_a_byte(tmp_path: Path) -> None:
    in_order = rendered(tmp_path, MIXED, *TWO)

    @settings(max_examples=8, deadline=None)
    @given(shuffled=st.permutations(MIXED))
    def is_the_same(shuffled: list[Row]) -> None:
        assert rendered(tmp_path, shuffled, *TWO) == in_order

    is_the_same()


def test_a_missing_file_gives_the_same_report_as_an_empty_record(tmp_path: Path) -> None:
    files = render(read(tmp_path / "runs.csv"), synthetic.architectures(), structure_facts.load())
    assert files == rendered(tmp_path, [])


@pytest.mark.parametrize(("networks", "is_drawn"), [(20, True), (21, False)])
def test_more_than_twenty_networks_are_neither_drawn_nor_compared_in_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks: int, is_drawn: bool
) -> None:
    """Five hundred networks would take hours, and nobody reads so many panels."""
    drawn: list[str] = []
    monkeypatch.setattr(figures, "accuracy", lambda network: drawn.append(network.name) or Picture(b"", ""))
    for name in ("accuracy_overview", "time_to_target", "last_accuracy", "seconds_per_epoch"):
        monkeypatch.setattr(figures, name, lambda groups: Picture(b"", ""))
    names = [f"network_{number}" for number in range(networks)]
    several = {name: synthetic.with_recipe(ARCHITECTURES["unpadded"], name=name) for name in names}
    rows = [row for name in names for row in synthetic.run_rows(name, 1, [9950] * 19)]
    files = render(synthetic.record(tmp_path, rows), several, {})
    page = without_links(files["README.md"].decode() + files["data.md"].decode())
    assert drawn == (names if is_drawn else [])
    assert ("](accuracy.svg)" in page) == ("accuracy.svg" in files) == is_drawn
    assert ("Paired tests compare every two networks" in page) == is_drawn
    pairs = networks * (networks - 1) // 2 if is_drawn else 0
    assert len(json.loads(files["summary.json"])["between_networks"]) == 2 * pairs
    assert ("More than 20 networks have runs. This report does not compare or draw so many." in page) != is_drawn
    assert {page_of(name) for name in names} < files.keys()


def test_names_with_special_characters_break_no_table(tmp_path: Path) -> None:
    names = ["a|b", "two\nlines", "🚀 net", "`tick`", "*_[x](y)_*", "<b>&amp;", "$x$ \\", "x" * 300]
    architectures = {name: synthetic.with_recipe(ARCHITECTURES["unpadded"], name=name) for name in reversed(names)}
    note = "a | b\n🚀 <script> *x* `y`"
    rows = [
        *synthetic.run_rows("🚀 net", 1, synthetic.counts(1, 19), machine="A | machine `x` <i>"),
        *synthetic.run_rows("a|b", 1, [9900], ending=("error", note)),
    ]
    files = rendered(tmp_path, rows, architectures=architectures)
    page = _all_pages(files)
    for table in tables(page):
        assert len({len(row) for row in table}) == 1, table[0]
    assert "<script>" not in re.sub(r"\\<", "", page)
    assert "two lines" in page
    _check_figures(files)
    assert {name for name in files if name.startswith("accuracy-")} == {figure_of(name) for name in names}
    assert {page_of(name) for name in names} < files.keys()


def _all_pages(files: Mapping[str, bytes]) -> str:
    return "\n".join(content.decode() for name, content in files.items() if name.endswith(".md"))


def _check_figures(files: Mapping[str, bytes]) -> None:
    shown = re.findall(r"^!\[(.+)\]\(([^()]+)\)$", _all_pages(files), re.MULTILINE)
    assert sorted(name for _, name in shown) == sorted(name for name in files if name.endswith(".svg"))
    assert all(len(alt) > 20 for alt, _ in shown)


@pytest.mark.parametrize("rows", [[], MIXED])
def test_every_figure_is_shown_with_words_and_every_figure_shown_exists(tmp_path: Path, rows: list[Row]) -> None:
    _check_figures(rendered(tmp_path, rows))


def test_write_puts_every_file_in_the_folder(tmp_path: Path) -> None:
    record = synthetic.record(tmp_path, MIXED)
    write(record, synthetic.architectures(*TWO), tmp_path / "new" / "report")
    written = {path.name: path.read_bytes() for path in (tmp_path / "new" / "report").iterdir()}
    folder = tmp_path / "new" / "report"
    assert written == render(record, synthetic.architectures(*TWO), structure_facts.load(), folder=folder)


def test_the_report_of_one_network_writes_less_and_removes_the_rest_of_an_earlier_report(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    record = synthetic.record(tmp_path, [])
    assert write(record, synthetic.architectures(), folder) == ()
    (folder / "accuracy-mine.svg").write_text("<svg>not of a report</svg>")
    (folder / "notes.md").write_text("Mine.\n")
    (folder / "environments").mkdir()
    (folder / "gap_head.md").write_text("Nobody's page has this line: " + MARK)
    removed = write(record, synthetic.architectures("unpadded"), folder)
    gone = {"squeeze_fc", "expand_squeeze", "ten_twenty_thirty"}
    expected = {*(f"{name}.md" for name in gone), *(f"accuracy-{name}.svg" for name in (*gone, "gap_head"))}
    assert {path.name for path in removed} == expected
    left = {path.name for path in folder.iterdir()}
    assert not left & expected
    kept = {"accuracy-mine.svg", "notes.md", "environments", "gap_head.md"}
    assert left == kept | render(record, synthetic.architectures("unpadded"), structure_facts.load()).keys()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind) if name == "README.md" or kind == "file" else pytest.param(name, kind, marks=pytest.mark.slow)
        for name in ("README.md", "summary.json", "unpadded.md", "accuracy.svg", "methods.md")
        for kind in ("file", "empty", "folder", "broken link", "pipe")
    ],
)
def test_what_is_not_of_a_report_is_never_replaced(tmp_path: Path, name: str, kind: str) -> None:
    place = tmp_path / name
    if kind == "folder":
        place.mkdir()
    elif kind == "broken link":
        place.symlink_to(tmp_path / "nowhere")
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.write_text("" if kind == "empty" else f"# My project\n\nIt has a report {MARK}.\n")
    before = _identity(place)
    record = synthetic.record(tmp_path, [])
    with pytest.raises(UnusableInput, match=rf"{name}: not written by the `report` .* nothing was written: choose"):
        write(record, synthetic.architectures("unpadded"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((name, "runs.csv"))
    assert _identity(place) == before


def _identity(path: Path) -> tuple[int, int, int, int]:
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns


def test_a_report_replaces_an_earlier_one_even_where_somebody_has_added_to_it(tmp_path: Path) -> None:
    record = synthetic.record(tmp_path, MIXED)
    files = render(record, synthetic.architectures(*TWO), structure_facts.load())
    write(record, synthetic.architectures(*TWO), tmp_path / "report")
    for name in files:
        with (tmp_path / "report" / name).open("a") as file:
            file.write("more\n")
    write(record, synthetic.architectures(*TWO), tmp_path / "report")
    assert {name: (tmp_path / "report" / name).read_bytes() for name in files} == files


def test_the_details_of_recorded_environments_are_published(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    one = Environment((("device", "cpu"),))
    record = synthetic.record(tmp_path, synthetic.run_rows("unpadded", 1, [9900], environment=one.digest))
    environments.add(record.path, [one, EXACT])
    write(record, synthetic.architectures("unpadded"), folder)
    assert [path.name for path in (folder / "environments").iterdir()] == [f"{one.digest}.json"]
    assert environments.read_published(folder, [one.digest]) == {one.digest: one}


def test_readme_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr("bench.report.files.replace", lambda path, content: order.append(path.name))
    write(synthetic.record(tmp_path, []), synthetic.architectures("unpadded"), tmp_path / "report")
    assert order[-1] == "README.md"
    assert "summary.json" in order
