"""A document's claims against what was measured. Pure, and without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.results import Group, Series
from bench.specification import Architecture, Claim, ClaimKind
from bench.statistics import (
    first_hit,
    prediction_interval_ranks,
    prediction_interval_t,
    rank_of,
    seeds_to_decide,
    share_of_seeds,
    smallest_deciding_n,
)
from bench.structure_facts import Followed, Structure

Outcome = Literal["holds", "does not hold", "cannot be decided yet"]

LEVEL = 0.05
_HALF = 0.5
_SEEDS_FOR_SHARES = smallest_deciding_n(_HALF, 1 - LEVEL)
_SEEDS_FOR_RANKS = round(2 / LEVEL) - 1

RULES: tuple[str, ...] = (
    "Parameters and layers are counted in the module and in the shapes that an image takes through it.",
    (
        "Batch norm or dropout after every convolution means anywhere between it and the next convolution or linear "
        "layer. A last convolution with no linear layer behind it scores the classes and is left out."
    ),
    "Average pooling is global if one output averages every cell.",
    "The target is reached at 9940 of 10,000 images: 9939 rounds to 99.4 % and is below it.",
    (
        "A network reaches the target if more than half of all seeds do, in any epoch of the documented number; a "
        "claim of fewer than 20 epochs looks at the first 19. With one-sided 95 % Clopper-Pearson bounds on that "
        "share, the claim holds if the lower bound is above one half, and does not hold if the upper one is below."
    ),
    "A claim on the last epochs is judged in the same way: a seed succeeds if every one of them is above the target.",
    f"{_SEEDS_FOR_SHARES} seeds that agree are the fewest that decide; any forecast takes the share to stay as seen.",
    (
        "A run that diverged has failed, whatever it reached before: everywhere in this report it counts as never at "
        "the target, and in tests on means as none correct."
    ),
    (
        "A run is unfinished if it crashed, was interrupted, ran out of time or is still going on. What it has reached "
        "counts. While it has not, it is a failure in every lower bound and left out of every upper one, here and in "
        "the tables, so that no failed run can ever improve a verdict. The lower bounds hold whatever it would have "
        "become; the upper ones, like the Kaplan–Meier estimate, if why it stopped has nothing to do with that. Tests "
        "on means leave it out."
    ),
    (
        "A first epoch, a best or a last accuracy is that of one run, and is judged as one more draw beside the "
        "complete seeds. If the document's own log contradicts it, it does not hold, whatever the seeds do."
    ),
    (
        f"A first epoch is judged by its rank, never being the last: two-sided at the level {LEVEL:g}, which takes "
        f"{_SEEDS_FOR_RANKS} seeds. Fewer cannot reject any epoch, so that they decide nothing."
    ),
    (
        "A best or last accuracy does not hold outside the 95 % prediction interval of one new run (Student's t). It "
        "holds inside it, if it is also within the range of the seeds and the interval ends below a perfect score: a "
        "seed gone astray widens the interval, and earns nothing by it. "
        f"Fewer than {_SEEDS_FOR_SHARES} seeds decide nothing."
    ),
    "If a seed diverged, no such claim holds on the strength of the others.",
    "A best accuracy is the best of many looks at the test set, on either side of the comparison.",
    "What the document's own log or layer table contradicts is named with the verdict, whichever it is.",
)
"""How verdicts come about, in sentences for the report."""


@dataclass(frozen=True)
class Verdict:
    """What becomes of one claim, and the evidence, in words and numbers that fit a table's cell."""

    claim: Claim
    outcome: Outcome
    evidence: str


@dataclass(frozen=True)
class _Case:
    """All that a claim is judged by."""

    architecture: Architecture
    structure: Structure
    group: Group | None

    @property
    def target(self) -> int:
        return self.architecture.target.correct

    @property
    def budget(self) -> int:
        return self.group.budget if self.group else self.architecture.recipe.epochs

    @property
    def runs(self) -> tuple[Series, ...]:
        return self.group.runs if self.group else ()

    @property
    def complete(self) -> list[tuple[int, ...]]:
        """The counts of every complete run, within the documented epochs."""
        return [run.correct[: self.budget] for run in self.group.complete] if self.group else []

    @property
    def diverged(self) -> int:
        return sum(run.has_diverged for run in self.runs)

    @property
    def other_totals(self) -> tuple[int, ...]:
        """The sizes of the test sets that runs were tested on, other than the one that claims are about."""
        return tuple(sorted({run.total for run in self.runs if run.total} - {self.architecture.target.total}))

    @property
    def log(self) -> tuple[int, ...]:
        return tuple(logged.correct for logged in self.architecture.document.log)


_Finding = tuple[Outcome, str]


def judge(architecture: Architecture, structure: Structure, group: Group | None) -> tuple[Verdict, ...]:
    """Every claim of a network's document, in its order; `group` None is a network without a run."""
    case = _Case(architecture, structure, group)
    return tuple(_verdict(claim, case) for claim in architecture.document.claims)


def _verdict(claim: Claim, case: _Case) -> Verdict:
    is_measured = claim.kind not in _OF_THE_MODULE and case.other_totals
    outcome, evidence = (_another_test_set if is_measured else _FINDINGS[claim.kind])(claim, case)
    contradicted = _contradicted_by_log(claim, case)
    if contradicted and claim.kind in _ONE_RUN:
        outcome = "does not hold"
    if contradicted:
        evidence += f"; contradicted by the document's own log: {claim.contradiction or 'it shows otherwise'}"
    elif claim.contradiction:
        role = "caveat" if claim.kind in _IN_LOG else "contradicted by the document or its notebook"
        evidence += f"; {role}: {claim.contradiction}"
    return Verdict(claim, outcome, evidence)


# What the module decides.


def _count(claim: Claim, case: _Case) -> _Finding:
    measured: int = getattr(case.structure, claim.kind)
    return _exactly(measured == claim.value), _counted(measured, claim.kind.replace("_", " "))


def _parameters_below(claim: Claim, case: _Case) -> _Finding:
    return _exactly(case.structure.parameters < claim.value), _counted(case.structure.parameters, "parameters")


def _after_every_convolution(claim: Claim, case: _Case) -> _Finding:
    followed: Followed = getattr(case.structure, claim.kind)
    evidence = (
        f"after {followed.convolutions - len(followed.without)} of {_counted(followed.convolutions, 'convolutions')}"
    )
    if followed.without:
        evidence += f", not after number {_listed(followed.without)}"
    classifier = (
        ", the classifier, is not counted" if followed.excludes_classifier else " counts: a linear layer classifies"
    )
    return _exactly(followed.always == bool(claim.value)), f"{evidence}; the last convolution{classifier}"


def _global_average_pooling(claim: Claim, case: _Case) -> _Finding:
    pool = case.structure.global_average_pooling
    evidence = f"the average pool sees {pool}" if pool else "no average pool"
    return _exactly((pool is not None and pool.is_global) == bool(claim.value)), evidence


def _exactly(is_so: bool) -> Outcome:
    return "holds" if is_so else "does not hold"


# What a share of seeds decides.


def _reaches_target(claim: Claim, case: _Case) -> _Finding:
    return _reached(claim.value, case.budget, case)


def _epochs_below(claim: Claim, case: _Case) -> _Finding:
    return _reached(case.target, min(case.budget, claim.value - 1), case)


def _reached(target: int, epochs: int, case: _Case) -> _Finding:
    hits = [not run.has_diverged and first_hit(run.correct[:epochs], target) is not None for run in case.runs]
    decided = [hit or run.has_diverged or len(run.correct) >= epochs for hit, run in zip(hits, case.runs, strict=True)]
    return _share(sum(hits), sum(decided), len(decided) - sum(decided), f"reached {target} within {epochs} epochs")


def _sustained(claim: Claim, case: _Case) -> _Finding:
    successes = sum(min(counts[-claim.value :]) > case.target for counts in case.complete)
    decided = len(case.complete) + case.diverged
    what = f"above {case.target} in each of the last {claim.value} of {case.budget} epochs"
    return _share(successes, decided, len(case.runs) - decided, what)


def _share(successes: int, decided: int, undecided: int, what: str) -> _Finding:
    """Whether more than half of all seeds succeed.

    Neither a failed run nor an unfinished one can move the outcome towards "holds": the first lowers both bounds, the
    second the lower one.
    """
    lower, upper = (share_of_seeds(successes, decided, undecided, 1 - LEVEL, side) for side in ("lower", "upper"))
    evidence = f"{successes} of {_counted(decided + undecided, 'seeds')} {what}"
    if undecided:
        evidence += f", {undecided} unfinished"
    evidence += f"; share at least {lower.lower:.3f}, at most {upper.upper:.3f}"
    if lower.lower > _HALF:
        return "holds", evidence
    if upper.upper < _HALF:
        return "does not hold", evidence
    return "cannot be decided yet", f"{evidence}; {_what_could_decide(successes, decided, undecided)}"


def _what_could_decide(successes: int, decided: int, undecided: int) -> str:
    further = seeds_to_decide(successes, decided, _HALF, 1 - LEVEL) if decided else _SEEDS_FOR_SHARES
    if further is not None and further <= undecided:  # none is needed where only the unfinished ones stand in the way
        return "finishing the unfinished runs could decide"
    if decided == 0:
        return f"{_SEEDS_FOR_SHARES} seeds that agree would decide"
    if further is not None:
        return f"{_counted(further, 'further seeds')} could decide if the share stays as seen"
    if 2 * successes == decided:
        return "no number of seeds decides while exactly half succeed"
    return "more than 1,000 further seeds are needed if the share stays as seen"


# What the documented run is beside the seeds: one more draw.


def _first_epoch(claim: Claim, case: _Case) -> _Finding:
    epochs = [first_hit(counts, case.target) for counts in case.complete]
    if not epochs:
        return "cannot be decided yet", _no_seed(case)
    rank, interval = rank_of(claim.value, epochs), prediction_interval_ranks(epochs)
    evidence = f"of {_counted(rank.n, 'seeds')} {rank.below} earlier, {rank.ties} equal, {rank.above} later or never"
    if interval:
        first, last = (f"{end:.0f}" if end <= case.budget else "never" for end in (interval.lower, interval.upper))
        evidence += f"; one new run: {first} to {last} with {100 * interval.confidence:.0f} % confidence"
    if not rank.can_reject:
        reason = f"{_counted(rank.n, 'seeds')} can reject no epoch (p is at least {rank.smallest_p:.2f})"
        return "cannot be decided yet", f"{evidence}; {reason}, {_SEEDS_FOR_RANKS} could"
    evidence += f"; p = {rank.p_value:.3f}"
    return ("does not hold", evidence) if rank.p_value <= LEVEL else _unless_diverged(evidence, case)


def _best(claim: Claim, case: _Case) -> _Finding:
    return _accuracy(claim, [max(counts) for counts in case.complete], case)


def _last(claim: Claim, case: _Case) -> _Finding:
    return _accuracy(claim, [counts[-1] for counts in case.complete], case)


def _accuracy(claim: Claim, counts: Sequence[int], case: _Case) -> _Finding:
    if not counts:
        return "cannot be decided yet", _no_seed(case)
    rank, interval = rank_of(claim.value, counts), prediction_interval_t(counts, 1 - LEVEL)
    evidence = f"of {_counted(rank.n, 'seeds')} {rank.below} lower, {rank.ties} equal, {rank.above} higher"
    if interval:
        lowest, highest = math.ceil(interval.lower), math.floor(interval.upper)
        evidence += f"; one new run: {lowest} to {highest} with 95 % confidence"
    if not interval or rank.n < _SEEDS_FOR_SHARES:
        return "cannot be decided yet", f"{evidence}; {_SEEDS_FOR_SHARES} seeds are the fewest that decide"
    if not interval.lower <= claim.value <= interval.upper:
        return "does not hold", evidence
    if interval.upper >= case.architecture.target.total:
        return "cannot be decided yet", f"{evidence}; so wide an interval can reject no high accuracy"
    if rank.n in (rank.below, rank.above):
        side = "above" if rank.below else "below"
        return "cannot be decided yet", f"{evidence}; inside the interval, yet {side} every seed"
    return _unless_diverged(evidence, case)


def _unless_diverged(evidence: str, case: _Case) -> _Finding:
    if case.diverged:
        return "cannot be decided yet", f"{evidence}; {_counted(case.diverged, 'further seeds')} diverged"
    return "holds", evidence


def _another_test_set(claim: Claim, case: _Case) -> _Finding:
    sizes = " or ".join(f"{total:,}" for total in case.other_totals)
    return "cannot be decided yet", f"tested on {sizes} images, not {case.architecture.target.total:,}"


def _no_seed(case: _Case) -> str:
    return f"no seed has all {case.budget} epochs" if case.runs else "no seed has run"


# What the document itself shows.


def _contradicted_by_log(claim: Claim, case: _Case) -> bool:
    return bool(case.log) and claim.kind in _IN_LOG and not _IN_LOG[claim.kind](claim.value, case.log, case.target)


_IN_LOG: Mapping[ClaimKind, Callable[[int, Sequence[int], int], bool]] = {
    "reaches_target": lambda value, log, target: max(log) >= value,
    "epochs_below": lambda value, log, target: len(log) < value and max(log) >= target,
    "first_epoch": lambda value, log, target: first_hit(log, target) == value,
    "best": lambda value, log, target: max(log) == value,
    "last": lambda value, log, target: log[-1] == value,
    "sustained": lambda value, log, target: min(log[-value:]) > target,
}
"""Whether a log bears a claim out."""

_ONE_RUN: tuple[ClaimKind, ...] = ("first_epoch", "best", "last")
"""Claims about the documented run alone."""

_OF_THE_MODULE: tuple[ClaimKind, ...] = (
    "parameters",
    "parameters_below",
    "convolutions",
    "max_pools",
    "fully_connected_layers",
    "batch_norm_after_every_convolution",
    "dropout_after_every_convolution",
    "global_average_pooling",
)
"""Claims that need no run."""

_FINDINGS: Mapping[ClaimKind, Callable[[Claim, _Case], _Finding]] = {
    "parameters": _count,
    "parameters_below": _parameters_below,
    "convolutions": _count,
    "max_pools": _count,
    "fully_connected_layers": _count,
    "batch_norm_after_every_convolution": _after_every_convolution,
    "dropout_after_every_convolution": _after_every_convolution,
    "global_average_pooling": _global_average_pooling,
    "reaches_target": _reaches_target,
    "epochs_below": _epochs_below,
    "sustained": _sustained,
    "first_epoch": _first_epoch,
    "best": _best,
    "last": _last,
}


def _counted(number: int, plural: str) -> str:
    return f"{number:,} {plural.removesuffix('s') if number == 1 else plural}"


def _listed(numbers: Sequence[int]) -> str:
    return " and ".join(filter(None, [", ".join(str(number) for number in numbers[:-1]), str(numbers[-1])]))
