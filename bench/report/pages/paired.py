"""Paired tests as a table, and whether they can be significant at all."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from bench.evidence.statistics import LEVEL
from bench.evidence.summary import Paired
from bench.report.markdown import code, number, percent, probability, signed, table, text
from bench.wording import count


def as_table(tests: Sequence[Paired], names: Sequence[str]) -> list[str]:
    """The tests as a table that the reader can unfold. `names` are the headers of the two compared columns."""
    measures = {"last": "last accuracy, images", "first": "first at the target, epochs"}
    header = [
        *names,
        "measure",
        "seeds",
        "mean difference",
        "standard deviation",
        "p",
        "smallest p possible",
        "p after Holm",
    ]
    rows = [
        [
            text(test.first) if test.model else code(test.first),
            text(test.second) if test.model else code(test.second),
            measures[test.measure],
            str(len(test.seeds)),
            signed(test.test.difference),
            number(test.deviation, 1),
            probability(test.test.p_value),
            probability(test.test.smallest_p),
            f"**{probability(test.adjusted)}**" if test.adjusted <= LEVEL else probability(test.adjusted),
        ]
        for test in tests
    ]
    if any(test.model for test in tests):
        header.insert(0, "network")
        rows = [[code(test.model), *row] for test, row in zip(tests, rows, strict=True)]
    shown = table(header, rows, "l" * (len(header) - 6) + "r")
    return ["<details>", f"<summary>{count(len(tests), 'paired test')}</summary>", "", *shown, "</details>", ""]


def power(tests: Sequence[Paired]) -> str:
    """The number of significant tests, or that no test can be significant with these seeds."""
    enough = next(n for n in itertools.count(1) if len(tests) * 2 / 2**n <= LEVEL)
    if all(test.smallest > LEVEL for test in tests):
        return (
            f"**No difference can be significant at {percent(LEVEL)}, even if there is one.** With these seeds, the "
            f"smallest p-value that is possible after Holm's correction for {count(len(tests), 'test')} is "
            f"{probability(min(test.smallest for test in tests))}. With {enough} seeds in common, a difference can be "
            "significant."
        )
    found = sum(test.adjusted <= LEVEL for test in tests)
    unable = sum(test.smallest > LEVEL for test in tests)
    return (
        f"{found or 'None'} of {count(len(tests), 'test')} {'is' if found < 2 else 'are'} significant at "
        f"{percent(LEVEL)} after Holm's correction."
    ) + (f" {unable} cannot be significant, because there are too few seeds or too many ties." if unable else "")
