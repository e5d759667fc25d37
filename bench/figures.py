"""Numbers to pictures: SVG that is the same to the byte for the same numbers and the same matplotlib.

Figures stand on an opaque light ground of their own, so that they are legible on a dark page too. Colours are Okabe
and Ito's, which colour-blind readers tell apart; no meaning rests on colour alone. Letters are drawn as paths, so
that a picture needs no font.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench import canvas
from bench.canvas import Picture
from bench.specification import Architecture
from bench.summary import GroupSummary, NetworkSummary

LOWEST, HIGHEST = 98.5, 99.7
"""The accuracies, in percent, that a figure shows; what lies outside is marked at the edge."""

_ASIDE = (0.0, -0.14, 0.14, -0.28, 0.28)
_SEED_LINES = 20  # more lines of single seeds than this are a smear: the band says the same
_COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_Dashes = Literal["-"] | tuple[float, Sequence[float]]
_DASHES: tuple[_Dashes, ...] = ("-", (0, (3, 1)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (6, 2)))
_DOCUMENTED, _TARGET = "#D55E00", "#444444"


def accuracy_overview(networks: Sequence[NetworkSummary]) -> Picture:
    """Accuracy by epoch of every network, a panel each."""
    with canvas.style():
        figure, panels = canvas.panels(len(networks))
        for axes, network in zip(panels, networks, strict=False):
            _draw_accuracy(axes, network, _last_epoch(networks))
            axes.set_title(_title(network.name) + _of_seeds(network))
        canvas.label_outer(panels, len(networks), "epoch", "test accuracy (%)")
        canvas.legend(panels, _accuracy_keys(networks))
        reached = "; ".join(f"{network.name}: {_reached(network)}" for network in networks)
        return Picture(
            canvas.svg(figure), f"Test accuracy by epoch, a panel for each network. Seeds at the target: {reached}."
        )


def accuracy(network: NetworkSummary) -> Picture:
    """Accuracy by epoch of one network."""
    with canvas.style():
        figure = Figure(figsize=(8.4, 4.0))
        figure.subplots_adjust(left=0.085, right=0.76, bottom=0.125, top=0.97)
        axes = figure.add_subplot()
        _draw_accuracy(axes, network, _last_epoch([network]))
        axes.set_xlabel("epoch")
        axes.set_ylabel("test accuracy (%)")
        axes.legend(handles=_accuracy_keys([network]), loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
        first, last = network.documented_first, network.documented[-1] if network.documented else None
        log = f"The documented run {'never reaches it' if first is None else f'reaches it in epoch {first}'}"
        log += f" and ends at {last}." if last is not None else "."
        log = log if network.is_documented else "No run of it is documented."
        return Picture(
            canvas.svg(figure),
            f"Test accuracy of {network.name} by epoch. Seeds at the target: {_reached(network)}. {log}",
        )


def time_to_target(networks: Sequence[NetworkSummary]) -> Picture:
    """The share of seeds that have reached the target, by epoch: one minus the Kaplan-Meier estimate."""
    with canvas.style():
        figure, panels = canvas.panels(len(networks))
        for axes, network in zip(panels, networks, strict=False):
            _draw_time(axes, network, max(one.architecture.recipe.epochs for one in networks))
            axes.set_title(_title(network.name) + _of_seeds(network))
        canvas.label_outer(panels, len(networks), "epoch", "share of seeds at the target")
        groups = [group for network in networks for group in network.groups]
        canvas.legend(
            panels,
            [
                *(_line(group, group.label, linewidth=2) for group in _labels(groups)),
                Line2D(
                    [], [], color=canvas.INK, marker="|", markersize=9, linestyle="", label="seed not seen to reach it"
                ),
                Line2D([], [], color=_DOCUMENTED, linewidth=1.4, linestyle="--", label="documented first epoch"),
            ],
        )
        medians = "; ".join(f"{network.name}: {_medians(network)}" for network in networks)
        return Picture(
            canvas.svg(figure),
            f"Share of seeds that have reached the target, by epoch, a panel for each network. Median: {medians}.",
        )


def last_accuracy(networks: Sequence[NetworkSummary]) -> Picture:
    """The last accuracy of every complete run, with prediction interval and documented value, a row for each group."""
    rows = [(network, group) for network in networks for group in network.groups or (None,)]
    with canvas.style():
        figure, axes = canvas.rows([_row_name(network, group, rows) for network, group in rows])
        for y, (network, group) in enumerate(rows):
            if group is not None:
                _draw_last(axes, y, network.architecture, group)
            if network.documented:
                x, is_inside = _clip(_percent(network.documented[-1], network.architecture.target.total))
                marker = "D" if is_inside else "<"
                axes.plot([x], [y], marker=marker, color=_DOCUMENTED, markersize=6, markeredgecolor="white", zorder=4)
        for target in sorted({_target(network.architecture) for network in networks}):
            axes.axvline(target, color=_TARGET, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlim(LOWEST, HIGHEST)
        axes.set_xlabel("test accuracy of the last documented epoch (%)")
        present = _labels([group for _, group in rows if group is not None])
        interval = "95 % prediction interval for one new run"
        has_interval = any(group is not None and group.last_interval is not None for _, group in rows)
        canvas.legend_above(
            axes,
            [
                *(_dot(group, f"seed, {group.label}") for group in present),
                *([Patch(facecolor="#bbbbbb", alpha=0.6, label=interval)] if has_interval else []),
                Line2D([], [], color=_DOCUMENTED, marker="D", linestyle="", label="documented"),
                Line2D([], [], color=_TARGET, linewidth=1, linestyle=(0, (4, 3)), label="target"),
            ],
        )
        ranges = "; ".join(f"{_row_name(network, group, rows)}: {_range(group)}" for network, group in rows)
        return Picture(canvas.svg(figure), f"Correct images in the last epoch, lowest to highest seed. {ranges}.")


def seconds_per_epoch(groups: Sequence[GroupSummary]) -> Picture:
    """Seconds an epoch of training and evaluation took: median, and lowest to highest, a row for each group."""
    timed = [(group, sorted(seconds for run in group.group.runs for seconds in run.seconds)) for group in groups]
    timed = [(group, seconds) for group, seconds in timed if seconds]
    with canvas.style():
        names = [group.group.model for group, _ in timed]
        several = len(set(names)) < len(names)
        rows = [_title(group.group.model) + (f", {group.label}" if several else "") for group, _ in timed]
        figure, axes = canvas.rows(rows or ["no run is recorded"])
        for y, (group, seconds) in enumerate(timed):
            colour = _colour(group)
            axes.plot([seconds[0], seconds[-1]], [y, y], color=colour, linewidth=3, alpha=0.35, solid_capstyle="butt")
            axes.plot([group.seconds or 0.0], [y], marker="o", color=colour, markersize=6)
            axes.annotate(
                _short(group.seconds or 0.0),
                (group.seconds or 0.0, y),
                (0, 6),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
        every = [value for _, seconds in timed for value in seconds if value > 0]
        if every and max(every) > 8 * min(every):
            axes.set_xscale("log")
            axes.set_xlim(min(every) / 1.4, max(every) * 1.4)
        else:
            axes.set_xlim(0, 1.08 * max(every, default=1.0))
        axes.set_xlabel("seconds per epoch, training and evaluation (median; bar: lowest to highest)")
        canvas.legend_above(axes, [_dot(group, group.label) for group in _labels([group for group, _ in timed])])
        medians = "; ".join(
            f"{group.group.model} on {group.label} {_short(group.seconds or 0.0)}" for group, _ in timed
        )
        return Picture(canvas.svg(figure), f"Median seconds per epoch: {medians or 'nothing recorded'}.")


def _draw_accuracy(axes: Axes, network: NetworkSummary, last_epoch: int) -> None:
    total = network.architecture.target.total
    for summary in network.groups:
        runs = [[_percent(count, run.total) for count in run.correct] for run in summary.group.runs if run.correct]
        colour = _colour(summary)
        longest = max(map(len, runs), default=0)
        by_epoch = [[run[place] for run in runs if len(run) > place] for place in range(longest)]
        epochs = range(1, longest + 1)
        if len(runs) > 1:
            lowest, highest = [min(at) for at in by_epoch], [max(at) for at in by_epoch]
            axes.fill_between(epochs, lowest, highest, color=colour, alpha=0.18, linewidth=0)
        for run in runs[:_SEED_LINES]:
            marker = "o" if len(run) == 1 else ""  # a line of one point is invisible
            axes.plot(
                range(1, len(run) + 1),
                run,
                color=colour,
                linestyle=_dashes(summary),
                linewidth=0.9,
                alpha=0.75,
                marker=marker,
                markersize=3,
            )
        _mark_clipped(axes, [(epoch, min(at)) for epoch, at in zip(epochs, by_epoch, strict=True)], colour, shift=-0.18)
    documented = [_percent(count, total) for count in network.documented]
    epochs = range(1, len(documented) + 1)
    axes.plot(epochs, documented, color=_DOCUMENTED, linewidth=1.6, marker="o", markersize=2.6, zorder=3)
    _mark_clipped(axes, list(zip(epochs, documented, strict=True)), _DOCUMENTED, shift=0.18)
    axes.axhline(_target(network.architecture), color=_TARGET, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xlim(0.5, last_epoch + 0.5)
    axes.set_ylim(LOWEST, HIGHEST)
    axes.set_xticks([1, *_epoch_ticks(last_epoch)])


def _last_epoch(networks: Sequence[NetworkSummary]) -> int:
    seen = [len(run.correct) for network in networks for group in network.groups for run in group.group.runs]
    documented = [max(network.architecture.recipe.epochs, len(network.documented)) for network in networks]
    return max([*seen, *documented], default=1)


def _mark_clipped(axes: Axes, points: Sequence[tuple[int, float]], colour: str, shift: float) -> None:
    """Mark what lies outside; a little aside, so that the documented run and the seeds do not cover each other."""
    below = [epoch + shift for epoch, percent in points if percent < LOWEST]
    above = [epoch + shift for epoch, percent in points if percent > HIGHEST]
    edges = (("v", LOWEST + 0.025, below), ("^", HIGHEST - 0.025, above))
    for marker, y, epochs in edges:
        if epochs:
            axes.plot(epochs, [y] * len(epochs), color=colour, marker=marker, markersize=4.5, linestyle="", zorder=4)


def _accuracy_keys(networks: Sequence[NetworkSummary]) -> list[Any]:
    groups = [group for network in networks for group in network.groups]
    keys: list[Any] = []
    for one in _labels(groups):
        keys.append(_line(one, f"a seed, {one.label}", linewidth=0.9))
        if any(group.label == one.label and len(group.group.runs) > 1 for group in groups):
            keys.append(Patch(facecolor=_colour(one), alpha=0.18, label="lowest to highest seed"))
    targets = sorted({_target(network.architecture) for network in networks})
    keys.append(Line2D([], [], color=_DOCUMENTED, linewidth=1.6, marker="o", markersize=2.6, label="documented run"))
    named = ", ".join(f"{target:.2f} %" for target in targets)
    keys.append(Line2D([], [], color=_TARGET, linewidth=1, linestyle=(0, (4, 3)), label=f"target, {named}"))
    keys.append(Line2D([], [], color=canvas.INK, marker="v", linestyle="", markersize=4.5, label=f"below {LOWEST} %"))
    return keys


def _draw_time(axes: Axes, network: NetworkSummary, longest: int) -> None:
    for summary in network.groups:
        curve, colour = summary.curve, _colour(summary)
        reached = [1 - share for share in curve.surviving]
        end = longest if reached[-1] == 1 else curve.end  # where all have arrived, all stay there
        axes.step(
            [*curve.epochs, end],
            [*reached, reached[-1]],
            where="post",
            color=colour,
            linestyle=_dashes(summary),
            linewidth=2,
            alpha=0.85,
        )
        marks = sorted({(epoch, 1 - share) for epoch, share in curve.marks})
        axes.plot(
            [epoch for epoch, _ in marks],
            [share for _, share in marks],
            color=colour,
            marker="|",
            markersize=9,
            linestyle="",
            clip_on=False,
        )
    if network.documented_first is not None:
        axes.axvline(network.documented_first, color=_DOCUMENTED, linewidth=1.4, linestyle="--")
    elif network.is_documented:
        axes.text(0.4, 0.93, "documented run: never", color=_DOCUMENTED, fontsize=8)
    axes.set_xlim(0, longest + 0.5)
    axes.set_ylim(-0.03, 1.05)
    axes.set_xticks([0, *_epoch_ticks(longest)])


def _draw_last(axes: Axes, y: int, architecture: Architecture, group: GroupSummary) -> None:
    total = architecture.target.total
    colour = _colour(group)
    if group.last_interval is not None:
        lower, upper = (_percent(bound, total) for bound in (group.last_interval.lower, group.last_interval.upper))
        lower, upper = min(max(lower, LOWEST), HIGHEST), max(min(upper, HIGHEST), LOWEST)
        axes.barh([y], [upper - lower], left=[lower], height=0.42, color=colour, alpha=0.2)
    seen: dict[float, int] = {}
    for run in group.group.complete:
        percent = _percent(run.correct[group.group.budget - 1], run.total)
        ties = seen.setdefault(percent, 0)
        seen[percent] += 1
        if ties < len(_ASIDE):  # seeds with the same value stand one above the other, as far as there is room
            x, is_inside = _clip(percent)
            marker = "o" if is_inside else "<" if percent < LOWEST else ">"
            axes.plot([x], [y + _ASIDE[ties]], marker=marker, color=colour, markersize=4.5, alpha=0.85, zorder=3)


def _clip(percent: float) -> tuple[float, bool]:
    """Where to draw a value, and whether that is its own place."""
    return min(max(percent, LOWEST + 0.012), HIGHEST - 0.012), LOWEST <= percent <= HIGHEST


def _percent(count: float, total: int) -> float:
    return 100 * count / total


def _target(architecture: Architecture) -> float:
    return _percent(architecture.target.correct, architecture.target.total)


def _epoch_ticks(last: int) -> list[int]:
    step = max(5, last // 20 * 5)
    return list(range(step, last + 1, step))


def _colour(group: GroupSummary) -> str:
    return _COLOURS[group.colour % len(_COLOURS)]


def _dashes(group: GroupSummary) -> _Dashes:
    return _DASHES[group.colour % len(_DASHES)]


def _labels(groups: Sequence[GroupSummary]) -> list[GroupSummary]:
    """One group for each label, in the order of their colours."""
    by_label = {group.label: group for group in groups}
    return sorted(by_label.values(), key=lambda group: group.colour)


def _line(group: GroupSummary, label: str, linewidth: float) -> Line2D:
    return Line2D([], [], color=_colour(group), linestyle=_dashes(group), linewidth=linewidth, label=label)


def _dot(group: GroupSummary, label: str) -> Line2D:
    return Line2D([], [], color=_colour(group), marker="o", markersize=5, linestyle="", label=label)


def _row_name(
    network: NetworkSummary, group: GroupSummary | None, rows: Sequence[tuple[NetworkSummary, object]]
) -> str:
    is_only = sum(other is network for other, _ in rows) == 1
    return _title(network.name) if group is None or is_only else f"{_title(network.name)}, {group.label}"


def _title(name: str) -> str:
    """A name as the picture's font can show it: whatever else it holds would be drawn as an empty box."""
    shown = "".join(letter if letter.isprintable() and ord(letter) < 0x2000 else "?" for letter in name)
    return shown if len(shown) <= 28 else shown[:27] + "…"


def _of_seeds(network: NetworkSummary) -> str:
    """For a title: how many seeds reach the target, where there is one group to speak of."""
    hits = [f": {group.first.hits} of {group.first.runs} seeds" for group in network.groups]
    return hits[0] if len(hits) == 1 else "" if hits else ": no run"


def _reached(network: NetworkSummary) -> str:
    return (
        ", ".join(f"{group.first.hits} of {group.first.runs} on {group.label}" for group in network.groups) or "no run"
    )


def _medians(network: NetworkSummary) -> str:
    found = (
        f"{'not determined' if group.first.median is None else f'epoch {group.first.median}'} on {group.label}"
        for group in network.groups
    )
    return ", ".join(found) or "no run"


def _range(group: GroupSummary | None) -> str:
    if group is None or not group.last:
        return "no complete run"
    return f"{min(group.last)} to {max(group.last)}" if len(group.last) > 1 else str(group.last[0])


def _short(seconds: float) -> str:
    return f"{seconds:.3g} s"
