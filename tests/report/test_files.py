"""The report: the same bytes for the same rows, and a place for everything that a record can hold.

After a change that is meant, `UPDATE_GOLDEN=1 pytest tests/test_report*.py` writes the golden files anew: read the
difference before committing it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import GOLDEN, anchors, check_golden, section, tables

from bench.evidence.summary import summarise
from bench.network import structure_facts
from bench.network.specification import Architecture, Target
from bench.record.record import read
from bench.record.rows import Row
from bench.report import figures
from bench.report.canvas import Picture
from bench.report.files import document, render, write
from bench.report.pages.markdown import FIGURE, code, figure_of, number, signed, text
from models import ARCHITECTURES

TWO = ("expand_squeeze", "unpadded")

MIXED: list[Row] = [
    *synthetic.full({"expand_squeeze": 9938}, seeds=(1, 2, 3)),
    *synthetic.run_rows("unpadded", 1, synthetic.counts(1, 19, 9941)),
    *synthetic.collapsing(3),
    *synthetic.run_rows("unpadded", 4, synthetic.counts(4, 6, 9930), ending=("error", "ran out of memory | at step 3")),
    *synthetic.run_rows(
        "unpadded", 1, synthetic.counts(8, 19, 9943), device="cuda", environment=synthetic.GPU, seconds=2
    ),
    *synthetic.run_rows("unpadded", 1, [9950] * 5, recipe="ffff0000"),
]
NO_PICTURES = defaultdict[str, str](lambda: "words that stand for a picture")
BROKEN_LINES = "not a row\n" + synthetic.text([synthetic.run_rows("nobody", 1, [9000])[0]]).split("\n")[1] + "\n"


def readme(
    folder: Path, rows: list[Row], *names: str, extra: str = "", architectures: Mapping[str, Architecture] | None = None
) -> str:
    """The report without drawing its pictures, which takes most of the time."""
    record = synthetic.record(folder, rows, extra)
    summary = summarise(record, architectures or synthetic.architectures(*names), structure_facts.load())
    return document(summary, NO_PICTURES)


def rendered(
    folder: Path, rows: list[Row], *names: str, extra: str = "", architectures: Mapping[str, Architecture] | None = None
) -> dict[str, bytes]:
    """All files of the report."""
    record = synthetic.record(folder, rows, extra)
    return render(record, architectures or synthetic.architectures(*names), structure_facts.load())


# --- golden -----------------------------------------------------------------------------------------------------------


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
    # Quantiles may differ in the last bit between releases of scipy, which no reader would see.
    assert _rounded(json.loads(files["summary.json"])) == _rounded(stored)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


# --- the same bytes ---------------------------------------------------------------------------------------------------

SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
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
        script = SCRIPT.format(tests=str(Path(__file__).parent), names=TWO)
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


def test_json_has_sorted_keys_and_only_numbers_that_json_knows(tmp_path: Path) -> None:
    content = rendered(tmp_path, MIXED, *TWO)["summary.json"].decode()
    parsed = json.loads(content, parse_constant=pytest.fail)
    assert json.dumps(parsed, indent=1, sort_keys=True) + "\n" == content


def test_json_and_readme_have_the_same_numbers(tmp_path: Path) -> None:
    files = rendered(tmp_path, synthetic.full())
    groups = json.loads(files["summary.json"])["networks"]["gap_head"]["groups"]
    (group,) = groups
    first = group["time_to_target"]["first"]
    row = next(row for row in tables(files["README.md"].decode())[0] if row[0] == "`gap_head`")
    assert row[4] == f"**{first['hits']}/{first['runs']}**"
    assert row[5] == ", ".join(str(seed["first"]) for seed in group["seeds"])
    assert float(row[6]) == pytest.approx(first["conditional_mean"], abs=0.05)
    assert float(row[7]) == pytest.approx(first["conditional_variance"], abs=0.05)


# --- what a record can hold -------------------------------------------------------------------------------------------


def test_an_empty_record_says_so(tmp_path: Path) -> None:
    page = readme(tmp_path, [])
    assert "**No run is recorded yet. Of the " in page
    assert "planned" not in page.split("## How each number")[0]
    assert [row[4] for row in tables(page)[0][2:]] == ["no run"] * 5


def test_a_missing_file_gives_the_same_report_as_an_empty_record(tmp_path: Path) -> None:
    record = read(tmp_path / "none.csv")
    files = render(record, synthetic.architectures(), structure_facts.load())
    assert files == rendered(tmp_path, [])


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_and_two_seeds(tmp_path: Path, seeds: int) -> None:
    page = readme(tmp_path, synthetic.full(seeds=range(1, seeds + 1)))
    assert f"of {seeds * 5} runs" in page
    assert ("One run gives no prediction interval" in page) == (seeds == 1)
    assert "nothing can be significant at 5 %" in page
    assert "nan" not in page


def test_partial_records_say_how_much_is_done(tmp_path: Path) -> None:
    rows = [row for row in synthetic.full({"unpadded": 9900}, seeds=(1, 2)) if row.seed == 1 or row.epoch <= 7]
    page = readme(tmp_path, rows)
    assert "**This record is partial: 26 epochs done of 38 planned**" in page
    assert "Networks without a run: `squeeze_fc`, `expand_squeeze`, `ten_twenty_thirty`, `gap_head`." in page
    assert "never, > 7" in page
    assert "**26 epochs done of 38 planned; 1 of 2 runs complete.**" in section(page, "## `unpadded`")


def test_a_complete_record_does_not_say_partial(tmp_path: Path) -> None:
    assert "partial" not in readme(tmp_path, synthetic.full())


def test_claims_on_training_are_counted_apart_from_those_on_the_network_itself(tmp_path: Path) -> None:
    finding = readme(tmp_path, synthetic.full({"unpadded": 9900}, seeds=(1, 2)))
    assert "Of the 38 claims in five documents, 17 are about training: 0 hold, " in finding
    assert "21 are about layers and parameters: 18 hold, 3 do not hold and 0 cannot be decided yet.**" in finding


def test_seeds_that_are_left_out_are_named(tmp_path: Path) -> None:
    page = readme(tmp_path, synthetic.full({"unpadded": 9900}, seeds=(1, 4)))
    assert page.count("Not recorded: seed 2, 3. The verdicts take seeds not to be chosen by their outcome.") == 1
    assert "Not recorded" not in readme(tmp_path, synthetic.full({"unpadded": 9900}, seeds=(1, 2)))
    assert "Not recorded: seed 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 …." in readme(
        tmp_path, synthetic.full({"unpadded": 9900}, seeds=(2**40,))
    )


def test_average_runtime_is_that_of_the_first_epoch_at_the_target_alone(tmp_path: Path) -> None:
    page = section(readme(tmp_path, synthetic.run_rows("unpadded", 1, [9950] * 19)), "## `unpadded`")
    measures = {row[0]: row[1:] for row in tables(page)[2]}
    assert measures["average runtime to a hit (aRT)"] == ["1.00", "–", "–"]


def test_a_seed_missing_in_one_network_is_not_paired(tmp_path: Path) -> None:
    rows = [row for row in synthetic.full(seeds=range(1, 6)) if row.model != "unpadded" or row.seed != 4]
    summary = summarise(synthetic.record(tmp_path, rows), synthetic.architectures(), structure_facts.load())
    for test in summary.between_networks:
        assert test.seeds == ((1, 2, 3, 5) if "unpadded" in (test.first, test.second) else (1, 2, 3, 4, 5))


def test_a_run_that_ended_early_is_named_with_its_reason(tmp_path: Path) -> None:
    page = readme(tmp_path, MIXED, *TWO)
    assert r"seed 4 after epoch 6 (error: ran out of memory \| at step 3)" in page
    assert "2 of 3 runs complete" in page


def test_a_run_that_crashed_in_its_first_epoch(tmp_path: Path) -> None:
    page = readme(tmp_path, synthetic.run_rows("unpadded", 1, [], ending=("timeout", "too slow")))
    assert "seed 1 after epoch 0 (timeout: too slow)" in page
    assert "> 0" in page


def test_a_diverged_run_never_reaches_the_target_any_more(tmp_path: Path) -> None:
    rows = synthetic.run_rows("unpadded", 1, [9800, 9950], ending=("diverged", "the loss is nan"))
    page = readme(tmp_path, rows)
    row = next(row for row in tables(page)[0] if row[0] == "`unpadded`")
    assert row[4:6] == ["**0/1**", "diverged"]
    assert "“diverged”: the loss was no longer finite" in page
    measures = {row[0]: row[1:] for row in tables(section(page, "## `unpadded`"))[2]}
    assert measures["seeds, k of n"] == ["0 of 1"] * 3
    assert measures["share, one-sided 95 % bounds"] == ["≥ 0.000, ≤ 0.950"] * 3
    assert "0 of 1 seed reached 9940 within 19 epochs; share at least 0.000, at most 0.950" in page
    assert "unfinished and not there yet" not in page
    assert measures["Kaplan–Meier median"] == ["not reached"] * 3


def test_an_unfinished_run_has_the_same_bounds_in_table_and_verdict(tmp_path: Path) -> None:
    rows = [*synthetic.full({"unpadded": 9900}, seeds=(1, 2)), *synthetic.run_rows("unpadded", 3, [9800] * 4)]
    page = section(readme(tmp_path, rows), "## `unpadded`")
    measures = {row[0]: row[1:] for row in tables(page)[2]}
    assert measures["seeds, k of n"] == ["0 of 3"] * 3
    assert measures["of the n, unfinished and not there yet"] == ["1"] * 3
    assert measures["Kaplan–Meier median"] == ["not determined yet"] * 3
    assert measures["share, one-sided 95 % bounds"] == ["≥ 0.000, ≤ 0.776"] * 3
    evidence = "0 of 3 seeds reached 9940 within 19 epochs (at it in the last epoch: 0 of 2), 1 unfinished"
    assert f"{evidence}; share at least 0.000, at most 0.776" in page


@pytest.mark.parametrize(("networks", "is_drawn"), [(20, True), (21, False)])
def test_more_than_twenty_networks_are_neither_drawn_nor_tested_two_by_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks: int, is_drawn: bool
) -> None:
    """Five hundred would take hours, and nobody reads so many panels."""
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
    assert ("The same seeds of two networks" in page) == is_drawn
    assert ("More than 20 networks: too many to test every two of them" in page) != is_drawn
    assert all(f"## `{name}`" in page for name in names)


def test_several_places_are_explained_below_the_first_table(tmp_path: Path) -> None:
    other = {"environment": "55556666", "machine": "Another processor; PyTorch 9.9.9"}
    rows = [*synthetic.full({"unpadded": 9940}, seeds=(1,)), *synthetic.full({"unpadded": 9940}, seeds=(1,), **other)]
    page = readme(tmp_path, rows, "unpadded")
    assert f"\n- cpu {synthetic.CPU}: {synthetic.MACHINES[synthetic.CPU]}\n- cpu 55556666: Another processor; " in page
    assert "never pooled ([details](#environments))" not in readme(tmp_path, rows[:19], "unpadded")


def test_an_unfinished_seed_is_left_out_of_paired_tests_and_a_diverged_one_has_none_correct(tmp_path: Path) -> None:
    rows = synthetic.full({"unpadded": 9945, "gap_head": 9945}, seeds=(1, 2))
    rows += synthetic.run_rows("unpadded", 3, [9950] * 5, ending=("diverged", "the loss is nan"))
    rows += synthetic.run_rows("unpadded", 4, [9950] * 5, ending=("error", "boom"))
    rows += synthetic.full({"gap_head": 9945}, seeds=(3, 4))
    summary = summarise(synthetic.record(tmp_path, rows), synthetic.architectures(), structure_facts.load())
    last, first = summary.between_networks
    assert last.seeds == first.seeds == (1, 2, 3)
    counts = {group.group.model: [seed.last or 0 for seed in group.seeds][:3] for group in summary.current}
    times = {group.group.model: [seed.first or 19 for seed in group.seeds][:3] for group in summary.current}
    assert (counts["unpadded"][2], times["unpadded"][2]) == (0, 19)
    assert last.test.difference == pytest.approx((sum(counts["unpadded"]) - sum(counts["gap_head"])) / 3)
    assert first.test.difference == pytest.approx((sum(times["unpadded"]) - sum(times["gap_head"])) / 3)


def test_two_devices_have_a_row_each_and_are_paired_by_seed(tmp_path: Path) -> None:
    page = readme(tmp_path, MIXED, *TWO)
    assert [row[:2] for row in tables(page)[0][2:]] == [
        ["`expand_squeeze`", "cpu"],
        ["`unpadded`", "cpu"],
        ["`unpadded`", "cuda"],
    ]
    assert "### `unpadded` on cuda" in page
    assert "2 paired tests" in section(page, "### Where does the variance come from?")


def test_two_environments_of_one_device_are_named_apart(tmp_path: Path) -> None:
    rows = [*synthetic.full(seeds=(1, 2)), *synthetic.full(seeds=(1, 2), environment="99990000", machine="Another")]
    page = readme(tmp_path, rows)
    assert [row[1] for row in tables(page)[0][2:4]] == ["cpu 11112222", "cpu 99990000"]
    environments = section(page, "## Environments")
    assert "`environments/11112222.json`" in environments
    assert "| Another |" in environments


def test_another_recipe_is_listed_and_judged_nowhere(tmp_path: Path) -> None:
    page = readme(tmp_path, MIXED, *TWO)
    assert "`ffff0000`" in section(page, "### Runs of another recipe")
    without = [row for row in MIXED if row.recipe != "ffff0000"]
    assert page.split("## Environments")[0] == readme(tmp_path, without, *TWO).split("## Environments")[0]


def test_problems_are_listed_with_line_and_reason_up_to_twenty(tmp_path: Path) -> None:
    rows = synthetic.full({"unpadded": 9900}, seeds=(1,))
    page = section(readme(tmp_path, rows, extra="torn | line\n" * 30), "## What was left out")
    assert "30 problems" in page
    assert "… and 10 more." in page
    assert tables(page)[0][2] == ["21", "1 fields where the header has 18", "left out"]
    assert len(tables(page)[0]) == 22


def test_names_that_break_tables_do_not(tmp_path: Path) -> None:
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


def test_an_accuracy_of_another_total_is_compared_as_a_share(tmp_path: Path) -> None:
    architectures = {"unpadded": synthetic.with_recipe(ARCHITECTURES["unpadded"], target=Target(4970, 5000))}
    page = readme(tmp_path, synthetic.run_rows("unpadded", 1, [9939, 9940]), architectures=architectures)
    row = next(row for row in tables(page)[0] if row[0] == "`unpadded`")
    assert row[5] == "2"


def test_many_seeds_are_summed_up(tmp_path: Path) -> None:
    rows = [
        row for seed in range(1, 31) for row in synthetic.run_rows("unpadded", seed, synthetic.counts(seed, 19, 9939))
    ]
    page = readme(tmp_path, rows)
    assert "| epoch | documented | lowest | median | highest | seeds at the target |" in page
    assert "seed 30" not in page
    assert max(map(len, page.split("\n"))) < 2000


def test_a_network_without_stored_structure_is_not_judged(tmp_path: Path) -> None:
    record = synthetic.record(tmp_path, synthetic.full({"unpadded": 9940}))
    files = render(record, synthetic.architectures("unpadded"), {})
    assert b"none of its claims is judged" in files["README.md"]


# --- what stands in it ------------------------------------------------------------------------------------------------


def test_every_claim_stands_in_its_networks_section_with_a_verdict(tmp_path: Path) -> None:
    page = readme(tmp_path, synthetic.full())
    for name, architecture in synthetic.architectures().items():
        claims = tables(section(page, f"## `{name}`"))[0][2:]
        assert [cells[0] for cells in claims] == [text(claim.text) for claim in architecture.document.claims]
        assert {cells[2].strip("*") for cells in claims} <= {"holds", "does not hold", "cannot be decided yet"}


def test_counts_at_the_target_are_bold_and_those_below_are_not(tmp_path: Path) -> None:
    page = readme(tmp_path, synthetic.run_rows("unpadded", 1, [9939, 9940, 9941]))
    accuracies = tables(section(page, "## `unpadded`"))[1]
    assert [row[2] for row in accuracies[2:5]] == ["9939", "**9940**", "**9941**"]


def test_collapses_are_counted_shown_and_explained(tmp_path: Path) -> None:
    page = section(readme(tmp_path, MIXED, *TWO), "## `unpadded`")
    assert "**Collapses: 1 of 3 seeds.**" in page
    assert "| seed 3 | 10 | 9912 | 7920 | 9921 | 1.0e-09 |" in page
    assert "the weights are fine" in page
    assert "7920 ↓" in page


def test_a_collapse_that_batch_statistics_do_not_mend_is_not_called_harmless(tmp_path: Path) -> None:
    rows = synthetic.run_rows("unpadded", 1, [9900, 9000, 9900], batch_statistics={2: 9100})
    assert "the weights are fine" not in readme(tmp_path, rows)


def test_the_golden_vector_of_time_to_target(tmp_path: Path) -> None:
    times = [12, 15, 17, 19, None]
    rows = [
        row
        for seed, time in enumerate(times, start=1)
        for row in synthetic.run_rows("gap_head", seed, [9940 if epoch == time else 9900 for epoch in range(1, 21)])
    ]
    measures = {row[0]: row[1] for row in tables(section(readme(tmp_path, rows), "## `gap_head`"))[2]}
    assert measures["restricted mean ± standard error"] == "16.60 ± 1.44"
    assert measures["Kaplan–Meier median"] == "17"
    assert measures["average runtime to a hit (aRT)"] == "20.75"
    assert measures["conditional mean"] == "15.75 (k = 4)"


def test_the_last_five_epochs_of_complete_runs_stand_beside_those_of_the_documented_log(tmp_path: Path) -> None:
    ends = {1: [9930, 9931, 9932, 9933, 9934], 2: [9940, 9940, 9940, 9940, 9942]}
    rows = [row for seed, end in ends.items() for row in synthetic.run_rows("gap_head", seed, [9900] * 15 + end)]
    rows += synthetic.run_rows("gap_head", 3, [9999] * 19)  # unfinished: its last five are other epochs
    assert (  # the log ends in 9950, 9955, 9944, 9948, 9952
        "Mean of the last 5 epochs, of 2 complete runs: from 9932.0 to 9940.4, 9936.2 on average; "
        "the documented run 9949.8 (+13.6)."
    ) in section(readme(tmp_path, rows), "## `gap_head`")


def test_fewer_than_five_documented_epochs_have_no_mean_of_five(tmp_path: Path) -> None:
    short = dataclasses.replace(ARCHITECTURES["gap_head"].recipe, epochs=4)
    network = {"gap_head": synthetic.with_recipe(ARCHITECTURES["gap_head"], recipe=short)}
    page = readme(tmp_path, synthetic.run_rows("gap_head", 1, [9941] * 4), architectures=network)
    assert "At the target in the last epoch: 1 of 1" in page
    assert "Mean of the last" not in page


def test_with_five_seeds_it_is_said_that_no_difference_can_be_significant(tmp_path: Path) -> None:
    better = section(readme(tmp_path, synthetic.full()), "### Which network is better?")
    assert "**nothing can be significant at 5 %, whatever the truth:**" in better
    assert "From 10 seeds in common on it can be." in better


def test_with_twelve_seeds_a_plain_difference_is_significant(tmp_path: Path) -> None:
    rows = synthetic.full({"squeeze_fc": 9900, "gap_head": 9950}, seeds=range(1, 13))
    better = section(readme(tmp_path, rows), "### Which network is better?")
    assert "2 of them significant at 5 %" in better


def _check_figures(files: Mapping[str, bytes]) -> None:
    shown = re.findall(r"^!\[(.+)\]\(([^()]+)\)$", files["README.md"].decode(), re.MULTILINE)
    assert {name for _, name in shown} == {name for name in files if name.endswith(".svg")}
    for alt, name in shown:
        assert len(alt) > 20
        assert FIGURE.fullmatch(name)


@pytest.mark.parametrize("rows", [[], MIXED])
def test_every_figure_is_shown_with_words_and_every_figure_shown_exists(tmp_path: Path, rows: list[Row]) -> None:
    _check_figures(rendered(tmp_path, rows))


def test_links_within_the_report_lead_somewhere(tmp_path: Path) -> None:
    page = readme(tmp_path, MIXED, *TWO)
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= anchors(page)


# --- on the disk ------------------------------------------------------------------------------------------------------


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


def test_readme_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr("bench.report.files.replace", lambda path, content: order.append(path.name))
    write(synthetic.record(tmp_path, []), synthetic.architectures("unpadded"), tmp_path / "report")
    assert order[-1] == "README.md"
    assert "summary.json" in order


# --- words ------------------------------------------------------------------------------------------------------------


@given(st.text(max_size=40))
def test_text_never_leaves_its_cell(value: str) -> None:
    for shown in (text(value), code(value)):
        assert len(re.split(r"(?<!\\)(?:\\\\)*\|", shown)) == 1
        assert shown.isprintable()
        assert not re.search(r"<(?!/?code>)", re.sub(r"\\.", "", shown))


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [(None, 1, "–"), (-0.04, 1, "0.0"), (-1.26, 1, "−1.3"), (12345, 0, "12,345"), (9917.84, 1, "9917.8"), (0, 0, "0")],
)
def test_number(value: float | None, digits: int, shown: str) -> None:
    assert number(value, digits) == shown


def test_signed() -> None:
    assert [signed(value) for value in (1.5, -1.5, 0.0, 0.04, None)] == ["+1.5", "−1.5", "0.0", "0.0", "–"]
    assert not math.isnan(float(number(0.0, 1)))


@given(st.text(min_size=1, max_size=80))
def test_the_picture_of_any_network_has_a_name_for_any_file_system(name: str) -> None:
    assert FIGURE.fullmatch(figure_of(name))
    assert len(figure_of(name)) < 100
