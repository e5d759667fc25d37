"""Turn a log, and the claims that it is judged by, into the values that the evidence is found from."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from bench.errors import UnusableInput
from bench.logs.log import Log
from bench.network.specification import LOGGED, Architecture, Claim, Recipe, Target
from bench.record import record
from bench.record.environments import Environment
from bench.record.ledger import Problem
from bench.record.record import Record
from bench.record.rows import Row
from bench.wording import count


@dataclass(frozen=True)
class Claimed:
    """What is claimed of the runs, as the user writes it. Accuracies are `99.4%`, `0.994` or, as a count, `9940`.

    `epochs` is the number of epochs of a run. If it is None, the longest run of the log has it.
    """

    target: str
    first_epoch: int | None = None
    best: str | None = None
    last: str | None = None
    epochs: int | None = None


def architecture(log: Log, claimed: Claimed) -> Architecture:
    """The network of a log, with its claims. Nothing else is known of it.

    Raises:
        UnusableInput: a claim cannot be read.
    """
    epochs = claimed.epochs or max(len(run.correct) for run in log.runs)
    target, words = _accuracy("--target", claimed.target, log)
    target_count = math.ceil(target)
    if target_count < 1:
        raise UnusableInput(f"--target {claimed.target}: every run reaches this: give an accuracy above 0")
    claims = [Claim("reaches_target", target_count, f"{words} within {count(epochs, 'epoch')}", "option")]
    if claimed.first_epoch is not None:
        if claimed.first_epoch > epochs:
            problem = f"a run has {count(epochs, 'epoch')}"
            raise UnusableInput(f"--first-epoch {claimed.first_epoch}: {problem}: give --epochs if it should have more")
        text = f"{words} first in epoch {claimed.first_epoch}"
        claims.append(Claim("first_epoch", claimed.first_epoch, text, "option"))
    if claimed.best is not None:
        value, words = _accuracy("--best", claimed.best, log)
        claims.append(Claim("best", round(value), f"{words} in the best epoch", "option"))
    if claimed.last is not None:
        value, words = _accuracy("--last", claimed.last, log)
        claims.append(Claim("last", round(value), f"{words} in the last epoch", "option"))
    return Architecture(
        name=log.name,
        source="",
        class_name="",
        recipe=Recipe(learning_rate=0, batch_size=0, epochs=epochs),
        target=Target(target_count, log.total),
        own_claims=tuple(claims),
    )


def as_record(log: Log, network: Architecture) -> Record:
    """The epochs of a log as a record without losses and seconds. Its problems say how the log was read."""
    recipe, environment = network.digest, Environment(()).digest
    rows = [
        Row(
            network.name,
            recipe,
            LOGGED,
            environment,
            run.seed,
            epoch,
            correct,
            log.total,
            test_loss=None,
            train_loss=None,
            train_seconds=None,
            eval_seconds=None,
            status="ok",
            note="",
            recorded_at="",
        )
        for run in log.runs
        for epoch, correct in enumerate(run.correct, start=1)
    ]
    found = notes(log, network)
    named = [f"{run.seed} is {run.name}" for run in log.runs if str(run.seed) != run.name]
    if named:
        found = (*found, f"the runs have numbers here: {', '.join(named)}")
    return record.from_rows(log.paths[0], rows, [Problem(1, note, left_out=False) for note in found])


def notes(log: Log, network: Architecture) -> tuple[str, ...]:
    """Sentences on what the counts mean and on how the log was read."""
    if log.has_images:
        found = [f"accuracies are numbers of correct images, of {log.total:,}"]
    else:
        found = [f"accuracies are in parts of {log.total:,}, because the log does not have the number of test images"]
        target, rounding = network.target.correct, log.rounding
        counts = {one for run in log.runs for one in run.correct[: network.recipe.epochs]}
        for one in sorted(one for one in counts if rounding and target - rounding <= one < target + rounding):
            side, way = ("at", "up") if one >= target else ("below", "down")
            found.append(
                f"{one} counts as {side} the target, but the log may have rounded it {way}; --total N checks that"
            )
    return (*found, *log.notes)


def _accuracy(option: str, text: str, log: Log) -> tuple[Fraction, str]:
    """The count that an accuracy is, not rounded, and the accuracy in words."""
    found = re.fullmatch(r"([0-9]{1,12}(?:[.,][0-9]{1,12})?|[.,][0-9]{1,12}) *(%?)", text.strip())
    problem = f"{option} {text}"
    if not found:
        raise UnusableInput(f"{problem}: is no accuracy: give it like 99.4% or 0.994")
    value = Decimal(found[1].replace(",", "."))
    if value > 100 and not found[2] and value == int(value):
        if not log.has_images:
            raise UnusableInput(f"{problem}: the log has no number of test images: give per cent, or --total N")
        if value > log.total:
            raise UnusableInput(f"{problem}: there are only {log.total:,} test images: give a smaller number")
        return Fraction(value), f"{value} of {log.total:,}"
    if value > 100:
        raise UnusableInput(f"{problem}: is more than 100 %: give it like 99.4% or 0.994")
    if value == 1 and not found[2]:
        raise UnusableInput(f"{problem}: may be 1 % or all images: give 1% or 100%")
    percent = value if found[2] or value > 1 else value * 100
    return Fraction(percent) * log.total / 100, f"{percent.normalize():f} %"
