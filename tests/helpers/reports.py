"""Reports of made-up records, for the tests of the pages."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import synthetic

from bench.evidence.summary import summarise
from bench.network import structure_facts
from bench.network.specification import Architecture
from bench.record.rows import Row
from bench.report.files import pages, render

TWO = ("expand_squeeze", "unpadded")

MIXED: list[Row] = [
    *synthetic.full({"expand_squeeze": 9938}, seeds=(1, 2, 3)),
    *synthetic.run_rows("unpadded", 1, synthetic.counts(1, 19, 9941)),
    *synthetic.collapsing(3),
    *synthetic.run_rows("unpadded", 4, synthetic.counts(4, 6, 9930), ending=("error", "ran out of memory | at step 3")),
    *synthetic.run_rows(
        "unpadded", 1, synthetic.counts(8, 19, 9943), device="cuda", environment=synthetic.GPU, seconds=2
    ),
    *synthetic.run_rows("unpadded", 1, [9950] * 5, recipe="ffff0000"),
]
NO_PICTURES = defaultdict[str, str](lambda: "words that stand for a picture")
BROKEN_LINES = "not a row\n" + synthetic.text([synthetic.run_rows("nobody", 1, [9000])[0]]).split("\n")[1] + "\n"


def written(
    folder: Path, rows: list[Row], *names: str, extra: str = "", architectures: Mapping[str, Architecture] | None = None
) -> dict[str, str]:
    """The pages of the report, by file name. The pictures, which take most of the time, are not drawn."""
    record = synthetic.record(folder, rows, extra)
    summary = summarise(record, architectures or synthetic.architectures(*names), structure_facts.load())
    return pages(summary, NO_PICTURES, record.path, folder / "report")


def page(
    name: str,
    folder: Path,
    rows: list[Row],
    *names: str,
    extra: str = "",
    architectures: Mapping[str, Architecture] | None = None,
) -> str:
    """One page of the report, as a reader sees it: a link has its words alone."""
    return without_links(written(folder, rows, *names, extra=extra, architectures=architectures)[name])


def readme(
    folder: Path, rows: list[Row], *names: str, extra: str = "", architectures: Mapping[str, Architecture] | None = None
) -> str:
    """The first page, as a reader sees it."""
    return page("README.md", folder, rows, *names, extra=extra, architectures=architectures)


def without_links(page: str) -> str:
    """The page with the words of each link in its place."""
    return re.sub(r"(?<!!)\[((?:[^\]\\]|\\.)*)\]\([^)]*\)", r"\1", page)


def rendered(
    folder: Path, rows: list[Row], *names: str, extra: str = "", architectures: Mapping[str, Architecture] | None = None
) -> dict[str, bytes]:
    """All files of the report, by name."""
    record = synthetic.record(folder, rows, extra)
    return render(record, architectures or synthetic.architectures(*names), structure_facts.load())
