"""Summarise the runs that may be pooled: those of one network, recipe, device and environment. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from bench.evidence import verdicts
from bench.evidence.results import Group, Series
from bench.evidence.statistics import (
    Interval,
    Observation,
    SurvivalCurve,
    TimeToTarget,
    collapses,
    first_hit,
    last_hit,
    observe,
    prediction_interval_counts,
    survival_steps,
    time_to_target,
)
from bench.evidence.verdicts import Course
from bench.network.specification import Architecture, Target
from bench.network.structure_facts import Structure

STREAK = 3
"""A run has reached the target lastingly after this many epochs in a row at or above it."""

FINAL_EPOCHS = 5
"""The number of epochs in the mean at the end of a run. This mean varies less than the last epoch alone."""


@dataclass(frozen=True)
class Collapse:
    """An epoch far below the best epoch before it. The last two fields are None if they were not recorded."""

    epoch: int
    correct: int
    best_before: int
    with_batch_statistics: int | None
    smallest_variance: float | None


@dataclass(frozen=True)
class SeedResult:
    """One run within the documented epochs. `done` of these epochs are recorded.

    `first` is the first epoch at or above the target. It is None for a run that diverged, even if the run reached the
    target before. `last` is the count in the last documented epoch. `final_mean` is the mean over the last
    `FINAL_EPOCHS` documented epochs. Both are None for a run that lacks epochs. `final_mean` is also None if the
    document has fewer epochs than `FINAL_EPOCHS`.
    """

    seed: int
    done: int
    first: int | None
    best: int | None
    best_epoch: int | None
    last: int | None
    final_mean: float | None
    collapses: tuple[Collapse, ...]
    diverged: bool
    ending: str

    @property
    def is_over(self) -> bool:
        """Whether no further epoch can change the result of the run."""
        return self.diverged or self.last is not None


@dataclass(frozen=True)
class GroupSummary:
    """The numbers of one group. `label` names its device, and also its environment if the device has several."""

    label: str
    colour: int
    group: Group
    seeds: tuple[SeedResult, ...]
    first: TimeToTarget
    sustained: TimeToTarget
    latest: TimeToTarget
    curve: SurvivalCurve
    last_interval: Interval | None
    at_target_last: int
    verdicts: tuple[verdicts.Verdict, ...]
    courses: tuple[Course, ...]

    @property
    def planned(self) -> int:
        """The number of epochs that the recorded seeds have when they are over. A seed that diverged gets no more."""
        return sum(seed.done if seed.diverged else self.group.budget for seed in self.seeds)

    @property
    def done(self) -> int:
        """The number of planned epochs that are recorded."""
        return sum(seed.done for seed in self.seeds)

    @property
    def last(self) -> tuple[int, ...]:
        """The last accuracy of every complete run, by seed."""
        return tuple(seed.last for seed in self.seeds if seed.last is not None)

    @property
    def best(self) -> tuple[int, ...]:
        """The best accuracy of every run that has at least one epoch, by seed."""
        return tuple(seed.best for seed in self.seeds if seed.best is not None)


def final_mean(counts: Sequence[int], budget: int) -> float | None:
    """The mean of the last `FINAL_EPOCHS` counts, or None if there are not `budget` counts or too few for the mean."""
    return fmean(counts[-FINAL_EPOCHS:]) if len(counts) == budget >= FINAL_EPOCHS else None


def required(target: Target, total: int) -> int:
    """The smallest number of correct images, of `total`, that is at or above a target."""
    return -(-target.correct * total // target.total)


def summarise_group(
    group: Group, label: str, colour: int, architecture: Architecture, structure: Structure | None
) -> GroupSummary:
    """Summarise one group of runs. Without a structure it has no verdicts. `colour` numbers its label, from 0."""
    budget = group.budget
    needed = [required(architecture.target, run.total) for run in group.runs]
    first = [_observe(run, target, budget, 1) for run, target in zip(group.runs, needed, strict=True)]
    streak = [_observe(run, target, budget, STREAK) for run, target in zip(group.runs, needed, strict=True)]
    latest = [_observe_latest(run, target, budget) for run, target in zip(group.runs, needed, strict=True)]
    reached = time_to_target(first, budget)
    seeds = tuple(_seed_result(run, target, budget) for run, target in zip(group.runs, needed, strict=True))
    final = [seed.last for seed in seeds if seed.last is not None]
    return GroupSummary(
        label=label,
        colour=colour,
        group=group,
        seeds=seeds,
        first=reached,
        # The average runtime is defined for the first epoch only. A streak is recognised later than it begins, and the
        # last epoch at the target is known only when all epochs are over.
        sustained=replace(time_to_target(streak, budget), average_runtime=None),
        latest=replace(  # a seed has a last epoch at the target exactly if it has a first one
            time_to_target(latest, budget),
            average_runtime=None,
            share=reached.share,
            share_at_least=reached.share_at_least,
            share_at_most=reached.share_at_most,
        ),
        curve=survival_steps(first, budget),
        last_interval=prediction_interval_counts(final, architecture.target.total),
        at_target_last=sum(
            seed.last is not None and seed.last >= target for seed, target in zip(seeds, needed, strict=True)
        ),
        verdicts=verdicts.judge(architecture, structure, group),
        courses=verdicts.courses(architecture, structure, group),
    )


def _observe(run: Series, target: int, budget: int, length: int) -> Observation:
    return Observation(None, budget) if run.has_diverged else observe(run.correct, target, budget, length)


def _observe_latest(run: Series, target: int, budget: int) -> Observation:
    """Observe the last epoch at or above the target. It is known only for a run that is over."""
    counts = run.correct[:budget]
    time = last_hit(counts, target)
    if len(counts) == budget or run.has_diverged:
        return Observation(None if run.has_diverged else time, budget)
    # The run may still reach the target in a later epoch. So far we know only that no earlier epoch is the last hit.
    return Observation(None, len(counts) if time is None else time - 1)


def _seed_result(run: Series, target: int, budget: int) -> SeedResult:
    counts = run.correct[:budget]
    best = max(counts, default=None)
    return SeedResult(
        seed=run.seed,
        done=len(counts),
        first=None if run.has_diverged else first_hit(counts, target),
        best=best,
        best_epoch=None if best is None else counts.index(best) + 1,
        last=counts[-1] if len(counts) == budget else None,
        final_mean=final_mean(counts, budget),
        collapses=tuple(
            Collapse(
                epoch,
                counts[epoch - 1],
                max(counts[: epoch - 1]),
                run.correct_batch_statistics[epoch - 1],
                run.smallest_variance[epoch - 1],
            )
            for epoch in collapses(run.correct, run.total)
            if epoch <= budget
        ),
        diverged=run.has_diverged,
        ending=run.ending,
    )
