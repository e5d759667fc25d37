"""Write values as Markdown, and name the pages and figures of the report.

The values are escaped. No name, note or number can break a table cell or become a link.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable, Mapping, Sequence

from bench.errors import one_line
from bench.network.specification import Target

NOTHING = "–"

README, METHODS, DATA = "README.md", "methods.md", "data.md"
OVERVIEW, TIME, LAST, SECONDS = "accuracy.svg", "time-to-target.svg", "last-accuracy.svg", "seconds-per-epoch.svg"
MISSED, COMPONENTS, EVIDENCE = "missed-digits.svg", "variance.svg", "evidence.svg"

SEED_LINES = 20
"""A figure of accuracies draws at most this many seeds as lines. More cannot be told apart; the band has all seeds."""

MANY_ROWS = 30
"""The table of networks on the first page has at most this many rows."""

_SPECIAL = re.compile(r"[\\`*\[\]<>|~$]|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = str.maketrans({"|": "&#124;", "*": "&#42;", "_": "&#95;", "[": "&#91;", "]": "&#93;", "`": "&#96;"})
_LINKED = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?=@)", re.IGNORECASE)
"""The places within the texts that GitHub makes links of by itself: addresses of pages and of people."""


def text(value: object) -> str:
    """Text for a cell or a sentence. It is escaped, so that it is shown unchanged, on one line and without a link."""
    escaped = one_line(str(value).replace("&", "&amp;")) if str(value) else ""
    return _unlinked(_SPECIAL.sub(lambda found: "\\" + found.group(), escaped))


def code(value: object) -> str:
    """A name in code style, for a cell or a sentence."""
    shown = one_line(str(value))
    if re.fullmatch(r"[\w./:@,+= -]*[\w./:@,+=-]", shown, flags=re.ASCII):
        return f"`{shown}`"
    return f"<code>{_unlinked(html.escape(shown, quote=False).translate(_ENTITIES))}</code>"


def _unlinked(shown: str) -> str:
    """An empty comment does not show. A backslash would not do: GitHub looks for addresses after it has removed it."""
    return _LINKED.sub("<!-- -->", shown)


def link(shown: str, target: str) -> str:
    """A link. `shown` is Markdown."""
    return f"[{shown}]({target})"


def anchor(heading: str) -> str:
    """The name that GitHub gives a heading, for links to it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


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


def percent(share: float) -> str:
    """A share in percent, with at most two decimals."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + " %"


def in_full(target: Target, of: str = " test images") -> str:
    """A target as a share and as a number of images. `of` names what is counted."""
    return f"{percent(target.correct / target.total)} ({target.correct} of {target.total:,}{of})"


def span(values: Sequence[int]) -> str:
    """The lowest and the highest of the values, or a dash for no values."""
    if not values:
        return NOTHING
    return str(values[0]) if min(values) == max(values) else f"{min(values)}–{max(values)}"


def figure_of(network: str) -> str:
    """The file name of one network's figure."""
    return f"accuracy-{_file_name(network)}.svg"


def page_of(network: str) -> str:
    """The file name of one network's page. No network can take the name of another page, on any file system."""
    name = f"{_file_name(network)}.md"
    others = {page.lower() for page in (README, METHODS, DATA)}
    return f"{_with_digest(network)}.md" if name.lower() in others else name


def linked_name(name: str) -> str:
    """The name of a network with a link to its page."""
    return link(code(name), page_of(name))


def _file_name(network: str) -> str:
    return network if re.fullmatch(r"[A-Za-z0-9_]{1,60}", network) else _with_digest(network)


def _with_digest(network: str) -> str:
    """A name that is not safe as a file name is shortened and gets a digest."""
    safe = re.sub(r"[^A-Za-z0-9_]+", "-", network)[:60]
    return f"{safe}-{hashlib.sha256(network.encode()).hexdigest()[:8]}"
