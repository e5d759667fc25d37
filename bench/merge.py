"""Records of several people or machines joined into one, each epoch once; contradictions are refused. Without torch.

An epoch that stands in several records is kept as it was recorded first, seconds included. Everything is sorted, by the
columns `EPOCH_KEY` and then by time, so that the order of the sources does not matter. A closing row is what happened
to somebody, and stays. What is beside a record comes with it: misses, verifications, users' networks, and
`report/environments/`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas

from bench import catalogue, files, misses, record, verifications
from bench.catalogue import Catalogue
from bench.errors import UnusableInput
from bench.ledger import Problem
from bench.misses import Missed
from bench.record import Record
from bench.rows import COLUMNS, EPOCH_KEY, RUN_KEY
from bench.verifications import Verified

_SAME_BITS = ("correct", "total", "test_loss", "train_loss", "smallest_variance", "correct_batch_statistics")
"""What one environment computes alike every time; the last two may be missing from an older record."""

_ORDER = [*EPOCH_KEY, "recorded_at", *(column for column in COLUMNS if column not in (*EPOCH_KEY, "recorded_at"))]

_ADVICE = "delete the wrong one of the two runs; `verify` trains a run again and says whether it is right"

_NOTES_SHOWN = 5


@dataclass(frozen=True)
class Merged:
    """What was joined into `target`: sources, their rows, what is left of them, and what a reader should know."""

    target: Path
    sources: int
    rows_read: int
    rows: int
    runs: int
    environments: int
    notes: tuple[str, ...]


def merge(sources: Sequence[Path], target: Path) -> Merged:
    """Join records and what is beside them into a new record; the sources stay as they are.

    The record itself is written last. Lines that reading leaves out of the files beside a record are noted.

    Raises:
        UnusableInput: a source is missing or has a line that cannot be right, two lines contradict each other, an epoch
            is missing, or a file to be written holds something else already; then nothing is written.
    """
    for source in sources:
        if not source.is_file():
            raise UnusableInput(f"{source}: no such file; name the records to join")
        if target.exists() and target.samefile(source):
            raise UnusableInput(f"{target}: is one of the records to join: name another file with -o")
    read = pandas.concat([_read(source) for source in sources], ignore_index=True)
    rows = _join(read)
    missed, missed_notes = _misses(sources, rows)
    verified, verified_notes = _verifications(sources, rows)
    networks = _networks(sources, rows)
    environments = sorted({*rows["environment"], *(one.verified_in for one in verified)})
    described = _descriptions(environments, [*sources, target])
    contents = {
        misses.path_beside(target): misses.format_misses(missed) if missed else "",
        verifications.path_beside(target): verifications.format_verifications(verified) if verified else "",
        catalogue.path_beside(target): catalogue.format_catalogue(networks) if networks.architectures else "",
        **{_description(target, digest): text for digest, text in described.items()},
        target: record.format_rows(rows),
    }
    _write({path: text.encode() for path, text in contents.items()})
    return Merged(
        target,
        len(sources),
        len(read),
        len(rows),
        len(rows[list(RUN_KEY)].drop_duplicates()),
        rows["environment"].nunique(),
        (
            *missed_notes,
            *verified_notes,
            *(
                f"{_description(Path(), digest)} is beside none of the records: ask for it"
                for digest in environments
                if digest not in described
            ),
        ),
    )


def format_merged(merged: Merged) -> list[str]:
    """A line that says what was joined, and one a note."""
    found = f"{merged.rows:,} rows of {merged.runs:,} runs in {merged.environments} environments"
    again = merged.rows_read - merged.rows
    return [
        f"{merged.target}: {found}, from {merged.sources} records; {again:,} rows stood there once more.",
        *(f"Note: {note}." for note in merged.notes),
    ]


def _read(source: Path) -> pandas.DataFrame:
    """The rows of a record, every line of which can be used; `source` is its path."""
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


def _join(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Every epoch once and every closing row once, in order.

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
    raise UnusableInput(f"{where}: {_epoch(row)}: {what}{more}: {_ADVICE}")


def _epoch(row: pandas.Series) -> str:
    return f"epoch {row['epoch']} of {row['model']} on {row['device']}, seed {row['seed']}"


def _misses(sources: Sequence[Path], rows: pandas.DataFrame) -> tuple[list[Missed], list[str]]:
    """What the runs miss, by ascending key, and notes on what is left out.

    Raises:
        UnusableInput: two lines contradict each other.
    """
    joined: dict[misses.Key, tuple[Path, Missed]] = {}
    notes: list[str] = []
    for source in sources:
        path = misses.path_beside(source)
        found = misses.read(Record(source, rows, ()))
        notes += _notes(path, found.problems)
        for one in found.runs:
            first_path, first = joined.setdefault(one.key, (path, one))
            if not np.array_equal(one.images, first.images):
                model, _, device, _, seed, epoch = one.key
                what = f"other images missed by epoch {epoch} of {model} on {device}, seed {seed}"
                raise UnusableInput(f"{path}:{one.line}: contradicts {first_path}:{first.line}: {what}: {_ADVICE}")
    return [joined[key][1] for key in sorted(joined)], notes


def _verifications(sources: Sequence[Path], rows: pandas.DataFrame) -> tuple[list[Verified], list[str]]:
    """Every verification once, in order, and notes on what is left out."""
    joined: set[Verified] = set()
    notes: list[str] = []
    for source in sources:
        found = verifications.read(Record(source, rows, ()))
        notes += _notes(verifications.path_beside(source), found.problems)
        joined.update(found.found)
    return sorted(joined, key=astuple), notes


def _networks(sources: Sequence[Path], rows: pandas.DataFrame) -> Catalogue:
    """The users' networks of the record; of two with one name that differ, the one that was trained last."""
    recorded = rows.groupby(["model", "recipe"])["recorded_at"].max().to_dict()
    found: dict[str, tuple[tuple[str, str, str], Catalogue]] = {}
    for one in (catalogue.read(source) for source in sources):
        for name, architecture in one.architectures.items():
            single = Catalogue({name: architecture}, {name: one.structures[name]})
            trained = str(recorded.get((name, architecture.digest), ""))
            rank = (trained, architecture.digest, catalogue.format_catalogue(single))
            if trained and (name not in found or found[name][0] < rank):
                found[name] = (rank, single)
    singles = [single for _, single in found.values()]
    return Catalogue(
        {name: one for single in singles for name, one in single.architectures.items()},
        {name: one for single in singles for name, one in single.structures.items()},
    )


def _notes(path: Path, problems: Sequence[Problem]) -> list[str]:
    notes = [
        f"{path}:{problem.line}: {problem.reason}{' (left out)' if problem.left_out else ''}"
        for problem in problems[:_NOTES_SHOWN]
    ]
    return [*notes, f"{path}: and {len(problems) - _NOTES_SHOWN} more"] if len(problems) > _NOTES_SHOWN else notes


def _description(runs: Path, digest: str) -> Path:
    """Where the details of an environment stand: in the report beside a record."""
    return runs.parent / "report" / "environments" / f"{digest}.json"


def _descriptions(digests: Iterable[str], records: Sequence[Path]) -> dict[str, str]:
    """The details of each environment that has some beside one of the records.

    Raises:
        UnusableInput: a file does not say what its name is the digest of, or cannot be read.
    """
    found = {}
    for digest, path in ((digest, _description(one, digest)) for digest in digests for one in records):
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise UnusableInput(f"{path}: cannot be read ({files.cause(error)}): mend or delete it") from error
        if hashlib.sha256(content).hexdigest()[:8] != digest:
            raise UnusableInput(f"{path}: was changed, its name is not its digest: get it again, or delete it")
        found[digest] = content.decode()
    return found


def _write(contents: Mapping[Path, bytes]) -> None:
    """Write files, in this order, unless one of them holds something else already."""
    try:
        present = {path: path.read_bytes() for path in contents if os.path.lexists(path)}
    except OSError as error:
        raise UnusableInput(f"{error.filename}: cannot be read ({files.cause(error)}): choose another -o") from error
    for path, content in present.items():
        if content not in (b"", contents[path]):
            raise UnusableInput(f"{path}: exists and holds something else: name another file with -o, or move it away")
    try:
        for path, content in contents.items():
            if content != present.get(path, b""):
                files.replace(path, content)
    except OSError as error:
        raise UnusableInput(f"{error.filename}: cannot be written ({files.cause(error)}): choose another -o") from error
