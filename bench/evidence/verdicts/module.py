"""Claims that the module and its shapes decide."""

from __future__ import annotations

from bench.evidence.verdicts.case import Case, Finding, Outcome
from bench.network.specification import Claim
from bench.network.structure_facts import Followed
from bench.wording import count, listed


def number_of(claim: Claim, case: Case) -> Finding:
    """Whether there are as many as claimed: parameters, convolutions, max-pools or fully connected layers."""
    measured: int = getattr(case.structure, claim.kind)
    return _exactly(measured == claim.value), count(measured, claim.kind.replace("_", " ").removesuffix("s"))


def parameters_below(claim: Claim, case: Case) -> Finding:
    """Whether there are fewer parameters than the bound."""
    return _exactly(case.structure.parameters < claim.value), count(case.structure.parameters, "parameter")


def after_every_convolution(claim: Claim, case: Case) -> Finding:
    """Whether batch norm, or dropout, follows every convolution, the classifier left out."""
    followed: Followed = getattr(case.structure, claim.kind)
    evidence = f"after {followed.convolutions - len(followed.without)} of {count(followed.convolutions, 'convolution')}"
    if followed.without:
        evidence += f", not after number {listed(followed.without)}"
    classifier = (
        ", the classifier, is not counted" if followed.excludes_classifier else " counts: a linear layer classifies"
    )
    return _exactly(followed.always == bool(claim.value)), f"{evidence}; the last convolution{classifier}"


def global_average_pooling(claim: Claim, case: Case) -> Finding:
    """Whether one output of the last average pool averages every cell of a channel."""
    pool = case.structure.global_average_pooling
    evidence = f"the average pool sees {pool}" if pool else "no average pool"
    return _exactly((pool is not None and pool.is_global) == bool(claim.value)), evidence


def _exactly(is_so: bool) -> Outcome:
    return "holds" if is_so else "does not hold"
