"""Train recorded runs again and compare them with the record, bit for bit. The record is only read.

The results are stored beside the record as they come, for the report.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas

from bench.errors import UnusableInput
from bench.jobs import differences, retraining
from bench.jobs.events import Stop, stopped_by_signals
from bench.jobs.job import Paths, warn
from bench.jobs.plan import Choice
from bench.jobs.retraining import Trained
from bench.network.specification import Architecture
from bench.record import environments, record, verifications
from bench.record.environments import EXACT, EXACT_VERSION, Environment
from bench.record.rows import RUN_KEY, Run, utc_now
from bench.record.verifications import Verified
from bench.training import data, environment
from bench.wording import count

_log = logging.getLogger(__name__)

_SHOWN = 3  # so many unrecorded runs are named before the training; all are named after it


@dataclass(frozen=True)
class Request:
    """What to verify. None means everything that is recorded. `epochs` limits each run to its first epochs.

    `arithmetic` can limit it to exact or to native runs.
    """

    models: tuple[str, ...] | None
    devices: tuple[str, ...] | None
    seeds: tuple[int, ...] | None
    epochs: int | None
    jobs: int
    arithmetic: Choice = "auto"


@dataclass(frozen=True)
class Finding:
    """The result for one run. Its first `epochs` epochs are identical, unless `difference` says why not.

    `cannot` says that no machine like this one can compare it: it has no such device, or the release has another
    arithmetic.
    """

    name: str
    epochs: int
    difference: str = ""
    cannot: bool = False


@dataclass(frozen=True)
class Verification:
    """All findings, and the signal that interrupted the verification, if any."""

    findings: tuple[Finding, ...]
    interrupted_by: int | None = None

    @property
    def is_identical(self) -> bool:
        """Whether a requested run was compared, and every one that can be compared here is identical."""
        found = [finding for finding in self.findings if not finding.cannot]
        return bool(found) and not any(finding.difference for finding in found)


def verify(
    request: Request, architectures: Mapping[str, Architecture], paths: Paths, subset: tuple[int, int] | None = None
) -> Verification:
    """Train the requested runs again in this environment and compare them with the record.

    `subset` keeps only the first training and test images. It must be that of the record.

    Raises:
        UnusableInput: there is no record, or it has no epoch of the requested runs, or the data cannot be used.
    """
    if not paths.runs.exists():
        raise UnusableInput(f"{paths.runs}: no such record to verify: train one, or give it with --runs")
    found = record.read(paths.runs, architectures)
    warn(found)
    rows = _requested(found.epochs, request)
    if rows.empty:
        advice = "choose other --models, --devices, --seeds or --arithmetic, or another --runs file"
        raise UnusableInput(f"{paths.runs}: has no finished epoch of the requested runs: {advice}")
    here = {device: environment.describe(device) for device in environment.available_devices()}
    missing = _not_recorded(rows, request)
    if missing:
        first = "; ".join(finding.name for finding in missing[:_SHOWN])
        rest = f"; {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        print(f"Not recorded, so not compared: {first}{rest}.", file=sys.stderr)
    again, impossible = _to_train_again(_runs(rows, request.epochs), architectures, here, paths)
    if again:
        data.ensure(paths.data)  # it can download, which a signal ends at once only before the next lines
    results = verifications.Writer(paths.runs)
    can_store = True
    compared: dict[Run, Finding] = {}
    stop = Stop()
    with stopped_by_signals(stop) as received:
        for trained in retraining.train(
            [one.target for one in again], found.epochs, architectures, paths, request.jobs, subset, stop
        ):
            for one in again:
                if one.target.key == trained.run.key:
                    compared[one.run] = _compare(one, trained, architectures, here, paths)
                    if can_store and len(trained.epochs) >= one.run.epochs:
                        can_store = _store(one, compared[one.run], here, results)
    for one in again:  # an interruption leaves runs that were never started
        if one.run not in compared:
            compared[one.run] = _compare(one, Trained(one.target), architectures, here, paths)
    findings = (*_left_out(found), *missing, *impossible, *(compared[one.run] for one in again))
    return Verification(findings, received[0] if received else None)


@dataclass(frozen=True)
class _Again:
    """A recorded run with its rows, and the run that is trained here to be compared with it."""

    run: Run
    recorded: pandas.DataFrame
    target: Run


def _to_train_again(
    runs: Sequence[tuple[Run, pandas.DataFrame]],
    architectures: Mapping[str, Architecture],
    here: Mapping[str, Environment],
    paths: Paths,
) -> tuple[list[_Again], list[Finding]]:
    """Return the runs that can be trained again here, and a finding for each other one."""
    again = []
    impossible = []
    for run, recorded in runs:
        architecture = architectures[run.model]
        name = _name(run, architecture)
        if architecture.with_digest(run.recipe) is None:
            change = f"the network or its recipe has changed to {architecture.digest}"
            impossible.append(Finding(name, run.epochs, f"recorded with recipe {run.recipe}; {change}"))
        elif obstacle := _obstacle(run, here, paths):
            impossible.append(Finding(name, run.epochs, f"not compared: {obstacle}", cannot=True))
        elif run.environment == EXACT.digest:  # the bits are the same on every device
            again.append(_Again(run, recorded, run if run.device in here else replace(run, device="cpu")))
        else:
            again.append(_Again(run, recorded, replace(run, environment=here[run.device].digest)))
    return again, impossible


def _compare(
    one: _Again,
    trained: Trained,
    architectures: Mapping[str, Architecture],
    here: Mapping[str, Environment],
    paths: Paths,
) -> Finding:
    difference = differences.first(one.recorded, trained.epochs)
    if difference and trained.failure:
        difference = f"the new training ended early: {trained.failure}"
    elif difference and one.run.environment != one.target.environment:
        difference += f"; {_environment_changes(one.run, one.recorded, here[one.run.device], paths)}"
    return Finding(_name(one.run, architectures[one.run.model]), one.run.epochs, difference)


def _store(one: _Again, finding: Finding, here: Mapping[str, Environment], results: verifications.Writer) -> bool:
    """Store a result beside the record. If that is impossible, only warn: the verification still counts.

    Return whether it is stored.
    """
    machine = environment.machine(here[one.target.device])
    identical = not finding.difference
    try:
        results.append(Verified(*one.run.key, one.run.epochs, identical, utc_now(), one.target.environment, machine))
    except UnusableInput as error:
        _log.warning("the report will not mention this verification: %s", error)
        return False
    return True


def format_verification(verification: Verification) -> list[str]:
    """Format a line for each finding, one for all that cannot be compared here for the same reason, and a summary."""
    comparable = [finding for finding in verification.findings if not finding.cannot]
    lines = [
        f"{finding.name}: {finding.difference or 'identical in ' + count(finding.epochs, 'epoch')}"
        for finding in comparable
    ]
    impossible: dict[str, list[str]] = {}
    for finding in verification.findings:
        if finding.cannot:
            impossible.setdefault(finding.difference, []).append(finding.name)
    for reason, (first, *others) in impossible.items():
        lines.append(f"{first}{f' and {len(others)} more' if others else ''}: {reason}")
    identical = sum(not finding.difference for finding in comparable)
    cannot = len(verification.findings) - len(comparable)
    rest = f"; {count(cannot, 'run')} cannot be compared here" if cannot else ""
    return [*lines, f"{identical} of {count(len(comparable), 'run')} identical, bit for bit{rest}."]


def _requested(rows: pandas.DataFrame, request: Request) -> pandas.DataFrame:
    for column, wanted in (("model", request.models), ("device", request.devices), ("seed", request.seeds)):
        if wanted is not None:
            rows = rows[rows[column].isin(wanted)]
    if request.arithmetic != "auto":
        rows = rows[(rows["environment"] == EXACT.digest) == (request.arithmetic == "exact")]
    return rows


def _left_out(found: record.Record) -> list[Finding]:
    """Return a finding for every line of the record that was left out: it could belong to a requested run."""
    return [
        Finding(f"{found.path}:{problem.line}", 0, f"not compared: {problem.reason}")
        for problem in found.problems
        if problem.left_out
    ]


def _not_recorded(rows: pandas.DataFrame, request: Request) -> list[Finding]:
    """Return a finding for every requested network, device and seed of which no finished epoch is recorded."""
    wanted: list[tuple[str, ...]] = [()]
    columns = []
    for column, values in (("model", request.models), ("device", request.devices), ("seed", request.seeds)):
        if values is not None:
            columns.append(column)
            wanted = [(*one, str(value)) for one in wanted for value in values]
    present = set(rows[columns].astype(str).itertuples(index=False, name=None)) if columns else {()}
    return [
        Finding(
            ", ".join(f"{column} {value}" for column, value in zip(columns, one, strict=True)),
            0,
            "not compared: no finished epoch is recorded",
        )
        for one in wanted
        if one not in present
    ]


def _runs(rows: pandas.DataFrame, epochs: int | None) -> list[tuple[Run, pandas.DataFrame]]:
    """Return each recorded run with its rows to compare, in the order of the epochs."""
    found = []
    for key, part in rows.sort_values("epoch", kind="stable").groupby(list(RUN_KEY), sort=False):
        compared = part.head(epochs or len(part))
        model, recipe, device, digest, seed = key
        found.append((Run(model, recipe, device, digest, int(seed), len(compared)), compared))
    return found


def _obstacle(run: Run, here: Mapping[str, Environment], paths: Paths) -> str:
    """Return why this machine and this release cannot train a run again as it was trained."""
    if run.environment == EXACT.digest:
        return ""
    if run.device not in here:
        return f"this machine has no {run.device}"
    arithmetic = _recorded_details(run, paths).get("arithmetic", environment.OPERATORS)
    if arithmetic == environment.OPERATORS:
        return ""
    if arithmetic.startswith("exact "):
        return f"recorded in the arithmetic {arithmetic!r}, but this release has {EXACT_VERSION!r}"
    advice = "to verify it, check out release 0.1.0 of this project with git, and run the same command there"
    return f"recorded in the arithmetic of release 0.1.0, which this release does not have: {advice}"


def _recorded_details(run: Run, paths: Paths) -> dict[str, str]:
    """Return the details of a recorded environment, or nothing if they are not stored."""
    stored = environments.read_published(paths.report, [run.environment]) | environments.read(paths.runs)
    return dict(stored[run.environment].details) if run.environment in stored else {}


def _environment_changes(run: Run, recorded: pandas.DataFrame, here: Environment, paths: Paths) -> str:
    if before := _recorded_details(run, paths):
        return differences.of_environments(before, dict(here.details))
    machine = recorded["machine"].iloc[0] or "a machine that the record does not describe"
    now = environment.machine(here)
    return f"recorded in environment {run.environment} ({machine}), but this is {here.digest} ({now})"


def _name(run: Run, architecture: Architecture) -> str:
    known = architecture.with_digest(run.recipe)
    vary = f", --vary {known.recipe.vary}" if known and known.recipe.vary else ""
    return f"{run} (environment {run.environment}{vary})"
