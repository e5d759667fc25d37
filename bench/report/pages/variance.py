"""The sources of the variance: repeated training, the seed and the device."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import stdev

from bench.evidence.summary import FINAL_EPOCHS, CheckedOn, GroupSources, GroupSummary, Repeats, Summary
from bench.network.specification import VARIED
from bench.report.markdown import DATA, anchor, code, link, number, text
from bench.report.pages import paired
from bench.wording import count, listed

TITLE = "Where does the variance come from?"


def in_brief(summary: Summary) -> list[str]:
    """The section of the first page: a line for each source."""
    details = link("Details", f"{DATA}#{anchor(TITLE)}")
    return [
        f"## {TITLE}",
        "",
        f"- **Repeat**: {_repeat(summary.repeats)}",
        f"- **Seed and epoch**: {_seed(summary)}{_epoch(summary)}",
        f"- **Images**: {_images(summary)}",
        f"- **Choosing**: {_choosing(summary)}",
        f"- **Device or environment**: {_device(summary)} {details}.",
        "",
    ]


def _repeat(repeats: Repeats) -> str:
    if not repeats.here:
        return "Unknown, because no run was trained again in the same environment yet."
    again = f"{repeats.identical_here} of {count(repeats.here, 'run')} that {'was' if repeats.here == 1 else 'were'}"
    return f"{again} trained again in the same environment had the same bits."


def _seed(summary: Summary) -> str:
    deviations = [stdev(group.last) for group in summary.current if len(group.last) > 1]
    if not deviations:
        return "Unknown, because no network has two complete runs in one place yet."
    said = f"The last accuracies of the seeds of a network have a standard deviation of {_between(deviations)} images"
    return said + _with_collapses(summary) + _kinds(summary)


def _with_collapses(summary: Summary) -> str:
    """The end of the sentence: the range without the runs that collapse, if there are such runs."""
    fallen = number_that_collapse(summary)
    steady = [
        [seed.last for seed in group.seeds if seed.last is not None and not seed.collapses] for group in summary.current
    ]
    deviations = [stdev(last) for last in steady if len(last) > 1]
    if not fallen or not deviations:
        return "."
    return f", and of {_between(deviations)} without {runs_that_collapse(fallen)}."


def _between(values: Sequence[float]) -> str:
    lowest, highest = (number(one, 1) for one in (min(values), max(values)))
    return lowest if lowest == highest else f"{lowest} to {highest}"


def _kinds(summary: Summary) -> str:
    """The standard deviations of the last accuracy where the seed changes one kind of random numbers only."""
    found: dict[str, list[float]] = {}
    varied = [(network.model, one) for network in summary.sources.kinds for one in network.kinds if one.vary]
    used = [(model, one, one.last) for model, one in varied if one.last]
    for _, one, last in used:
        found.setdefault(VARIED[one.vary], []).append(math.sqrt(last.variance))
    if not found:
        return ""
    said = [f"{_between(values)} if only {name}" for name, values in found.items()]
    networks = listed([code(model) for model in dict.fromkeys(model for model, _, _ in used)])
    runs = sorted({one.runs for _, one, _ in used})
    seeds = f"{runs[0]} seeds" if len(runs) == 1 else f"{runs[0]} to {runs[-1]} seeds"
    without = ", without runs that collapse" if any(one.collapsed for _, one in varied) else ""
    return (
        f" With {seeds} of {networks}{without}, it is {listed(said).replace('if only', 'if the seed changes only', 1)}."
    )


def _largest(summary: Summary) -> GroupSources | None:
    """The sources over as many runs as possible: all networks in the place with the most complete runs."""
    found = [*summary.sources.together, *summary.sources.groups]
    return max(found, key=lambda one: one.runs, default=None)


def number_that_collapse(summary: Summary) -> int:
    """The number of current runs with an epoch that collapses, over all networks and places."""
    return sum(bool(seed.collapses) for group in summary.current for seed in group.seeds)


def tests_with_collapses(groups: Iterable[GroupSummary]) -> str:
    """The sentence that says of paired tests of these groups that they include runs that collapse, if they do."""
    fallen = any(seed.collapses for group in groups for seed in group.seeds)
    return " The tests include the runs that collapse." if fallen else ""


def runs_that_collapse(number_of_runs: int) -> str:
    """The number of runs that collapse, in words."""
    return f"{count(number_of_runs, 'run')} that collapse{'s' if number_of_runs == 1 else ''}"


def _epoch(summary: Summary) -> str:
    one = _largest(summary)
    if one is None or one.epochs is None:
        return ""
    left_out = f", without {runs_that_collapse(one.collapsed)}" if one.collapsed else ""
    where = f" Like the next two points, this is of {text(one.label)}{left_out}."
    epoch, seed = (number(math.sqrt(max(0.0, value)), 1) for value in (one.epochs.epoch, one.epochs.seed))
    return (
        f" In the last {FINAL_EPOCHS} epochs, the standard deviation is {epoch} images from epoch to epoch within a "
        f"run, and {seed} images from seed to seed, without the noise of single epochs.{where}"
    )


def _images(summary: Summary) -> str:
    one = _largest(summary)
    if one is None or one.flips is None:
        return "Unknown, because the misses of two complete runs are not recorded yet."
    whole, flips, left, error = (
        number(value, 0) for value in (one.flips.whole, one.flips.flips, one.flips.left, one.flips.left_error)
    )
    return (
        f"The variance of the last epoch over seeds is {whole} images squared. If every test image were right or wrong "
        f"independently of the others, it would be {flips}. So {left} ± {error} (standard error) is left for training."
    )


def _choosing(summary: Summary) -> str:
    one = _largest(summary)
    if one is None or one.best_minus_last is None:
        return "Unknown, because no ordinary run is complete yet."
    said = f"The best epoch of a run has {number(one.best_minus_last, 1)} images more than its last one on average."
    if one.flattery is None:
        unknown = "How much the best epoch gains because it is chosen on the test set is unknown"
        return f"{said} {unknown}, because the misses of every epoch are not recorded."
    of = f"{count(one.with_misses, 'run')} with the misses of every epoch"
    gain = f"it gains {number(one.flattery, 1)} images because it is chosen on the images that score it"
    return f"{said} Estimated from {of}, {gain}. An honest choice can find an epoch that is worse than the last one."


def _exact(repeats: Repeats) -> str:
    """What exact runs say about the device, or nothing."""
    if not repeats.on_several_devices:
        return ""
    equal, several = repeats.equal_on_devices, repeats.on_several_devices
    said = f"Of {count(several, 'exact run')} trained on more than one device, {equal} had the same bits on each."
    return f"{said} So the variance is 0. " if equal == several else f"{said} **The others are contradictions.** "


def _device(summary: Summary) -> str:
    exact = _exact(summary.repeats)
    if exact and not summary.between_devices:
        return exact.rstrip()
    return exact + _between_devices(summary)


def _between_devices(summary: Summary) -> str:
    if summary.between_devices:
        return paired.power(summary.between_devices)
    one_place = "all runs are from one device and one environment"
    devices = {device for group in summary.current for device in group.group.devices}
    is_one_place = len(summary.places) == len(devices) == 1
    reason = one_place if is_one_place else "no seed is finished on two devices or in two environments"
    return f"Unknown, because {reason}."


def lines(summary: Summary) -> list[str]:
    """The section of the page of data: one paragraph for each source."""
    seeds = any(len(group.last) > 1 or group.first.hits > 1 for group in summary.current)
    found = [
        f"## {TITLE}",
        "",
        f"**Repeat**: The same seed in the same environment must give the same bits. {repeated(summary.repeats)}",
        "",
        f"**Seed**: {'See the standard deviations and variances in the table above.' if seeds else _seed(summary)}",
        "",
    ]
    advice = " Train the same seeds on another device to see its effect."
    if not summary.between_devices:
        return [
            *found,
            f"**Device or environment**: {_device(summary)}{'' if summary.repeats.on_several_devices else advice}",
            "",
        ]
    found += [
        (
            f"**Device or environment**: {_exact(summary.repeats)}Paired tests compare the same seeds on two devices "
            "or in two environments. The initial weights, the order of the images and dropout are the same in both."
            f"{tests_with_collapses(summary.current)}"
        ),
        "",
    ]
    tests = summary.between_devices
    return [*found, paired.power(tests), "", *paired.as_table(tests, ["first place", "second place"])]


def _machines(machines: Sequence[CheckedOn]) -> str:
    shown = [
        f"{text(one.machine.replace('; ', ', ') or 'not recorded')} ({count(one.runs, 'run')}, "
        f"{count(one.epochs, 'epoch')})"
        for one in machines[:5]
    ]
    more = [f"{len(machines) - 5} more"] if len(machines) > 5 else []
    return "; ".join([*shown, *more])


def repeated(repeats: Repeats) -> str:
    """The results of training recorded runs again."""
    if not repeats.here + repeats.elsewhere:
        return (
            "No verification is recorded. `python -m bench verify` trains recorded runs again, compares the results "
            "bit for bit and stores the outcome for this report."
        )
    said = []
    recorded = f"{count(repeats.recorded, 'recorded run')} of the current recipes"
    if repeats.here:
        outcome = f"{repeats.identical_here} of {count(repeats.here, 'verified run')}"
        said.append(
            f"Of {recorded}, {repeats.here} {'was' if repeats.here == 1 else 'were'} trained again in the same "
            f"environment, for {count(repeats.epochs, 'epoch')} in all. Identical bit for bit: {outcome}."
        )
        is_twice = sum(one.runs for one in repeats.machines) > repeats.here
        each = ". A run counts for each machine that checked it" if is_twice else ""
        said.append(f"They were checked on these machines: {_machines(repeats.machines)}{each}.")
        if repeats.differing:
            named = text("; ".join(repeats.differing[:5]))
            more = f" and {len(repeats.differing) - 5} more" if len(repeats.differing) > 5 else ""
            said.append(f"**Not identical: {named}{more}. The repeat variance is not 0.**")
        else:
            said.append("The repeat variance of the verified runs is 0.")
    else:
        said.append(f"Of {recorded}, none was trained again in the same environment.")
    if repeats.elsewhere:
        said.append(
            f"In another environment, where identical bits are not expected, {count(repeats.elsewhere, 'run')} "
            f"{'was' if repeats.elsewhere == 1 else 'were'} trained again. Identical there: "
            f"{repeats.identical_elsewhere} of {repeats.elsewhere}."
        )
    return " ".join(said)
