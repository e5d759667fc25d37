"""A record as values to compute with: the runs of one network, recipe, device and environment, never pooled. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas

from bench.record import Record
from bench.specification import Architecture


@dataclass(frozen=True)
class Series:
    """One run, epoch by epoch from the first; every tuple has one value an epoch.

    `correct` counts test images of `total`; losses are mean negative log-likelihoods. `seconds` are of training and
    evaluation together. `ending` says how the run ended last if it is not complete ("diverged: …"), else is empty.
    """

    seed: int
    total: int
    correct: tuple[int, ...]
    test_loss: tuple[float, ...]
    train_loss: tuple[float, ...]
    train_seconds: tuple[float, ...]
    seconds: tuple[float, ...]
    smallest_variance: tuple[float | None, ...]
    correct_batch_statistics: tuple[int | None, ...]
    ending: str = ""


@dataclass(frozen=True)
class Group:
    """The runs of one network that may be pooled, by ascending seed.

    `budget` is the documented number of epochs. `is_current` says whether `recipe` is the one the network has now.
    """

    model: str
    recipe: str
    device: str
    environment: str
    machine: str
    budget: int
    is_current: bool
    runs: tuple[Series, ...]

    @property
    def complete(self) -> tuple[Series, ...]:
        """The runs that have all the documented epochs."""
        return tuple(run for run in self.runs if len(run.correct) >= self.budget)


def groups(record: Record, architectures: Mapping[str, Architecture]) -> tuple[Group, ...]:
    """The groups of a record, in the order of the networks, then devices, then environments by their first row.

    Rows of networks that are not among `architectures` are passed over.
    """
    rows = record.rows[record.rows["model"].isin(list(architectures))]
    found = []
    for key, part in rows.groupby(["model", "recipe", "device", "environment"], sort=False):
        model, recipe, device, environment = key
        architecture = architectures[model]
        budget = architecture.recipe.epochs
        runs = (_series(seed, run, budget) for seed, run in part.groupby("seed"))
        machines = sorted(set(part["machine"]) - {""})
        found.append(
            Group(
                model,
                recipe,
                device,
                environment,
                machines[0] if machines else "",
                budget,
                recipe == architecture.digest,
                tuple(runs),
            )
        )
    names = list(architectures)
    return tuple(
        sorted(
            found,
            key=lambda group: (
                names.index(group.model),
                not group.is_current,
                group.recipe,
                ("cpu", "cuda", "mps").index(group.device),
                group.environment,
            ),
        )
    )


def _series(seed: Any, run: pandas.DataFrame, budget: int) -> Series:
    epochs = run[run["status"] == "ok"].sort_values("epoch")
    closing = run[run["status"] != "ok"].sort_values("recorded_at", kind="stable")
    ending = ""
    if len(epochs) < budget and len(closing):
        last = closing.iloc[-1]
        ending = f"{last['status']}: {last['note']}" if last["note"] else str(last["status"])
    return Series(
        seed=int(seed),
        total=int(epochs["total"].max()) if len(epochs) else 0,
        correct=tuple(int(count) for count in epochs["correct"]),
        test_loss=tuple(float(loss) for loss in epochs["test_loss"]),
        train_loss=tuple(float(loss) for loss in epochs["train_loss"]),
        train_seconds=tuple(float(seconds) for seconds in epochs["train_seconds"]),
        seconds=tuple(float(seconds) for seconds in epochs["train_seconds"] + epochs["eval_seconds"]),
        smallest_variance=tuple(None if pandas.isna(value) else float(value) for value in epochs["smallest_variance"]),
        correct_batch_statistics=tuple(
            None if pandas.isna(value) else int(value) for value in epochs["correct_batch_statistics"]
        ),
        ending=ending,
    )
