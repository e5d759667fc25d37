"""The page of data: comparisons of networks, missed images, speed, environments, and what was left out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from bench.evidence.summary import MANY_NETWORKS, OtherRecipe, Paired, Summary
from bench.network.specification import TRAINING_IMAGES
from bench.record.ledger import Problem
from bench.report.markdown import (
    DATA,
    LAST,
    NOTHING,
    SECONDS,
    TIME,
    code,
    image,
    linked_name,
    number,
    span,
    table,
    text,
)
from bench.report.pages import components, images, paired, variance
from bench.report.pages.doubt import LEFT_OUT
from bench.report.pages.head import (
    OTHER_RECIPES,
    SIDE_BY_SIDE,
    machines_of,
    navigation,
    nothing_recorded,
    restricted_mean,
)
from bench.wording import count

_PROBLEMS_SHOWN = 20


def lines(summary: Summary, alts: Mapping[str, str]) -> list[str]:
    """All lines of the page."""
    return [
        "# Data",
        "",
        *navigation(summary.networks, DATA),
        f"## {SIDE_BY_SIDE}",
        "",
        *image(alts, TIME),
        *image(alts, LAST),
        *_side_by_side(summary),
        *_between_networks(summary),
        *variance.lines(summary),
        *components.lines(summary.sources, alts),
        *images.lines(summary.images, alts),
        "## Speed",
        "",
        *_speed(summary),
        *image(alts, SECONDS),
        "## Environments",
        "",
        *_environments(summary),
        *_other_recipes(summary),
        *_left_out(summary),
    ]


def _side_by_side(summary: Summary) -> list[str]:
    header = ["network", "on", "complete runs", "last: mean", "last: standard deviation", "best: mean"]
    header += [
        "seeds that reach the target",
        "first at the target: restricted mean ± standard error",
        "conditional variance (k)",
    ]
    rows = []
    for group in summary.current:
        rows.append(
            [
                linked_name(group.group.model),
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
        return [nothing_recorded(summary), ""]
    return [
        *table(header, rows, "llr"),
        "Standard deviations and variances are over seeds. All seeds of a row have the same recipe and environment."
        + _with_collapses(summary),
        "",
    ]


def _with_collapses(summary: Summary) -> str:
    fallen = variance.number_that_collapse(summary)
    return f" They include {variance.runs_that_collapse(fallen)}." if fallen else ""


def _between_networks(summary: Summary) -> list[str]:
    if summary.has_many_networks:
        return [f"More than {MANY_NETWORKS} networks have runs. This report does not compare or draw so many.", ""]
    if not summary.between_networks:
        if len(summary.networks) == 1:
            return []
        return ["No two networks have finished runs of the same seed in one environment yet.", ""]
    found = []
    for label, tests in _by_label(summary.between_networks):
        collapses = variance.tests_with_collapses(one for one in summary.current if one.label == label)
        said = f"Paired tests compare every two networks on {text(label)}, seed by seed.{collapses}"
        found += [f"{said} {paired.power(tests)}", ""]
        found += paired.as_table(tests, ["first network", "second network"])
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
    is_documented = any(architecture.document for architecture in documents.values())
    header += ["documented batches/s"] if is_documented else []
    rows = []
    for group, timing in [(one.group, timing) for one in summary.current for timing in one.group.timings]:
        architecture = documents[group.model]
        batch = architecture.recipe.batch_size
        batches = math.ceil(TRAINING_IMAGES / batch) if batch else None
        train = timing.median_train_seconds or None  # no rate if the clock is too coarse to measure an epoch
        rows.append(
            [
                linked_name(group.model),
                text(timing.device),
                code(group.environment),
                f"{len(timing.seconds):,}",
                number(timing.median_train_seconds, 2),
                number(timing.median_seconds, 2),
                number(TRAINING_IMAGES / train if train else None),
                number(batches / train if batches and train else None, 1),
            ]
        )
        speed = str(architecture.document.batches_per_second) if architecture.document else NOTHING
        rows[-1] += [speed] if is_documented else []
    if not rows:
        return [nothing_recorded(summary), ""]
    note = (
        "The seconds are medians over all epochs of the current recipes. They include waiting for other programs, so "
        "they do not compare networks. A run on the CPU has one thread. To measure the training speed of your machine, "
        "run `python -m bench speed`."
    )
    context = (
        " The documented speed comes from a progress bar on a cloud GPU of unknown model and is for context only."
        if is_documented
        else ""
    )
    return [*table(header, rows, "lllr"), note + context, ""]


def _environments(summary: Summary) -> list[str]:
    rows = [
        [
            code(place.environment),
            text(place.device),
            machines_of(place),
            str(place.runs),
            code(f"environments/{place.environment}.json"),
        ]
        for place in summary.places
    ]
    if not rows:
        return ["No run is recorded yet.", ""]
    note = (
        "Runs of different environments are never pooled, except to count missed test images. The file in the last "
        "column describes the environment in full."
    )
    return [*table(["environment", "device", "machine", "runs", "details"], rows, "lllrl"), note, ""]


def _other_recipes(summary: Summary) -> list[str]:
    if not summary.other_recipes:
        return []
    header = ["network", "recipe", "device", "environment", "seeds", "epochs of a seed", "highest accuracy"]
    header += ["accuracy of the last recorded epoch", "diverged"]
    note = (
        "These runs have another recipe than the network has now, because its code or a value of its recipe has "
        "changed. Nobody knows their target and their number of epochs, so the table has only what is recorded, from "
        "the lowest to the highest seed. They count in this table and in the table of environments, and nowhere else."
    )
    on_vary = (
        "In the runs of `--vary`, the seed changes only one kind of random numbers. Apart from that, the network and "
        "its recipe are those of now. They also count where the variance is split by these kinds."
    )
    kinds = {bool(one.vary) for one in summary.other_recipes}
    notes = [*([note, ""] if False in kinds else []), *([on_vary, ""] if True in kinds else [])]
    return [f"## {OTHER_RECIPES}", "", *table(header, map(_other, summary.other_recipes), "llllr"), *notes]


def _other(runs: OtherRecipe) -> list[str]:
    recipe = code(runs.recipe) + (f" `--vary {runs.vary}`" if runs.vary else "")
    cells = [linked_name(runs.model), recipe, text(runs.device), code(runs.environment)]
    spans = map(span, (runs.epochs, runs.best, runs.last))
    return [*cells, f"{len(runs.seeds):,}", *spans, str(runs.diverged)]


def _left_out(summary: Summary) -> list[str]:
    found = [f"## {LEFT_OUT}", ""]
    if summary.problems:
        found += _problems("the record", summary.problems)
    else:
        found += ["Nothing. Every line of the record was read and used.", ""]
    for name, problems in (
        ("the misses beside the record", summary.problems_of_misses),
        ("the verifications beside the record", summary.problems_of_verifications),
    ):
        found += _problems(name, problems) if problems else []
    return found


def _problems(name: str, problems: Sequence[Problem]) -> list[str]:
    rows = [
        [str(problem.line), text(problem.reason), "left out" if problem.left_out else "read"]
        for problem in problems[:_PROBLEMS_SHOWN]
    ]
    more = len(problems) - len(rows)
    return [
        f"{count(len(problems), 'problem')} in {name}:",
        "",
        *table(["line", "what is wrong", "the line was"], rows, "rll"),
        *([f"… and {more:,} more.", ""] if more else []),
    ]
