"""Tests of `files`: a report has the same bytes for the same rows, and every picture that its page names.

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
from reports import BROKEN_LINES, MIXED, TWO, rendered

from bench.network import structure_facts
from bench.record import environments
from bench.record.environments import EXACT, Environment
from bench.record.record import read
from bench.record.rows import Row
from bench.report import figures
from bench.report.canvas import Picture
from bench.report.files import render, write
from bench.report.pages.markdown import FIGURE, figure_of
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
    check_golden(folder / "README.md", files["README.md"].decode())
    if name != "mixed":
        return
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
    assert len(outputs[0]) == 8


def test_the_order_of_the_rows_never_changes_a_byte(tmp_path: Path) -> None:
    in_order = rendered(tmp_path, MIXED, *TWO)

    @settings(max_examples=8, deadline=None)
    @given(shuffled=st.permutations(MIXED))
    def is_the_same(shuffled: list[Row]) -> None:
        assert rendered(tmp_path, shuffled, *TWO) == in_order

    is_the_same()


def test_a_missing_file_gives_the_same_report_as_an_empty_record(tmp_path: Path) -> None:
    record = read(tmp_path / "none.csv")
    files = render(record, synthetic.architectures(), structure_facts.load())
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
    page = files["README.md"].decode()
    assert drawn == (names if is_drawn else [])
    assert ("](accuracy.svg)" in page) == ("accuracy.svg" in files) == is_drawn
    assert ("Paired tests compare every two networks" in page) == is_drawn
    assert ("More than 20 networks have runs. This report does not compare or draw so many." in page) != is_drawn
    assert all(f"## `{name}`" in page for name in names)


def test_names_with_special_characters_break_no_table(tmp_path: Path) -> None:
    names = ["a|b", "two\nlines", "🚀 net", "`tick`", "*_[x](y)_*", "<b>&amp;", "$x$ \\", "x" * 300]
    architectures = {name: synthetic.with_recipe(ARCHITECTURES["unpadded"], name=name) for name in reversed(names)}
    note = "a | b\n🚀 <script> *x* `y`"
    rows = [
        *synthetic.run_rows("🚀 net", 1, synthetic.counts(1, 19), machine="A | machine `x` <i>"),
        *synthetic.run_rows("a|b", 1, [9900], ending=("error", note)),
    ]
    files = rendered(tmp_path, rows, architectures=architectures)
    page = files["README.md"].decode()
    for table in tables(page):
        assert len({len(row) for row in table}) == 1, table[0]
    assert "<script>" not in re.sub(r"\\<", "", page)
    assert "two lines" in page
    _check_figures(files)
    assert {name for name in files if name.startswith("accuracy-")} == {figure_of(name) for name in names}


def _check_figures(files: Mapping[str, bytes]) -> None:
    shown = re.findall(r"^!\[(.+)\]\(([^()]+)\)$", files["README.md"].decode(), re.MULTILINE)
    assert {name for _, name in shown} == {name for name in files if name.endswith(".svg")}
    for alt, name in shown:
        assert len(alt) > 20
        assert FIGURE.fullmatch(name)


@pytest.mark.parametrize("rows", [[], MIXED])
def test_every_figure_is_shown_with_words_and_every_figure_shown_exists(tmp_path: Path, rows: list[Row]) -> None:
    _check_figures(rendered(tmp_path, rows))


def test_write_puts_every_file_in_the_folder(tmp_path: Path) -> None:
    record = synthetic.record(tmp_path, MIXED)
    write(record, synthetic.architectures(*TWO), tmp_path / "new" / "report")
    written = {path.name: path.read_bytes() for path in (tmp_path / "new" / "report").iterdir()}
    assert written == render(record, synthetic.architectures(*TWO), structure_facts.load())


def test_write_removes_its_own_stale_figures_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    record = synthetic.record(tmp_path, [])
    write(record, synthetic.architectures(), folder)
    (folder / "accuracy-mine.svg").write_text("named by nobody")
    (folder / "environments").mkdir()
    (folder / "notes.svg").write_text("named, but not one of the report's")
    (folder / "README.md").open("a").write("\n![mine](notes.svg)\n")
    write(record, synthetic.architectures("unpadded"), folder)
    left = {path.name for path in folder.iterdir()}
    assert not (folder / "accuracy-gap_head.svg").exists()
    assert {"accuracy-unpadded.svg", "accuracy-mine.svg", "notes.svg", "environments"} <= left


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
