"""The gate for CI: find unintended changes of the networks, of their bits, of their speed and of the record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median

from bench import files
from bench.errors import UnusableInput
from bench.gate import baseline, speed
from bench.gate.baseline import Stored
from bench.gate.findings import Finding
from bench.gate.records import check_record
from bench.network import structure, structure_facts
from bench.network.specification import Architecture
from bench.network.structure_facts import Structure
from bench.training import environment, golden

ADVICE = "if this is intended, run `python -m bench check --update`"

TOLERANCE = 0.25
"""The gate fails if a step is slower by more than this part. Unchanged code on a quiet machine varies by half of it."""

UPDATE_ROUNDS = 3
"""What is stored of a step is the median of so many measurements."""


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
    here = environment.machine(environment.describe("cpu"))
    measured = speed.step_ratios(list(architectures.values()), data)
    slow = [architectures[name] for name, ratio in measured.items() if not _is_fast_enough(stored[name], here, ratio)]
    if slow:
        again = speed.step_ratios(slow, data)
        measured = {name: min(ratio, again.get(name, ratio)) for name, ratio in measured.items()}
    return [*findings, *judge_speed(stored, here, measured)]


def update(architectures: Mapping[str, Architecture], data: Path, path: Path = baseline.PATH) -> list[str]:
    """Store the current structures, recipes and speeds. Return lines that say what changed.

    Speeds that are stored of other machines stay, unless the network or its recipe changed.

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
    rounds = [speed.step_ratios(list(architectures.values()), data) for _ in range(UPDATE_ROUNDS)]
    here = environment.machine(environment.describe("cpu"))
    new = {}
    for name, architecture in architectures.items():
        is_same = name in old and old[name].recipe == architecture.digest
        others = old[name].steps if is_same else {}
        step = round(median(one[name] for one in rounds), 2)
        new[name] = Stored(architecture.digest, {**others, here: step})
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
        stored_before = old[name].steps.get(here) if name in old else None
        compared = "not stored before" if stored_before is None else _compared(one.steps[here], stored_before)
        lines.append(f"{name}: step {_times(one.steps[here])}, {compared}")
    return lines


def judge_speed(stored: Mapping[str, Stored], machine: str, measured: Mapping[str, float]) -> list[Finding]:
    """Return a finding for each network: its step may take at most `TOLERANCE` more than what is stored.

    It is compared with what is stored of this machine. If there is nothing, the slowest other machine counts.

    Raises:
        UnusableInput: nothing was measured.
    """
    if not measured:
        raise UnusableInput("no step was measured, so nothing can be compared with the baseline")
    findings = []
    for name, ratio in measured.items():
        passed = _is_fast_enough(stored[name], machine, ratio)
        compared = _compared(ratio, stored[name].step(machine))
        if machine not in stored[name].steps:
            compared += f"; nothing is stored of {machine}, so the slowest machine counts"
        findings.append(Finding(f"{name}: speed", passed, f"a step {_times(ratio)}, {compared}"))
    return findings


def _is_fast_enough(stored: Stored, machine: str, ratio: float) -> bool:
    return ratio <= stored.step(machine) * (1 + TOLERANCE)


def _times(ratio: float) -> str:
    return f"takes {ratio:.2f} times the calibration's time"


def _compared(ratio: float, stored: float) -> str:
    return f"stored {stored:.2f} ({100 * (ratio / stored - 1):+.0f} %)"


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
