"""Judge claims by the share of seeds that succeed."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from bench.evidence.statistics import (
    DECIDING,
    Share,
    confidence_sequence,
    e_value,
    expected_successes,
    first_hit,
    further_seeds,
    share_decided,
    share_of_seeds,
)
from bench.evidence.verdicts.case import Case, Finding, Outcome
from bench.network.specification import Claim
from bench.wording import count

_OUTCOMES: dict[Share, Outcome] = {
    "most": "holds",
    "few": "does not hold",
    "about half": "about half of all seeds do",
}


class Tally(NamedTuple):
    """How many seeds succeeded, failed, and are not finished. `what` says in words what success is."""

    successes: int
    failures: int
    unfinished: int
    what: str


def outcomes(claim: Claim, case: Case) -> list[bool | None]:
    """Whether each seed succeeded, in their order. None is a seed that is not finished, and has not succeeded yet."""
    return [False if run.has_diverged else _outcome(claim, run.correct[: case.budget], case) for run in case.runs]


def _outcome(claim: Claim, counts: Sequence[int], case: Case) -> bool | None:
    if claim.kind == "sustained":
        return min(counts[-claim.value :]) > case.target if len(counts) == case.budget else None
    target, epochs = _reached(claim, case)
    if first_hit(counts[:epochs], target) is not None:
        return True
    return None if len(counts) < epochs else False


def tally(claim: Claim, case: Case) -> Tally:
    """Count the seeds for a claim that is judged by the share of seeds that succeed."""
    found = outcomes(claim, case)
    if claim.kind == "sustained":
        what = f"above {case.target} in each of the last {claim.value} of {case.budget} epochs"
    else:
        target, epochs = _reached(claim, case)
        what = f"reached {target} within {count(epochs, 'epoch')}"
        if case.complete:
            kept = sum(counts[-1] >= target for counts in case.complete)
            last = "the last epoch" if epochs == case.budget else f"the last epoch, {case.budget}"
            what += f" (at or above it in {last}: {kept} of {count(len(case.complete), 'complete seed')})"
    return Tally(found.count(True), found.count(False), found.count(None), what)


def _reached(claim: Claim, case: Case) -> tuple[int, int]:
    """The number of images that a seed must reach, and the number of epochs in which it must do so."""
    return (
        (case.target, min(case.budget, claim.value - 1)) if claim.kind == "epochs_below" else (claim.value, case.budget)
    )


def judge_share(claim: Claim, case: Case) -> Finding:
    """Whether more than half of all seeds succeed.

    Neither a failed run nor an unfinished run can move the outcome towards "holds". A failed run lowers the evidence.
    An unfinished run lowers only the evidence for the claim.
    """
    found = tally(claim, case)
    successes, failures, unfinished, what = found
    seeds = successes + failures + unfinished
    if not seeds:
        advice, further = _what_could_decide(0, 0, 0)
        return Finding("cannot be decided yet", "no seed has run", advice, further)
    decided = successes + failures
    lower, upper = (share_of_seeds(successes, decided, unfinished, 0.95, side) for side in ("lower", "upper"))
    evidence = f"{successes} of {count(seeds, 'seed')} {what}"
    if unfinished:
        evidence += f", {unfinished} unfinished"
    evidence += (
        f"; share at least {lower.lower:.3f}, at most {upper.upper:.3f}; e-value "
        f"{_shown(e_value(successes, failures + unfinished))} for, {_shown(e_value(failures, successes))} against "
        f"({DECIDING} decides)"
    )
    share = share_decided(successes, failures, unfinished)
    if share is None:
        advice, further = _what_could_decide(successes, failures, unfinished)
        return Finding("cannot be decided yet", evidence + _opened_again(outcomes(claim, case)), advice, further)
    if share == "about half":
        least = confidence_sequence(successes, failures + unfinished).lower
        most = confidence_sequence(successes, failures).upper
        evidence += f"; 90 % confidence sequence of the share: {least:.3f} to {most:.3f}"
    return Finding(_OUTCOMES[share], evidence)


def _opened_again(found: Sequence[bool | None]) -> str:
    """What the last first seeds that decided have decided, or nothing. `found` has the outcome of each seed."""
    for seeds in range(len(found), 0, -1):
        first = found[:seeds]
        share = share_decided(first.count(True), first.count(False), first.count(None))
        if share is not None:
            return (
                f"; after the first {seeds} seeds the verdict was “{_OUTCOMES[share]}”, and later seeds opened it again"
            )
    return ""


def _what_could_decide(successes: int, failures: int, unfinished: int) -> tuple[str, int]:
    """What could decide, in words, and the number of further seeds that it needs beside the unfinished ones."""
    needed = further_seeds(successes, failures)
    further = max(0, needed - unfinished)
    if not further:
        return "finishing the unfinished runs could decide", further
    if successes + failures == 0:
        return f"{needed} seeds that agree would decide", further
    if unfinished:
        others = f"the {count(unfinished, 'unfinished run')} and {count(further, 'further seed')}"
        return f"{others} would decide if they turn out like the finished runs", further
    seeds = successes + failures + further
    shares = dict.fromkeys(share_decided(one, seeds - one) for one in expected_successes(successes, failures, further))
    outcomes = " or ".join(f"“{_OUTCOMES[share]}”" for share in shares if share)
    return f"{count(further, 'further seed')} would decide {outcomes} if the share stays the same", further


def _shown(value: Fraction) -> str:
    """An e-value in words. It is rounded down, so that no open claim seems decided."""
    return f"{int(value * 100) / 100:,.2f}" if value < 10**6 else "more than a million"
