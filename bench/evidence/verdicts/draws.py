"""Judge claims about the documented run as if that run were one more draw beside the seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.evidence.statistics import LEVEL, first_hit, prediction_interval_ranks, prediction_interval_t, rank_of
from bench.evidence.verdicts.case import Case, Finding
from bench.evidence.verdicts.rules import SEEDS_FOR_RANKS, SEEDS_FOR_SHARES
from bench.network.specification import Claim
from bench.wording import count


def first_epoch(claim: Claim, case: Case) -> Finding:
    """Judge the claimed epoch by its rank among the first epochs of the complete seeds. "Never" ranks last."""
    epochs = [first_hit(counts, case.target) for counts in case.complete]
    if not epochs:
        return "cannot be decided yet", _no_seed(case)
    rank, interval = rank_of(claim.value, epochs), prediction_interval_ranks(epochs)
    evidence = f"{count(rank.n, 'seed')}: {rank.below} earlier, {rank.ties} equal, {rank.above} later or never"
    if interval:
        first, last = (f"{end:.0f}" if end <= case.budget else "never" for end in (interval.lower, interval.upper))
        evidence += f"; one new run: {first} to {last} with {100 * interval.confidence:.0f} % confidence"
    if not rank.can_reject:
        reason = f"{count(rank.n, 'seed')} cannot reject any epoch (p is at least {rank.smallest_p:.2f})"
        return "cannot be decided yet", f"{evidence}; {reason}", f"{SEEDS_FOR_RANKS} seeds could decide"
    evidence += f"; p = {rank.p_value:.3f}"
    return ("does not hold", evidence) if rank.p_value <= LEVEL else _holds_unless_diverged(evidence, case)


def best(claim: Claim, case: Case) -> Finding:
    """Judge the claimed best accuracy, in images, as one more draw beside the best accuracies of the complete seeds."""
    return _judge_accuracy(claim, [max(counts) for counts in case.complete], case)


def last(claim: Claim, case: Case) -> Finding:
    """Judge the claimed last accuracy, in images, as one more draw beside the last accuracies of the complete seeds."""
    return _judge_accuracy(claim, [counts[-1] for counts in case.complete], case)


def _judge_accuracy(claim: Claim, counts: Sequence[int], case: Case) -> Finding:
    if not counts:
        return "cannot be decided yet", _no_seed(case)
    rank, interval = rank_of(claim.value, counts), prediction_interval_t(counts, 1 - LEVEL)
    evidence = f"{count(rank.n, 'seed')}: {rank.below} lower, {rank.ties} equal, {rank.above} higher"
    if interval:
        lowest, highest = math.ceil(interval.lower), math.floor(interval.upper)
        evidence += f"; one new run: {lowest} to {highest} with {1 - LEVEL:.0%} confidence".replace("%", " %")
    if not interval or rank.n < SEEDS_FOR_SHARES:
        return "cannot be decided yet", evidence, f"a decision needs at least {SEEDS_FOR_SHARES} seeds"
    if not interval.lower <= claim.value <= interval.upper:
        return "does not hold", evidence
    if interval.upper >= case.architecture.target.total:
        return "cannot be decided yet", f"{evidence}; the interval is too wide to reject a high accuracy"
    if rank.n in (rank.below, rank.above):
        side = "above" if rank.below else "below"
        return "cannot be decided yet", f"{evidence}; inside the interval, but {side} every seed"
    return _holds_unless_diverged(evidence, case)


def _holds_unless_diverged(evidence: str, case: Case) -> Finding:
    if case.diverged:
        return "cannot be decided yet", f"{evidence}; {count(case.diverged, 'further seed')} diverged"
    return "holds", evidence


def _no_seed(case: Case) -> str:
    return f"no seed has all {case.budget} epochs" if case.runs else "no seed has run"
