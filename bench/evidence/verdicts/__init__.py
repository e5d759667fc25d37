"""Judge a document's claims by the measurements. Pure; needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bench.evidence.results import Group
from bench.evidence.statistics import expected_draws, expected_seeds, first_hit
from bench.evidence.verdicts import course, draws, module, shares
from bench.evidence.verdicts.case import Case, Finding, Outcome, Verdict
from bench.evidence.verdicts.course import Course
from bench.evidence.verdicts.rules import RULE, RULES
from bench.network.specification import Architecture, Claim, ClaimKind
from bench.network.structure_facts import Structure

__all__ = [
    "RULE",
    "RULES",
    "Course",
    "Outcome",
    "Verdict",
    "courses",
    "expected_further_seeds",
    "is_about_a_share",
    "is_of_the_module",
    "judge",
]


def judge(architecture: Architecture, structure: Structure | None, group: Group | None) -> tuple[Verdict, ...]:
    """The verdict on every claim about a network, in order. `group` is None for a network without runs.

    Without a structure there are no verdicts, unless only the log of the network is known.
    """
    if structure is None and not architecture.is_logged:
        return ()
    case = Case(architecture, structure, group)
    return tuple(_verdict(claim, case) for claim in architecture.claims)


def courses(architecture: Architecture, structure: Structure | None, group: Group) -> tuple[Course, ...]:
    """The course of the evidence on every claim that is judged by the seeds alone, in order. See `judge`."""
    case = Case(architecture, structure, group)
    if (structure is None and not architecture.is_logged) or case.other_totals:
        return ()
    return tuple(
        course.of_a_share(claim, case) if is_about_a_share(claim) else course.of_a_draw(claim, case)
        for claim in architecture.claims
        if not is_of_the_module(claim) and not (claim.kind in _ABOUT_ONE_RUN and _contradicted_by_log(claim, case))
    )


def expected_further_seeds(
    architecture: Architecture, structure: Structure, group: Group | None, at_most: int
) -> dict[Claim, float]:
    """The expected number of further seeds for each claim about training that is open, with `at_most` seeds in all.

    A claim that no seeds can decide is left out.
    """
    case = Case(architecture, structure, group)
    found = {}
    for verdict in judge(architecture, structure, group):
        claim = verdict.claim
        if verdict.outcome != "cannot be decided yet" or verdict.further is None:
            continue
        if claim.kind in _ABOUT_ONE_RUN:
            found[claim] = expected_draws(draws.rank(claim, case), draws.tested(claim), at_most)
        else:
            found[claim] = expected_seeds(*shares.tally(claim, case)[:2], at_most)
    return found


def is_of_the_module(claim: Claim) -> bool:
    """Whether a claim is about parameters or layers. The module decides such a claim, without any run."""
    return claim.kind in _JUDGE_BY_MODULE


def is_about_a_share(claim: Claim) -> bool:
    """Whether a claim is judged by the share of seeds that succeed."""
    return not is_of_the_module(claim) and claim.kind not in _ABOUT_ONE_RUN


def _verdict(claim: Claim, case: Case) -> Verdict:
    finding: Finding
    if is_of_the_module(claim):
        finding = _JUDGE_BY_MODULE[claim.kind](claim, case)
    elif case.other_totals:
        finding = _tested_on_other_images(case)
    else:
        finding = (draws.judge_draw if claim.kind in _ABOUT_ONE_RUN else shares.judge_share)(claim, case)
    contradicted = _contradicted_by_log(claim, case)
    if contradicted and claim.kind in _ABOUT_ONE_RUN:
        finding = Finding("does not hold", finding.found)
    found = finding.found
    if finding.outcome == "does not hold" and case.log and claim.kind in _LOG_CONFIRMS and not contradicted:
        found += "; the document's own log has it"
    if contradicted:
        role = "the document's own log alone decides" if claim.kind in _ABOUT_ONE_RUN else "the log does not confirm it"
        found += f"; {role}: {claim.contradiction or 'it shows otherwise'}"
    elif claim.contradiction:
        role = "caveat" if claim.kind in _LOG_CONFIRMS else "contradicted by the notebook"
        found += f"; {role}: {claim.contradiction}"
    return Verdict(claim, finding.outcome, found, finding.would_decide, finding.further)


def _tested_on_other_images(case: Case) -> Finding:
    sizes = " or ".join(f"{total:,}" for total in case.other_totals)
    evidence = f"tested on {sizes} images, not {case.architecture.target.total:,}"
    return Finding("cannot be decided yet", evidence, further=None)


def _contradicted_by_log(claim: Claim, case: Case) -> bool:
    if not case.log or claim.kind not in _LOG_CONFIRMS:
        return False
    return not _LOG_CONFIRMS[claim.kind](claim.value, case.log, case.target)


_LOG_CONFIRMS: Mapping[ClaimKind, Callable[[int, Sequence[int], int], bool]] = {
    "reaches_target": lambda value, log, target: max(log) >= value,
    "epochs_below": lambda value, log, target: first_hit(log[: value - 1], target) is not None,
    "first_epoch": lambda value, log, target: first_hit(log, target) == value,
    "best": lambda value, log, target: max(log) == value,
    "last": lambda value, log, target: log[-1] == value,
    "sustained": lambda value, log, target: min(log[-value:]) > target,
}
"""Whether a document's log confirms a claim of a kind, given the claimed value, the log and the target."""

_ABOUT_ONE_RUN: tuple[ClaimKind, ...] = ("first_epoch", "best", "last")
"""The kinds of claim that are about the documented run alone."""

_JUDGE_BY_MODULE: Mapping[ClaimKind, Callable[[Claim, Case], Finding]] = {
    "parameters": module.number_of,
    "parameters_below": module.parameters_below,
    "convolutions": module.number_of,
    "max_pools": module.number_of,
    "fully_connected_layers": module.number_of,
    "batch_norm_after_every_convolution": module.after_every_convolution,
    "dropout_after_every_convolution": module.after_every_convolution,
    "global_average_pooling": module.global_average_pooling,
}
