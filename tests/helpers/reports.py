"""Reports of made-up records, for the tests of the pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import synthetic

from bench.evidence.summary import summarise
from bench.network import structure_facts
from bench.network.specification import Architecture
from bench.record.rows import Row
from bench.report.files import document, render

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


def readme(
    folder: Path, rows: list[Row], *names: str, extra: str = "", architectures: Mapping[str, Architecture] | None = None
) -> str:
    """The page of the report alone. Its pictures, which take most of the time, are not drawn."""
    record = synthetic.record(folder, rows, extra)
    summary = summarise(record, architectures or synthetic.architectures(*names), structure_facts.load())
    return document(summary, NO_PICTURES)


def rendered(
    folder: Path, rows: list[Row], *names: str, extra: str = "", architectures: Mapping[str, Architecture] | None = None
) -> dict[str, bytes]:
    """All files of the report, by name."""
    record = synthetic.record(folder, rows, extra)
    return render(record, architectures or synthetic.architectures(*names), structure_facts.load())
