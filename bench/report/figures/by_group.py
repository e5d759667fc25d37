"""The figures with one row for each group of runs: last accuracy, and seconds per epoch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator

from bench.evidence.summary import GroupSummary, NetworkSummary
from bench.network.specification import Architecture
from bench.report import canvas
from bench.report.canvas import Picture
from bench.report.figures import marks
from bench.report.figures.marks import DOCUMENTED, TARGET, Limits
from bench.wording import count

_STEP, _REACH = 0.14, 0.36
"""Between the rows of seeds with the same value, and from the middle to the outermost. A group of runs has height 1."""


def last_accuracy(networks: Sequence[NetworkSummary]) -> Picture:
    """The last accuracy of every complete run, with the prediction interval and the documented value of each group."""
    rows = [(network, group) for network in networks for group in network.groups or (None,)]
    limits = _limits(networks)
    with canvas.style():
        figure, axes = canvas.rows([_row_name(network, group, rows) for network, group in rows])
        for y, (network, group) in enumerate(rows):
            if group is not None:
                _draw_last(axes, y, network.architecture, group, limits)
            if network.documented:
                x, is_inside = _clip(marks.percent(network.documented[-1], network.architecture.target.total), limits)
                marker = "D" if is_inside else "<"
                axes.add_line(_documented_value(network.documented_run, network.is_log_of_this_network, marker, x, y))
        for target in sorted({marks.target(network.architecture) for network in networks}):
            axes.axvline(target, color=TARGET, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlim(*limits)
        axes.set_xlabel("test accuracy of the last epoch of the recipe (%)")
        present = marks.one_per_label([group for _, group in rows if group is not None])
        interval = "prediction interval for one new run"
        has_interval = any(group is not None and group.last_interval is not None for _, group in rows)
        canvas.legend_above(
            axes,
            [
                *(marks.dot(group, f"seed, {group.label}") for group in present),
                *([Patch(facecolor="#bbbbbb", alpha=0.6, label=interval)] if has_interval else []),
                *marks.keys_of_documented(networks, _documented_value),
                Line2D([], [], color=TARGET, linewidth=1, linestyle=(0, (4, 3)), label="target"),
            ],
        )
        ranges = "; ".join(f"{_row_name(network, group, rows)}: {_range(group)}" for network, group in rows)
        return Picture(canvas.svg(figure), f"Correct images in the last epoch, lowest to highest seed. {ranges}.")


def _documented_value(name: str, is_own: bool, marker: str = "D", x: float = math.nan, y: float = math.nan) -> Line2D:
    """The mark of a documented value. That of an earlier network is hollow."""
    mark = Line2D([x], [y], marker=marker, markersize=6, linestyle="", color=DOCUMENTED, label=name, zorder=4)
    mark.set_markerfacecolor(DOCUMENTED if is_own else "white")
    mark.set_markeredgecolor("white" if is_own else DOCUMENTED)
    return mark


def seconds_per_epoch(groups: Sequence[GroupSummary]) -> Picture:
    """The seconds of one epoch of training and evaluation: the median and the range of each group."""
    timed = [(group, timing) for group in groups for timing in group.group.timings]
    with canvas.style():
        names = [group.group.model for group, _ in timed]
        several = len(set(names)) < len(names)
        wheres = [
            group.label if len(group.group.timings) == 1 else f"{group.label}: {timing.device}"
            for group, timing in timed
        ]
        rows = [
            marks.short_name(name) + (f", {where}" if several else "")
            for name, where in zip(names, wheres, strict=True)
        ]
        figure, axes = canvas.rows(rows or ["no run"])
        for y, (group, timing) in enumerate(timed):
            colour, middle = marks.colour(group), timing.median_seconds
            axes.plot(
                [timing.seconds[0], timing.seconds[-1]],
                [y, y],
                color=colour,
                linewidth=3,
                alpha=0.35,
                solid_capstyle="butt",
            )
            axes.plot([middle], [y], marker="o", color=colour, markersize=6)
            axes.annotate(
                _short(middle),
                (middle, y),
                (0, 6),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
        every = [value for _, timing in timed for value in timing.seconds if value > 0]
        if every and max(every) > 8 * min(every):
            axes.set_xscale("log")
            axes.set_xlim(min(every) / 1.4, max(every) * 1.4)
            # By default matplotlib labels a logarithmic axis with formulas, but this style turns off formulas in texts.
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.set_xlim(0, 1.08 * max(every, default=1.0))
        axes.set_xlabel("seconds per epoch, training and evaluation (median; bar: lowest to highest)")
        canvas.legend_above(
            axes, [marks.dot(group, group.label) for group in marks.one_per_label([group for group, _ in timed])]
        )
        medians = "; ".join(
            f"{name} on {where} {_short(timing.median_seconds)}"
            for name, where, (_, timing) in zip(names, wheres, timed, strict=True)
        )
        return Picture(canvas.svg(figure), f"Median seconds per epoch: {medians or 'nothing recorded'}.")


def _draw_last(axes: Axes, y: int, architecture: Architecture, group: GroupSummary, limits: Limits) -> None:
    lowest, highest = limits
    total = architecture.target.total
    colour = marks.colour(group)
    if group.last_interval is not None:
        lower, upper = (marks.percent(bound, total) for bound in (group.last_interval.lower, group.last_interval.upper))
        lower, upper = min(max(lower, lowest), highest), max(min(upper, highest), lowest)
        axes.barh([y], [upper - lower], left=[lower], height=0.42, color=colour, alpha=0.2)
    ends = [marks.percent(run.correct[group.group.budget - 1], run.total) for run in group.group.complete]
    below = sum(percent < lowest for percent in ends)
    if below:
        said = f"{count(below, 'seed')} further left"
        axes.annotate(said, (lowest, y), (12, 0), textcoords="offset points", va="center", fontsize=8)
    for percent, ties in Counter(ends).items():  # seeds with the same value are drawn one above the other
        step = min(_STEP, 2 * _REACH / max(1, ties - 1))
        x, is_inside = _clip(percent, limits)
        marker = "o" if is_inside else "<" if percent < lowest else ">"
        ys = [y + step * (place - (ties - 1) / 2) for place in range(ties)]
        axes.plot([x] * ties, ys, marker=marker, linestyle="", color=colour, markersize=4.5, alpha=0.85, zorder=3)


def _limits(networks: Sequence[NetworkSummary]) -> Limits:
    """The range of accuracies of the figure: that of all figures, without what is below everything to draw."""
    lowest, highest = marks.limits(networks)
    drawn = [
        marks.percent(run.correct[group.group.budget - 1], run.total)
        for network in networks
        for group in network.groups
        for run in group.group.complete
    ]
    for network in networks:
        total = network.architecture.target.total
        drawn += [marks.percent(network.documented[-1], total)] if network.documented else []
        drawn += [marks.percent(one.last_interval.lower, total) for one in network.groups if one.last_interval]
    return max(lowest, math.floor(10 * min(drawn) - 0.5) / 10) if drawn else lowest, highest


def _clip(percent: float, limits: Limits) -> tuple[float, bool]:
    """The value moved into the axes, and whether it was inside already."""
    lowest, highest = limits
    inward = (highest - lowest) / 100
    return min(max(percent, lowest + inward), highest - inward), lowest <= percent <= highest


def _row_name(
    network: NetworkSummary, group: GroupSummary | None, rows: Sequence[tuple[NetworkSummary, object]]
) -> str:
    is_only = sum(other is network for other, _ in rows) == 1
    return (
        marks.short_name(network.name)
        if group is None or is_only
        else f"{marks.short_name(network.name)}, {group.label}"
    )


def _range(group: GroupSummary | None) -> str:
    if group is None or not group.last:
        return "no complete run"
    return f"{min(group.last)} to {max(group.last)}" if len(group.last) > 1 else str(group.last[0])


def _short(seconds: float) -> str:
    return f"{seconds:.3g} s"
