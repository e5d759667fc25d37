"""Judge claims by the module itself and by the shapes of its layer outputs."""

from __future__ import annotations

from bench.evidence.verdicts.case import Case, Finding, Outcome
from bench.network.specification import Claim
from bench.network.structure_facts import Followed
from bench.wording import count, listed


def number_of(claim: Claim, case: Case) -> Finding:
    """Whether the number of parameters, convolutions, max-pools or fully connected layers is the claimed one."""
    measured: int = getattr(case.structure, claim.kind)
    return Finding(_outcome(measured == claim.value), count(measured, claim.kind.replace("_", " ").removesuffix("s")))


def parameters_below(claim: Claim, case: Case) -> Finding:
    """Whether the network has fewer parameters than the claimed bound."""
    outcome = _outcome(case.structure.parameters < claim.value)
    return Finding(outcome, count(case.structure.parameters, "parameter"))


def after_every_convolution(claim: Claim, case: Case) -> Finding:
    """Whether batch norm (or dropout) follows every convolution. A convolution that is the classifier is left out."""
    followed: Followed = getattr(case.structure, claim.kind)
    evidence = f"after {followed.convolutions - len(followed.without)} of {count(followed.convolutions, 'convolution')}"
    if followed.without:
        evidence += f", not after number {listed(followed.without)}"
    classifier = (
        "is the classifier and is not counted"
        if followed.excludes_classifier
        else "counts because a linear layer is the classifier"
    )
    return Finding(_outcome(followed.always == bool(claim.value)), f"{evidence}; the last convolution {classifier}")


def global_average_pooling(claim: Claim, case: Case) -> Finding:
    """Whether one output of the last average pool averages every cell of a channel."""
    pool = case.structure.global_average_pooling
    evidence = f"the average pool averages {pool}" if pool else "no average pool"
    return Finding(_outcome((pool is not None and pool.is_global) == bool(claim.value)), evidence)


def _outcome(is_so: bool) -> Outcome:
    return "holds" if is_so else "does not hold"
