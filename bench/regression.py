"""The gate for CI: what a change must not do unnoticed to the networks and to the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from bench import record, structure, structure_facts
from bench.errors import UnusableInput
from bench.specification import Architecture
from bench.structure_facts import Structure

PROBLEMS_SHOWN = 50


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what, whether it is as it must be, and in words what was found."""

    subject: str
    passed: bool
    text: str


def check(architectures: Mapping[str, Architecture], runs: Path) -> list[Finding]:
    """Look at every network's structure, beside its document and beside what is stored, and at the record.

    Raises:
        UnusableInput: there is nothing to look at: no network, or no record.
    """
    if not architectures:
        raise UnusableInput("there is no network to check: look at ARCHITECTURES in models/__init__.py")
    stored = structure_facts.load(tuple(architectures))
    findings = [
        finding
        for name, architecture in architectures.items()
        for finding in _structure(architecture, structure.examine(architecture.build()), stored[name])
    ]
    return [*findings, *_record(runs, architectures)]


def format_findings(findings: list[Finding]) -> list[str]:
    """A table with a row for everything looked at, and a line that sums up."""
    rows = [("ok" if finding.passed else "FAILED", finding.subject, finding.text) for finding in findings]
    failed = sum(not finding.passed for finding in findings)
    table = tabulate(rows, headers=("", "checked", "found"), disable_numparse=True)
    return [*table.splitlines(), "", f"{len(findings) - failed} of {len(findings)} checks passed."]


def _structure(architecture: Architecture, found: Structure, stored: Structure) -> list[Finding]:
    name, document = architecture.name, architecture.document
    advice = "if that is meant, write it anew with python -m bench.structure"
    equal = sum(one == other for one, other in zip(found.layers, document.layers, strict=False))
    rows = max(len(found.layers), len(document.layers))
    changed = [field for field in Structure.__dataclass_fields__ if getattr(found, field) != getattr(stored, field)]
    return [
        Finding(
            f"{name}: parameters",
            found.parameters == document.parameters,
            f"{found.parameters:,}, documented {document.parameters:,}",
        ),
        Finding(f"{name}: layer table", equal == rows > 0, f"{equal} of {rows} rows as documented"),
        Finding(
            f"{name}: multiply-accumulates",
            found.multiply_accumulates == stored.multiply_accumulates,
            f"{found.multiply_accumulates:,}, stored {stored.multiply_accumulates:,}",
        ),
        Finding(
            f"{name}: structure",
            not changed,
            f"differs from models/structure.json in {', '.join(changed)}: {advice}" if changed else "as stored",
        ),
    ]


def _record(runs: Path, architectures: Mapping[str, Architecture]) -> list[Finding]:
    if not runs.exists():
        raise UnusableInput(f"{runs}: no such record to check: train one, or name it with --runs")
    found = record.read(runs, architectures)
    problems = [
        Finding(f"{runs}:{problem.line}", False, problem.reason + (" (left out)" if problem.left_out else ""))
        for problem in found.problems[:PROBLEMS_SHOWN]
    ]
    if len(found.problems) > PROBLEMS_SHOWN:
        problems.append(Finding(str(runs), False, f"and {len(found.problems) - PROBLEMS_SHOWN} problems more"))
    if found.rows.empty and not problems:
        problems.append(Finding(str(runs), False, "holds no epoch"))
    return problems or [Finding(str(runs), True, f"{len(found.epochs)} epochs, every line sound")]
