"""The rows of several records as those of one, each epoch once; contradictions are refused. Without torch.

An epoch that stands in several records is kept as it was recorded first, seconds included. Everything is sorted, by the
columns `EPOCH_KEY` and then by time, so that the order of the sources does not matter. A closing row is what happened
to somebody, and stays.
"""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pandas

from bench.errors import UnusableInput
from bench.record import record
from bench.record.ledger import Problem
from bench.record.rows import COLUMNS, EPOCH_KEY, REPRODUCIBLE, RUN_KEY

_SAME_BITS = (*REPRODUCIBLE, "smallest_variance", "correct_batch_statistics")
"""What one environment computes alike every time; the last two may be missing from an older record."""

_ORDER = [*EPOCH_KEY, "recorded_at", *(column for column in COLUMNS if column not in (*EPOCH_KEY, "recorded_at"))]

ADVICE = "delete the wrong one of the two runs; `verify` trains a run again and says whether it is right"
"""What a user can do about two lines that contradict each other."""


def read(source: Path) -> pandas.DataFrame:
    """The rows of a record, every line of which can be used; the column `source` is its path.

    Raises:
        UnusableInput: a line cannot be used, or a column is not known here.
    """
    problems: list[Problem] = []
    rows = record.read_rows(source, problems)
    for problem in problems:
        if problem.left_out:
            advice = f"mend or delete that line; `check --runs {source}` lists all of them"
            raise UnusableInput(f"{source}:{problem.line}: {problem.reason}: {advice}")
    unknown = record.unknown_columns(source)
    if unknown:
        advice = "merge with the version that wrote it, or take the column out"
        raise UnusableInput(f"{source}:1: the column {unknown[0]!r} is not known here and would be lost: {advice}")
    return rows.assign(source=str(source))


def join(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Every epoch once and every closing row once, in order; `rows` are those that `read` gave of all the records.

    Raises:
        UnusableInput: two rows contradict each other, or the epoch before one is in none of the records.
    """
    finished, closing = rows[rows["status"] == "ok"], rows[rows["status"] != "ok"]
    _refuse_other_bits(finished)
    _refuse_beyond_divergence(finished, closing)
    empty = finished.isna().sum(axis=1) + (finished["machine"] == "")
    fullest_first = finished.assign(empty=empty).sort_values([*EPOCH_KEY, "empty", *_ORDER[len(EPOCH_KEY) :]])
    once = fullest_first.drop_duplicates(list(EPOCH_KEY)).drop(columns="empty")
    joined = pandas.concat([once, closing.drop_duplicates(list(COLUMNS))]).sort_values(_ORDER, ignore_index=True)
    for _, row in record.beyond_gaps(joined).iterrows():
        reason = f"{_epoch(row)}, but its epoch {row['missing']} is in none of the records"
        raise UnusableInput(f"{row['source']}:{row['line']}: {reason}: add the record that has it, or delete that line")
    return joined


def _refuse_other_bits(finished: pandas.DataFrame) -> None:
    """Refuse epochs that came out differently."""
    repeated = finished[finished.duplicated(list(EPOCH_KEY), keep=False)]
    values = repeated.groupby(list(EPOCH_KEY), sort=False)[list(_SAME_BITS)].nunique()
    contradicted = values[(values > 1).any(axis=1)]
    if contradicted.empty:
        return
    alike = repeated.merge(contradicted.index[:1].to_frame(index=False), on=list(EPOCH_KEY))
    column = next(name for name in _SAME_BITS if alike[name].nunique() > 1)
    known = alike[alike[column].notna()]
    first = known.iloc[0]
    other = known[known[column] != first[column]].iloc[0]
    _refuse(other, first, f"{column} is {other[column]}, there {first[column]}", len(contradicted))


def _refuse_beyond_divergence(finished: pandas.DataFrame, closing: pandas.DataFrame) -> None:
    """Refuse epochs finished by a run whose loss was no longer finite by then."""
    diverged = closing[closing["status"] == "diverged"]
    both = finished.merge(diverged[[*EPOCH_KEY, "source", "line"]], on=list(RUN_KEY), suffixes=("", "_of_diverged"))
    beyond = both[both["epoch"] >= both["epoch_of_diverged"]]
    if not beyond.empty:
        row = beyond.iloc[0]
        there = pandas.Series({"source": row["source_of_diverged"], "line": row["line_of_diverged"]})
        _refuse(row, there, f"finished, there the run diverged in epoch {row['epoch_of_diverged']}", len(beyond))


def _refuse(row: pandas.Series, other: pandas.Series, what: str, contradictions: int) -> NoReturn:
    where = f"{row['source']}:{row['line']}: contradicts {other['source']}:{other['line']}"
    more = f" ({contradictions} epochs contradict)" if contradictions > 1 else ""
    raise UnusableInput(f"{where}: {_epoch(row)}: {what}{more}: {ADVICE}")


def _epoch(row: pandas.Series) -> str:
    return f"epoch {row['epoch']} of {row['model']} on {row['device']}, seed {row['seed']}"
