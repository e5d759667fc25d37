"""Find the columns of a log: which has the run, the epoch and the accuracy. Names are compared without case."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from bench.errors import UnusableInput
from bench.logs.table import Table
from bench.wording import listed

Role = Literal["run", "epoch", "accuracy", "correct", "total"]
ROLES: tuple[str, ...] = get_args(Role)

_RUN = ("run", "run_id", "run_name", "seed", "trial")
_EPOCH, _STEP = ("epoch", "epochs"), ("step", "global_step", "trainer_global_step", "iteration")
_INDEX = ("", "unnamed_0", "index")  # what a table gets that was written with its row numbers
_TOTAL = ("total", "n_total", "num_total", "test_total", "val_total")
_NO_MEASURES = {*_RUN, *_EPOCH, *_STEP, *_INDEX, *_TOTAL, "time", "wall_time"}
_MEASURES = {"accuracy": {"accuracy", "acc", "acc1", "top1"}, "correct": {"correct"}}
_HELD_OUT = {"test", "eval", "val", "valid", "validation", "dev"}
_OTHER = {"train", "training", "loss", "best", "max", "min", "std", "stderr"}
_TENSORBOARD = ("wall_time", "step", "value")
_RUN_NUMBER = re.compile(r"(?:^|_)(?:run|seed|trial|fold|rep|replicate)_?([0-9]+)(?:_|$)")


@dataclass(frozen=True)
class Curve:
    """The column of an accuracy, of a number of correct images, or of both.

    In a wide form each run has a column, and `run` is its name. `bounds` are the columns of the lowest and the highest
    of the values that an export has averaged.
    """

    run: str | None = None
    accuracy: int | None = None
    correct: int | None = None
    bounds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Layout:
    """The places of the columns in a table. `has_steps` says that `epoch` counts something that may not be epochs."""

    epoch: int
    has_steps: bool
    run: int | None
    total: int | None
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class _Column:
    """A column: its place, its name in lower case, and in a wide form the run that it is about."""

    place: int
    name: str
    run: str | None


def find(table: Table, named: Mapping[str, str]) -> Layout:
    """Find the columns of a table. `named` has the columns that the user names, by role.

    Raises:
        UnusableInput: a named column is missing, or the header does not say which column has the epoch or the accuracy.
    """
    if len(set(table.header)) != len(table.header):
        twice = next(name for name in table.header if table.header.count(name) > 1)
        raise _error(table, f"two columns are named {twice!r}: rename one of them")
    names = [_plain(name) for name in table.header]
    if tuple(names) == _TENSORBOARD:
        named = {"accuracy": "value", **named}
    chosen = {role: _place(table, names, role, name) for role, name in named.items() if role not in _MEASURES}
    epoch = chosen.get("epoch", _first(names, (*_EPOCH, *_STEP)))
    if epoch is None and names[0] in _INDEX:
        epoch = 0
    if epoch is None and all(re.fullmatch(r"[0-9.,eE%+ -]*", name) for name in table.header):
        raise _error(table, "there is no header, only numbers: write one above this line, such as epoch,accuracy")
    if epoch is None:
        raise _error(
            table, f"no column is named epoch or step, only {_shown(table)}: name one with --column epoch=NAME"
        )
    return Layout(
        epoch,
        names[epoch] not in (*_EPOCH, *_INDEX),
        chosen.get("run", _first(names, _RUN)),
        chosen.get("total", _first(names, _TOTAL)),
        _curves(table, names, named, epoch),
    )


def described(table: Table, layout: Layout) -> str:
    """Say in words which columns are read."""
    epoch = repr(table.header[layout.epoch] or "(without a name)")
    measures = [place for curve in layout.curves for place in (curve.accuracy, curve.correct) if place is not None]
    names = [repr(table.header[place]) for place in measures]
    shown = listed(names if len(names) < 4 else [*names[:2], f"{len(names) - 2} more columns"])
    run = f", and the run from {table.header[layout.run]!r}" if layout.run is not None else ""
    return f"the epoch is read from the column {epoch}, the accuracy from {shown}{run}"


def _curves(table: Table, names: Sequence[str], named: Mapping[str, str], epoch: int) -> tuple[Curve, ...]:
    bounds = {name: place for place, name in enumerate(table.header) if name.endswith(("__MIN", "__MAX"))}
    columns = [
        _column(place, name)
        for place, name in enumerate(table.header)
        if place != epoch and place not in bounds.values() and (names[place] not in _NO_MEASURES)
    ]
    if named.keys() & _MEASURES.keys():
        found = {role: _named(table, names, columns, role, named[role]) for role in _MEASURES if role in named}
    else:
        found = {role: _choose(table, columns, role) for role in _MEASURES}
    if not any(found.values()):
        found = {"accuracy": _nameless(table, columns)}
    by_run: dict[str | None, dict[str, int]] = {}
    for role, several in found.items():
        for one in several:
            by_run.setdefault(one.run, {})[role] = one.place
    return tuple(
        Curve(run, places.get("accuracy"), places.get("correct"), _bounds(table.header, places, bounds))
        for run, places in by_run.items()
    )


def _named(table: Table, names: Sequence[str], columns: Iterable[_Column], role: str, name: str) -> Sequence[_Column]:
    """The column that the user names, or in a wide form the column of each run that has this name."""
    of_runs = [one for one in columns if one.run is not None and one.name == _plain(name)]
    return of_runs or [_Column(_place(table, names, role, name), _plain(name), None)]


def _column(place: int, name: str) -> _Column:
    """Split the name of a column into the run and what was measured: `run - metric`, `acc_seed_3`, `seed 3`, `3`."""
    run, dash, metric = name.rpartition(" - ")
    if dash:
        return _Column(place, _plain(metric) if not metric.startswith("_") else "", run)
    plain = _plain(name)
    number = _RUN_NUMBER.search(plain)
    if number:
        return _Column(place, "_".join(filter(None, (plain[: number.start()], plain[number.end() :]))), number[1])
    return _Column(place, "", plain) if re.fullmatch("[0-9]+", plain) else _Column(place, plain, None)


def _choose(table: Table, columns: Iterable[_Column], role: str) -> list[_Column]:
    """The columns that measure one thing. A column beside one of held-out images is of training, as in Keras."""
    found = [one for one in columns if _is_about(one.name, _MEASURES[role])]
    held_out = [one for one in found if _HELD_OUT & set(one.name.split("_"))]
    found = held_out or found
    found = [one for one in found if one.name == role] or found
    if len({one.name for one in found}) > 1:
        several = listed([repr(table.header[one.place]) for one in found[:6]])
        raise _error(table, f"several columns could be meant, {several}: choose one with --column {role}=NAME")
    return found


def _is_about(name: str, words: Collection[str]) -> bool:
    parts = set(name.split("_"))
    return bool(parts & set(words)) and not parts & _OTHER and not name.endswith("_step")


def _nameless(table: Table, columns: Sequence[_Column]) -> list[_Column]:
    """The columns of a wide form that has only the names of the runs, or one metric whose name says nothing."""
    runs = [one for one in columns if one.run is not None]
    metrics = {one.name for one in runs if one.name}
    if len(metrics) == 1 or (runs and not metrics and len(runs) == len(columns)):
        found = [one for one in runs if one.name in (metrics or {""})]
        if not any(_OTHER & set(one.name.split("_")) for one in found):
            return found
    advice = "name one with --column accuracy=NAME, or give the columns of the runs the names run 1, run 2, …"
    raise _error(table, f"no column is named accuracy or correct, only {_shown(table)}: {advice}")


def _bounds(header: Sequence[str], places: Mapping[str, int], bounds: Mapping[str, int]) -> tuple[int, ...]:
    names = [header[place] + end for place in places.values() for end in ("__MIN", "__MAX")]
    return tuple(bounds[name] for name in names if name in bounds)


def _plain(name: str) -> str:
    """A name in lower case, with one _ for everything that is no letter and no digit: valAcc, Val/Acc, val_acc (%)."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[\W_]+", "_", parted.casefold()).strip("_")


def _place(table: Table, names: Sequence[str], role: str, name: str) -> int:
    if name in table.header:
        return table.header.index(name)
    if names.count(_plain(name)) == 1:
        return names.index(_plain(name))
    raise _error(table, f"no column is named {name!r} (--column {role}={name}): the columns are {_shown(table)}")


def _first(names: Sequence[str], wanted: Iterable[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _shown(table: Table) -> str:
    shown = ", ".join(repr(name) for name in table.header[:12])
    return shown + (f" and {len(table.header) - 12} more" if len(table.header) > 12 else "")


def _error(table: Table, problem: str) -> UnusableInput:
    return UnusableInput(f"{table.place(table.header_line)}: {problem}")
