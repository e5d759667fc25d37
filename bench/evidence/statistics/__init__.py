"""Arrays to numbers: time to target, intervals, comparisons. Pure: no torch, no files, no global random state."""

from bench.evidence.statistics.comparison import (
    DeviceDifference,
    PermutationTest,
    Variation,
    holm,
    paired_permutation_test,
    smallest_two_sample_p,
    two_sample_permutation_test,
    variation,
)
from bench.evidence.statistics.convergence import collapses, first_hit, last_hit, sustained_hit
from bench.evidence.statistics.intervals import (
    Interval,
    Rank,
    clopper_pearson,
    prediction_interval_ranks,
    prediction_interval_t,
    rank_of,
    seeds_to_decide,
    share_of_seeds,
    smallest_deciding_n,
)
from bench.evidence.statistics.reference_points import ReferencePoints, reference_convergence, submission_passes
from bench.evidence.statistics.survival import (
    Observation,
    SurvivalCurve,
    TimeToTarget,
    observe,
    survival_steps,
    time_to_target,
)

__all__ = [
    "DeviceDifference",
    "Interval",
    "Observation",
    "PermutationTest",
    "Rank",
    "ReferencePoints",
    "SurvivalCurve",
    "TimeToTarget",
    "Variation",
    "clopper_pearson",
    "collapses",
    "first_hit",
    "holm",
    "last_hit",
    "observe",
    "paired_permutation_test",
    "prediction_interval_ranks",
    "prediction_interval_t",
    "rank_of",
    "reference_convergence",
    "seeds_to_decide",
    "share_of_seeds",
    "smallest_deciding_n",
    "smallest_two_sample_p",
    "submission_passes",
    "survival_steps",
    "sustained_hit",
    "time_to_target",
    "two_sample_permutation_test",
    "variation",
]
