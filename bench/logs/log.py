"""Read the logs of several runs: the accuracy of every epoch, as counts of one total."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from bench.errors import UnusableInput
from bench.logs import columns, epochs, table, values
from bench.logs.columns import Curve, Layout
from bench.logs.table import Table
from bench.logs.values import Measured
from bench.wording import count


@dataclass(frozen=True)
class LoggedRun:
    """One run: its name in the log, the number that stands for it, and its counts by epoch, from epoch 1."""

    name: str
    seed: int
    correct: tuple[int, ...]


@dataclass(frozen=True)
class Log:
    """The runs of one or several files. Counts are of `total`.

    `has_images` says whether that is the number of test images. Otherwise it is a power of ten, because the log has
    accuracies and no number of images. `rounding` is how far a count can be from the true one, because the accuracies
    have few decimals; 0 if they have many.
    `notes` are sentences on how the files were read.
    """

    paths: tuple[Path, ...]
    runs: tuple[LoggedRun, ...]
    total: int
    has_images: bool
    rounding: Fraction
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """A name for what was trained: that of the file."""
        return _text(self.paths[0].stem) if len(self.paths) == 1 else "logs"


def read(paths: Sequence[Path], named: Mapping[str, str], total: int | None = None, budget: int | None = None) -> Log:
    """Read the runs of files.

    `named` has the columns that the user names, by role. `total` is the number of test images and `budget` the number
    of epochs of a run, if the user gives them.

    A file without a column of runs is one run. Empty cells are left out, and so is an epoch that a log repeats with the
    same value.

    Raises:
        UnusableInput: a file cannot be read, or something in it has no meaning or several. The message has the line.
    """
    measured, said = list[Measured](), dict[str, list[Path]]()
    for path, label in zip(paths, _labels(paths), strict=True):
        source = table.read(path)
        found, file_notes = _read_file(source, label, named, budget)
        if not source.rows:
            raise UnusableInput(f"{path}: has a header and no rows: add a row for each epoch")
        measured += found
        for note in file_notes:
            said.setdefault(note, []).append(path)
    if not measured:
        raise UnusableInput(f"{paths[0]}: has no accuracy in any row: name the column with --column accuracy=NAME")
    notes = [note if len(where) == len(paths) else f"{note}, in {_named(where)}" for note, where in said.items()]
    runs, repeated = _by_run(measured)
    if repeated:
        notes.append(f"{count(repeated, 'row')} with the same run, epoch and accuracy as another row left out")
    flat = [one for several in runs.values() for one in several]
    total = _total(flat, total)
    if total is None:
        _check_accuracies(flat)
    correct, of = (values.counts(flat, total), total) if total is not None else values.in_decimals(flat)
    decimals = max(one.decimals for one in flat)
    is_rounded = total is None and decimals < values.DIGITS
    part = iter(correct)
    seeds = _seeds(list(runs))
    logged = [
        LoggedRun(name, seed, tuple(itertools.islice(part, len(several))))
        for (name, several), seed in zip(runs.items(), seeds, strict=True)
    ]
    return Log(
        tuple(paths),
        tuple(sorted(logged, key=lambda run: run.seed)),
        of,
        total is not None,
        Fraction(of, 2 * 10**decimals) if is_rounded else Fraction(0),
        tuple(notes),
    )


def _read_file(
    source: Table, label: str, named: Mapping[str, str], budget: int | None
) -> tuple[list[Measured], list[str]]:
    """The epochs of a file, and sentences on how it was read."""
    layout = columns.find(source, named)
    measured = list(_measured(source, layout, label))
    headers = [source.header[curve.accuracy] for curve in layout.curves if curve.accuracy is not None]
    metrics = [header.rpartition(" - ")[2].casefold() for header in headers]
    says_percent = any("%" in metric or re.search("percent|pct", metric) for metric in metrics)
    if not measured:
        return [], []
    found, note = epochs.numbered(values.as_shares(measured, says_percent), layout.has_steps, budget)
    return found, [columns.described(source, layout), *([note] if note else [])]


def _measured(source: Table, layout: Layout, label: str) -> Iterator[Measured]:
    for line, cells in source.rows:
        place = source.place(line)
        total = None if layout.total is None else values.whole_number(cells[layout.total], "total", place)
        if total == 0:
            raise UnusableInput(f"{place}: total is 0: correct it")
        for curve in layout.curves:
            found = None if curve.accuracy is None else values.number(cells[curve.accuracy], "accuracy", place)
            correct = None if curve.correct is None else values.whole_number(cells[curve.correct], "correct", place)
            if found is None and correct is None:
                continue
            if found is not None:
                _check_no_mean(cells, curve, place)
            epoch = values.whole_number(cells[layout.epoch], source.header[layout.epoch] or "epoch", place)
            run = curve.run or (label if layout.run is None else cells[layout.run])
            if epoch is None or not run:
                raise UnusableInput(f"{place}: {'run' if epoch is not None else 'epoch'} is empty: complete the row")
            accuracy, has_percent = found or (None, False)
            yield Measured(run, epoch, place, accuracy, has_percent, correct=correct, total=total)


def _check_no_mean(cells: Sequence[str], curve: Curve, place: str) -> None:
    """Refuse the mean of several runs or epochs: its lowest and highest values differ from it."""
    for bound in curve.bounds:
        if cells[bound] and cells[bound] != cells[curve.accuracy or 0]:
            problem = f"the accuracy of {curve.run} is the mean of several values (its MIN and MAX differ)"
            raise UnusableInput(f"{place}: {problem}: export single runs, without groups and smoothing")


def _by_run(measured: Iterable[Measured]) -> tuple[dict[str, list[Measured]], int]:
    """The epochs of every run in order, and the number of rows that only repeat another row."""
    runs: dict[str, dict[int, Measured]] = {}
    repeated, without_number = 0, list[Measured]()
    for one in measured:
        if one.is_nan:
            without_number.append(one)
            continue
        first = runs.setdefault(one.run, {}).setdefault(one.epoch, one)
        if first is not one:
            if (first.accuracy, first.correct) != (one.accuracy, one.correct):
                problem = f"epoch {one.epoch} of run {one.run} has another accuracy at {first.place}"
                advice = "remove one, name the column of the runs with --column run=NAME, or give each run a file"
                raise UnusableInput(f"{one.place}: {problem}: {advice}")
            repeated += 1
    for one in without_number:
        if one.epoch not in runs.get(one.run, {}):
            advice = "write 0 if the run had diverged; leave the cell empty if the run had ended"
            raise UnusableInput(f"{one.place}: the accuracy of epoch {one.epoch} of run {one.run} is NaN: {advice}")
    ordered = {run: [by_epoch[epoch] for epoch in sorted(by_epoch)] for run, by_epoch in runs.items()}
    for run, several in ordered.items():
        for expected, one in enumerate(several, start=1):
            if one.epoch != expected:
                problem = f"epoch {one.epoch} of run {run}, but its epoch {expected} is missing or has no accuracy"
                raise UnusableInput(f"{one.place}: {problem}: add it; a log needs every epoch from the first on")
    return ordered, repeated


def _total(measured: Iterable[Measured], given: int | None) -> int | None:
    """The number of test images: the one that was `given`, or the one of the log, or None."""
    found, where = given, "--total"
    for one in measured:
        if one.total is not None and found is not None and one.total != found:
            problem = f"total is {one.total}, but {found} in {where}"
            raise UnusableInput(f"{one.place}: {problem}: judge runs on one set of test images at a time")
        if found is None and one.total is not None:
            found, where = one.total, one.place
    return found


def _check_accuracies(measured: Iterable[Measured]) -> None:
    for one in measured:
        if one.accuracy is None:
            raise UnusableInput(f"{one.place}: correct is {one.correct}, of an unknown total: give it with --total N")


def _named(paths: Sequence[Path]) -> str:
    shown = ", ".join(map(str, paths[:3]))
    return shown + (f" and {count(len(paths) - 3, 'more file')}" if len(paths) > 3 else "")


def _labels(paths: Sequence[Path]) -> list[str]:
    """A name for the run of each file: its own name, or the shortest end of its folder that no other file has."""
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise UnusableInput(f"{twice}: is named twice: name each log once")
    labels = [_text(path.stem) for path in paths]
    for depth in range(1, max(len(path.parts) for path in paths)):
        if len(set(labels)) == len(labels):
            return labels
        labels = [_text("/".join(path.parent.parts[-depth:])) for path in paths]
    return labels if len(set(labels)) == len(labels) else [_text(str(path)) for path in paths]


def _text(name: str) -> str:
    """A name of a file as text. It shows the bytes that are no text as numbers."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _seeds(names: Sequence[str]) -> list[int]:
    """A number for each run: the one in its name that tells the names apart, or else its place in the log."""
    parts = [re.split("([0-9]{1,18})", name) for name in names]
    if len({len(one) for one in parts}) == 1:
        differing = [place for place in range(len(parts[0])) if len({one[place] for one in parts}) > 1]
        if len(names) == 1 and re.fullmatch("[0-9]{1,18}", names[0]):
            differing = [1]
        if len(differing) == 1 and differing[0] % 2:
            numbers = [int(one[differing[0]]) for one in parts]
            if len(set(numbers)) == len(numbers):
                return numbers
    return list(range(1, len(names) + 1))
