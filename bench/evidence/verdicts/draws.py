"""Judge claims about the documented run as if that run were one more draw beside the seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.evidence.statistics import (
    SEEDS,
    RankTest,
    Tested,
    first_hit,
    prediction_interval_counts,
    prediction_interval_ranks,
    rank_test,
)
from bench.evidence.verdicts.case import Case, Finding
from bench.network.specification import Claim
from bench.wording import count


def tested(claim: Claim) -> Tested:
    """On which side a claim can be wrong. A published accuracy is chosen for being high."""
    return "on both sides" if claim.kind == "first_epoch" else "too high"


def rank(claim: Claim, case: Case) -> RankTest:
    """The rank of the claimed value among those of the first seeds that are over."""
    complete, diverged = case.draws(SEEDS[tested(claim)])
    return rank_test(claim.value, _values(claim, complete, case.target), tested(claim), diverged)


def judge_draw(claim: Claim, case: Case) -> Finding:
    """Judge the claimed first epoch, best or last accuracy by its rank. "Never" is later than every epoch."""
    test, seeds = rank(claim, case), SEEDS[tested(claim)]
    if not test.n:
        advice = f"{seeds} seeds decide at the latest"
        return Finding("cannot be decided yet", _no_seed(case), advice, test.further)
    evidence = f"{count(test.n, 'seed')}: {_ranked(claim, test)}{_one_new_run(claim, case, test.n)}"
    if test.is_rejected:
        return Finding("does not hold", f"{evidence}; p = {test.p_value:.3f}")
    if test.is_decided:
        return Finding("holds", evidence)
    advice = f"{count(test.further, 'further seed')} would decide if all are on the same side"
    return Finding("cannot be decided yet", evidence, advice, test.further)


def _values(claim: Claim, complete: Sequence[Sequence[int]], target: int) -> list[int | None]:
    """The first epoch, best or last accuracy of every complete run."""
    if claim.kind == "first_epoch":
        return [first_hit(counts, target) for counts in complete]
    return [max(counts) if claim.kind == "best" else counts[-1] for counts in complete]


def _ranked(claim: Claim, test: RankTest) -> str:
    below, above = ("earlier", "later or never") if claim.kind == "first_epoch" else ("lower", "higher")
    diverged = f", {test.failed} diverged" if test.failed else ""
    return f"{test.below} {below}, {test.ties} equal, {test.above} {above}{diverged}"


def _one_new_run(claim: Claim, case: Case, ranked: int) -> str:
    """Where one new run would fall, as a description by all complete runs. `ranked` is the number that the rank has."""
    values = _values(claim, case.complete, case.target)
    if claim.kind == "first_epoch":
        interval = prediction_interval_ranks(values)
    else:
        counts = [value for value in values if value is not None]
        interval = prediction_interval_counts(counts, case.architecture.target.total)
    if interval is None:
        return ""
    if claim.kind == "first_epoch":
        first, last = (f"{end:.0f}" if end <= case.budget else "never" for end in (interval.lower, interval.upper))
    else:
        first, last = str(math.ceil(interval.lower)), str(math.floor(interval.upper))
    by = f" by all {len(values)}" if len(values) > ranked else ""
    return f"; one new run{by}: {first} to {last} with {100 * interval.confidence:.0f} % confidence"


def _no_seed(case: Case) -> str:
    return f"no seed has {_all(case.budget)}" if case.runs else "no seed has run"


def _all(epochs: int) -> str:
    return "its one epoch" if epochs == 1 else f"all {epochs} epochs"
