"""The results of published runs of the same assignment. They are context for the report, not evidence.

The survey read the logs in public course notebooks. Each notebook has one network and one run. People choose the runs
that they publish, so the share of successes is an upper bound. Accuracies are correctly classified images of 10,000.
The target is 9940 of them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Assignment:
    """The notebooks of this same assignment, with any recipe.

    `best_reached` and `last_reached` count the notebooks whose best and last epoch reached the target.
    """

    notebooks: int
    repositories_at_least: int
    best_reached: int
    last_reached: int
    first_epoch_quartiles: tuple[int, int, int]
    mean_best_minus_last: float
    largest_best_minus_last: int


@dataclass(frozen=True)
class Band:
    """The notebooks with at least `at_least` and fewer than `below` parameters."""

    at_least: int
    below: int
    notebooks: int
    best_reached: int


@dataclass(frozen=True)
class PlainSgd:
    """The notebooks of this assignment and the next one that use plain SGD, without schedule or augmentation."""

    notebooks: int
    best_reached: int
    last_reached: int
    median_best: int
    median_last: int
    bands: tuple[Band, ...]


@dataclass(frozen=True)
class Survey:
    """The scope and the results of the survey. `repeated_over_seeds` counts notebooks with more than one seed."""

    date: str
    repositories: int
    parameters_below: int
    epochs: tuple[int, int]
    repeated_over_seeds: int
    assignment: Assignment
    plain_sgd: PlainSgd


SURVEY = Survey(
    date="2026-11",
    repositories=101,
    parameters_below=20_000,
    epochs=(8, 20),
    repeated_over_seeds=0,
    assignment=Assignment(
        notebooks=87,
        repositories_at_least=69,
        best_reached=67,
        last_reached=47,
        first_epoch_quartiles=(10, 13, 17),
        mean_best_minus_last=3.9,
        largest_best_minus_last=23,
    ),
    plain_sgd=PlainSgd(
        notebooks=149,
        best_reached=65,
        last_reached=41,
        median_best=9936,
        median_last=9929,
        bands=(
            Band(0, 8_000, notebooks=19, best_reached=1),
            Band(8_000, 10_000, notebooks=41, best_reached=6),
            Band(10_000, 12_000, notebooks=16, best_reached=6),
            Band(12_000, 15_000, notebooks=20, best_reached=13),
            Band(15_000, 20_000, notebooks=53, best_reached=39),
        ),
    ),
)
