"""Write and read <runs>.verified.csv, the results of training recorded runs again. No other module does so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from bench.errors import one_line
from bench.files import cause
from bench.record import beside, record, writer
from bench.record.ledger import Problem, Table
from bench.record.record import Record
from bench.record.rows import RUN_KEY, digest, format_fields, integer, one_of, parse_run, time, words


@dataclass(frozen=True)
class Verified:
    """One recorded run that was trained again, and whether its first `epochs` epochs were identical, bit for bit.

    `environment` is the environment of the recorded run, and `verified_in` that of the second training, which took
    place on `machine`.
    """

    model: str
    recipe: str
    device: str
    environment: str
    seed: int
    epochs: int
    identical: bool
    recorded_at: str
    verified_in: str
    machine: str = ""


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Verified))
REQUIRED: tuple[str, ...] = COLUMNS[:-1]


@dataclass(frozen=True)
class Verifications:
    """The usable content of a file, and the problems of the file."""

    found: tuple[Verified, ...] = ()
    problems: tuple[Problem, ...] = ()


def path_beside(runs: Path) -> Path:
    """The path of this file beside a record."""
    return beside.path(runs, "verified")


def read(recorded: Record) -> Verifications:
    """Read the usable rows of the file beside a record, and its problems. A missing file counts as empty.

    A row is left out if the record has no epoch of its run.
    """
    problems: list[Problem] = []
    found: list[Verified] = []
    runs = set(recorded.epochs[list(RUN_KEY)].drop_duplicates().itertuples(index=False, name=None))
    try:
        for line, one in TABLE.read(path_beside(recorded.path), problems):
            if (one.model, one.recipe, one.device, one.environment, one.seed) in runs:
                found.append(one)
            else:
                reason = f"{one.model} seed {one.seed} of this recipe and environment is not in the record"
                problems.append(Problem(line, one_line(reason)))
    except OSError as error:
        problems.append(Problem(1, f"the file cannot be read ({cause(error)})"))
    return Verifications(tuple(found), tuple(sorted(problems, key=lambda problem: problem.line)))


def _parse(text: Mapping[str, str]) -> Verified:
    return Verified(
        *parse_run(text),
        epochs=integer(text, "epochs"),
        identical=one_of(text, "identical", ("yes", "no")) == "yes",
        recorded_at=time(text, "recorded_at"),
        verified_in=digest(text, "verified_in"),
        machine=words(text, "machine"),
    )


def _line(verified: Verified, header: Sequence[str]) -> str:
    return format_fields(asdict(verified) | {"identical": "yes" if verified.identical else "no"}, header)


TABLE = Table("a record's verifications", COLUMNS, REQUIRED, _parse, _line, lambda one: one, lambda one: one)


class Writer(writer.Writer[Verified]):
    """Append rows to the file beside a record. A row is on the disk when `append` returns."""

    def __init__(self, runs: Path) -> None:
        super().__init__(TABLE, path_beside(runs), path_beside(record.aside(runs)))
