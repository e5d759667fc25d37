"""Tests of `merge` and `merge_rows`: joined records lose nothing, and contradictions are refused with both places."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import files
from bench.cli import parser
from bench.errors import UnusableInput
from bench.network import structure_facts
from bench.network.specification import Architecture, Recipe, Target
from bench.record import catalogue, environments, misses, record, verifications
from bench.record.environments import EXACT, Environment
from bench.record.merging import merge
from bench.record.misses import path_beside
from bench.record.rows import Row
from bench.record.verifications import Verified
from bench.report.files import write as write_report
from models import ARCHITECTURES

ROWS = synthetic.run_rows("unpadded", 7, [9900, 9939, 9941])
LATER = "2026-02-28T12:00:00Z"
DESCRIBED = Environment((("device", "cpu"),))

Refused = Callable[..., str]


def write(path: Path, rows: Iterable[Row], **beside: Any) -> Path:
    """A record of these rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(synthetic.text(rows), encoding="utf-8")
    if beside:
        synthetic.write_beside(path, **beside)
    return path


def again(rows: Iterable[Row], **changes: Any) -> list[Row]:
    """The same epochs, recorded later and trained slower."""
    return [dataclasses.replace(row, **{"recorded_at": LATER, "train_seconds": 99.0, **changes}) for row in rows]


def verified(seed: int, **changes: str) -> list[str]:
    values = ["unpadded", synthetic.RECIPE, "cpu", synthetic.CPU, str(seed), "3", "yes", LATER, synthetic.CPU, ""]
    fields = dict(zip(verifications.COLUMNS, values, strict=True)) | changes
    return list(fields.values())


@pytest.fixture
def joined(tmp_path: Path) -> Callable[..., str]:
    """Joins records, each given by its rows, and returns the text of the result."""

    def text(*records: Iterable[Row]) -> str:
        sources = [write(tmp_path / f"{place}.csv", rows) for place, rows in enumerate(records)]
        target = tmp_path / "all.csv"
        target.unlink(missing_ok=True)
        merge.merge(sources, target)
        return target.read_text(encoding="utf-8")

    return text


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Joins `a.csv` and `b.csv`, which must be refused without writing anything, and returns the message."""
    monkeypatch.chdir(tmp_path)

    def said(*records: Iterable[Row] | str) -> str:
        sources = [Path(name) for name in ("a.csv", "b.csv")]
        for source, rows in zip(sources, records, strict=True):
            source.write_text(rows if isinstance(rows, str) else synthetic.text(rows), encoding="utf-8")
        before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
        with pytest.raises(UnusableInput) as error:
            merge.merge(sources, Path("all.csv"))
        assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
        return str(error.value)

    return said


# The joined record

RUNS = [
    *synthetic.run_rows("gap_head", 1, [9900, 9941, 9950]),
    *synthetic.run_rows("unpadded", 1, [9900, 9939], ending=("interrupted", "by Ctrl-C, in epoch 3")),
    *synthetic.run_rows("unpadded", 1, [9910], device="cuda", environment=synthetic.GPU),
    *synthetic.run_rows("unpadded", 2**64 - 1, [9900, 0], batch_statistics={2: 9899}),
    *synthetic.run_rows("somebody's", 3, [], ending=("diverged", "the loss is nan, at step 3")),
]
WHOLE = sorted(RUNS, key=lambda row: (row.model, row.device, row.seed, row.epoch))


@pytest.mark.slow
@given(st.lists(st.sets(st.sampled_from(range(len(WHOLE)))), min_size=1, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_a_record_split_into_overlapping_parts_comes_back(
    tmp_path_factory: pytest.TempPathFactory, chosen: list[set[int]], draw: Any
) -> None:
    parts = [[WHOLE[place] for place in part] for part in chosen]
    parts.append([row for place, row in enumerate(WHOLE) if not any(place in part for part in chosen)])
    for part in parts:
        draw.shuffle(part)
    folder = tmp_path_factory.mktemp("parts")
    merge.merge([write(folder / f"{n}.csv", part) for n, part in enumerate(parts)], folder / "all.csv")
    assert (folder / "all.csv").read_text(encoding="utf-8") == synthetic.text(WHOLE)


@given(st.lists(st.lists(st.sampled_from(range(3)), unique=True), min_size=2, max_size=3), st.permutations(range(3)))
@settings(max_examples=12)
def test_the_order_of_the_records_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, chosen: list[list[int]], order: Sequence[int]
) -> None:
    """This holds even if everybody has trained the same epochs, in the same second or not."""
    people = [
        [*ROWS, *(again(ROWS, recorded_at=f"2026-02-0{n}T12:00:00Z", train_seconds=float(n))[place] for place in part)]
        for n, part in enumerate([*chosen, [0]][:3], start=1)
    ]
    folder = tmp_path_factory.mktemp("orders")
    sources = [write(folder / f"{n}.csv", rows) for n, rows in enumerate(people)]
    merge.merge(sources, folder / "one.csv")
    merge.merge([sources[n] for n in order], folder / "another.csv")
    assert (folder / "one.csv").read_bytes() == (folder / "another.csv").read_bytes()


def test_an_epoch_trained_twice_is_kept_as_it_was_recorded_first(joined: Callable[..., str]) -> None:
    assert joined(again(ROWS), ROWS) == synthetic.text(ROWS)


def test_the_first_row_is_kept_and_its_empty_fields_are_filled_from_the_next(joined: Callable[..., str]) -> None:
    """A record of an earlier version lacks the columns that are not required."""
    older = [dataclasses.replace(row, machine="", smallest_variance=None) for row in ROWS]
    newer, newest = again(ROWS), again(ROWS, recorded_at="2026-03-01T12:00:00Z", correct_batch_statistics=9000)
    kept = [dataclasses.replace(row, correct_batch_statistics=9000) for row in ROWS]
    assert joined(newest, older, newer) == synthetic.text(kept)


def test_the_seconds_of_an_exact_run_never_stand_beside_the_name_of_another_machine(joined: Callable[..., str]) -> None:
    older = [dataclasses.replace(row, machine="", smallest_variance=None) for row in EXACT_ROWS]
    expected = [dataclasses.replace(row, machine="") for row in EXACT_ROWS]
    assert joined(elsewhere(EXACT_ROWS), older) == synthetic.text(expected)


def test_a_run_partial_in_one_record_and_complete_in_another_is_complete(joined: Callable[..., str]) -> None:
    stopped = synthetic.run_rows("unpadded", 7, [9900], ending=("interrupted", "by SIGTERM"))
    later = again(ROWS)
    assert joined(stopped, later) == synthetic.text([*stopped, *later[1:]])


def test_a_closing_row_that_stands_in_both_records_is_kept_once(joined: Callable[..., str]) -> None:
    stopped = synthetic.run_rows("unpadded", 7, [9900], ending=("timeout", "no epoch for 600 s"))
    assert joined(stopped, stopped) == synthetic.text(stopped)
    twice = again(stopped[1:], train_seconds=None)
    assert joined(stopped, [stopped[0], *twice]) == synthetic.text([*stopped, *twice])


def test_two_endings_of_the_same_second_with_other_notes_are_both_kept(joined: Callable[..., str]) -> None:
    ours, theirs = (synthetic.run_rows("unpadded", 7, [], ending=("error", note)) for note in "ab")
    assert joined(theirs, ours) == synthetic.text([*ours, *theirs])


def test_of_two_rows_of_the_same_second_the_same_one_is_kept_in_any_order(joined: Callable[..., str]) -> None:
    ours, theirs = ROWS, [dataclasses.replace(row, train_seconds=99.0) for row in ROWS]
    assert joined(ours, theirs) == joined(theirs, ours) == synthetic.text(ours)


def test_floats_are_written_as_they_were(joined: Callable[..., str]) -> None:
    odd = again(ROWS[:1], test_loss=0.1 + 0.2, train_loss=5e-324, smallest_variance=1e22, eval_seconds=2.0)
    assert joined(odd, odd) == synthetic.text(odd)


# Refusals


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"correct": 9940}, "correct is 9940 here and 9939 there"),
        ({"total": 9999}, "total is 9999 here and 10000 there"),
        ({"test_loss": 0.02 + 2**-58}, "test_loss is 0.020000000000000004 here and 0.02 there"),
        ({"train_loss": 0.5}, "train_loss is 0.5 here and 0.03 there"),
        ({"smallest_variance": 0.5}, "smallest_variance is 0.5 here and 0.01 there"),
    ],
)
def test_a_contradiction_is_refused_with_the_place_of_both_lines(
    refused: Refused, change: dict[str, Any], what: str
) -> None:
    message = refused(ROWS, [ROWS[0], *again(ROWS[1:2], **change)])
    assert message.startswith(f"b.csv:3: contradicts a.csv:3: epoch 2 of unpadded on cpu, seed 7: {what}: ")


def test_contradictions_are_counted(refused: Refused) -> None:
    message = refused(ROWS, again(ROWS, train_loss=0.5))
    assert message.startswith("b.csv:2: contradicts a.csv:2: epoch 1 of unpadded")
    assert "train_loss is 0.5 here and 0.03 there (3 epochs contradict): " in message


def test_an_epoch_with_several_other_values_is_one_contradiction(refused: Refused) -> None:
    message = refused(ROWS, again(ROWS, train_loss=0.5, correct=1))
    assert "correct is 1 here and 9900 there (3 epochs contradict): " in message


def test_other_counts_with_the_statistics_of_each_batch_are_a_contradiction(refused: Refused) -> None:
    ours, theirs = ([dataclasses.replace(ROWS[0], correct_batch_statistics=one)] for one in (9000, 9001))
    message = refused(ours, theirs)
    assert "epoch 1 of unpadded on cpu, seed 7: correct_batch_statistics is 9001 here and 9000 there: " in message


def test_a_contradiction_within_one_record_is_refused_too(refused: Refused) -> None:
    message = refused([*ROWS, dataclasses.replace(ROWS[1], correct=9000)], [])
    assert message.startswith(
        "a.csv:5: contradicts a.csv:3: epoch 2 of unpadded on cpu, seed 7: correct is 9000 here and 9939 there"
    )


def test_a_value_that_a_third_record_lacks_hides_no_contradiction(tmp_path: Path) -> None:
    values = (0.01, None, 0.5)
    sources = [
        write(tmp_path / f"{n}.csv", [dataclasses.replace(ROWS[0], smallest_variance=value)])
        for n, value in enumerate(values)
    ]
    with pytest.raises(
        UnusableInput, match=r"2\.csv:2: contradicts .*0\.csv:2: .* smallest_variance is 0\.5 here and 0\."
    ):
        merge.merge(sources, tmp_path / "all.csv")


def test_an_epoch_of_a_run_that_diverged_elsewhere_is_a_contradiction(refused: Refused) -> None:
    diverged = synthetic.run_rows("unpadded", 7, [9900], ending=("diverged", "the loss is nan"))
    message = refused(diverged, ROWS)
    assert message.startswith(
        "b.csv:3: contradicts a.csv:3: epoch 2 of unpadded on cpu, seed 7: finished here, but there the run "
    )
    assert "diverged in epoch 2 (2 epochs contradict): " in message


def test_an_epoch_of_another_environment_or_recipe_is_no_contradiction(joined: Callable[..., str]) -> None:
    for change in ({"environment": synthetic.GPU}, {"recipe": "ffff0000"}, {"device": "mps"}, {"seed": 8}):
        assert joined(ROWS, again(ROWS, correct=9000, **change)).count("\n") == 7


def test_a_gap_that_no_record_fills_is_refused(refused: Refused) -> None:
    message = refused(ROWS[:1], ROWS[2:])
    assert message.startswith("b.csv:2: epoch 3 of unpadded on cpu, seed 7, but no record has its epoch 2: ")


def test_a_record_with_a_line_that_cannot_be_right_is_refused_with_that_line(refused: Refused) -> None:
    bad = synthetic.text(ROWS).replace(",9939,", ",many,")
    assert refused(ROWS, bad).startswith("b.csv:3: correct is 'many', not a whole number from 0 to 999999999: ")
    assert refused(synthetic.text(ROWS)[:-5], ROWS).startswith("a.csv:4: the last line has no newline at its end")
    assert refused(ROWS, "name,score\nann,1\n").startswith(
        "b.csv:1: not a record, its header lacks model, recipe, device …: name the file"
    )


def test_a_record_saved_by_a_spreadsheet_is_read_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ROWS)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    merge.merge([path], tmp_path / "all.csv")
    assert (tmp_path / "all.csv").read_text(encoding="utf-8") == synthetic.text(ROWS)


def test_a_column_that_would_be_lost_is_refused(refused: Refused) -> None:
    header, *lines = synthetic.text(ROWS).splitlines()
    more = "\n".join([f"{header},watts", *(f"{line},15" for line in lines)]) + "\n"
    assert refused(ROWS, more).startswith("b.csv:1: the column 'watts' is unknown and would be lost: ")


def test_a_record_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match=r"b\.csv: no such file: name the records to join"):
        merge.merge([write(tmp_path / "a.csv", ROWS), tmp_path / "b.csv"], tmp_path / "all.csv")


@pytest.mark.parametrize("name", ["a.csv", "./a.csv", "link.csv"])
def test_a_record_is_never_joined_into_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    source = write(Path("a.csv"), ROWS)
    Path("link.csv").symlink_to("a.csv")
    with pytest.raises(UnusableInput, match=r"a\.csv: is one of the records to join|link\.csv: is one of the records"):
        merge.merge([source], Path(name))
    assert source.read_text() == synthetic.text(ROWS)


def test_a_file_that_holds_something_else_is_not_overwritten(tmp_path: Path) -> None:
    source, target = write(tmp_path / "a.csv", ROWS), tmp_path / "all.csv"
    target.write_text("something else")
    with pytest.raises(UnusableInput, match=r"all\.csv: has other content already: name another file with -o"):
        merge.merge([source], target)
    assert target.read_text() == "something else"
    target.write_text("")
    merge.merge([source], target)
    merge.merge([source], target)
    assert target.read_text() == synthetic.text(ROWS)


def test_a_target_that_is_a_symbolic_link_stays_one_and_all_files_stand_beside_the_real_record(tmp_path: Path) -> None:
    source, link = write(tmp_path / "a.csv", ROWS, misses=synthetic.misses(ROWS)), tmp_path / "link.csv"
    (tmp_path / "real").mkdir()
    link.symlink_to(tmp_path / "real" / "all.csv")
    merge.merge([source], link)
    assert link.is_symlink()
    assert sorted(path.name for path in (tmp_path / "real").iterdir()) == ["all.csv", "all.misses.csv"]
    assert len(misses.read(record.read(link)).runs) == 1


def test_a_file_beside_the_target_that_would_pass_for_its_own_is_refused(tmp_path: Path) -> None:
    source, target = write(tmp_path / "a.csv", ROWS), tmp_path / "all.csv"
    path_beside(target).write_text("left by another record\n")
    with pytest.raises(UnusableInput, match=r"all\.misses\.csv: has other content already"):
        merge.merge([source], target)
    assert not target.exists()


def test_a_target_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", ROWS)
    for target in (source / "all.csv", tmp_path):
        with pytest.raises(UnusableInput, match=r"cannot be (written|read) \(.*\): choose another -o"):
            merge.merge([source], target)


def test_the_record_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds the record then also finds the files that belong to it."""
    written: list[str] = []
    replace = files.replace
    monkeypatch.setattr(files, "replace", lambda path, content: written.append(path.name) or replace(path, content))
    source = write(tmp_path / "a.csv", ROWS, misses=synthetic.misses(ROWS), verified=[verified(7)])
    merge.merge([source], tmp_path / "all.csv")
    assert written == ["all.misses.csv", "all.verified.csv", "all.csv"]


# The files beside a record


def test_misses_and_verifications_come_along_once_and_in_order(tmp_path: Path) -> None:
    other = synthetic.run_rows("unpadded", 1, [9990])
    ours, theirs = synthetic.misses(ROWS), synthetic.misses(other)
    checks = [verified(1, epochs="1"), *(verified(7, recorded_at=f"2026-03-{day}T12:00:00Z") for day in range(10, 20))]
    one = write(tmp_path / "one.csv", [*ROWS, *other], misses=[*ours, *theirs], verified=checks[:0:-1])
    two = write(tmp_path / "two.csv", [*other, *ROWS], misses=ours, verified=checks[:2])
    merge.merge([one, two], tmp_path / "all.csv")
    expected = tmp_path / "expected.csv"
    synthetic.write_beside(expected, misses=[*theirs, *ours], verified=checks)
    for path in (misses.path_beside, verifications.path_beside):
        assert path(tmp_path / "all.csv").read_text() == path(expected).read_text()


def test_users_own_networks_come_along_as_they_were_trained_last(tmp_path: Path) -> None:
    def network(name: str, learning_rate: float) -> tuple[Architecture, list[Row]]:
        recipe = Recipe(learning_rate=learning_rate, batch_size=128, epochs=19)
        one = Architecture(name, "class Net: pass\n", "Net", recipe)
        return one, again(synthetic.run_rows("unpadded", 1, [9900]), model=name, recipe=one.digest)

    def described(path: Path, *networks: Architecture) -> None:
        structure = structure_facts.load(["unpadded"])["unpadded"]
        catalogue.add(path, {one.name: one for one in networks}, {one.name: structure for one in networks})

    (old, old_rows), (new, new_rows), (other, other_rows) = network("net", 0.1), network("net", 0.2), network("b", 0.1)
    unused, _ = network("unused", 0.1)
    new_rows = again(new_rows, recorded_at="2031-01-01T00:00:00Z")
    one, two = write(tmp_path / "one.csv", [*old_rows, *other_rows]), write(tmp_path / "two.csv", new_rows)
    described(one, old, other, unused)
    described(two, new)
    for number, sources in enumerate(([one, two], [two, one])):
        merge.merge(sources, tmp_path / f"{number}.csv")
        found = catalogue.read(tmp_path / f"{number}.csv").architectures
        assert {name: network.digest for name, network in found.items()} == {"b": other.digest, "net": new.digest}


@pytest.mark.parametrize(
    "changes", [{"target": Target(9900)}, {"recipe": Recipe(0.2, 128, 19)}], ids=["same digest", "another digest"]
)
def test_of_two_users_networks_that_were_trained_in_the_same_second_the_same_one_is_kept_in_any_order(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    ours = Architecture("net", "class Net: pass\n", "Net", Recipe(0.1, 128, 19))
    sources = [tmp_path / "ours.csv", tmp_path / "theirs.csv"]
    for path, one in zip(sources, (ours, dataclasses.replace(ours, **changes)), strict=True):
        write(path, again(ROWS, model="net", recipe=one.digest))
        catalogue.add(path, {"net": one}, {"net": structure_facts.load(["unpadded"])["unpadded"]})
    merge.merge(sources, tmp_path / "one.csv")
    merge.merge(sources[::-1], tmp_path / "another.csv")
    kept = [catalogue.path_beside(tmp_path / name).read_text() for name in ("one.csv", "another.csv")]
    assert kept[0] == kept[1] == max(catalogue.path_beside(source).read_text() for source in sources)


def test_a_users_network_of_which_only_one_kind_varies_comes_along(tmp_path: Path) -> None:
    recipe = Recipe(learning_rate=0.1, batch_size=128, epochs=19)
    one = Architecture("net", "class Net: pass\n", "Net", recipe)
    rows = again(synthetic.run_rows("unpadded", 1, [9900]), model="net", recipe=one.varied("weights").digest)
    path = write(tmp_path / "one.csv", rows)
    catalogue.add(path, {"net": one}, {"net": structure_facts.load(["unpadded"])["unpadded"]})
    merge.merge([path], tmp_path / "all.csv")
    assert catalogue.read(tmp_path / "all.csv").architectures["net"].digest == one.digest


def test_records_with_nothing_beside_them_leave_nothing_beside_the_target(tmp_path: Path) -> None:
    merge.merge([write(tmp_path / "a.csv", ROWS)], tmp_path / "all.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "all.csv"]


def test_misses_that_contradict_each_other_are_refused_with_the_place_of_both(tmp_path: Path) -> None:
    (key_and_images,) = synthetic.misses(ROWS)
    *key, images = key_and_images
    first = images.split(" ")[0]
    other = first[:-1] + str((int(first[-1]) + 3) % 10)
    one = write(tmp_path / "one.csv", ROWS, misses=[[*key, images]])
    two = write(tmp_path / "two.csv", ROWS, misses=[[*key, images.replace(first, other, 1)]])
    with pytest.raises(UnusableInput) as error:
        merge.merge([one, two], tmp_path / "all.csv")
    places = f"{path_beside(two)}:2: contradicts {path_beside(one)}:2: "
    assert str(error.value).startswith(f"{places}epoch 3 of unpadded on cpu, seed 7: the missed images differ: ")
    assert not (tmp_path / "all.csv").exists()


def test_a_line_beside_a_record_that_reading_leaves_out_is_noted(tmp_path: Path) -> None:
    """A crash can leave misses without their row. This is no reason to refuse a record."""
    (line,) = synthetic.misses(ROWS)
    (other,) = synthetic.misses(synthetic.run_rows("unpadded", 8, [9900]))
    one = write(tmp_path / "one.csv", ROWS[:2], misses=[line, other], verified=[verified(8)])
    notes = merge.merge([one], tmp_path / "all.csv").notes
    assert notes[0] == f"{path_beside(one)}:2: epoch 3 of unpadded seed 7: the epoch is not in the record (left out)"
    assert notes[1].startswith(
        f"{verifications.path_beside(one)}:2: unpadded seed 8 of this recipe and environment is not"
    )
    assert not path_beside(tmp_path / "all.csv").exists()


def test_only_the_first_of_many_such_lines_are_noted(tmp_path: Path) -> None:
    one = write(tmp_path / "one.csv", ROWS, misses=[["bad"]] * 9)
    notes = merge.merge([one], tmp_path / "all.csv").notes
    assert (notes[4].startswith(f"{path_beside(one)}:6: the line has 1 field, "), notes[5]) == (
        True,
        f"{path_beside(one)}: and 4 more",
    )


def test_misses_count_where_any_of_the_records_has_their_epoch(tmp_path: Path) -> None:
    (line,) = synthetic.misses(ROWS)
    one = write(tmp_path / "one.csv", ROWS[:2], misses=[line])
    merge.merge([one, write(tmp_path / "two.csv", ROWS)], tmp_path / "all.csv")
    assert len(misses.read(record.read(tmp_path / "all.csv")).runs) == 1


def test_the_details_of_every_environment_come_along(tmp_path: Path) -> None:
    one = write(tmp_path / "ann.csv", again(ROWS, environment=DESCRIBED.digest))
    environments.add(one, [DESCRIBED])
    found = merge.merge([one, write(tmp_path / "bob.csv", ROWS)], tmp_path / "all.csv")
    assert environments.read(tmp_path / "all.csv") == {DESCRIBED.digest: DESCRIBED}
    missing = f"no file beside the records describes the environment {synthetic.CPU}: ask the sender for"
    assert found.environments == 2
    assert [note.startswith(missing) for note in found.notes] == [True]


def test_the_details_of_an_environment_that_only_a_verification_has_come_along(tmp_path: Path) -> None:
    check = verified(7, environment=EXACT.digest, verified_in=DESCRIBED.digest)
    one = write(tmp_path / "ann.csv", EXACT_ROWS, verified=[check])
    environments.add(one, [DESCRIBED, EXACT])
    notes = merge.merge([one], tmp_path / "all.csv").notes
    assert environments.read(tmp_path / "all.csv") == {DESCRIBED.digest: DESCRIBED, EXACT.digest: EXACT}
    assert notes == ()


def test_details_that_only_the_target_has_beside_it_stay_there(tmp_path: Path) -> None:
    one, target = write(tmp_path / "ann.csv", again(ROWS, environment=DESCRIBED.digest)), tmp_path / "all.csv"
    environments.add(target, [DESCRIBED])
    assert merge.merge([one], target).notes == ()
    assert environments.read(target) == {DESCRIBED.digest: DESCRIBED}


def test_details_that_only_a_report_beside_a_record_has_come_along_too(tmp_path: Path) -> None:
    """Release 0.1.0 kept them there."""
    one = write(tmp_path / "ann" / "runs.csv", again(ROWS, environment=DESCRIBED.digest))
    files.replace(
        environments.path_in_report(tmp_path / "ann" / "report", DESCRIBED.digest), DESCRIBED.to_json().encode()
    )
    assert merge.merge([one], tmp_path / "all.csv").notes == ()
    assert environments.read(tmp_path / "all.csv") == {DESCRIBED.digest: DESCRIBED}


def test_details_that_no_row_needs_stay_where_they_are(tmp_path: Path) -> None:
    one = write(tmp_path / "ann.csv", again(ROWS, environment=DESCRIBED.digest))
    environments.add(one, [DESCRIBED, EXACT])
    merge.merge([one], tmp_path / "all.csv")
    assert environments.read(tmp_path / "all.csv") == {DESCRIBED.digest: DESCRIBED}


def test_details_that_were_changed_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "runs.csv", again(ROWS, environment=DESCRIBED.digest))
    environments.add(one, [DESCRIBED])
    path = environments.path_beside(one)
    path.write_text(path.read_text().replace("cpu", "cuda"))
    with pytest.raises(UnusableInput, match=rf"json: {DESCRIBED.digest} is not the digest of its details"):
        merge.merge([one], tmp_path / "all.csv")
    assert not (tmp_path / "all.csv").exists()


def test_exact_runs_of_two_devices_are_joined_if_they_agree_and_refused_if_not(
    joined: Callable[..., str], refused: Refused
) -> None:
    on_a_gpu = again(EXACT_ROWS, device="cuda")
    assert joined(EXACT_ROWS, on_a_gpu) == synthetic.text([*EXACT_ROWS, *on_a_gpu])
    message = refused(EXACT_ROWS, [on_a_gpu[0], *again(on_a_gpu[1:2], correct=9940)])
    assert message.startswith(
        "b.csv:3: contradicts a.csv:3: epoch 2 of unpadded on cuda, seed 7 (on cpu there): correct is 9940 here and "
        "9939 there: "
    )


def test_an_exact_run_that_diverged_on_another_device_is_a_contradiction(refused: Refused) -> None:
    diverged = synthetic.run_rows("unpadded", 7, [], environment=EXACT.digest, ending=("diverged", "nan"))
    message = refused(diverged, again(EXACT_ROWS, device="cuda"))
    assert "on cuda, seed 7 (on cpu there): finished here, but there the run diverged in epoch 1" in message


def test_missed_images_of_two_devices_that_differ_are_refused(tmp_path: Path) -> None:
    on_a_gpu = again(EXACT_ROWS, device="cuda")
    sources = [
        write(tmp_path / f"{row.device}.csv", rows, misses=synthetic.misses(rows))
        for rows in (EXACT_ROWS, on_a_gpu)
        for row in rows[:1]
    ]
    with pytest.raises(
        UnusableInput, match=r"cuda\.misses\.csv:2: contradicts .*cpu\.misses\.csv:2: .* on cuda, seed 7"
    ):
        merge.merge(sources, tmp_path / "all.csv")


# Exact runs that several people have trained

EXACT_ROWS = again(ROWS, recorded_at="2026-02-01T12:00:00Z", environment=EXACT.digest, machine="a processor")


def elsewhere(rows: Iterable[Row], minutes: int = 60, **changes: Any) -> list[Row]:
    """The same epochs, trained on another machine. The first ended so many minutes after twelve, the others later."""
    times = [f"2026-02-01T{12 + minute // 60}:{minute % 60:02d}:00Z" for minute in range(minutes, minutes + 40, 4)]
    values = {"machine": "another processor", "train_seconds": 50.0 + minutes, **changes}
    return [dataclasses.replace(row, recorded_at=at, **values) for row, at in zip(rows, times, strict=False)]


def checks(folder: Path, *records: Iterable[Row]) -> list[Verified]:
    """Join records into one that has the rows of the first. Return the verifications beside it."""
    sources = [write(folder / f"{place}.csv", rows) for place, rows in enumerate(records)]
    found = verifications.read(joined_from(folder, *sources))
    assert found.problems == ()
    return list(found.found)


def joined_from(folder: Path, *sources: Path) -> record.Record:
    target = folder / f"all of {len(sources)}.csv"
    merge.merge(sources, target)
    return record.read(target)


def test_an_exact_run_of_two_machines_is_one_run_and_a_verification(tmp_path: Path) -> None:
    found = checks(tmp_path, EXACT_ROWS, elsewhere(EXACT_ROWS))
    assert (tmp_path / "all of 2.csv").read_text(encoding="utf-8") == synthetic.text(EXACT_ROWS)
    run = ("unpadded", synthetic.RECIPE, "cpu", EXACT.digest, 7)
    assert found == [Verified(*run, 3, True, "2026-02-01T13:08:00Z", EXACT.digest, "another processor")]


def test_every_further_training_is_a_verification_even_on_the_same_machine(tmp_path: Path) -> None:
    here_again = elsewhere(EXACT_ROWS, 90, machine="a processor")
    short = elsewhere(EXACT_ROWS[:2], 120, machine="a third")
    found = checks(tmp_path, EXACT_ROWS, elsewhere(EXACT_ROWS), here_again, short)
    assert sorted((one.machine, one.epochs) for one in found) == [
        *(("a processor", 3), ("a third", 2), ("another processor", 3)),
    ]
    assert (tmp_path / "all of 4.csv").read_text(encoding="utf-8") == synthetic.text(EXACT_ROWS)


def test_a_check_is_of_the_machine_that_trained_all_of_its_epochs(tmp_path: Path) -> None:
    """The machines have two epochs, one and three. The record takes the third epoch from the last machine."""
    short = elsewhere(EXACT_ROWS[:1], 60, machine="the second")
    found = checks(tmp_path, EXACT_ROWS[:2], short, elsewhere(EXACT_ROWS, 90, machine="the third"))
    assert sorted((one.machine, one.epochs) for one in found) == [("the second", 1), ("the third", 2)]


def test_copies_of_an_exact_run_are_no_check(tmp_path: Path) -> None:
    assert checks(tmp_path, EXACT_ROWS, EXACT_ROWS, EXACT_ROWS[:2]) == []
    assert not verifications.path_beside(tmp_path / "all of 3.csv").exists()


def test_an_epoch_that_was_sent_again_from_its_saved_state_is_no_check(tmp_path: Path) -> None:
    """A job that has lost its rows sends them again, with the time and the words on the machine of that moment."""
    sent = elsewhere(EXACT_ROWS, train_seconds=EXACT_ROWS[0].train_seconds, machine="a processor, PyTorch 9")
    assert checks(tmp_path, EXACT_ROWS, sent) == []
    assert (
        len(
            checks(
                tmp_path, EXACT_ROWS, sent, elsewhere(EXACT_ROWS, 60), elsewhere(EXACT_ROWS, 90, train_seconds=110.0)
            )
        )
        == 1
    )


def test_a_further_training_counts_from_the_first_epoch(tmp_path: Path) -> None:
    """The record has lost its last epochs, and a job has trained them again from the state of an earlier one."""
    lost = elsewhere(EXACT_ROWS)
    assert checks(tmp_path, EXACT_ROWS, [EXACT_ROWS[0], *lost[1:]]) == []
    (found,) = checks(tmp_path, EXACT_ROWS, [lost[0], EXACT_ROWS[1], lost[2]])
    assert found.epochs == 1


def test_copies_of_a_further_training_are_one_check(tmp_path: Path) -> None:
    theirs = elsewhere(EXACT_ROWS)
    assert len(checks(tmp_path, EXACT_ROWS, theirs, theirs, theirs[:2])) == 1


def test_an_exact_run_that_another_machine_has_continued_is_no_check(tmp_path: Path) -> None:
    assert checks(tmp_path, EXACT_ROWS[:2], [*EXACT_ROWS[:2], *elsewhere(EXACT_ROWS)[2:]]) == []


def test_two_machines_that_trained_at_the_same_time_are_one_check_of_all_epochs(tmp_path: Path) -> None:
    """The other machine began later and was faster, so the joined record has epochs of both."""
    at = ("2026-02-01T12:00:00Z", "2026-02-01T13:00:00Z", "2026-02-01T14:00:00Z")
    slow = [dataclasses.replace(row, recorded_at=one) for row, one in zip(EXACT_ROWS, at, strict=True)]
    (found,) = checks(tmp_path, slow, elsewhere(EXACT_ROWS, 10))
    assert found.epochs == 3


def test_joining_a_joined_record_again_adds_no_check(tmp_path: Path) -> None:
    before = checks(tmp_path, EXACT_ROWS, elsewhere(EXACT_ROWS))
    whole, *parts = (tmp_path / name for name in ("all of 2.csv", "0.csv", "1.csv"))
    for number, others in enumerate(([], parts[:1], parts[1:], parts)):
        merge.merge([whole, *others], tmp_path / f"again {number}.csv")
        assert list(verifications.read(record.read(tmp_path / f"again {number}.csv")).found) == before, others


def test_equal_native_runs_of_one_environment_are_no_check(tmp_path: Path) -> None:
    """Nobody promises that they are of two machines: the environment names the processor."""
    assert checks(tmp_path, ROWS, again(ROWS)) == []


def test_exact_runs_that_contradict_each_other_are_refused_whatever_machine_trained_them(refused: Refused) -> None:
    message = refused(EXACT_ROWS, [EXACT_ROWS[0], *elsewhere(EXACT_ROWS[1:], correct=9000)])
    assert message.startswith(
        "b.csv:3: contradicts a.csv:3: epoch 2 of unpadded on cpu, seed 7: correct is 9000 here and 9939 there "
    )


# The command


def test_the_command_says_what_it_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("a.csv"), ROWS)
    write(Path("b.csv"), [*ROWS, *again(ROWS, environment=synthetic.GPU, device="cuda")])
    assert parser.main(["merge", "a.csv", "b.csv", "-o", "all.csv"]) == 0
    said = capsys.readouterr()
    first, *notes = said.out.splitlines()
    assert first == "all.csv: 6 rows of 2 runs in 2 environments, from 2 records; 3 rows left out as duplicates."
    assert (len(notes), said.err) == (2, "")


def test_the_command_refuses_a_contradiction_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("a.csv"), ROWS)
    write(Path("b.csv"), again(ROWS, correct=9000))
    assert parser.main(["merge", "a.csv", "b.csv", "-o", "all.csv"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("bench: b.csv:2: contradicts a.csv:2: ")


def test_the_report_of_a_joined_record_has_every_environment(tmp_path: Path) -> None:
    architectures = synthetic.architectures("unpadded")
    one = write(tmp_path / "one.csv", synthetic.full({"unpadded": 9941}, seeds=(1, 2)))
    two = write(
        tmp_path / "two.csv",
        synthetic.full({"unpadded": 9941}, seeds=(1, 2), environment="55556666", machine="Another processor"),
    )
    merge.merge([one, two], tmp_path / "all.csv")
    write_report(record.read(tmp_path / "all.csv", ARCHITECTURES), architectures, tmp_path / "report")
    page = (tmp_path / "report" / "unpadded.md").read_text(encoding="utf-8")
    assert f"## Claims on cpu {synthetic.CPU}" in page
    assert "## Claims on cpu 55556666" in page
