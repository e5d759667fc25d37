"""The course of the evidence on a claim, seed by seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.evidence.statistics import e_value
from bench.evidence.verdicts import draws, shares
from bench.evidence.verdicts.case import Case
from bench.network.specification import Claim

MOST_SEEDS = 250
"""A course has at most this many seeds. No share stays open after 242."""


@dataclass(frozen=True)
class Course:
    """The evidence on a claim after its first 1, 2, 3, … seeds, in their order: for it and against it; 20 decides.

    For a claim on the share of seeds these are e-values. A claimed first epoch, best or last accuracy has no evidence
    for it. The evidence against it is 1/p, which is 20 exactly when its test can reject it. `settled` is the number of
    seeds after which it can no longer be rejected, or None; its course ends there.
    """

    claim: Claim
    is_of_a_share: bool
    support: tuple[float, ...]
    against: tuple[float, ...]
    settled: int | None = None


def of_a_share(claim: Claim, case: Case) -> Course:
    """The e-values of a claim on a share of seeds. An unfinished seed counts only against the evidence for it."""
    support, against, successes, failures, unfinished = list[float](), list[float](), 0, 0, 0
    for outcome in shares.outcomes(claim, _first_seeds(case, MOST_SEEDS)):
        successes += outcome is True
        failures += outcome is False
        unfinished += outcome is None
        support.append(float(e_value(successes, failures + unfinished)))
        against.append(float(e_value(failures, successes)))
    return Course(claim, True, tuple(support), tuple(against))


def of_a_draw(claim: Claim, case: Case) -> Course:
    """The rank test of a claim on the documented run."""
    against, settled = list[float](), None
    for seeds in range(1, min(len(case.runs), MOST_SEEDS) + 1):
        test = draws.rank(claim, _first_seeds(case, seeds))
        against.append(1 / test.p_value)
        if test.is_decided:
            settled = None if test.is_rejected else seeds
            break
    return Course(claim, False, (1.0,) * len(against), tuple(against), settled)


def _first_seeds(case: Case, seeds: int) -> Case:
    return replace(case, group=case.group and replace(case.group, runs=case.runs[:seeds]))
