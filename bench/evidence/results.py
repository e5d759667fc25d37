"""Turn a record into groups of runs. A group has one network, recipe, device and environment. Pure.

A run in exact arithmetic has the same bits on every device. So a group of exact runs can have several devices, and a
seed that was trained on several of them is one run. A seed whose results contradict each other counts up to the epoch
before the contradiction, as a run that is not finished.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np
import pandas
from numpy.typing import NDArray

from bench.network.specification import DEVICES, LOGGED, VARIED, Architecture, Vary
from bench.record.consistency import BITS_KEY, with_device_of_bits
from bench.record.environments import device_of_bits
from bench.record.record import Record
from bench.wording import listed

GROUP_KEY = BITS_KEY[:-1]
"""Runs may be pooled only if they agree in these columns."""

_Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Series:
    """One run from its first epoch on. Every tuple but `devices` has one value for each epoch.

    `correct` has the numbers of correctly classified test images, of `total`. `ending` says how an incomplete run last
    ended, or that it diverged ("diverged: …"), or that it is contradicted ("contradicted: …"). It is empty for a
    complete run. A run of a recipe that nobody knows counts as incomplete. `devices` are those that finished an epoch
    of it, or on which it diverged.
    """

    seed: int
    total: int
    correct: tuple[int, ...]
    smallest_variance: tuple[float | None, ...]
    correct_batch_statistics: tuple[int | None, ...]
    ending: str = ""
    devices: tuple[str, ...] = ()

    @property
    def has_diverged(self) -> bool:
        """Whether the loss was no longer finite. Such a run has failed, even if it reached the target before."""
        return self.ending.startswith("diverged")

    @property
    def is_contradicted(self) -> bool:
        """Whether the record has different results of its next epoch."""
        return self.ending.startswith("contradicted")


@dataclass(frozen=True)
class Timing:
    """The seconds of every epoch of a group on one device, ascending: of training, and with evaluation."""

    device: str
    train_seconds: tuple[float, ...]
    seconds: tuple[float, ...]

    @property
    def median_train_seconds(self) -> float:
        """The median over all epochs."""
        return median(self.train_seconds)

    @property
    def median_seconds(self) -> float:
        """The median over all epochs."""
        return median(self.seconds)


@dataclass(frozen=True)
class Group:
    """The runs of one network that may be pooled, by ascending seed.

    Only exact runs can have several `devices`: those of the runs, or all that tried if no run has any. `machines`
    describes each machine that trained them. `is_current` says whether `recipe` is the network's current recipe. If
    `vary` names a kind of random numbers, it is the current recipe in which only this kind follows the seed. In both
    cases `budget` is the documented number of epochs. Nobody knows how many epochs another recipe asks for. There,
    `budget` is the number of epochs of the longest run.
    """

    model: str
    recipe: str
    devices: tuple[str, ...]
    environment: str
    machines: tuple[str, ...]
    budget: int
    is_current: bool
    runs: tuple[Series, ...]
    vary: Vary = ""
    timings: tuple[Timing, ...] = ()

    @property
    def device(self) -> str:
        """All devices in words."""
        return listed(self.devices)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The values of `GROUP_KEY`."""
        return self.model, self.recipe, device_of_bits(self.devices[0], self.environment), self.environment

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
    rows = with_device_of_bits(record.rows[record.rows["model"].isin(list(architectures))])
    named = rows.loc[rows["machine"] != "", [*GROUP_KEY, "machine"]].drop_duplicates().sort_values("machine")
    machines = {key: tuple(part) for key, part in named.groupby(list(GROUP_KEY))["machine"]}
    recipes = rows[["model", "recipe"]].drop_duplicates().itertuples(index=False, name=None)
    known = {key: one.recipe for key in recipes if (one := architectures[key[0]].with_digest(key[1]))}
    budgets = {key: one.epochs for key, one in known.items()}
    trained = {
        key: tuple(_in_order(part.unique()))
        for some in (rows, rows[_has_trained(rows)])
        for key, part in some.groupby(list(GROUP_KEY))["device"]
    }
    timings = _timings(rows)
    found: dict[_Key, list[Series]] = {}
    for key, series in _runs(rows, budgets, record.contradicted):
        found.setdefault(key, []).append(series)
    names = list(architectures)
    everything = [
        Group(
            model=model,
            recipe=recipe,
            devices=trained[key],
            environment=environment,
            machines=machines.get(key, ()),
            budget=budgets.get((model, recipe)) or max(len(run.correct) for run in runs),
            is_current=(model, recipe) in known and not known[model, recipe].vary,
            runs=tuple(runs),
            vary=known[model, recipe].vary if (model, recipe) in known else "",
            timings=tuple(Timing(one, *timings[*key, one]) for one in trained[key] if (*key, one) in timings),
        )
        for key, runs in found.items()
        for model, recipe, _, environment in [key]
    ]

    def place(group: Group) -> tuple[object, ...]:
        device = (*DEVICES, LOGGED).index(group.devices[0])
        kind = [*VARIED, ""].index(group.vary)
        return names.index(group.model), not group.is_current, kind, group.recipe, device, group.environment

    return tuple(sorted(everything, key=place))


def _has_trained(rows: pandas.DataFrame) -> pandas.Series:
    """Whether each row says something of the bits of its run. An interruption or an error on a device does not."""
    return rows["status"].isin(("ok", "diverged"))


def _in_order(devices: Iterable[str]) -> list[str]:
    return sorted(devices, key=(*DEVICES, LOGGED).index)


def _timings(rows: pandas.DataFrame) -> dict[tuple[str, ...], tuple[tuple[float, ...], tuple[float, ...]]]:
    """The seconds of training, and of training and evaluation, of all epochs, by group and device. A log has none."""
    timed = rows[rows["train_seconds"].notna()].assign(seconds=rows["train_seconds"] + rows["eval_seconds"])
    return {
        key: (tuple(sorted(part["train_seconds"].tolist())), tuple(sorted(part["seconds"].tolist())))
        for key, part in timed.groupby([*GROUP_KEY, "device"])
    }


def _runs(
    rows: pandas.DataFrame,
    budgets: Mapping[tuple[str, str], int],
    contradicted: Mapping[tuple[str, str, str, str, int], int],
) -> Iterator[tuple[_Key, Series]]:
    """Every run with the key of its group, by ascending key and seed. It sorts all rows once, then takes slices.

    `budgets` has the number of epochs of a complete run, by network and recipe. `contradicted` has the first epoch of a
    run that does not count.
    """
    number = rows.groupby(list(BITS_KEY)).ngroup().to_numpy()
    keys = rows[list(BITS_KEY)].iloc[np.unique(number, return_index=True)[1]]
    ends = np.array([contradicted.get(key, np.inf) for key in keys.itertuples(index=False, name=None)])
    has_trained = _has_trained(rows).to_numpy()
    devices = rows[has_trained].groupby(number[has_trained])["device"].unique().to_dict()
    finished = (rows["status"] == "ok").to_numpy()
    epoch = rows["epoch"].to_numpy()
    order = np.flatnonzero(finished & (epoch < ends[number]))
    order = order[np.lexsort((epoch[order], number[order]))]
    is_again = (np.diff(number[order], prepend=-1) == 0) & (np.diff(epoch[order], prepend=-1) == 0)  # on another device
    order = order[~is_again]
    epochs = rows.iloc[order]
    correct, total = (epochs[name].to_numpy(dtype=np.int64).tolist() for name in ("correct", "total"))
    smallest_variance, correct_batch_statistics = (
        epochs[name].astype(object).where(epochs[name].notna(), None).tolist()
        for name in ("smallest_variance", "correct_batch_statistics")
    )
    endings = _endings(rows[~finished], number[~finished])
    bounds = np.searchsorted(number[order], np.arange(number.max(initial=-1) + 2)).tolist()
    for run, (model, recipe, device, environment, seed) in enumerate(keys.itertuples(index=False, name=None)):
        part = slice(bounds[run], bounds[run + 1])
        is_short = part.stop - part.start < budgets.get((model, recipe), math.inf)
        ending = endings.get(run, "")
        if math.isfinite(ends[run]):
            ending = f"contradicted: the record has two different results of its epoch {ends[run]:.0f}"
        yield (
            (model, recipe, device, environment),
            Series(
                seed=int(seed),
                total=max(total[part], default=0),
                correct=tuple(correct[part]),
                smallest_variance=tuple(smallest_variance[part]),
                correct_batch_statistics=tuple(correct_batch_statistics[part]),
                ending=ending if is_short else "",
                devices=tuple(_in_order(devices.get(run, ()))),
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
