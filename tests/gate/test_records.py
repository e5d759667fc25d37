"""Tests of `records`: the gate reads a record and every file beside it, and fails on each unsound line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sample_rows import closing, row, text_of

from bench.errors import UnusableInput
from bench.gate import records
from bench.gate.records import check_record
from bench.network import structure_facts
from bench.record import catalogue, environments, misses, verifications
from bench.record.environments import EXACT
from bench.record.rows import COLUMNS, Run, format_line, format_row
from models import ARCHITECTURES

TODAY = ARCHITECTURES["unpadded"].digest
ROW = row(recipe=TODAY, environment=EXACT.digest, correct=9998)
RUN = Run("unpadded", TODAY, "cpu", EXACT.digest, 1, 1)
VERIFIED = verifications.Verified(*RUN.key, 1, True, "2026-01-02T00:00:00Z", EXACT.digest)
RUBBISH = ["", "rubbish\n", "\0\xff\n", "{}", '"', "model\nrubbish\n", "model,recipe\n" * 3]


@pytest.fixture
def runs(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(text_of(ROW))
    return path


def check(runs):
    """The failed checks as (file or network, text), and the texts of the others."""
    findings = check_record(runs, ARCHITECTURES)
    failed = [(one.subject.split("/")[-1], one.text) for one in findings if not one.passed]
    return failed, [one.text for one in findings if one.passed]


def test_a_sound_record_with_sound_files_beside_it_passes(runs):
    misses.Writer(runs).append(RUN, 1, [(8, 5, 6), (18, 3, 8)])
    verifications.Writer(runs).append(VERIFIED)
    environments.add(runs, [EXACT])
    assert check(runs) == (
        [],
        [
            "1 epoch, every line valid",
            f"{TODAY}, as of today",
            "the misses of 1 epoch, every line valid",
            "1 verification, every line valid",
            "1 environment, every digest valid",
        ],
    )


def test_files_that_are_not_beside_a_record_are_not_checked(runs):
    assert check(runs) == ([], ["1 epoch, every line valid", f"{TODAY}, as of today"])


def test_every_unsound_line_of_the_record_fails_and_is_named(runs):
    with runs.open("a") as file:
        file.write("nonsense\n" + format_row(replace(ROW, epoch=2)) + format_row(replace(ROW, model="nobody", epoch=1)))
    before = runs.read_bytes()
    assert [subject for subject, _ in check(runs)[0]] == ["runs.csv:3", "runs.csv:5"]
    assert runs.read_bytes() == before


def test_exact_runs_of_two_devices_with_different_results_fail_and_both_lines_are_named(runs):
    with runs.open("a") as file:
        file.write(format_row(replace(ROW, device="cuda")) + format_row(replace(ROW, device="mps", correct=9000)))
    contradicts = "epoch 1 of unpadded on mps, seed 1: contradicts line 2 (on cpu): correct is 9000 here and 9998 there"
    assert check(runs)[0] == [("runs.csv:4", f"{contradicts}; the run counts up to the epoch before")]


def test_a_record_without_an_epoch_fails(runs):
    runs.write_text(format_line(COLUMNS))
    assert check(runs) == ([("runs.csv", "has no epoch")], [])
    runs.write_text(text_of(replace(closing(1, status="interrupted"), recipe=TODAY)))
    assert check(runs)[0] == [("runs.csv", "has no epoch")]
    runs.write_text("")
    assert [subject for subject, _ in check(runs)[0]] == ["runs.csv:1"]


def test_no_more_problems_than_a_reader_can_use_are_shown(runs, monkeypatch):
    monkeypatch.setattr(records, "PROBLEMS_SHOWN", 2)
    with runs.open("a") as file:
        file.write("nonsense\n" * 5)
    assert [subject for subject, _ in check(runs)[0]] == ["runs.csv:3", "runs.csv:4", "runs.csv"]
    assert check(runs)[0][-1][1] == "and 3 more problems"


def test_no_record_is_an_error(tmp_path):
    with pytest.raises(UnusableInput, match="no such record to check"):
        check_record(tmp_path / "runs.csv", ARCHITECTURES)


@pytest.mark.parametrize("content", RUBBISH, ids=range(len(RUBBISH)))
@pytest.mark.parametrize("module", [misses, verifications], ids=["misses", "verified"])
def test_rubbish_in_a_file_beside_the_record_fails(runs, module, content):
    path = module.path_beside(runs)
    path.write_text(content, encoding="latin-1")
    subjects = {subject for subject, _ in check(runs)[0]}
    assert f"{path.name}:1" in subjects
    assert all(subject.startswith(f"{path.name}:") for subject in subjects)


@pytest.mark.parametrize("module", [misses, verifications], ids=["misses", "verified"])
def test_a_file_beside_the_record_that_cannot_be_read_fails(runs, module):
    path = module.path_beside(runs)
    path.mkdir()
    assert check(runs)[0] == [(f"{path.name}:1", "the file cannot be read (Is a directory) (left out)")]


@pytest.mark.parametrize("content", ["rubbish", '{"3448ed4c": {"arithmetic": "exact 2"}}', "{"])
def test_environments_that_are_not_what_their_digests_say_fail(runs, content):
    environments.path_beside(runs).write_text(content)
    ((subject, text),) = check(runs)[0]
    assert subject == "runs.environments.json"
    assert text.endswith(": get the file again, or move it away")


def test_rubbish_instead_of_users_networks_is_an_error(runs):
    catalogue.path_beside(runs).write_text("rubbish")
    with pytest.raises(UnusableInput, match=r"runs\.networks\.json: is not JSON"):
        check(runs)


def test_misses_that_contradict_the_record_fail(runs):
    misses.Writer(runs).append(RUN, 1, [(8, 5, 6)])
    ((subject, text),) = check(runs)[0]
    assert subject == "runs.misses.csv:2"
    assert text.startswith("epoch 1 of unpadded seed 1: 1 misses, but the record has 9998 of 10000 correct")


def test_a_verification_that_says_no_fails(runs):
    writer = verifications.Writer(runs)
    writer.append(VERIFIED)
    writer.append(replace(VERIFIED, identical=False))
    expected = "unpadded on cpu, seed 1: trained again in exact arithmetic, and the bits were not identical"
    assert check(runs)[0] == [("runs.verified.csv", expected)]


def test_the_same_bits_are_promised_of_an_exact_run_everywhere(runs):
    verifications.Writer(runs).append(replace(VERIFIED, identical=False, verified_in="0123abcd"))
    assert [subject for subject, _ in check(runs)[0]] == ["runs.verified.csv"]


def test_nothing_is_promised_of_a_native_run_that_is_verified_in_another_environment(runs):
    runs.write_text(text_of(replace(ROW, environment="89abcdef")))
    native = replace(VERIFIED, environment="89abcdef", identical=False)
    verifications.Writer(runs).append(replace(native, verified_in="0123abcd"))
    assert check(runs)[0] == []
    verifications.Writer(runs).append(replace(native, verified_in="89abcdef"))
    expected = "unpadded on cpu, seed 1: trained again in the same environment, and the bits were not identical"
    assert check(runs)[0] == [("runs.verified.csv", expected)]


def test_a_network_whose_runs_are_all_of_other_recipes_fails_and_both_are_named(runs):
    runs.write_text(
        format_line(COLUMNS)
        + format_row(replace(ROW, recipe="22222222"))
        + format_row(replace(ROW, recipe="11111111", status="interrupted"))
    )
    change = f"11111111 and 22222222 in {runs}, but today's network and recipe are {TODAY}"
    advice = "undo the change, or train the network again"
    assert check(runs)[0] == [("unpadded: recipe of the runs", f"{change}: {advice}")]
    with runs.open("a") as file:
        file.write(format_row(ROW))
    assert check(runs)[0] == []


def test_runs_in_which_only_one_kind_varies_are_of_todays_recipe(runs):
    recipe = ARCHITECTURES["unpadded"].varied("order").digest
    runs.write_text(format_line(COLUMNS) + format_row(replace(ROW, recipe=recipe)))
    assert check(runs)[0] == []


def test_the_recipe_of_a_users_network_is_that_of_its_file_beside_the_record(runs):
    own = replace(ARCHITECTURES["unpadded"], name="own", document=None)
    structure = structure_facts.load()["unpadded"]
    catalogue.add(runs, {"own": own}, {"own": structure})
    with runs.open("a") as file:
        file.write(format_row(replace(ROW, model="own")))
    assert check(runs)[0] == []
    changed = replace(own, recipe=replace(own.recipe, batch_size=64))
    catalogue.add(runs, {"own": changed}, {"own": structure})
    assert [subject for subject, _ in check(runs)[0]] == ["own: recipe of the runs"]


def test_the_misses_of_a_run_are_counted_by_epoch(runs):
    runs.write_text(text_of(ROW, row(2, recipe=TODAY, environment=EXACT.digest, correct=9998)))
    for epoch in (1, 2):
        misses.Writer(runs).append(RUN, epoch, [(8, 5, 6), (18, 3, 8)])
    assert "the misses of 2 epochs, every line valid" in check(runs)[1]
