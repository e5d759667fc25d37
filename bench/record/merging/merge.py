"""Join the records of several people or machines into one, with each epoch once. Refuse contradictions. Needs no torch.

The files beside a record are joined too: misses, verifications, users' networks and environments. Everything is
sorted, so that the order of the sources does not matter.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pandas

from bench import files
from bench.errors import UnusableInput
from bench.record import beside, catalogue, environments, misses, record, verifications
from bench.record.catalogue import Catalogue
from bench.record.environments import EXACT, Environment
from bench.record.ledger import Problem
from bench.record.merging import merge_rows
from bench.record.merging.merge_rows import ADVICE
from bench.record.misses import Missed
from bench.record.record import Record
from bench.record.rows import EPOCH_KEY, RUN_KEY
from bench.record.verifications import Verified
from bench.wording import count

_NOTES_SHOWN = 5


@dataclass(frozen=True)
class Merged:
    """The result of joining records into `target`: counts of sources, rows and runs, and `notes` for the user."""

    target: Path
    sources: int
    rows_read: int
    rows: int
    runs: int
    environments: int
    notes: tuple[str, ...]


def merge(sources: Sequence[Path], target: Path) -> Merged:
    """Join records and the files beside them into a new record. The sources do not change.

    The record itself is written last. The notes name lines that were left out of the files beside a record.

    Raises:
        UnusableInput: a source is missing or has an unusable line, two lines contradict each other, an epoch is
            missing, or a file to write already has other content. Nothing is written then.
    """
    for source in sources:
        if not source.is_file():
            raise UnusableInput(f"{source}: no such file: name the records to join")
        if target.exists() and target.samefile(source):
            raise UnusableInput(f"{target}: is one of the records to join: name another file with -o")
    read = pandas.concat([merge_rows.read(source) for source in sources], ignore_index=True)
    rows = merge_rows.join(read)
    missed, missed_notes = _joined_misses(sources, rows)
    checked, verified_notes = _joined_verifications(sources, rows)
    verified = sorted({*checked, *_trained_again(read, rows)}, key=astuple)
    networks = _joined_networks(sources, rows)
    digests = sorted({*rows["environment"], *(one.verified_in for one in verified)})
    described = _described(digests, [*sources, target])
    contents = {
        misses.path_beside(target): misses.format_misses(missed) if missed else "",
        verifications.path_beside(target): verifications.TABLE.format(verified) if verified else "",
        catalogue.path_beside(target): catalogue.format_catalogue(networks) if networks.architectures else "",
        environments.path_beside(target): environments.format_environments(described) if described else "",
        beside.real(target): record.format_rows(rows),
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
                f"no file beside the records describes the environment {digest}: ask the sender for that file"
                for digest in digests
                if digest not in described
            ),
        ),
    )


def format_merged(merged: Merged) -> list[str]:
    """Format a line that says what was joined, and one line for each note."""
    found = f"{count(merged.rows, 'row')} of {count(merged.runs, 'run')} in {count(merged.environments, 'environment')}"
    again = count(merged.rows_read - merged.rows, "row")
    return [
        f"{merged.target}: {found}, from {count(merged.sources, 'record')}; {again} left out as duplicates.",
        *(f"Note: {note}." for note in merged.notes),
    ]


def _joined_misses(sources: Sequence[Path], rows: pandas.DataFrame) -> tuple[list[Missed], list[str]]:
    """The misses of the runs, by ascending key, and notes on lines that were left out.

    Raises:
        UnusableInput: two lines contradict each other.
    """
    joined: dict[misses.Key, tuple[Path, Missed]] = {}
    known: dict[misses.Key, tuple[Path, Missed]] = {}
    notes: list[str] = []
    for source in sources:
        path = misses.path_beside(source)
        found = misses.read(Record(source, rows, ()))
        notes += _problem_notes(path, found.problems)
        for one in found.runs:
            joined.setdefault(one.key, (path, one))
            first_path, first = known.setdefault(one.bits_key, (path, one))
            if not np.array_equal(one.images, first.images):
                model, _, device, _, seed, epoch = one.key
                what = f"epoch {epoch} of {model} on {device}, seed {seed}: the missed images differ"
                raise UnusableInput(f"{path}:{one.line}: contradicts {first_path}:{first.line}: {what}: {ADVICE}")
    return [joined[key][1] for key in sorted(joined)], notes


def _joined_verifications(sources: Sequence[Path], rows: pandas.DataFrame) -> tuple[set[Verified], list[str]]:
    """Every verification once, and notes on lines that were left out."""
    joined: set[Verified] = set()
    notes: list[str] = []
    for source in sources:
        found = verifications.read(Record(source, rows, ()))
        notes += _problem_notes(verifications.path_beside(source), found.problems)
        joined.update(found.found)
    return joined, notes


def _trained_again(read: pandas.DataFrame, rows: pandas.DataFrame) -> Iterator[Verified]:
    """Return a verification for every further training of an exact run, on the same machine or on another.

    `read` has the rows of all records, which do not contradict each other. The joined `rows` have each epoch once. Two
    rows of an epoch are of different trainings if their seconds differ. Times and machines can differ without a second
    training: a job that has lost its row sends the epoch again from the saved state. A training counts from epoch 1 to
    its first epoch that was not trained again.
    """
    columns = [*EPOCH_KEY, "train_seconds", "eval_seconds"]
    joined, every = (
        frame[(frame["status"] == "ok") & (frame["environment"] == EXACT.digest)] for frame in (rows, read)
    )
    ordered = pandas.concat([joined.assign(order=0), every.assign(order=1)]).sort_values(
        ["order", *EPOCH_KEY, "recorded_at", "machine"]
    )
    trained = ordered.drop_duplicates(columns)
    again = trained[trained.duplicated(list(EPOCH_KEY))]
    for (model, recipe, device, digest, seed), part in again.groupby(list(RUN_KEY)):
        rows_of_run = part[["epoch", "recorded_at", "machine"]].itertuples(index=False, name=None)
        for training in _trainings(sorted(rows_of_run)):
            recorded_at, _, machine = max((when, epoch, where) for epoch, when, where in training)
            run = model, recipe, device, digest, int(seed)
            yield Verified(*run, len(training), True, recorded_at, digest, machine)


def _trainings(rows: Sequence[tuple[int, str, str]]) -> list[list[tuple[int, str, str]]]:
    """Divide the further rows (epoch, time, machine) of a run into trainings. `rows` are sorted.

    An epoch goes on with the training of the same machine, or else with another one. So a mixture of two trainings,
    whose other halves are in the record, counts as one.
    """
    trainings: list[list[tuple[int, str, str]]] = []
    for epoch, group in itertools.groupby(rows, key=lambda one: one[0]):
        left = list(group)
        if epoch == 1:
            trainings = [[one] for one in left]
        waiting = [one for one in trainings if one[-1][0] == epoch - 1]
        for training in sorted(waiting, key=lambda one: all(one[-1][2] != machine for _, _, machine in left)):
            following = next((one for one in left if one[2] == training[-1][2]), left[0] if left else None)
            if following is not None:
                training.append(following)
                left.remove(following)
    return trainings


def _joined_networks(sources: Sequence[Path], rows: pandas.DataFrame) -> Catalogue:
    """The users' own networks of the record. If two networks share a name, the one that was trained last is kept."""
    recorded: dict[str, dict[str, str]] = {}
    for (model, recipe), when in rows.groupby(["model", "recipe"])["recorded_at"].max().items():
        recorded.setdefault(model, {})[recipe] = when
    found: dict[str, tuple[tuple[str, str], Catalogue]] = {}
    for one in (catalogue.read(source) for source in sources):
        for name, architecture in one.architectures.items():
            single = Catalogue({name: architecture}, {name: one.structures[name]})
            times = [when for recipe, when in recorded.get(name, {}).items() if architecture.with_digest(recipe)]
            trained = max(times, default="")
            rank = (trained, catalogue.format_catalogue(single))
            if trained and (name not in found or found[name][0] < rank):
                found[name] = (rank, single)
    singles = [single for _, single in found.values()]
    return Catalogue(
        {name: one for single in singles for name, one in single.architectures.items()},
        {name: one for single in singles for name, one in single.structures.items()},
    )


def _problem_notes(path: Path, problems: Sequence[Problem]) -> list[str]:
    notes = [
        f"{path}:{problem.line}: {problem.reason}{' (left out)' if problem.left_out else ''}"
        for problem in problems[:_NOTES_SHOWN]
    ]
    return [*notes, f"{path}: and {len(problems) - _NOTES_SHOWN} more"] if len(problems) > _NOTES_SHOWN else notes


def _described(digests: Sequence[str], records: Sequence[Path]) -> dict[str, Environment]:
    """Those of the environments that a file beside one of the records describes, or the report there."""
    found: dict[str, Environment] = {}
    for one in records:
        found |= environments.read_published(beside.real(one).parent / "report", digests) | environments.read(one)
    return {digest: found[digest] for digest in digests if digest in found}


def _write(contents: Mapping[Path, bytes]) -> None:
    """Write files in this order. Refuse if one of them already has other content."""
    try:
        present = {path: path.read_bytes() for path in contents if os.path.lexists(path)}
    except OSError as error:
        raise UnusableInput(f"{error.filename}: cannot be read ({files.cause(error)}): choose another -o") from error
    for path, content in present.items():
        if content not in (b"", contents[path]):
            raise UnusableInput(f"{path}: has other content already: name another file with -o, or move it away")
    try:
        for path, content in contents.items():
            if content != present.get(path, b""):
                files.replace(path, content)
    except OSError as error:
        raise UnusableInput(f"{error.filename}: cannot be written ({files.cause(error)}): choose another -o") from error
