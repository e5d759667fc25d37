"""Write and read <runs>.verified.csv, the results of training recorded runs again. No other module does so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from bench.errors import one_line
from bench.files import cause
from bench.record import ledger
from bench.record.ledger import Problem
from bench.record.record import Record
from bench.record.rows import RUN_KEY, Malformed, digest, format_line, integer, one_of, parse_run, time


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
    return runs.with_name(f"{runs.stem}.verified.csv")


class Writer:
    """Append rows to the file beside a record. A row is on the disk when `append` returns."""

    def __init__(self, runs: Path) -> None:
        self._file = ledger.Appender(path_beside(runs), COLUMNS, REQUIRED, "a record's verifications")

    def append(self, verified: Verified) -> None:
        """Write the result for one run.

        Raises:
            UnusableInput: the file cannot be written, or has another header. No partial row stays.
        """
        self._file.append(_texts(verified))


def format_verifications(found: Iterable[Verified]) -> str:
    """Format the text of a whole file with these rows."""
    return "".join(map(format_line, [COLUMNS, *(list(_texts(one).values()) for one in found)]))


def _texts(verified: Verified) -> dict[str, str]:
    values = asdict(verified) | {"identical": "yes" if verified.identical else "no"}
    return {column: one_line(str(value)) if value != "" else "" for column, value in values.items()}


def read(record: Record) -> Verifications:
    """Read the usable rows of the file beside a record, and its problems. A missing file counts as empty.

    A row is left out if the record has no epoch of its run.
    """
    problems: list[Problem] = []
    found: list[Verified] = []
    recorded = set(record.epochs[list(RUN_KEY)].drop_duplicates().itertuples(index=False, name=None))
    try:
        for line in ledger.read(path_beside(record.path), REQUIRED, problems):
            try:
                one = _parse(line.fields())
                if (one.model, one.recipe, one.device, one.environment, one.seed) not in recorded:
                    raise Malformed(f"{one.model} seed {one.seed} of this recipe and environment is not in the record")
                found.append(one)
            except Malformed as error:
                problems.append(Problem(line.number, one_line(error)))
    except FileNotFoundError:
        return Verifications()
    except OSError as error:
        problems.append(Problem(1, f"the file cannot be read ({cause(error)})"))
    return Verifications(tuple(found), tuple(sorted(problems, key=lambda problem: problem.line)))


def _parse(text: dict[str, str]) -> Verified:
    one = Verified(
        *parse_run(text),
        epochs=integer(text, "epochs"),
        identical=one_of(text, "identical", ("yes", "no")) == "yes",
        recorded_at=time(text, "recorded_at"),
        verified_in=digest(text, "verified_in"),
        machine=text.get("machine", ""),
    )
    if one.epochs < 1:
        raise Malformed("epochs is 0, so nothing was compared")
    return one
