"""Turn the accuracies of a log into counts, where they have one meaning."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from bench.errors import UnusableInput
from bench.record.rows import quoted

DIGITS = 7
"""A share is read to this many decimals. Single precision has no more, so 0.9940999746 is 0.9941."""

_FEWEST_DIGITS = 4  # counts of 10,000 are hundredths of a per cent, as people write them
_NUMBER = re.compile(r"([+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]{1,3})?)\s*(%?)")
_NOTHING = {"", "-", "na", "n/a", "none", "null"}
_NAN = {"nan", "+nan", "-nan"}
_LARGEST = 10**15


@dataclass(frozen=True, slots=True)
class Measured:
    """The accuracy of one epoch of a run, as its log has it. `place` is its file and line.

    `accuracy` is a number as it is written, and later a share. It is not a number for an epoch whose value is NaN.
    `decimals` is the number of decimals of the shares in this file. Each of the counts is None if the log lacks it.
    """

    run: str
    epoch: int
    place: str
    accuracy: Decimal | None
    has_percent: bool = False
    decimals: int = DIGITS
    correct: int | None = None
    total: int | None = None

    @property
    def is_nan(self) -> bool:
        """Whether the log has no number here, but the word NaN."""
        return self.accuracy is not None and self.accuracy.is_nan()


def number(text: str, what: str, place: str) -> tuple[Decimal, bool] | None:
    """Read a number, and whether a per cent sign follows. An empty cell is None, a cell with the word NaN is NaN.

    The decimal separator is a point or a comma.

    Raises:
        UnusableInput: the text is something else. The message names `what` and its place.
    """
    plain = text.replace("\N{NO-BREAK SPACE}", " ").strip()
    if plain.casefold() in _NOTHING:
        return None
    if plain.casefold() in _NAN:
        return Decimal("NaN"), False
    found = _NUMBER.fullmatch(plain)
    if not found:
        raise UnusableInput(f"{place}: {what} is {quoted(text)}, not a number: correct it, or leave the cell empty")
    return Decimal(found[1].replace(",", ".")), bool(found[2])


def whole_number(text: str, what: str, place: str) -> int | None:
    """Read a whole number that is at least 0, such as 3 or 3.0. An empty cell is None.

    Raises:
        UnusableInput: the text is something else.
    """
    found = number(text, what, place)
    if found is None:
        return None
    value, has_percent = found
    if value.is_nan() or has_percent or not 0 <= value <= _LARGEST or value != value.to_integral_value():
        raise UnusableInput(f"{place}: {what} is {quoted(text)}, not a whole number: correct it")
    return int(value)


def as_shares(measured: Sequence[Measured], says_percent: bool) -> list[Measured]:
    """Turn the accuracies of one file into shares. They are per cent if a value has the sign or is larger than 1.

    `says_percent` says that the name of the column has the sign.

    Raises:
        UnusableInput: an accuracy is not from 0 to 100 %, or some runs are written as shares and others in per cent.
    """
    numbers = [one for one in measured if one.accuracy is not None and not one.is_nan]
    is_percent = says_percent or any(one.has_percent or (one.accuracy or 0) > 1 for one in numbers)
    highest: dict[str, Decimal] = {}
    for one in numbers:
        value = one.accuracy or Decimal()
        highest[one.run] = max(value, highest.get(one.run, value))
        if not 0 <= value <= 100:
            raise UnusableInput(f"{one.place}: accuracy is {value}, not a share or 0 to 100 %: name another column")
    if says_percent and highest and max(highest.values()) <= 1 and not any(one.has_percent for one in numbers):
        problem = "the name of the column says per cent, but no accuracy is above 1"
        raise UnusableInput(f"{numbers[0].place}: {problem}: correct the name, or add a % to each accuracy")
    if is_percent and not says_percent and not all(one.has_percent for one in numbers):
        low = next((one for one in numbers if highest[one.run] <= 1), None)
        if low is not None:
            problem = f"run {low.run} is never above 1, and other runs are: some may be shares and some per cent"
            raise UnusableInput(f"{low.place}: {problem}: write all in the same way, or add a % to each")
        small = next((one for one in numbers if 0 < (one.accuracy or 0) <= 1 and not one.has_percent), None)
        if small is not None:
            problem = f"accuracy is {small.accuracy}, and other epochs of run {small.run} are above 1"
            raise UnusableInput(f"{small.place}: {problem}: write all in the same way, or add a % to each")
    shift = -2 if is_percent else 0
    shares = [one.accuracy if one.accuracy is None else one.accuracy.scaleb(shift) for one in measured]
    decimals = max((_decimals(share) for share in shares if share is not None and not share.is_nan()), default=0)
    return [
        replace(one, accuracy=share, decimals=min(decimals, DIGITS))
        for one, share in zip(measured, shares, strict=True)
    ]


def counts(measured: Iterable[Measured], total: int) -> list[int]:
    """The number of correct images of each epoch, of `total`.

    Raises:
        UnusableInput: there is no such number or there are several, it is larger than the total, or the accuracy says
            something else than the number that the log has.
    """
    return [_count(one, total) for one in measured]


def _count(one: Measured, total: int) -> int:
    if one.correct is not None and one.correct > total:
        raise UnusableInput(
            f"{one.place}: correct is {one.correct}, more than the total of {total}: correct one of them"
        )
    if one.accuracy is None:
        assert one.correct is not None
        return one.correct
    exact = one.accuracy * total
    nearest = int(exact.to_integral_value())
    rounding = max(Decimal(5).scaleb(-one.decimals - 1), Decimal(5).scaleb(-DIGITS - 1)) * total
    shown = f"{one.accuracy.scaleb(2).normalize():f} %"
    if one.correct is not None:
        if abs(exact - one.correct) > rounding:
            problem = f"accuracy is {shown}, but correct is {one.correct} of {total}"
            raise UnusableInput(f"{one.place}: {problem}: choose one with --column")
        return one.correct
    if abs(exact - nearest) > rounding:
        advice = "correct the total, or leave it out to judge the accuracies as they are"
        problem = f"accuracy {shown} is {exact.normalize():f} of {total:,}, no whole number"
        raise UnusableInput(f"{one.place}: {problem}: {advice}")
    if abs(exact - nearest) + rounding >= 1:
        first, last = math.ceil(exact - rounding), math.floor(exact + rounding)
        advice = "give more decimals, or leave out the total to judge the accuracies as they are"
        raise UnusableInput(f"{one.place}: accuracy {shown} may be any of {first:,} to {last:,} of {total:,}: {advice}")
    return nearest


def in_decimals(measured: Iterable[Measured]) -> tuple[list[int], int]:
    """The accuracies as counts of a power of ten, and that power. It is the smallest that is exact, from 10,000 on."""
    parts = [int((one.accuracy or Decimal()).scaleb(DIGITS).to_integral_value()) for one in measured]
    digits = DIGITS
    while digits > _FEWEST_DIGITS and all(part % 10 ** (DIGITS - digits + 1) == 0 for part in parts):
        digits -= 1
    return [part // 10 ** (DIGITS - digits) for part in parts], 10**digits


def _decimals(share: Decimal) -> int:
    exponent = share.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
