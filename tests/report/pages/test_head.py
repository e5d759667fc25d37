"""Tests of `head`: the finding and the first table, for every kind of record."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import synthetic
from own_networks import PLAIN
from pages import section, tables
from reports import MIXED, TWO, page, readme, without_links, written

from bench.evidence.summary import summarise
from bench.network import network_file, structure_facts
from bench.network.specification import Target
from bench.record.environments import EXACT
from bench.record.rows import Row
from bench.report.markdown import OVERVIEW
from bench.report.pages import head
from models import ARCHITECTURES


def page_of_network(folder: Path, rows: list[Row], *names: str) -> str:
    """The page of `unpadded`."""
    return page("unpadded.md", folder, rows, *names)


def test_an_empty_record_says_so(tmp_path: Path) -> None:
    front = readme(tmp_path, [])
    assert "**No run is recorded yet. Of the " in front
    assert "planned" not in front
    assert [row[4] for row in tables(front)[0][2:]] == ["no run"] * 5


def test_a_record_that_has_only_runs_of_a_kind_that_varies_says_so(tmp_path: Path) -> None:
    recipe = ARCHITECTURES["unpadded"].varied("order").digest
    front = readme(tmp_path, synthetic.full({"unpadded": 9900}, recipe=recipe), "unpadded")
    assert "**No ordinary run is recorded yet, only runs of `--vary`. Of the " in front


def test_one_epoch_is_no_plural(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(f'RECIPE = {{"epochs": 1}}\n{PLAIN}')
    own = network_file.read(tmp_path / "net.py")
    (claim,) = own.claims
    assert claim.text == "9940 of 10,000 within 1 epoch"
    rows = synthetic.run_rows("net", 1, [9950], recipe=own.digest)
    summary = summarise(synthetic.record(tmp_path, rows), {"net": own}, {})
    assert head._title(summary) == "99.4 % on MNIST in 1 epoch? One network, trained over seeds"


@pytest.mark.parametrize(
    ("at_target", "shown"), [(11, "1"), (10, "1, 1 seed not at the target"), (0, "11 seeds not at the target")]
)
def test_the_first_epochs_of_many_seeds_are_a_range(tmp_path: Path, at_target: int, shown: str) -> None:
    rows = [
        row
        for seed in range(1, 12)
        for row in synthetic.run_rows("unpadded", seed, [9940 if seed <= at_target else 9900] * 19)
    ]
    assert shown in tables(readme(tmp_path, rows, "unpadded"))[0][2]


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_and_two_seeds(tmp_path: Path, seeds: int) -> None:
    shown = written(tmp_path, synthetic.full(seeds=range(1, seeds + 1)))
    assert f"of {seeds * 5} runs" in without_links(shown["README.md"])
    assert ("One run gives no prediction interval" in without_links(shown["gap_head.md"])) == (seeds == 1)
    assert "No difference can be significant at 5 %" in shown["data.md"]
    assert not any("nan" in page for page in shown.values())


def test_partial_records_say_how_much_is_done(tmp_path: Path) -> None:
    rows = [row for row in synthetic.full({"unpadded": 9900}, seeds=(1, 2)) if row.seed == 1 or row.epoch <= 7]
    front = readme(tmp_path, rows)
    assert "**This record is partial: 26 epochs done of 38 planned.**" in front
    assert "Networks without a run: `squeeze_fc`, `expand_squeeze`, `ten_twenty_thirty`, `gap_head`." in front
    assert "never, > 7" in front
    assert "**26 epochs done of 38 planned; 1 of 2 runs complete.**" in page_of_network(tmp_path, rows)


def test_a_complete_record_does_not_say_partial(tmp_path: Path) -> None:
    assert "partial" not in readme(tmp_path, synthetic.full())


def test_claims_on_training_are_counted_apart_from_those_on_the_network_itself(tmp_path: Path) -> None:
    finding = readme(tmp_path, synthetic.full({"unpadded": 9900}, seeds=(1, 2)))
    assert "Of the 38 claims in five documents, 17 are about training: 1 does not hold and 16 " in finding
    assert "21 are about layers and parameters: 18 hold and 3 do not hold.**" in finding


def test_several_places_are_explained_below_the_first_table(tmp_path: Path) -> None:
    other = {"environment": "55556666", "machine": "Another processor; PyTorch 9.9.9"}
    rows = [*synthetic.full({"unpadded": 9940}, seeds=(1,)), *synthetic.full({"unpadded": 9940}, seeds=(1,), **other)]
    front = readme(tmp_path, rows, "unpadded")
    here, there = (f"1 run in the arithmetic of the environment {one}" for one in (f"`{synthetic.CPU}`", "`55556666`"))
    assert f"\n- cpu {synthetic.CPU}: {here}, trained on {synthetic.MACHINES[synthetic.CPU]}\n" in front
    assert f"\n- cpu 55556666: {there}, trained on Another processor; " in front
    assert "“On” is the place of the runs" not in readme(tmp_path, rows[:19], "unpadded")
    assert "**On cpu 55556666, 4 claims about training in one document: " in front
    assert "about layers and parameters: " not in front.split("## ")[0]  # the same in every place

    def overview(rows: list[Row]) -> str:
        one = summarise(synthetic.record(tmp_path, rows), synthetic.architectures("unpadded"), structure_facts.load())
        return head.lines(one, {OVERVIEW: "words"})[-2]

    assert overview(rows[:19]).startswith("A count above a panel is ")
    assert overview(rows) == "Every thin line is one seed, without smoothing."
    many = synthetic.full({"unpadded": 9940}, seeds=range(1, 22))
    assert overview(many).endswith("A thin line is one of the first 20 seeds, without smoothing.")


def test_exact_runs_are_labelled_exact_beside_native_runs_and_name_every_machine_once(tmp_path: Path) -> None:
    exact = [
        row
        for seed, machine in enumerate(("One processor", "Another processor"), start=1)
        for name in ("unpadded", "gap_head")[:seed]
        for row in synthetic.full({name: 9940}, seeds=(seed,), environment=EXACT.digest, machine=machine)
    ]
    native = synthetic.full({"unpadded": 9940}, seeds=(1,))
    front = readme(tmp_path, [*native, *exact], "unpadded", "gap_head")
    assert {row[1] for row in tables(front)[0][2:]} == {f"cpu {synthetic.CPU}", "cpu exact"}
    assert f", trained on {synthetic.MACHINES[synthetic.CPU]}\n" in front
    assert "\n- cpu exact: 3 runs in exact arithmetic, trained on Another processor or One processor\n" in front
    shown = written(tmp_path, [*native, *exact], "unpadded", "gap_head")
    assert "## Claims on cpu exact" in shown["unpadded.md"]
    (row,) = (line for line in section(shown["data.md"], "## Environments").splitlines() if EXACT.digest in line)
    assert "| Another processor or One processor |" in row


def test_exact_runs_alone_need_no_label(tmp_path: Path) -> None:
    front = readme(tmp_path, synthetic.full({"unpadded": 9940}, seeds=(1,), environment=EXACT.digest), "unpadded")
    assert "cpu exact" not in front


def test_two_devices_have_a_row_each_and_are_paired_by_seed(tmp_path: Path) -> None:
    front = readme(tmp_path, MIXED, *TWO)
    assert [row[:2] for row in tables(front)[0][2:]] == [
        ["`expand_squeeze`", "cpu"],
        ["`unpadded`", "cpu"],
        ["`unpadded`", "cuda"],
    ]
    shown = written(tmp_path, MIXED, *TWO)
    assert "## Claims on cuda" in shown["unpadded.md"]
    assert "2 paired tests" in section(shown["data.md"], "## Where does the variance come from?")


def test_a_diverged_run_counts_as_never_at_the_target(tmp_path: Path) -> None:
    rows = synthetic.run_rows("unpadded", 1, [9800, 9950], ending=("diverged", "the loss is nan"))
    front = readme(tmp_path, rows)
    row = next(row for row in tables(front)[0] if row[0] == "`unpadded`")
    assert row[4:6] == ["**0/1**", "diverged"]
    assert "“diverged” means that the loss was no longer finite" in front
    own = page_of_network(tmp_path, rows)
    (measured,) = tables(section(own, "## Time to target in epochs"))
    measures = {row[0]: row[1:] for row in measured}
    assert measures["seeds, k of n"] == ["0 of 1"] * 3
    assert measures["share, one-sided 95 % bounds"] == ["≥ 0.000, ≤ 0.950"] * 3
    assert "0 of 1 seed reached 9940 within 19 epochs; share at least 0.000, at most 0.950" in own
    assert "unfinished and without a value yet" not in own
    assert measures["Kaplan–Meier median"] == ["not reached"] * 3


def test_five_diverged_runs_decide_a_claim_and_a_later_interruption_moves_no_claim(tmp_path: Path) -> None:
    rows = [
        row
        for seed in range(1, 6)
        for row in synthetic.run_rows("unpadded", seed, [9800], ending=("diverged", "the loss is nan"))
    ]
    retried = [
        dataclasses.replace(row, status="interrupted", note="by SIGINT", recorded_at="2026-02-01T12:00:00Z")
        for row in rows
        if row.status == "diverged"
    ]
    before = readme(tmp_path, rows)
    assert "**does not hold**" in before
    assert readme(tmp_path, [*rows, *retried]) == before


def test_an_accuracy_of_another_total_is_compared_as_a_share(tmp_path: Path) -> None:
    architectures = {"unpadded": synthetic.with_recipe(ARCHITECTURES["unpadded"], target=Target(4970, 5000))}
    front = readme(tmp_path, synthetic.run_rows("unpadded", 1, [9939, 9940]), architectures=architectures)
    row = next(row for row in tables(front)[0] if row[0] == "`unpadded`")
    assert row[5] == "2"


def test_a_run_that_diverged_leaves_nothing_to_do(tmp_path: Path) -> None:
    rows = synthetic.full({"unpadded": 9900}, seeds=(1, 2))
    rows += synthetic.run_rows("unpadded", 3, [9800, 9810], ending=("diverged", "the loss is not finite"))
    shown = {name: without_links(page) for name, page in written(tmp_path, rows, "unpadded").items()}
    assert "partial" not in shown["README.md"]
    assert "may still rise" not in shown["README.md"]
    assert "epochs done of" not in shown["unpadded.md"]
    assert "seed 3 after epoch 2 (diverged: " in shown["unpadded.md"]


def test_a_record_that_has_only_runs_of_an_earlier_recipe_says_so_on_every_page(tmp_path: Path) -> None:
    rows = [
        *synthetic.full({"gap_head": 9945}, seeds=(1,)),
        *synthetic.run_rows("unpadded", 1, [9950] * 5, recipe="f" * 8),
    ]
    shown = {name: without_links(page) for name, page in written(tmp_path, rows, "gap_head", "unpadded").items()}
    assert "Networks without a run of their current recipe: `unpadded`." in shown["README.md"]
    assert "**Only runs of other recipes are recorded: see Runs of another recipe.**" in shown["unpadded.md"]
    shown = {name: without_links(page) for name, page in written(tmp_path, rows[-5:], "unpadded").items()}
    for name in ("README.md", "data.md"):
        assert "No run of the networks as they are now is recorded yet, only runs of other recipes." in shown[name]
        assert "No run is recorded" not in shown[name]
