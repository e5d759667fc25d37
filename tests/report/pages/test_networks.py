"""Tests of `networks` and `epochs`: the page of one network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import synthetic
from pages import section, tables
from reports import MIXED, TWO, without_links, written

from bench.record.rows import Row
from bench.report.files import render
from bench.report.markdown import text
from models import ARCHITECTURES


def unpadded(folder: Path, rows: list[Row], *names: str) -> str:
    """The page of this network."""
    return without_links(written(folder, rows, *names)["unpadded.md"])


def measured(page: str) -> dict[str, list[str]]:
    """The table of the time to target, by measure."""
    return {row[0]: row[1:] for row in tables(section(page, "## Time to target in epochs"))[0]}


def test_every_claim_has_a_verdict_on_the_page_of_its_network(tmp_path: Path) -> None:
    pages = written(tmp_path, synthetic.full())
    for name, architecture in synthetic.architectures().items():
        claims = tables(section(without_links(pages[f"{name}.md"]), "## Claims"))[0][2:]
        assert [cells[0] for cells in claims] == [text(claim.text) for claim in architecture.document.claims]
        assert {cells[2].strip("*") for cells in claims} <= {"holds", "does not hold", "cannot be decided yet"}


def test_missing_seeds_are_named(tmp_path: Path) -> None:
    page = unpadded(tmp_path, synthetic.full({"unpadded": 9900}, seeds=(1, 4)))
    assert (
        page.count("Seeds not recorded: 2, 3. The verdicts assume that no seed is missing because of its result.") == 1
    )
    assert "Seeds not recorded" not in unpadded(tmp_path, synthetic.full({"unpadded": 9900}, seeds=(1, 2)))
    assert "Seeds not recorded: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 …." in unpadded(
        tmp_path, synthetic.full({"unpadded": 9900}, seeds=(2**40,))
    )


def test_a_run_that_ended_early_is_named_with_its_reason(tmp_path: Path) -> None:
    page = unpadded(tmp_path, MIXED, *TWO)
    assert r"seed 4 after epoch 6 (error: ran out of memory \| at step 3)" in page
    assert "2 of 3 runs complete" in page


def test_a_run_that_crashed_in_its_first_epoch(tmp_path: Path) -> None:
    page = unpadded(tmp_path, synthetic.run_rows("unpadded", 1, [], ending=("timeout", "too slow")))
    assert "seed 1 after epoch 0 (timeout: too slow)" in page
    assert "> 0" in page


def test_one_epoch_is_no_plural(tmp_path: Path) -> None:
    pages = written(tmp_path, synthetic.run_rows("unpadded", 1, [9900]), "unpadded")
    assert "**1 epoch done of 19 planned; 0 of 1 run complete.**" in without_links(pages["unpadded.md"])
    assert "**This record is partial: 1 epoch done of 19 planned.**" in without_links(pages["README.md"])


def test_counts_at_the_target_are_bold_and_those_below_are_not(tmp_path: Path) -> None:
    page = unpadded(tmp_path, synthetic.run_rows("unpadded", 1, [9939, 9940, 9941]))
    (accuracies,) = tables(section(page, "## Correct test images by epoch"))
    assert [row[2] for row in accuracies[2:5]] == ["9939", "**9940**", "**9941**"]


def test_many_seeds_are_summarised(tmp_path: Path) -> None:
    rows = [
        row for seed in range(1, 31) for row in synthetic.run_rows("unpadded", seed, synthetic.counts(seed, 19, 9939))
    ]
    page = unpadded(tmp_path, rows)
    assert "| epoch | documented | lowest | median | highest | seeds at the target |" in page
    assert "seed 30" not in page
    assert max(map(len, page.split("\n"))) < 2000


def test_average_runtime_is_that_of_the_first_epoch_at_the_target_alone(tmp_path: Path) -> None:
    measures = measured(unpadded(tmp_path, synthetic.run_rows("unpadded", 1, [9950] * 19)))
    assert measures["average runtime to a hit (aRT)"] == ["1.00", "–", "–"]


def test_an_unfinished_run_has_the_same_bounds_in_table_and_verdict(tmp_path: Path) -> None:
    rows = [*synthetic.full({"unpadded": 9900}, seeds=(1, 2)), *synthetic.run_rows("unpadded", 3, [9800] * 4)]
    page = unpadded(tmp_path, rows)
    measures = measured(page)
    assert measures["seeds, k of n"] == ["0 of 3"] * 3
    assert measures["of these n, unfinished and without a value yet"] == ["1"] * 3
    assert measures["Kaplan–Meier median"] == ["not determined yet"] * 3
    assert measures["share, one-sided 95 % bounds"] == ["≥ 0.000, ≤ 0.776"] * 3
    kept = "at or above it in the last epoch: 0 of 2 complete seeds"
    evidence = f"0 of 3 seeds reached 9940 within 19 epochs ({kept}), 1 unfinished"
    assert f"{evidence}; share at least 0.000, at most 0.776" in page


def test_the_golden_vector_of_time_to_target(tmp_path: Path) -> None:
    times = [12, 15, 17, 19, None]
    rows = [
        row
        for seed, time in enumerate(times, start=1)
        for row in synthetic.run_rows("gap_head", seed, [9940 if epoch == time else 9900 for epoch in range(1, 21)])
    ]
    measures = measured(without_links(written(tmp_path, rows)["gap_head.md"]))
    assert measures["restricted mean ± standard error"][0] == "16.60 ± 1.44"
    assert measures["Kaplan–Meier median"][0] == "17"
    assert measures["average runtime to a hit (aRT)"][0] == "20.75"
    assert measures["conditional mean"][0] == "15.75 (k = 4)"


def test_the_last_five_epochs_are_compared_with_those_of_the_documented_log(tmp_path: Path) -> None:
    ends = {1: [9930, 9931, 9932, 9933, 9934], 2: [9940, 9940, 9940, 9940, 9942]}
    rows = [row for seed, end in ends.items() for row in synthetic.run_rows("gap_head", seed, [9900] * 15 + end)]
    rows += synthetic.run_rows("gap_head", 3, [9999] * 19)  # this run is unfinished, so its last five epochs are others
    assert (  # the log ends in 9950, 9955, 9944, 9948, 9952
        "Mean of the last 5 epochs of 2 complete runs: from 9932.0 to 9940.4, median 9936.2. "
        "The documented run: 9949.8, above 2 of 2 (difference from the median +13.6)."
    ) in without_links(written(tmp_path, rows)["gap_head.md"])


def test_a_documented_run_of_an_earlier_network_is_named_so_wherever_it_stands_beside_the_seeds(tmp_path: Path) -> None:
    pages = written(tmp_path, synthetic.full({"squeeze_fc": 9920, "gap_head": 9930}), "squeeze_fc", "gap_head")
    earlier, own = pages["squeeze_fc.md"], pages["gap_head.md"]
    run = "documented run of an earlier network"
    for said in (
        f"The {run} ends at 9922, ",
        f"The {run}: 9915.0, above ",
        f"| the {run} |",
    ):
        assert said in earlier
    assert earlier.lower().count("documented run") == earlier.count(run)
    assert own.lower().count("documented run") == earlier.count(run)
    assert run not in own


def test_fewer_than_five_documented_epochs_have_no_mean_of_five(tmp_path: Path) -> None:
    short = dataclasses.replace(ARCHITECTURES["gap_head"].recipe, epochs=4)
    network = {"gap_head": synthetic.with_recipe(ARCHITECTURES["gap_head"], recipe=short)}
    page = written(tmp_path, synthetic.run_rows("gap_head", 1, [9941] * 4), architectures=network)["gap_head.md"]
    assert "in the last epoch: 1 of 1" in page
    assert "ean of the last" not in page


def test_collapses_are_counted_shown_and_explained(tmp_path: Path) -> None:
    page = unpadded(tmp_path, MIXED, *TWO)
    assert "1 of 3 seeds collapses." in section(page, "## Collapses on cpu")
    assert "| seed 3 | 5 | 13 | 9912 | 7754 | 9930 | 1.0e-09 |" in page
    assert "the running statistics of batch norm are to blame" in page
    assert "7920 ↓" in page


def test_a_seed_that_collapses_in_several_epochs_has_one_row_with_the_deepest(tmp_path: Path) -> None:
    correct = [9900, 9000, 8000, 9900, 9910, 9500]
    rows = synthetic.run_rows("unpadded", 1, correct, batch_statistics={2: 9890, 3: 9880, 6: 9870})
    found = section(unpadded(tmp_path, rows), "## Collapses")
    assert "| seed 1 | 3 | 3 | 9900 | 8000 | 9880 | 1.0e-09 |" in found
    assert "In 3 of 3 epochs, the same weights" in found


def test_more_than_twenty_seeds_that_collapse_are_counted_and_twenty_shown(tmp_path: Path) -> None:
    rows = [row for seed in range(1, 23) for row in synthetic.run_rows("unpadded", seed, [9900, 9000])]
    found = section(unpadded(tmp_path, rows), "## Collapses")
    assert len(tables(found)[0]) == 2 + 20
    assert "22 of 22 seeds collapse." in found
    assert "The table shows the first 20 of these seeds." in found


def test_the_cause_of_a_collapse_is_named_only_where_a_running_variance_has_vanished(tmp_path: Path) -> None:
    rows = synthetic.run_rows("unpadded", 1, [9900, 9000, 9900], batch_statistics={2: 9890})
    page = section(unpadded(tmp_path, rows), "## Collapses")
    assert "In 1 of them, a channel has almost no running variance: before batch norm it is zero" in page
    assert "If a ReLU stands before batch norm" in page
    for variance in (0.16, None):
        usual = [dataclasses.replace(row, smallest_variance=variance) for row in rows]
        page = section(unpadded(tmp_path, usual), "## Collapses")
        assert "There the running statistics of batch norm are to blame, more than the weights." in page
        assert "almost no running variance" not in page
        assert "If a ReLU stands" not in page


def test_claims_about_layers_stand_once_on_the_page_of_a_network_with_runs_in_two_places(tmp_path: Path) -> None:
    rows = synthetic.full({"unpadded": 9940}, seeds=(1,))
    page = unpadded(tmp_path, rows)
    assert "## Claims about layers and parameters" not in page
    assert page.count("fewer than 20,000 parameters") == 1
    rows += synthetic.full({"unpadded": 9940}, seeds=(1,), environment="55556666")
    page = unpadded(tmp_path, rows)
    assert page.count("fewer than 20,000 parameters") == 1
    assert "fewer than 20,000 parameters" in section(page, "## Claims about layers and parameters")
    assert page.count("| 99.51 % in the end |") == 2


def test_many_seeds_are_shown_together_and_not_one_by_one(tmp_path: Path) -> None:
    rows = synthetic.full({"unpadded": 9940}, seeds=range(1, 12))
    assert "all 11 seeds" in section(unpadded(tmp_path, rows), "## All seeds together")
    assert "seed 10" in section(unpadded(tmp_path, rows[: 10 * 19]), "## Seed by seed")


def test_the_running_statistics_are_to_blame_for_a_collapse_if_half_of_the_fall_is_back_without_them(
    tmp_path: Path,
) -> None:
    for back, are_to_blame in ((9449, False), (9450, True)):
        rows = synthetic.run_rows("unpadded", 1, [9900, 9000, 9900], batch_statistics={2: back})
        page = unpadded(tmp_path, rows)
        assert ("In 1 of 1 epoch, the same weights have at least half of the fall back" in page) == are_to_blame
        assert ("No evaluation with batch statistics recovers these epochs" in page) != are_to_blame


def test_a_network_without_stored_structure_is_not_judged(tmp_path: Path) -> None:
    record = synthetic.record(tmp_path, synthetic.full({"unpadded": 9940}))
    files = render(record, synthetic.architectures("unpadded"), {})
    assert b"none of its claims is judged" in files["unpadded.md"]
    assert b"Which claims" not in files["README.md"]
