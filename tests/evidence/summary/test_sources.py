"""Tests of `sources`: each source of the variance is that of the right runs."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean, variance

import numpy as np
import pytest
import synthetic

from bench.evidence.statistics import epochs_and_seeds, honest_best
from bench.evidence.summary import Sources, summarise
from bench.network import structure_facts
from bench.record import misses
from bench.record.environments import EXACT
from bench.record.rows import Row

COUNTS = {
    "unpadded": {1: 9930, 2: 9938, 3: 9941, 4: 9925},
    "gap_head": {1: 9945, 2: 9950, 3: 9949},
}


def rows_of(counts: dict[str, dict[int, int]], **options: object) -> list[Row]:
    return [
        row
        for name, seeds in counts.items()
        for seed, plateau in seeds.items()
        for row in synthetic.run_rows(
            name, seed, synthetic.counts(seed, synthetic.ARCHITECTURES[name].recipe.epochs, plateau), **options
        )
    ]


def every_epoch(rows: list[Row]) -> list[list[str]]:
    """Misses of every epoch, with images drawn anew in each."""
    found = []
    for row in rows:
        draw = random.Random(f"{row.model} {row.seed} {row.epoch} {row.environment}")
        images = sorted(draw.sample(range(10_000), 10_000 - row.correct))
        wrong = " ".join(f"{image}:{image % 10}>{(image + 1) % 10}" for image in images)
        run = [row.model, row.recipe, row.device, row.environment, str(row.seed), str(row.epoch)]
        found.append([*run, wrong])
    return found


def sources_of(folder: Path, rows: list[Row], lines: list[list[str]] | None = None) -> tuple[Sources, misses.Misses]:
    record = synthetic.record(folder, rows)
    synthetic.write_beside(record.path, every_epoch(rows) if lines is None else lines)
    kept = misses.read(record)
    assert not kept.problems
    several = synthetic.architectures("unpadded", "gap_head")
    return summarise(record, several, structure_facts.load(), kept).sources, kept


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sources, misses.Misses, list[Row]]:
    rows = rows_of(COUNTS)
    return *sources_of(tmp_path_factory.mktemp("record"), rows), rows


def counts_of(rows: list[Row], name: str) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for row in rows:
        if row.model == name:
            found.setdefault(row.seed, []).append(row.correct or 0)
    return found


def test_the_split_is_of_the_last_epoch_of_every_complete_run(found: tuple[Sources, misses.Misses, list[Row]]) -> None:
    sources, kept, rows = found
    assert len(sources.groups) == 2
    for one in sources.groups:
        last = [counts[-1] for counts in counts_of(rows, one.model).values()]
        assert one.flips is not None
        assert one.flips.whole == pytest.approx(variance(last))
        right = np.ones((len(last), 10_000))
        epoch = {"unpadded": 19, "gap_head": 20}[one.model]
        for place, seed in enumerate(counts_of(rows, one.model)):
            (run,) = (some for some in kept.runs if (some.key[0], *some.key[4:]) == (one.model, seed, epoch))
            right[place, run.images[:, 0]] = 0
        assert one.flips.flips == pytest.approx(right.var(axis=0, ddof=1).sum())


def test_the_variance_between_epochs_is_that_of_the_last_five(found: tuple[Sources, misses.Misses, list[Row]]) -> None:
    sources, _, rows = found
    assert len(sources.groups) == 2
    for one in sources.groups:
        assert one.epochs == epochs_and_seeds([[counts[-5:] for counts in counts_of(rows, one.model).values()]])


def test_all_networks_together_keep_their_own_means(found: tuple[Sources, misses.Misses, list[Row]]) -> None:
    sources, _, rows = found
    (together,) = sources.together
    assert (together.model, together.runs) == ("", 7)
    first, second = sources.groups
    assert together.flips is not None
    assert together.flips.whole == pytest.approx((3 * first.flips.whole + 2 * second.flips.whole) / 5)
    assert together.epochs is not None
    assert (together.epochs.runs, together.epochs.freedom_between) == (7, 5)
    every = [max(counts) - counts[-1] for name in COUNTS for counts in counts_of(rows, name).values()]
    assert together.best_minus_last == pytest.approx(fmean(every))
    assert first.flattery is not None
    assert second.flattery is not None
    assert together.with_misses == 7
    assert together.flattery == pytest.approx((4 * first.flattery + 3 * second.flattery) / 7)


def test_what_choosing_adds_is_the_best_less_the_honest_best(found: tuple[Sources, misses.Misses, list[Row]]) -> None:
    sources, kept, rows = found
    assert len(sources.groups) == 2
    for one in sources.groups:
        gains = []
        for seed, counts in counts_of(rows, one.model).items():
            run = sorted((some for some in kept.runs if (some.key[0], some.key[4]) == (one.model, seed)), key=_epoch)
            assert len(run) == len(counts)
            gains.append(max(counts) - honest_best([some.images[:, 0] for some in run], 10_000))
        assert (one.flattery, one.with_misses) == (pytest.approx(fmean(gains)), len(gains))
        assert one.flattery > 0


def test_runs_that_collapse_are_counted_and_left_out(tmp_path: Path, found: tuple[Sources, misses.Misses, list[Row]]):
    fallen = synthetic.run_rows("unpadded", 5, [9_900, *[9_000] * 18])
    sources = sources_of(tmp_path, [*found[2], *fallen])[0]
    expected, without = found[0], {"collapsed": 0, "typical_last": None, "typical_best": None}
    for some, others in ((sources.groups, expected.groups), (sources.together, expected.together)):
        for one, other in zip(some, others, strict=True):
            assert one.collapsed == (one.model != "gap_head")
            assert replace(one, **without) == replace(other, **without)


def _epoch(one: misses.Missed) -> int:
    return one.key[5]


def test_a_run_without_the_misses_of_every_epoch_says_nothing_of_choosing(tmp_path: Path) -> None:
    rows = rows_of({"unpadded": COUNTS["unpadded"]})
    lines = [line for line in every_epoch(rows) if not (line[4] in "23" and line[5] == "7")]
    (one,) = sources_of(tmp_path, rows, lines)[0].groups
    assert (one.with_misses, one.runs) == (2, 4)
    assert one.flips is not None
    only_last = [line for line in every_epoch(rows) if line[5] == "19"]
    (one,) = sources_of(tmp_path, rows, only_last)[0].groups
    assert (one.flattery, one.with_misses, one.flips is None) == (None, 0, False)
    (one,) = sources_of(tmp_path, rows, [])[0].groups
    assert (one.flips, one.epochs is None) == (None, False)


def test_of_very_many_runs_the_lowest_seeds_say_what_choosing_adds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of({"unpadded": COUNTS["unpadded"]})
    lowest = sorted({row.seed for row in rows})[:2]
    few = [row for row in rows if row.seed in lowest]
    (expected,) = sources_of(tmp_path, few, every_epoch(few))[0].groups
    monkeypatch.setattr(sys.modules["bench.evidence.summary.sources"], "MOST_CHOICES", 2)
    (one,) = sources_of(tmp_path, rows, every_epoch(rows))[0].groups
    assert (one.runs, one.with_misses, one.flattery) == (4, 2, expected.flattery)
    both = [*few, *rows_of({"gap_head": {1: 9945, 2: 9950}})]
    assert [one.with_misses for one in sources_of(tmp_path, both)[0].groups] == [1, 1]


def test_documented_values_are_the_best_of_some_seeds(tmp_path: Path) -> None:
    """The document of `unpadded` has 9951 in its last epoch, which is its best one."""
    rows = [
        row
        for seed, last in enumerate((9930, 9940, 9956, 9956), start=1)
        for row in synthetic.run_rows("unpadded", seed, [9900] * 18 + [last])
    ]
    (one,) = sources_of(tmp_path, rows, [])[0].groups
    assert (one.is_documented, one.typical_last, one.typical_best) == (True, 2, 2)  # the mean of the best of 2: 9952
    (one,) = sources_of(tmp_path, rows[:38], [])[0].groups
    assert (one.typical_last, one.runs) == (None, 2)


def test_the_same_seeds_in_two_places_are_pairs(tmp_path: Path) -> None:
    exact = rows_of({"unpadded": {1: 9930, 2: 9938, 5: 9940}}, environment=EXACT.digest)
    on_a_gpu = rows_of({"unpadded": {1: 9930, 2: 9938}}, environment=EXACT.digest, device="cuda")
    native = rows_of({"unpadded": {1: 9941, 2: 9933, 3: 9940}})
    places = sources_of(tmp_path, [*exact, *on_a_gpu, *native], [])[0].places
    assert [(one.first, one.second, one.pairs.pairs, one.pairs.equal) for one in places] == [
        (f"cpu {synthetic.CPU}", "cpu and cuda exact", 2, 0),
    ]


def test_unfinished_runs_and_records_without_runs_have_no_sources(tmp_path: Path) -> None:
    assert sources_of(tmp_path, [], [])[0] == Sources()
    cut = synthetic.run_rows("unpadded", 1, [9900] * 5)
    assert sources_of(tmp_path, cut, [])[0] == Sources()
