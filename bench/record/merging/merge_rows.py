"""Join the rows of several records, with each epoch once. Refuse contradictions. Needs no torch.

If several records have the same epoch, the row that was recorded first is kept. A field that is empty there gets its
value from the next row that has one. Rows are sorted by the columns `EPOCH_KEY` and then by time, so that the order of
the sources does not matter. All closing rows are kept, because each one says what happened to a run.
"""

from __future__ import annotations

from pathlib import Path

import pandas

from bench.errors import UnusableInput
from bench.record import consistency, record
from bench.record.environments import EXACT
from bench.record.ledger import Problem
from bench.record.rows import COLUMNS, EPOCH_KEY, REQUIRED

_OPTIONAL = [column for column in COLUMNS if column not in REQUIRED]

_ORDER = [*EPOCH_KEY, "recorded_at", *(column for column in COLUMNS if column not in (*EPOCH_KEY, "recorded_at"))]

ADVICE = "delete the wrong run of the two; `verify` trains a run again and says whether it is right"
"""The advice to a user whose records contradict each other."""


def read(source: Path) -> pandas.DataFrame:
    """Read the rows of a record. The column `source` is the path of the record.

    Raises:
        UnusableInput: the file is no record, a line cannot be used, or a column is unknown.
    """
    record.require_header(source)
    problems: list[Problem] = []
    rows = record.read_rows(source, problems)
    for problem in problems:
        if problem.left_out:
            advice = f"correct or delete that line; `check --runs {source}` lists all such lines"
            raise UnusableInput(f"{source}:{problem.line}: {problem.reason}: {advice}")
    unknown = record.unknown_columns(source)
    if unknown:
        advice = "merge with the version that wrote it, or delete the column"
        raise UnusableInput(f"{source}:1: the column {unknown[0]!r} is unknown and would be lost: {advice}")
    return rows.assign(source=str(source))


def join(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Join `rows`, which `read` has read from all records. Return each epoch once and each closing row once, in order.

    Raises:
        UnusableInput: two rows contradict each other, or no record has the epoch before one of the epochs.
    """
    finished, closing = rows[rows["status"] == "ok"], rows[rows["status"] != "ok"]
    _refuse_contradictions(rows)
    joined = pandas.concat([_first(finished), closing.drop_duplicates(list(COLUMNS))]).sort_values(
        _ORDER, ignore_index=True
    )
    for _, row in consistency.beyond_gaps(joined).iterrows():
        reason = f"{_epoch_name(row)}, but no record has its epoch {row['missing']}"
        raise UnusableInput(f"{row['source']}:{row['line']}: {reason}: add the record that has it, or delete that line")
    return joined


def _first(finished: pandas.DataFrame) -> pandas.DataFrame:
    """The first row of each epoch, with its empty fields filled from later rows.

    The machine of an exact run is not filled: a later row can be of another machine, and the seconds are of the first.
    A native environment names the machine, so all its rows are of such a machine.
    """
    ordered = finished.sort_values(_ORDER)
    is_exact = ordered["environment"] == EXACT.digest
    named = ordered.assign(machine=ordered["machine"].where(is_exact | (ordered["machine"] != ""), None))
    filled = named.groupby(list(EPOCH_KEY), sort=False)[_OPTIONAL].bfill()
    once = named.assign(**{column: filled[column] for column in _OPTIONAL}).drop_duplicates(list(EPOCH_KEY))
    return once.assign(machine=once["machine"].fillna("")).astype(finished.dtypes)


def _refuse_contradictions(rows: pandas.DataFrame) -> None:
    """Refuse records with different results for the same epoch, or an epoch of a run that diverged before."""
    found = consistency.contradictions(rows)
    if found.empty:
        return
    row = found.iloc[0]
    where = f"{row['source']}:{row['line']}: contradicts {row['source_there']}:{row['line_there']}"
    device = f" (on {row['device_there']} there)" if row["device_there"] != row["device"] else ""
    more = f" ({len(found)} epochs contradict)" if len(found) > 1 else ""
    raise UnusableInput(f"{where}: {_epoch_name(row)}{device}: {row['what']}{more}: {ADVICE}")


def _epoch_name(row: pandas.Series) -> str:
    return f"epoch {row['epoch']} of {row['model']} on {row['device']}, seed {row['seed']}"
