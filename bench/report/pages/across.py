"""Across networks: which is better, where the variance comes from, speed, environments."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from bench.evidence.summary import MANY_NETWORKS, GroupSummary, Paired, Summary
from bench.network.specification import TRAINING_IMAGES
from bench.report.pages import images, paired, variance
from bench.report.pages.head import restricted_mean
from bench.report.pages.markdown import LAST, NOTHING, SECONDS, TIME, code, image, number, span, table, text


def lines(summary: Summary, alts: Mapping[str, str]) -> list[str]:
    """Comparisons of everything recorded."""
    return [
        "## Across networks",
        "",
        *image(alts, TIME),
        *image(alts, LAST),
        "### Which network is better?",
        "",
        *_side_by_side(summary),
        *_between_networks(summary),
        "### Where does the variance come from?",
        "",
        *variance.lines(summary),
        *images.lines(summary.images, alts),
        "## Speed",
        "",
        *_speed(summary),
        *image(alts, SECONDS),
        "## Environments",
        "",
        *_environments(summary),
        *_other_recipes(summary),
    ]


def _side_by_side(summary: Summary) -> list[str]:
    header = ["network", "on", "complete runs", "last: mean", "standard deviation", "best: mean"]
    header += [
        "seeds that reach the target",
        "first at the target: restricted mean ± standard error",
        "conditional variance (k)",
    ]
    rows = []
    for group in summary.current:
        rows.append(
            [
                code(group.group.model),
                text(group.label),
                f"{len(group.last)} of {len(group.seeds)}",
                number(fmean(group.last), 1) if group.last else NOTHING,
                number(stdev(group.last), 1) if len(group.last) > 1 else NOTHING,
                number(fmean(group.best), 1) if group.best else NOTHING,
                f"{group.first.hits} of {group.first.runs}",
                restricted_mean(group.first, 1),
                f"{number(group.first.conditional_variance, 1)} ({group.first.hits})",
            ]
        )
    if not rows:
        return ["No run is recorded yet.", ""]
    return [
        *table(header, rows, "llr"),
        "Standard deviations and variances here are between seeds: recipe and environment are the same in all of them.",
        "",
    ]


def _between_networks(summary: Summary) -> list[str]:
    if summary.has_many_networks:
        return [f"More than {MANY_NETWORKS} networks: too many to test every two of them, or to draw them.", ""]
    if not summary.between_networks:
        return ["No two networks have a complete run of the same seed yet.", ""]
    found = []
    for label, tests in _by_label(summary.between_networks):
        found += [f"The same seeds of two networks on {text(label)}, paired: {paired.power(tests)}", ""]
        found += paired.as_table(tests, ["network", "another"])
    return found


def _by_label(tests: Sequence[Paired]) -> list[tuple[str, list[Paired]]]:
    return [(label, list(part)) for label, part in itertools.groupby(tests, key=lambda test: test.label)]


def _speed(summary: Summary) -> list[str]:
    documents = {network.name: network.architecture for network in summary.networks}
    header = [
        "network",
        "on",
        "environment",
        "epochs timed",
        "training, s/epoch",
        "with evaluation, s/epoch",
        "images/s",
        "batches/s",
    ]
    header += ["documented batches/s"]
    rows = []
    for group in summary.current:
        architecture = documents[group.group.model]
        batch = architecture.recipe.batch_size
        batches = math.ceil(TRAINING_IMAGES / batch) if batch else None
        train = group.train_seconds or None  # a clock too coarse to see an epoch gives no rate
        rows.append(
            [
                code(group.group.model),
                text(group.group.device),
                code(group.group.environment),
                f"{sum(len(run.train_seconds) for run in group.group.runs):,}",
                number(group.train_seconds, 2),
                number(group.seconds, 2),
                number(TRAINING_IMAGES / train if train else None),
                number(batches / train if batches and train else None, 1),
                str(architecture.document.batches_per_second) if architecture.document else NOTHING,
            ]
        )
    if not rows:
        return ["No run is recorded yet.", ""]
    note = (
        "Medians over all recorded epochs. A run on the CPU has one thread, and others run beside it; some of its "
        "convolutions, and what stands between them, are the harness's own code, which its tests compare with "
        "PyTorch's. The documented speed is that of a progress bar on a cloud GPU of unknown model, for context only. "
        "`python -m bench speed` measures speed as such."
    )
    return [*table(header, rows, "lllr"), note, ""]


def _environments(summary: Summary) -> list[str]:
    groups = [*summary.current, *summary.other_recipes]
    places = sorted({(group.colour, group.group.device, group.group.environment) for group in groups})
    rows = []
    for _, device, environment in places:
        here = [group for group in groups if (group.group.device, group.group.environment) == (device, environment)]
        machines = sorted({group.group.machine for group in here} - {""})
        runs = sum(len(group.group.runs) for group in here)
        cells = [code(environment), text(device), text(" or ".join(machines)) or "not recorded", str(runs)]
        rows.append([*cells, code(f"environments/{environment}.json")])
    if not rows:
        return ["No run is recorded yet.", ""]
    note = (
        "Runs of different environments are never pooled, but for counting which test images are missed. The file has "
        "every detail that the digits stand for."
    )
    return [*table(["environment", "device", "machine", "runs", "details"], rows, "lllrl"), note, ""]


def _other_recipes(summary: Summary) -> list[str]:
    if not summary.other_recipes:
        return []
    rows = [_other(group) for group in summary.other_recipes]
    header = ["network", "recipe", "on", "seeds", "epochs done", "reached the target", "last"]
    note = (
        "These runs are of another recipe than the network has now: its code, its learning rate, batch or number of "
        "epochs has changed since. They stand here and nowhere else in this report."
    )
    return ["### Runs of another recipe", "", *table(header, rows, "lllr"), note, ""]


def _other(group: GroupSummary) -> list[str]:
    cells = [code(group.group.model), code(group.group.recipe), text(group.label), str(len(group.seeds))]
    return [*cells, str(group.done), f"{group.first.hits} of {group.first.runs}", span(group.last)]
