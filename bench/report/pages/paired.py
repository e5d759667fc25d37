"""Paired tests as a table, and what they could have shown at all."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from bench.evidence.summary import Paired
from bench.report.pages.markdown import code, number, probability, signed, table, text
from bench.wording import count

LEVEL = 0.05


def as_table(tests: Sequence[Paired], names: Sequence[str]) -> list[str]:
    """The tests, out of sight until asked for; `names` head the columns of the two things compared."""
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
    """What the tests could have shown at all."""
    family = f"{count(len(tests), 'test')}, corrected together"
    enough = next(n for n in itertools.count(1) if len(tests) * 2 / 2**n <= LEVEL)
    if all(test.smallest > LEVEL for test in tests):
        return (
            "**nothing can be significant at 5 %, whatever the truth:** with these seeds the least "
            f"that a p-value could become after Holm's correction ({family}) is "
            f"{probability(min(test.smallest for test in tests))}. From {enough} seeds in common on it can be."
        )
    found = [test for test in tests if test.adjusted <= LEVEL]
    outcome = f"{len(found)} of them significant at 5 %" if found else "none of them significant at 5 %"
    unable = sum(test.smallest > LEVEL for test in tests)
    return f"{family}: {outcome}." + (
        f" {unable} could not have been, with so few seeds or so many ties." if unable else ""
    )
