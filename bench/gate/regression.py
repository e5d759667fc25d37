"""The gate for CI: find unintended changes of the networks, of their bits, of their speed and of the record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from bench import files
from bench.errors import UnusableInput
from bench.gate import speed
from bench.network import structure, structure_facts
from bench.network.specification import Architecture
from bench.network.structure_facts import Structure
from bench.record import catalogue, record
from bench.training import golden
from bench.wording import count

BASELINE = Path(__file__).parents[2] / "tests" / "benchmarks" / "baseline.json"
"""The file with the time of a step of each network, relative to the calibration. `check --update` writes it."""

TOLERANCE = 0.25
"""The gate fails if a step is slower by more than this part. Unchanged code varies by less than a third of it."""

PROBLEMS_SHOWN = 50


@dataclass(frozen=True)
class Finding:
    """The result of one check: what was checked, whether it passed, and a text about what was found."""

    subject: str
    passed: bool
    text: str


def check(architectures: Mapping[str, Architecture], runs: Path, data: Path) -> list[Finding]:
    """Check every network's structure and golden digest, then the record, then the speed.

    The structure is compared with the document and with the stored one.

    It takes half a minute to measure the speed. Therefore it is measured only if all other checks pass.

    Raises:
        UnusableInput: there is nothing to check (no network, no record), or nothing is stored to compare with.
    """
    if not architectures:
        raise UnusableInput("there is no network to check: add one to ARCHITECTURES in models/__init__.py")
    stored, baseline = structure_facts.load(tuple(architectures)), load_baseline(architectures)
    findings = [
        finding
        for name, architecture in architectures.items()
        for finding in _structure(architecture, structure.examine(architecture.build()), stored[name])
    ]
    findings += [_golden(name) for name in architectures]
    findings += _vanished("models/structure.json", stored, architectures)
    findings += _vanished(BASELINE.name, baseline, architectures)
    findings += _vanished("bench/training/golden.py", golden.DIGESTS, architectures, "delete its digest there")
    findings += _record(runs, architectures)
    if not all(finding.passed for finding in findings):
        return [*findings, Finding("speed", False, "not measured: solve the problems above first")]
    return [*findings, *judge_speed(baseline, speed.step_ratios(list(architectures.values()), data))]


def update(architectures: Mapping[str, Architecture], data: Path, path: Path = BASELINE) -> list[str]:
    """Store the current structures and speeds. Return lines that say what changed.

    Raises:
        UnusableInput: a file cannot be written.
    """
    structures = {name: structure.examine(one.build()) for name, one in architectures.items()}
    try:
        before = structure_facts.load()
    except UnusableInput:
        before = {}
    try:
        old = load_baseline((), path)
    except UnusableInput:
        old = {}
    new = speed.step_ratios(list(architectures.values()), data)
    content = json.dumps({name: round(ratio, 2) for name, ratio in new.items()}, indent=2) + "\n"
    try:
        structure_facts.store(structures)
        files.replace(path, content.encode())
    except OSError as error:
        raise UnusableInput(f"{error.filename or path}: cannot be written ({files.cause(error)})") from error
    lines = [
        f"{name}: structure {'is new' if name not in before else 'changed'}"
        for name in structures
        if before.get(name) != structures[name]
    ]
    lines += [f"{name}: removed" for name in sorted({*before, *old} - {*structures})]
    lines += [f"{name}: step {_change(old.get(name), ratio)}" for name, ratio in new.items()]
    return lines


def load_baseline(names: Iterable[str] = (), path: Path = BASELINE) -> dict[str, float]:
    """Return the stored time of a step of each network, relative to the calibration.

    Raises:
        UnusableInput: the file is missing, is not a baseline, or lacks one of `names`.
    """
    advice = "write it with `python -m bench check --update` on an idle machine"
    try:
        stored = {str(name): float(ratio) for name, ratio in json.loads(path.read_text(encoding="utf-8")).items()}
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be read ({files.cause(error)}): {advice}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UnusableInput(f"{path}: is not a baseline: {advice}") from error
    missing = [name for name in names if not stored.get(name, 0) > 0]
    if missing:
        raise UnusableInput(f"{path}: lacks {', '.join(missing)}: {advice}")
    return stored


def judge_speed(baseline: Mapping[str, float], measured: Mapping[str, float]) -> list[Finding]:
    """Return a finding for each network: its step may take at most `TOLERANCE` more than in the baseline.

    Raises:
        UnusableInput: nothing was measured.
    """
    if not measured:
        raise UnusableInput("no step was measured, so nothing can be compared with the baseline")
    return [
        Finding(f"{name}: speed", ratio <= baseline[name] * (1 + TOLERANCE), f"a step {_change(baseline[name], ratio)}")
        for name, ratio in measured.items()
    ]


def format_findings(findings: list[Finding]) -> list[str]:
    """Format a table with a row for each finding, then a summary line."""
    rows = [("ok" if finding.passed else "FAILED", finding.subject, finding.text) for finding in findings]
    failed = sum(not finding.passed for finding in findings)
    table = tabulate(rows, headers=("", "checked", "found"), disable_numparse=True)
    return [*table.splitlines(), "", f"{len(findings) - failed} of {len(findings)} checks passed."]


def _change(before: float | None, now: float) -> str:
    if before is None:
        return f"takes {now:.2f} times the calibration's time, not stored before"
    return f"takes {now:.2f} times the calibration's time, stored {before:.2f} ({100 * (now / before - 1):+.0f} %)"


def _structure(architecture: Architecture, found: Structure, stored: Structure) -> list[Finding]:
    name, document = architecture.name, architecture.document
    assert document is not None  # the gate checks only documented networks
    advice = "if this is intended, run `python -m bench check --update`"
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


def _golden(name: str) -> Finding:
    """Train a network for a few steps, and compare the bits with its golden digest."""
    subject = f"{name}: golden digest"
    if name not in golden.DIGESTS:
        return Finding(subject, False, "bench/training/golden.py has no digest of this network: add it to DIGESTS")
    try:
        differs = golden.differing((name,))
    except UnusableInput as error:
        return Finding(subject, False, str(error))
    return Finding(subject, not differs, "this machine or this code computes other bits" if differs else "as defined")


def _vanished(
    where: str,
    stored: Iterable[str],
    architectures: Mapping[str, Architecture],
    advice: str = "run `python -m bench check --update`",
) -> list[Finding]:
    return [
        Finding(
            f"{name}: network",
            False,
            f"is in {where}, but this network no longer exists: if this is intended, {advice}",
        )
        for name in stored
        if name not in architectures
    ]


def _record(runs: Path, architectures: Mapping[str, Architecture]) -> list[Finding]:
    if not runs.exists():
        raise UnusableInput(f"{runs}: no such record to check: train one, or give it with --runs")
    found = record.read(runs, {*architectures, *catalogue.read(runs).architectures})
    problems = [
        Finding(f"{runs}:{problem.line}", False, problem.reason + (" (left out)" if problem.left_out else ""))
        for problem in found.problems[:PROBLEMS_SHOWN]
    ]
    if len(found.problems) > PROBLEMS_SHOWN:
        problems.append(Finding(str(runs), False, f"and {len(found.problems) - PROBLEMS_SHOWN} more problems"))
    if found.rows.empty and not problems:
        problems.append(Finding(str(runs), False, "has no epoch"))
    return problems or [Finding(str(runs), True, f"{count(len(found.epochs), 'epoch')}, every line valid")]
