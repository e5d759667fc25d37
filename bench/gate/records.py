"""Check a record and the files beside it: every line is sound, the recipes are today's, and no verification failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.errors import UnusableInput
from bench.gate.findings import Finding
from bench.network.specification import Architecture
from bench.record import catalogue, environments, misses, record, verifications
from bench.record.environments import EXACT
from bench.record.ledger import Problem
from bench.record.record import Record
from bench.record.verifications import Verified
from bench.wording import count, listed

PROBLEMS_SHOWN = 50


def check_record(runs: Path, architectures: Mapping[str, Architecture]) -> list[Finding]:
    """Check a record, and its misses, verifications, environments and users' own networks.

    A network with runs in the record must have some of today's recipe: the record is about the networks as they are.

    Raises:
        UnusableInput: there is no record, or a file cannot be read at all.
    """
    if not runs.exists():
        raise UnusableInput(f"{runs}: no such record to check: train one, or give it with --runs")
    known = {**architectures, **catalogue.read(runs).architectures}
    found = record.read(runs, known)
    missed, verified = misses.read(found), verifications.read(found)
    findings = _lines(runs, found.problems, count(len(found.epochs), "epoch"))
    if found.epochs.empty and not found.problems:
        findings = [Finding(str(runs), False, "has no epoch")]
    findings += _recipes(found, known)
    path = misses.path_beside(runs)
    if path.exists() or missed.problems:
        findings += _lines(path, missed.problems, f"the misses of {count(len(missed.runs), 'epoch')}")
    path = verifications.path_beside(runs)
    if path.exists() or verified.problems:
        findings += _lines(path, verified.problems, count(len(verified.found), "verification"))
        findings += [_differing(path, one) for one in verified.found if not _as_promised(one)]
    return [*findings, *_environments(runs)]


def _environments(runs: Path) -> Iterator[Finding]:
    path = environments.path_beside(runs)
    try:
        found = environments.read(runs)
    except UnusableInput as error:
        yield Finding(str(path), False, str(error).removeprefix(f"{path}: "))
    else:
        if found:
            yield Finding(str(path), True, f"{count(len(found), 'environment')}, every digest valid")


def _lines(path: Path, problems: Sequence[Problem], content: str) -> list[Finding]:
    """A finding for each problem of a file, or one that says what the file has."""
    found = [
        Finding(f"{path}:{problem.line}", False, problem.reason + (" (left out)" if problem.left_out else ""))
        for problem in problems[:PROBLEMS_SHOWN]
    ]
    if len(problems) > PROBLEMS_SHOWN:
        found.append(Finding(str(path), False, f"and {len(problems) - PROBLEMS_SHOWN} more problems"))
    return found or [Finding(str(path), True, f"{content}, every line valid")]


def _recipes(found: Record, known: Mapping[str, Architecture]) -> Iterator[Finding]:
    for name, recipes in found.rows.groupby("model", sort=False)["recipe"].unique().items():
        today, subject = known[str(name)].digest, f"{name}: recipe of the runs"
        if any(known[str(name)].with_digest(recipe) for recipe in recipes):
            yield Finding(subject, True, f"{today}, as of today")
        else:
            yield Finding(
                subject,
                False,
                f"{listed(sorted(recipes))} in {found.path}, but today's network and recipe are {today}: "
                "undo the change, or train the network again",
            )


def _as_promised(verified: Verified) -> bool:
    """Whether a verification is as promised. Nothing is promised of a native run in another environment."""
    is_promised = verified.environment in (EXACT.digest, verified.verified_in)
    return verified.identical or not is_promised


def _differing(path: Path, one: Verified) -> Finding:
    where = "in exact arithmetic" if one.environment == EXACT.digest else "in the same environment"
    run = f"{one.model} on {one.device}, seed {one.seed}"
    return Finding(str(path), False, f"{run}: trained again {where}, and the bits were not identical")
