"""Find the rows of a record that repeat or contradict another row, or that follow a missing epoch."""

from __future__ import annotations

from collections.abc import Iterator

import pandas

from bench.record.environments import EXACT
from bench.record.ledger import Problem
from bench.record.rows import EPOCH_KEY, REPRODUCIBLE, RUN_KEY

BITS_KEY = ("model", "recipe", "device_of_bits", "environment", "seed")
"""The columns that decide the bits of a run. The device of an exact run is not among them."""

SAME_BITS = (*REPRODUCIBLE, "smallest_variance", "correct_batch_statistics")
"""The columns that are equal in every row of an epoch. An older record may lack the last two."""


def without_duplicates(rows: pandas.DataFrame, problems: list[Problem]) -> pandas.DataFrame:
    """The rows without those that repeat an epoch of a run. `problems` gets a line for each repetition."""
    finished = rows[rows["status"] == "ok"]
    repeated = finished[finished.duplicated(list(EPOCH_KEY))]
    if repeated.empty:
        return rows
    first_lines = finished.drop_duplicates(list(EPOCH_KEY)).set_index(list(EPOCH_KEY))["line"]
    named = {problem.line for problem in problems}
    for row in repeated[~repeated["line"].isin(named)].itertuples():
        first = first_lines[tuple(getattr(row, name) for name in EPOCH_KEY)]
        problems.append(Problem(int(row.line), f"the same run and epoch as on line {first}"))
    return rows.drop(repeated.index)


def with_device_of_bits(rows: pandas.DataFrame) -> pandas.DataFrame:
    """The rows with the column `device_of_bits`: see `bench.record.environments.device_of_bits`."""
    return rows.assign(device_of_bits=rows["device"].where(rows["environment"] != EXACT.digest, ""))


def contradictions(rows: pandas.DataFrame) -> pandas.DataFrame:
    """The rows that contradict an earlier row about a run with the same bits, by ascending epoch.

    Such a row has other results of the same epoch, or it has an epoch in which, or after which, the run diverged
    elsewhere. `what` says which. The columns of the earlier row end in "_there".
    """
    rows = with_device_of_bits(rows)
    key = [*BITS_KEY, "epoch"]
    said = rows.columns.intersection(["device", "line", "source"]).tolist()
    finished = rows[rows["status"] == "ok"]
    diverged = rows.loc[rows["status"] == "diverged", [*key, *said]]
    beyond = finished.merge(diverged, on=list(BITS_KEY), suffixes=("", "_there"))
    beyond = beyond[beyond["epoch"] >= beyond["epoch_there"]]
    what = "finished here, but there the run diverged in epoch " + beyond["epoch_there"].astype(str)
    found = [beyond.assign(what=what)]
    repeated = finished[finished.duplicated(key, keep=False)]
    for column in SAME_BITS:
        known = repeated[repeated[column].notna()]
        first = known.drop_duplicates(key)[[*key, *said, column]]
        both = known.merge(first, on=key, suffixes=("", "_there"))
        other = both[both[column] != both[f"{column}_there"]]
        here, there = (other[name].astype(str) for name in (column, f"{column}_there"))
        found.append(other.assign(what=f"{column} is " + here + " here and " + there + " there"))
    every = pandas.concat([one for one in found if len(one)] or found[:1], ignore_index=True)
    return every.drop_duplicates(key).sort_values("epoch", kind="stable")


def contradiction_problems(first: pandas.DataFrame) -> Iterator[Problem]:
    """Name the first contradicted epoch of each run. Of two devices both lines are kept: either can be right."""
    for row in first.itertuples():
        run = f"epoch {row.epoch} of {row.model} on {row.device}, seed {row.seed}"
        reason = f"{run}: contradicts line {row.line_there} (on {row.device_there}): {row.what}"
        yield Problem(int(row.line), f"{reason}; the run counts up to the epoch before", row.device == row.device_there)


def beyond_gaps(rows: pandas.DataFrame) -> pandas.DataFrame:
    """The finished epochs after a missing epoch, by ascending epoch. In a run's first row, `missing` is that epoch."""
    finished = rows[rows["status"] == "ok"].sort_values("epoch", kind="stable")
    expected = finished.groupby(list(RUN_KEY), sort=False).cumcount() + 1
    return finished.assign(missing=expected)[finished["epoch"] != expected]


def gap_problems(beyond: pandas.DataFrame) -> Iterator[Problem]:
    """Name the first epoch of each run after a missing epoch. It is unknown what happened in between."""
    for row in beyond.drop_duplicates(list(RUN_KEY)).itertuples():
        reason = f"epoch {row.epoch} of {row.model} seed {row.seed}, but its epoch {row.missing} is missing"
        yield Problem(int(row.line), reason)
