"""Judge claims by the share of seeds that succeed."""

from __future__ import annotations

from bench.evidence.statistics import LEVEL, first_hit, seeds_to_decide, share_of_seeds
from bench.evidence.verdicts.case import Case, Finding
from bench.evidence.verdicts.rules import HALF, SEEDS_FOR_SHARES
from bench.network.specification import Claim
from bench.wording import count


def reaches_target(claim: Claim, case: Case) -> Finding:
    """Whether more than half of all seeds reach the claimed number of images within the documented epochs."""
    return _judge_reached(claim.value, case.budget, case)


def epochs_below(claim: Claim, case: Case) -> Finding:
    """Whether more than half of all seeds reach the target in fewer epochs than the bound."""
    return _judge_reached(case.target, min(case.budget, claim.value - 1), case)


def _judge_reached(target: int, epochs: int, case: Case) -> Finding:
    hits = [not run.has_diverged and first_hit(run.correct[:epochs], target) is not None for run in case.runs]
    decided = [hit or run.has_diverged or len(run.correct) >= epochs for hit, run in zip(hits, case.runs, strict=True)]
    what = f"reached {target} within {epochs} epochs"
    if case.complete:
        kept = sum(counts[-1] >= target for counts in case.complete)
        what += f" (at or above it in the last epoch: {kept} of {count(len(case.complete), 'complete seed')})"
    return _judge_share(sum(hits), sum(decided), len(decided) - sum(decided), what)


def sustained(claim: Claim, case: Case) -> Finding:
    """Whether more than half of all seeds are above the target in each of the last epochs. The claim says how many."""
    successes = sum(min(counts[-claim.value :]) > case.target for counts in case.complete)
    decided = len(case.complete) + case.diverged
    what = f"above {case.target} in each of the last {claim.value} of {case.budget} epochs"
    return _judge_share(successes, decided, len(case.runs) - decided, what)


def _judge_share(successes: int, decided: int, undecided: int, what: str) -> Finding:
    """Whether more than half of all seeds succeed.

    Neither a failed run nor an unfinished run can move the outcome towards "holds". A failed run lowers both bounds. An
    unfinished run lowers only the lower bound.
    """
    if not decided + undecided:
        return "cannot be decided yet", "no seed has run", _what_could_decide(0, 0, 0)
    lower, upper = (share_of_seeds(successes, decided, undecided, 1 - LEVEL, side) for side in ("lower", "upper"))
    evidence = f"{successes} of {count(decided + undecided, 'seed')} {what}"
    if undecided:
        evidence += f", {undecided} unfinished"
    evidence += f"; share at least {lower.lower:.3f}, at most {upper.upper:.3f}"
    if lower.lower > HALF:
        return "holds", evidence
    if upper.upper < HALF:
        return "does not hold", evidence
    return "cannot be decided yet", evidence, _what_could_decide(successes, decided, undecided)


def _what_could_decide(successes: int, decided: int, undecided: int) -> str:
    further = seeds_to_decide(successes, decided, HALF, 1 - LEVEL) if decided else SEEDS_FOR_SHARES
    if further is not None and further <= undecided:  # 0 if the finished runs would decide by themselves
        return "finishing the unfinished runs could decide"
    if decided == 0:
        return f"{SEEDS_FOR_SHARES} seeds that agree would decide"
    if further is not None:
        if undecided:
            others = f"the {count(undecided, 'unfinished run')} and {count(further - undecided, 'further seed')}"
            return f"{others} could decide if they turn out like the finished runs"
        return f"{count(further, 'further seed')} could decide if the share stays the same"
    if 2 * successes == decided:
        return "if exactly half of the seeds succeed, no number of seeds can decide"
    return "more than 1,000 further seeds are needed if the share stays the same"
