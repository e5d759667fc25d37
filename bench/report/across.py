"""Across networks: which is better, where the variance comes from, speed, environments."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from bench.report import images
from bench.report.head import restricted_mean
from bench.report.markdown import NOTHING, code, count, image, number, probability, signed, span, table, text
from bench.report.names import LAST, SECONDS, TIME
from bench.summary import GroupSummary, Paired, Repeats, Summary

LEVEL = 0.05

TRAINING_IMAGES = 60_000


def lines(summary: Summary, alts: Mapping[str, str]) -> list[str]:
    """Comparisons of everything recorded."""
    return [
        "## Across networks",
        "",
        *image(alts[TIME], TIME),
        *image(alts[LAST], LAST),
        "### Which network is better?",
        "",
        *_side_by_side(summary),
        *_between_networks(summary),
        "### Where does the variance come from?",
        "",
        *_between_devices(summary),
        *images.lines(summary.images, alts),
        "## Speed",
        "",
        *_speed(summary),
        *image(alts[SECONDS], SECONDS),
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
        "Standard deviations and variances here are between seeds: the rest is the same.",
        "",
    ]


def _between_networks(summary: Summary) -> list[str]:
    if not summary.between_networks:
        return ["No two networks have a complete run of the same seed yet.", ""]
    found = []
    for label, tests in _by_label(summary.between_networks):
        found += [f"The same seeds of two networks on {text(label)}, paired: {_power(tests)}", ""]
        found += _paired_table(tests, ["network", "another"])
    return found


def _between_devices(summary: Summary) -> list[str]:
    found = [
        f"**Repeat**: the same seed in the same environment must give the same bits. {_repeated(summary.repeats)}",
        "",
        "**Seed**: the standard deviations and variances of the table above.",
        "",
    ]
    if not summary.between_devices:
        reason = "there is one device" if len(summary.labels) == 1 else "no seed is complete on two devices"
        return [
            *found,
            f"**Device**: {reason}, so that nothing can be said. The same seeds on another one would show it.",
            "",
        ]
    found += [
        (
            "**Device**: the same seeds on two devices, paired. Weights, order of the images and dropout are the same "
            "there."
        ),
        "",
    ]
    tests = summary.between_devices
    return [*found, _power(tests), "", *_paired_table(tests, ["on", "another"])]


def _repeated(repeats: Repeats) -> str:
    """What came of training recorded runs again."""
    if not repeats.here + repeats.elsewhere:
        return (
            "No verification is recorded: `python -m bench verify` trains recorded runs again, compares every bit and "
            "keeps what came of it for this report."
        )
    said = []
    if repeats.here:
        outcome = f"{repeats.identical_here} of {count(repeats.here, 'verified run')}"
        said.append(
            f"Of {count(repeats.recorded, 'recorded run')} {repeats.here} were trained again in their own environment, "
            f"over {count(repeats.epochs, 'epoch')} in all: {outcome} identical, bit for bit."
        )
        if repeats.differing:
            named = text("; ".join(repeats.differing[:5]))
            more = f" and {len(repeats.differing) - 5} more" if len(repeats.differing) > 5 else ""
            said.append(f"**Not identical: {named}{more}; the repeat variance is not 0.**")
        else:
            said.append("The repeat variance of these is 0.")
    else:
        said.append(f"Of {count(repeats.recorded, 'recorded run')} none was trained again in its own environment.")
    if repeats.elsewhere:
        said.append(
            f"{repeats.identical_elsewhere} of {count(repeats.elsewhere, 'run')} trained again in another environment "
            "came out identical, which is not to be expected."
        )
    return " ".join(said)


def _paired_table(tests: Sequence[Paired], names: Sequence[str]) -> list[str]:
    measures = {"last": "last accuracy, images", "first": "first at the target, epochs"}
    header = [
        *names,
        "measure",
        "seeds",
        "mean difference",
        "standard deviation",
        "p",
        "smallest p possible",
        "p after Holm",
    ]
    rows = [
        [
            text(test.first) if test.model else code(test.first),
            text(test.second) if test.model else code(test.second),
            measures[test.measure],
            str(len(test.seeds)),
            signed(test.test.difference),
            number(test.deviation, 1),
            probability(test.test.p_value),
            probability(test.test.smallest_p),
            f"**{probability(test.adjusted)}**" if test.adjusted <= LEVEL else probability(test.adjusted),
        ]
        for test in tests
    ]
    if any(test.model for test in tests):
        header.insert(0, "network")
        rows = [[code(test.model), *row] for test, row in zip(tests, rows, strict=True)]
    shown = table(header, rows, "l" * (len(header) - 6) + "r")
    return ["<details>", f"<summary>{count(len(tests), 'paired test')}</summary>", "", *shown, "</details>", ""]


def _power(tests: Sequence[Paired]) -> str:
    """What the tests could have shown at all."""
    family = f"{count(len(tests), 'test')}, corrected together"
    enough = next(n for n in itertools.count(1) if len(tests) * 2 / 2**n <= LEVEL)
    if all(test.smallest > LEVEL for test in tests):
        return (
            "**nothing can be significant at 5 %, whatever the truth:** with these seeds the least "
            f"that a p-value could become after Holm's correction ({family}) is "
            f"{probability(min(test.smallest for test in tests))}. From {enough} seeds in common on it can be."
        )
    found = [test for test in tests if test.adjusted <= LEVEL]
    outcome = f"{len(found)} of them significant at 5 %" if found else "none of them significant at 5 %"
    unable = sum(test.smallest > LEVEL for test in tests)
    return f"{family}: {outcome}." + (
        f" {unable} could not have been, with so few seeds or so many ties." if unable else ""
    )


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
        batches = math.ceil(TRAINING_IMAGES / architecture.recipe.batch_size)
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
                number(batches / train if train else None, 1),
                str(architecture.document.batches_per_second),
            ]
        )
    if not rows:
        return ["No run is recorded yet.", ""]
    note = (
        "Medians over all recorded epochs. A run on the CPU has one thread, and others run beside it; the documented "
        "speed is that of a progress bar on a cloud GPU of unknown model, for context only. `python -m bench speed` "
        "measures speed as such."
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
    note = "Runs of different environments are never pooled. The file has every detail that the digits stand for."
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
