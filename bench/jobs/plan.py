"""Plan what to train: networks x devices x seeds, less what is recorded. Pure functions, without torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

import pandas

from bench.errors import UnusableInput
from bench.network.specification import TEST_IMAGES, TRAINING_IMAGES, VARIED, Architecture, Arithmetic, Vary
from bench.network.structure_facts import Structure
from bench.record.environments import EXACT
from bench.record.rows import RUN_KEY, Run
from bench.wording import count, listed

# A first estimate for a machine without a record, in multiply-accumulates of training a second. The CPU's value was
# measured on one core of a 2.6 GHz server processor with AVX-512. In native arithmetic, a GPU mostly waits for kernel
# launches: its value stands for a rate of steps. The value of runs that a GPU trains side by side is that of all of
# them together. It is a quarter of the peak of an H100, and not measured.
MULTIPLY_ACCUMULATES_PER_SECOND = {"cpu": 3.0e10, "cuda": 1.0e11, "mps": 3.0e10, "cuda side by side": 8.0e12}

_NEWEST = 40
"""So many of the newest epochs give the estimate of an epoch: about those of two runs."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A run, how many of its epochs are recorded, and the estimated seconds for the others on one core or GPU.

    A run that has diverged is over: training it again would diverge in the same epoch.
    """

    run: Run
    recorded: int
    seconds: float
    has_diverged: bool = False

    @property
    def left(self) -> int:
        """How many epochs are not recorded."""
        return self.run.epochs - self.recorded

    @property
    def is_done(self) -> bool:
        """Whether all epochs of the run are recorded, or all until it diverged."""
        return self.has_diverged or self.left <= 0


Choice = Literal["auto", "exact", "native"]
"""The arithmetic that a user chooses."""

Slots = Mapping[str, Mapping[str, int]]
"""How many runs a cluster trains at the same time, by device and by environment."""


def arithmetic_of(architecture: Architecture, device: str, choice: Choice) -> Arithmetic:
    """Return how a network is trained on a device. "auto" is exact wherever that is possible.

    Raises:
        UnusableInput: `choice` is "exact", and the exact arithmetic is not there for the device or for the network.
    """
    on_cpu, on_gpu = architecture.uncovered, (*architecture.uncovered, *architecture.uncovered_on_gpu)
    reasons = {"cpu": on_cpu, "cuda": on_gpu}.get(device, (f"the device {device}",))
    if choice == "exact" and reasons:
        missing = ", ".join(reasons)
        problem = f"--arithmetic exact: {architecture.name} cannot be trained so, because of {missing}"
        raise UnusableInput(f"{problem}: use --arithmetic auto or native")
    return "native" if choice == "native" or reasons else "exact"


def expand(
    architectures: Sequence[Architecture],
    environments: Mapping[str, str],
    seeds: Sequence[int],
    epochs: int | None,
    choice: Choice = "auto",
) -> list[Run]:
    """Return every run of a selection. `environments` maps a device to the digest of its native environment.

    If `epochs` is None, each recipe gives the number.

    Raises:
        UnusableInput: as `arithmetic_of`.
    """
    return [
        Run(
            one.name,
            one.digest,
            device,
            EXACT.digest if arithmetic_of(one, device, choice) == "exact" else environment,
            seed,
            epochs or one.recipe.epochs,
        )
        for one in architectures
        for device, environment in environments.items()
        for seed in seeds
    ]


def spread(runs: Sequence[Run], cluster: Slots, rows: pandas.DataFrame) -> list[Run]:
    """Place each native run in one of the environments that a cluster has for its device. Exact runs can go anywhere.

    A run stays in the environment where most of it is recorded, or where it diverged. The others are divided in their
    order, in proportion to the slots of each environment. This keeps most networks in one environment, because the
    report never pools two. `rows` are those of the record.
    """
    counts = _last_epochs(rows[rows["status"].isin(("ok", "diverged"))])
    placed: dict[Run, str] = {}
    for device, available in cluster.items():
        there = sorted(available.keys() - {EXACT.digest}, key=lambda digest: (-available[digest], digest))
        fresh = []
        for run in (run for run in runs if run.device == device and run.environment != EXACT.digest):
            recorded = {digest: counts.get(replace(run, environment=digest).key, 0) for digest in there}
            if any(recorded.values()):
                placed[run] = max(there, key=lambda digest: recorded[digest])
            else:
                fresh.append(run)
        turns = [digest for digest in there for _ in range(available[digest])]
        for place, run in enumerate(fresh):
            placed[run] = turns[place * len(turns) // len(fresh)]
    return [replace(run, environment=placed.get(run, EXACT.digest)) for run in runs]


def place_together(runs: Sequence[Run], cluster: Slots, recorded_epochs: pandas.DataFrame) -> list[Run]:
    """Place all native runs of a network on a device in one environment of a cluster. Exact runs can go anywhere.

    That is the environment in which most of the network is recorded, or else the one with the most slots.
    """
    counts = recorded_epochs.groupby(["model", "recipe", "device", "environment"], sort=False).size().to_dict()

    def place(run: Run) -> Run:
        if run.environment == EXACT.digest:
            return run
        available = cluster[run.device]
        there = sorted(available.keys() - {EXACT.digest}, key=lambda digest: (-available[digest], digest))
        recorded = {digest: counts.get((run.model, run.recipe, run.device, digest), 0) for digest in there}
        return replace(run, environment=max(there, key=lambda digest: recorded[digest]))

    return [place(run) for run in runs]


def make(runs: Sequence[Run], rows: pandas.DataFrame, work: Mapping[str, int]) -> list[Planned]:
    """Return the plan in the order of `runs`, given the rows of the record. `work` is as for `epoch_seconds`."""
    finished = rows[rows["status"] == "ok"]
    counts = _last_epochs(finished)
    diverged = _last_epochs(rows[rows["status"] == "diverged"])
    seconds = epoch_seconds(runs, finished, work)
    plan = []
    for run in runs:
        recorded = min(counts.get(run.key, 0), run.epochs)
        has_diverged = recorded < run.epochs and diverged.get(run.key) == recorded + 1
        plan.append(
            Planned(run, recorded, 0.0 if has_diverged else seconds[run] * (run.epochs - recorded), has_diverged)
        )
    return plan


def _last_epochs(rows: pandas.DataFrame) -> dict[tuple[object, ...], int]:
    """Return the last epoch of each run that has one of these rows, by the run's key."""
    found: dict[tuple[object, ...], int] = rows.groupby(list(RUN_KEY), sort=False)["epoch"].max().to_dict()
    return found


def epoch_seconds(runs: Iterable[Run], recorded_epochs: pandas.DataFrame, work: Mapping[str, int]) -> dict[Run, float]:
    """Estimate the seconds of one epoch of each run.

    The estimate is the median of the newest epochs recorded for the same network, device and environment: older ones
    can be of another machine, or of one that was busy. If there are none, it is computed from `work`, the
    multiply-accumulates of an epoch of each network, and from the times of the others on this device.
    """

    def kind(device: str, environment: str) -> str:
        return "cuda side by side" if (device, environment) == ("cuda", EXACT.digest) else device

    alike = ["model", "device", "environment"]
    newest = recorded_epochs.sort_values("recorded_at", kind="stable").groupby(alike, sort=False).tail(_NEWEST)
    timed = newest.assign(seconds=newest["train_seconds"] + newest["eval_seconds"])
    medians: dict[tuple[str, str, str], float] = timed.groupby(alike, sort=False)["seconds"].median().to_dict()
    relative: dict[str, list[float]] = {}
    for (model, device, environment), seconds in medians.items():
        if model in work:
            speed = MULTIPLY_ACCUMULATES_PER_SECOND[kind(device, environment)]
            relative.setdefault(kind(device, environment), []).append(seconds * speed / work[model])

    def estimated(run: Run) -> float:
        here = kind(run.device, run.environment)
        return median(relative.get(here, [1.0])) * work[run.model] / MULTIPLY_ACCUMULATES_PER_SECOND[here]

    return {run: float(medians.get((run.model, run.device, run.environment), estimated(run))) for run in runs}


def epoch_work(structures: Mapping[str, Structure]) -> dict[str, int]:
    """Return the multiply-accumulates of one epoch of each network. Training an image costs three forward passes."""
    return {name: one.multiply_accumulates * (3 * TRAINING_IMAGES + TEST_IMAGES) for name, one in structures.items()}


def longest_first(plan: Iterable[Planned]) -> list[Planned]:
    """Return what is left to train, the longest first. So no long run begins last while the other cores are idle."""
    return sorted((one for one in plan if not one.is_done), key=lambda one: -one.seconds)


def wall_seconds(plan: Iterable[Planned], jobs: int, cluster: Slots | None = None) -> float:
    """Estimate the seconds of the whole plan. All devices train at the same time.

    The CPU trains `jobs` runs at a time, every other device one. Where a GPU trains runs side by side, the seconds of
    each are its share of the GPU. On a cluster, each environment trains as many runs at a time as it has slots. An
    exact run takes a slot of any native environment.
    """
    busy: dict[tuple[str, str], list[float]] = {}
    for one in longest_first(plan):
        run = one.run
        if cluster is None:
            places = {"here": jobs if run.device == "cpu" else 1}
        else:
            native = {place: number for place, number in cluster[run.device].items() if place != EXACT.digest}
            places = native if run.environment == EXACT.digest else {run.environment: native[run.environment]}
        found = (busy.setdefault((run.device, place), [0.0] * number) for place, number in places.items())
        slots = min(found, key=min)
        slots[slots.index(min(slots))] += one.seconds
    return max((max(slots) for slots in busy.values()), default=0.0)


def format_plan(plan: Sequence[Planned], jobs: int, cluster: Slots | None = None) -> list[str]:
    """Format the plan for a reader: a line for each run, then the total."""
    table = _table(plan)
    missing = longest_first(plan)
    epochs = sum(one.left for one in missing)
    if not missing:
        return [*table, "", "Nothing is left to train."]
    seconds = wall_seconds(plan, jobs, cluster)
    total = f"{len(missing)} of {count(len(plan), 'run')} to train, {count(epochs, 'epoch')}: about {duration(seconds)}"
    where = f"with {count(jobs, 'run')} at a time on the CPU" if cluster is None else "on the present workers"
    return [*table, "", f"{total} {where}."]


def amount(runs: Sequence[Planned]) -> str:
    """Return what is left to train of these runs, as in "2 runs, 40 epochs"."""
    return f"{count(len(runs), 'run')}, {count(sum(one.left for one in runs), 'epoch')}"


def format_vary(vary: Vary) -> list[str]:
    """Format a line that says what the seed changes, unless it changes everything."""
    if not vary:
        return []
    fixed = listed([words for kind, words in VARIED.items() if kind != vary])
    said = f"With --vary {vary}, the seed changes only {VARIED[vary]}; {fixed} are those of seed 1."
    return [f"{said} Such runs have a recipe of their own and count for no claim."]


def _table(plan: Sequence[Planned]) -> list[str]:
    """Format a line for each run. A plan can have millions of them, for which tabulate takes minutes."""
    headers = ("network", "device", "environment", "seed", "epochs recorded", "time left")
    widths = [len(header) + 2 for header in headers]
    for one in plan:
        widths = [max(width, len(cell)) for width, cell in zip(widths, _cells(one), strict=True)]
    form = "  ".join(
        f"{{:{'>' if header == 'seed' else '<'}{width}}}" for header, width in zip(headers, widths, strict=True)
    )
    lines = (headers, ["-" * width for width in widths], *map(_cells, plan))
    return [form.format(*cells).rstrip() for cells in lines]


def _cells(one: Planned) -> tuple[str, ...]:
    left = "diverged" if one.has_diverged else "-" if one.is_done else duration(one.seconds)
    run = one.run
    return run.model, run.device, run.environment, str(run.seed), f"{one.recorded} of {run.epochs}", left


def duration(seconds: float) -> str:
    """Format seconds with suitable units: `45 s`, `12 min`, `2 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
