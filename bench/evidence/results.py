"""Turn a record into groups of runs. A group has one network, recipe, device and environment. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas
from numpy.typing import NDArray

from bench.network.specification import DEVICES, LOGGED, VARIED, Architecture, Vary
from bench.record.record import Record
from bench.record.rows import RUN_KEY

GROUP_KEY = RUN_KEY[:-1]
"""Runs may be pooled only if they agree in these columns."""

_Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Series:
    """One run from its first epoch on. Every tuple has one value for each epoch, but a log has no seconds.

    `correct` has the numbers of correctly classified test images, of `total`. `seconds` are of training and evaluation
    together. `ending` says how an incomplete run last ended, or that it diverged ("diverged: …"). It is empty for a
    complete run. A run of a recipe that nobody knows counts as incomplete.
    """

    seed: int
    total: int
    correct: tuple[int, ...]
    train_seconds: tuple[float, ...]
    seconds: tuple[float, ...]
    smallest_variance: tuple[float | None, ...]
    correct_batch_statistics: tuple[int | None, ...]
    ending: str = ""

    @property
    def has_diverged(self) -> bool:
        """Whether the loss was no longer finite. Such a run has failed, even if it reached the target before."""
        return self.ending.startswith("diverged")


@dataclass(frozen=True)
class Group:
    """The runs of one network that may be pooled, by ascending seed.

    `machines` describes each machine that trained them. `is_current` says whether `recipe` is the network's current
    recipe. If `vary` names a kind of random numbers, it is the current recipe in which only this kind follows the seed.
    In both cases `budget` is the documented number of epochs. Nobody knows how many epochs another recipe asks for.
    There, `budget` is the number of epochs of the longest run.
    """

    model: str
    recipe: str
    device: str
    environment: str
    machines: tuple[str, ...]
    budget: int
    is_current: bool
    runs: tuple[Series, ...]
    vary: Vary = ""

    @property
    def machine(self) -> str:
        """All machines in words, or an empty string if none is recorded."""
        return " or ".join(self.machines)

    @property
    def complete(self) -> tuple[Series, ...]:
        """The runs that have all documented epochs."""
        return tuple(run for run in self.runs if len(run.correct) >= self.budget)


def groups(record: Record, architectures: Mapping[str, Architecture]) -> tuple[Group, ...]:
    """The groups of a record, sorted by network, recipe (the current one first), `vary`, device and environment.

    Networks are in the order of `architectures`. Rows of other networks are ignored.
    """
    rows = record.rows[record.rows["model"].isin(list(architectures))]
    named = rows.loc[rows["machine"] != "", [*GROUP_KEY, "machine"]].drop_duplicates().sort_values("machine")
    machines = {key: tuple(part) for key, part in named.groupby(list(GROUP_KEY))["machine"]}
    recipes = rows[["model", "recipe"]].drop_duplicates().itertuples(index=False, name=None)
    known = {key: one.recipe for key in recipes if (one := architectures[key[0]].with_digest(key[1]))}
    budgets = {key: one.epochs for key, one in known.items()}
    found: dict[_Key, list[Series]] = {}
    for key, series in _runs(rows, budgets):
        found.setdefault(key, []).append(series)
    names = list(architectures)
    everything = [
        Group(
            model=model,
            recipe=recipe,
            device=device,
            environment=environment,
            machines=machines.get((model, recipe, device, environment), ()),
            budget=budgets.get((model, recipe)) or max(len(run.correct) for run in runs),
            is_current=(model, recipe) in known and not known[model, recipe].vary,
            runs=tuple(runs),
            vary=known[model, recipe].vary if (model, recipe) in known else "",
        )
        for (model, recipe, device, environment), runs in found.items()
    ]

    def place(group: Group) -> tuple[object, ...]:
        device = (*DEVICES, LOGGED).index(group.device)
        kind = [*VARIED, ""].index(group.vary)
        return names.index(group.model), not group.is_current, kind, group.recipe, device, group.environment

    return tuple(sorted(everything, key=place))


def _runs(rows: pandas.DataFrame, budgets: Mapping[tuple[str, str], int]) -> Iterator[tuple[_Key, Series]]:
    """Every run with the key of its group, by ascending key and seed. It sorts all rows once, then takes slices.

    `budgets` has the number of epochs of a complete run, by network and recipe.
    """
    number = rows.groupby(list(RUN_KEY)).ngroup().to_numpy()
    finished = (rows["status"] == "ok").to_numpy()
    order = np.flatnonzero(finished)
    order = order[np.lexsort((rows["epoch"].to_numpy()[order], number[order]))]
    epochs = rows.iloc[order]
    correct, total = (epochs[name].to_numpy(dtype=np.int64).tolist() for name in ("correct", "total"))
    has_seconds = not epochs["train_seconds"].isna().any()
    train_seconds = epochs["train_seconds"].tolist() if has_seconds else []
    seconds = (epochs["train_seconds"] + epochs["eval_seconds"]).tolist() if has_seconds else []
    smallest_variance, correct_batch_statistics = (
        epochs[name].astype(object).where(epochs[name].notna(), None).tolist()
        for name in ("smallest_variance", "correct_batch_statistics")
    )
    endings = _endings(rows[~finished], number[~finished])
    keys = rows[list(RUN_KEY)].iloc[np.unique(number, return_index=True)[1]].itertuples(index=False, name=None)
    bounds = np.searchsorted(number[order], np.arange(number.max(initial=-1) + 2)).tolist()
    for run, (model, recipe, device, environment, seed) in enumerate(keys):
        part = slice(bounds[run], bounds[run + 1])
        is_short = part.stop - part.start < budgets.get((model, recipe), math.inf)
        yield (
            (model, recipe, device, environment),
            Series(
                seed=int(seed),
                total=max(total[part], default=0),
                correct=tuple(correct[part]),
                train_seconds=tuple(train_seconds[part]),
                seconds=tuple(seconds[part]),
                smallest_variance=tuple(smallest_variance[part]),
                correct_batch_statistics=tuple(correct_batch_statistics[part]),
                ending=endings.get(run, "") if is_short else "",
            ),
        )


def _endings(closing: pandas.DataFrame, number: NDArray[np.int64]) -> dict[int, str]:
    """How each run last ended, by the run's number. Rows of the same second are sorted by their content.

    A divergence is final: training again would diverge in the same epoch, so a later ending says nothing.
    """
    order = ["diverged", "recorded_at", "epoch", "status", "note"]
    marked = closing.assign(run=number, diverged=closing["status"] == "diverged")
    last_first = marked.sort_values(order, ascending=False)
    last = last_first.drop_duplicates("run")
    return {
        run: f"{status}: {note}" if note else status
        for run, status, note in zip(last["run"], last["status"], last["note"], strict=True)
    }
