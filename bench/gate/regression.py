"""The gate for CI: find unintended changes of the networks, of their bits, of their speed and of the record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from bench import files
from bench.errors import UnusableInput
from bench.gate import baseline, speed
from bench.gate.baseline import Stored
from bench.gate.findings import Finding
from bench.gate.records import check_record
from bench.network import structure, structure_facts
from bench.network.specification import Architecture
from bench.network.structure_facts import Structure
from bench.training import golden

ADVICE = "if this is intended, run `python -m bench check --update`"

TOLERANCE = 0.25
"""The gate fails if a step is slower by more than this part. Unchanged code varies by less than a third of it."""


def check(architectures: Mapping[str, Architecture], runs: Path, data: Path) -> list[Finding]:
    """Check every network's structure, recipe and golden digest, then the record, then the speed.

    The structure is compared with the document and with the stored one. It takes half a minute to measure the
    speed. Therefore it is measured only if all other checks pass.

    Raises:
        UnusableInput: there is nothing to check (no network, no record), or nothing is stored to compare with.
    """
    if not architectures:
        raise UnusableInput("there is no network to check: add one to ARCHITECTURES in models/__init__.py")
    recorded = check_record(runs, architectures)  # first, because there may be no record at all
    structures, stored = structure_facts.load(tuple(architectures)), baseline.load(architectures)
    findings = [
        finding
        for name, architecture in architectures.items()
        for finding in _structure(architecture, structure.examine(architecture.build()), structures[name])
    ]
    findings += [_recipe(one, stored[name]) for name, one in architectures.items()]
    findings += [_golden(name) for name in architectures]
    findings += _vanished("models/structure.json", structures, architectures)
    findings += _vanished("bench/gate/baseline.json", stored, architectures)
    findings += _vanished("bench/training/golden.py", golden.DIGESTS, architectures, "delete its digest there")
    findings += recorded
    if not all(finding.passed for finding in findings):
        return [*findings, Finding("speed", False, "not measured: solve the problems above first")]
    steps = {name: one.step for name, one in stored.items()}
    return [*findings, *judge_speed(steps, speed.step_ratios(list(architectures.values()), data))]


def update(architectures: Mapping[str, Architecture], data: Path, path: Path = baseline.PATH) -> list[str]:
    """Store the current structures, recipes and speeds. Return lines that say what changed.

    Raises:
        UnusableInput: a file cannot be written.
    """
    structures = {name: structure.examine(one.build()) for name, one in architectures.items()}
    try:
        before = structure_facts.load()
    except UnusableInput:
        before = {}
    try:
        old = baseline.load((), path)
    except UnusableInput:
        old = {}
    steps = speed.step_ratios(list(architectures.values()), data)
    new = {name: Stored(one.digest, round(steps[name], 2)) for name, one in architectures.items()}
    try:
        structure_facts.store(structures)
        baseline.store(new, path)
    except OSError as error:
        raise UnusableInput(f"{error.filename or path}: cannot be written ({files.cause(error)})") from error
    lines = [
        f"{name}: structure {'is new' if name not in before else 'changed'}"
        for name in structures
        if before.get(name) != structures[name]
    ]
    lines += [f"{name}: removed" for name in sorted({*before, *old} - {*structures})]
    for name, one in new.items():
        if name not in old or old[name].recipe != one.recipe:
            lines.append(f"{name}: recipe {'is new' if name not in old else 'changed'}: {one.recipe}")
        lines.append(f"{name}: step {_change(old[name].step if name in old else None, one.step)}")
    return lines


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


def _change(before: float | None, now: float) -> str:
    if before is None:
        return f"takes {now:.2f} times the calibration's time, not stored before"
    return f"takes {now:.2f} times the calibration's time, stored {before:.2f} ({100 * (now / before - 1):+.0f} %)"


def _structure(architecture: Architecture, found: Structure, stored: Structure) -> list[Finding]:
    name, document = architecture.name, architecture.document
    assert document is not None  # the gate checks only documented networks
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
            f"differs from models/structure.json in {', '.join(changed)}: {ADVICE}" if changed else "as stored",
        ),
    ]


def _recipe(architecture: Architecture, stored: Stored) -> Finding:
    """Compare the digest of a network and its recipe: the learning rate, the batch size, a dropout's probability."""
    found = architecture.digest
    text = "as stored" if found == stored.recipe else f"stored {stored.recipe}: {ADVICE}"
    return Finding(f"{architecture.name}: recipe", found == stored.recipe, f"{found}, {text}")


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
