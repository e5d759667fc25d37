"""Tests of `across` and `paired`: the page of data, with comparisons, environments, other recipes and problems."""

from __future__ import annotations

from pathlib import Path

import synthetic
from pages import section, tables
from reports import MIXED, TWO, page, readme, written

from bench.record.environments import EXACT


def test_with_five_seeds_the_page_says_that_no_difference_can_be_significant(tmp_path: Path) -> None:
    better = section(page("data.md", tmp_path, synthetic.full()), "## Networks side by side")
    assert "**No difference can be significant at 5 %, even if there is one.**" in better
    assert "With 10 seeds in common, a difference can be significant." in better


def test_with_twelve_seeds_a_plain_difference_is_significant(tmp_path: Path) -> None:
    rows = synthetic.full({"squeeze_fc": 9900, "gap_head": 9950}, seeds=range(1, 13))
    better = section(page("data.md", tmp_path, rows), "## Networks side by side")
    assert "2 of 2 tests are significant at 5 %" in better


def test_two_environments_of_one_device_are_named_apart(tmp_path: Path) -> None:
    rows = [*synthetic.full(seeds=(1, 2)), *synthetic.full(seeds=(1, 2), environment="99990000", machine="Another")]
    assert [row[1] for row in tables(readme(tmp_path, rows))[0][2:4]] == ["cpu 11112222", "cpu 99990000"]
    environments = section(page("data.md", tmp_path, rows), "## Environments")
    assert "`environments/11112222.json`" in environments
    assert "| Another |" in environments


def test_exact_runs_of_two_devices_are_one_place_and_each_device_has_its_speed(tmp_path: Path) -> None:
    """The CPU has seeds 1 to 5, the GPU seeds 4 to 8. Seeds 4 and 5 have the same bits on both."""
    rows = [
        row
        for device, seeds in (("cpu", range(1, 6)), ("cuda", range(4, 9)))
        for seed in seeds
        for row in synthetic.run_rows("unpadded", seed, [9941] * 19, environment=EXACT.digest, device=device)
    ]
    front = readme(tmp_path, rows, "unpadded")
    assert tables(front)[0][2][4] == "**8/8**"
    assert "8 of 8 seeds reached 9940 within 19 epochs" in front
    assert "--seeds 8 --devices cpu,cuda" in front
    told = "Of 2 exact runs trained on more than one device, 2 had the same bits on each. So the variance is 0."
    assert f"- **Device or environment**: {told} Details." in front
    data = page("data.md", tmp_path, rows, "unpadded")
    assert f"**Device or environment**: {told}\n" in data
    assert [row[1:4] for row in tables(section(data, "## Speed"))[0][2:]] == [
        [device, f"`{EXACT.digest}`", "95"] for device in ("cpu", "cuda")
    ]
    assert tables(section(data, "## Environments"))[0][2][1] == "cpu and cuda"


def test_a_seed_that_two_devices_contradict_is_named_on_every_page_and_counts_as_unfinished(tmp_path: Path) -> None:
    rows = [
        row
        for seed in range(1, 6)
        for row in synthetic.run_rows("unpadded", seed, [9941] * 19, environment=EXACT.digest)
    ]
    rows += synthetic.run_rows("unpadded", 3, [9900] * 19, environment=EXACT.digest, device="cuda")
    front, own = readme(tmp_path, rows, "unpadded"), page("unpadded.md", tmp_path, rows, "unpadded")
    assert "4 of 5 seeds reached 9940 within 19 epochs" in front
    assert "e-value 1.04 for" in front
    assert "Of 1 exact run trained on more than one device, 0 had the same bits on each." in front
    assert "seed 3 after epoch 0 (contradicted: the record has two different results of its epoch 1)" in own
    (problem,) = tables(section(page("data.md", tmp_path, rows, "unpadded"), "## What was left out"))[0][2:]
    assert problem[0] == "97"
    assert problem[1].startswith("epoch 1 of unpadded on cuda, seed 3: contradicts line 40 (on cpu): ")
    assert problem[2] == "read"


def test_of_many_machines_only_five_are_named(tmp_path: Path) -> None:
    """In exact arithmetic, one environment can have the runs of hundreds of machines."""
    rows = [row for seed in range(1, 9) for row in synthetic.run_rows("unpadded", seed, [9900], machine=f"M{seed}")]
    assert "| M1 or M2 or M3 or M4 or M5 or 3 more |" in section(page("data.md", tmp_path, rows), "## Environments")


def test_another_recipe_is_described_by_what_is_recorded_and_judged_nowhere(tmp_path: Path) -> None:
    """Its runs have other epochs and another target than the network has now, and nobody knows which."""
    other = [*synthetic.run_rows("unpadded", 1, [9900] * 24 + [9957], recipe="ffff0000")]
    other += synthetic.run_rows("unpadded", 2, [9950, 9940], recipe="ffff0000", ending=("diverged", "the loss is nan"))
    (table,) = tables(section(page("data.md", tmp_path, [*MIXED[:57], *other], *TWO), "## Runs of another recipe"))
    assert table[2] == ["`unpadded`", "`ffff0000`", "cpu", "`11112222`", "2", "2–25", "9950–9957", "9940–9957", "1"]
    without = [row for row in MIXED if row.recipe != "ffff0000"]
    with_it, alone = written(tmp_path, MIXED, *TWO), written(tmp_path, without, *TWO)
    for name in ("unpadded.md", "expand_squeeze.md", "methods.md"):
        assert with_it[name] == alone[name]
    assert with_it["data.md"].split("## Environments")[0] == alone["data.md"].split("## Environments")[0]


def test_problems_are_listed_with_line_and_reason_up_to_twenty(tmp_path: Path) -> None:
    rows = synthetic.full({"unpadded": 9900}, seeds=(1,))
    left_out = section(page("data.md", tmp_path, rows, extra="torn | line\n" * 30), "## What was left out")
    assert "30 problems" in left_out
    assert "… and 10 more." in left_out
    assert tables(left_out)[0][2] == ["21", "the line has 1 field, but the header has 18", "left out"]
    assert len(tables(left_out)[0]) == 22
