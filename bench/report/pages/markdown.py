"""Write values as Markdown, and name the figures of the report.

The values are escaped. No name, note or number can break a table cell.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable, Mapping, Sequence

from bench.errors import one_line

NOTHING = "–"

OVERVIEW, TIME, LAST, SECONDS = "accuracy.svg", "time-to-target.svg", "last-accuracy.svg", "seconds-per-epoch.svg"
MISSED, COMPONENTS = "missed-digits.svg", "variance.svg"

FIGURE = re.compile(
    r"(accuracy(-[A-Za-z0-9_-]+)?|time-to-target|last-accuracy|seconds-per-epoch|missed-digits|variance)\.svg"
)
"""Matches every possible file name of a figure of a report."""

_SPECIAL = re.compile(r"[\\`*\[\]<>|~$]|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = str.maketrans({"|": "&#124;", "*": "&#42;", "_": "&#95;", "[": "&#91;", "]": "&#93;", "`": "&#96;"})


def text(value: object) -> str:
    """Text for a cell or a sentence. It is escaped, so that it is shown unchanged, on one line."""
    escaped = one_line(str(value).replace("&", "&amp;")) if str(value) else ""
    return _SPECIAL.sub(lambda found: "\\" + found.group(), escaped)


def code(value: object) -> str:
    """A name in code style, for a cell or a sentence."""
    shown = one_line(str(value))
    if re.fullmatch(r"[\w./:@,+= -]*[\w./:@,+=-]", shown, flags=re.ASCII):
        return f"`{shown}`"
    return f"<code>{html.escape(shown, quote=False).translate(_ENTITIES)}</code>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> list[str]:
    """A table of Markdown cells. `align` has l or r for each column; the last letter is for all further columns."""
    rules = [":--" if letter == "l" else "--:" for letter in align.ljust(len(header), align[-1])]
    return ["| " + " | ".join(cells) + " |" for cells in (header, rules, *rows)] + [""]


def image(alts: Mapping[str, str], name: str) -> list[str]:
    """An image link to a figure, if `alts` has an alternative text for it. Otherwise no lines."""
    return [f"![{text(alts[name])}]({name})", ""] if name in alts else []


def number(value: float | None, digits: int = 0) -> str:
    """A number with a fixed number of decimals, or a dash for None. Without decimals, commas separate the thousands."""
    if value is None:
        return NOTHING
    shown = f"{value:.{digits}f}" if digits else f"{value:,.0f}"
    return shown.replace("-", "−") if shown.strip("-0.") else shown.lstrip("-")


def signed(value: float | None, digits: int = 1) -> str:
    """A difference with its sign."""
    shown = number(value, digits)
    return "+" + shown if value is not None and value > 0 and shown.strip("0.") else shown


def probability(value: float) -> str:
    """A p-value."""
    return "< 0.001" if value < 0.001 else f"{value:.3g}"


def span(values: Sequence[int]) -> str:
    """The lowest and the highest of the values, or a dash for no values."""
    if not values:
        return NOTHING
    return str(values[0]) if min(values) == max(values) else f"{min(values)}–{max(values)}"


def figure_of(network: str) -> str:
    """The file name of one network's figure. A name that is not safe as a file name is shortened and gets a digest."""
    safe = re.sub(r"[^A-Za-z0-9_]+", "-", network)[:60]
    if safe != network:
        safe += "-" + hashlib.sha256(network.encode()).hexdigest()[:8]
    return f"accuracy-{safe}.svg"
