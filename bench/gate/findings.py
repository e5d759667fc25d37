"""Findings of the gate, as text and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

from bench.wording import markdown_cell


@dataclass(frozen=True)
class Finding:
    """The result of one check: what was checked, whether it passed, and a text about what was found."""

    subject: str
    passed: bool
    text: str


def format_findings(findings: Sequence[Finding]) -> list[str]:
    """Format a table with a row for each finding, then a summary line."""
    rows = [("ok" if finding.passed else "FAILED", finding.subject, finding.text) for finding in findings]
    table = tabulate(rows, headers=("", "checked", "found"), disable_numparse=True)
    return [*table.splitlines(), "", _summary(findings)]


def format_markdown(findings: Sequence[Finding]) -> list[str]:
    """Format a summary line, then a table of Markdown with the failed checks first."""
    rows = [
        ("ok" if finding.passed else "**FAILED**", markdown_cell(finding.subject), markdown_cell(finding.text))
        for finding in sorted(findings, key=lambda finding: finding.passed)
    ]
    table = tabulate(rows, headers=("", "checked", "found"), tablefmt="github", disable_numparse=True)
    return [f"**check**: {_summary(findings)}", "", *table.splitlines(), ""]


def _summary(findings: Sequence[Finding]) -> str:
    passed = sum(finding.passed for finding in findings)
    return f"{passed} of {len(findings)} checks passed."
