"""The figures by epoch: accuracy, and the share of seeds that have reached the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.evidence.summary import NetworkSummary
from bench.report import canvas
from bench.report.canvas import Picture
from bench.report.figures import marks
from bench.report.figures.marks import DOCUMENTED, TARGET, Limits
from bench.report.markdown import SEED_LINES
from bench.wording import count


def accuracy_overview(networks: Sequence[NetworkSummary]) -> Picture:
    """Accuracy by epoch, with one panel for each network."""
    with canvas.style():
        figure, panels = canvas.panels(len(networks))
        for axes, network in zip(panels, networks, strict=False):
            _draw_accuracy(axes, network, _last_epoch(networks), marks.limits(networks))
            axes.set_title(marks.short_name(network.name) + _of_seeds(network))
        canvas.label_outer(panels, len(networks), "epoch", "test accuracy (%)")
        canvas.legend(panels, _accuracy_keys(networks))
        reached = "; ".join(f"{network.name}: {_reached(network)}" for network in networks)
        return Picture(
            canvas.svg(figure), f"Test accuracy by epoch, one panel for each network. Seeds at the target: {reached}."
        )


def accuracy(network: NetworkSummary) -> Picture:
    """Accuracy by epoch of one network."""
    with canvas.style():
        figure = Figure(figsize=(8.4, 4.0))
        figure.subplots_adjust(left=0.085, right=0.76, bottom=0.125, top=0.97)
        axes = figure.add_subplot()
        _draw_accuracy(axes, network, _last_epoch([network]), marks.limits([network]))
        axes.set_xlabel("epoch")
        axes.set_ylabel("test accuracy (%)")
        axes.legend(handles=_accuracy_keys([network]), loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
        first, last = network.documented_first, network.documented[-1] if network.documented else None
        log = f"The {network.documented_run} {'never reaches it' if first is None else f'reaches it in epoch {first}'}"
        log += f" and ends at {last}." if last is not None else "."
        log = log if network.is_documented else "No run of this network is documented."
        return Picture(
            canvas.svg(figure),
            f"Test accuracy of {network.name} by epoch. Seeds at the target: {_reached(network)}. {log}",
        )


def time_to_target(networks: Sequence[NetworkSummary]) -> Picture:
    """The share of seeds that have reached the target by each epoch: one minus the Kaplan-Meier estimate."""
    with canvas.style():
        figure, panels = canvas.panels(len(networks))
        for axes, network in zip(panels, networks, strict=False):
            _draw_time(axes, network, max(one.architecture.recipe.epochs for one in networks))
            axes.set_title(marks.short_name(network.name) + _of_seeds(network))
        canvas.label_outer(panels, len(networks), "epoch", "estimated share at the target")
        groups = [group for network in networks for group in network.groups]
        canvas.legend(
            panels,
            [
                *(marks.line(group, group.label, linewidth=2) for group in marks.one_per_label(groups)),
                Line2D(
                    [], [], color=canvas.INK, marker="|", markersize=9, linestyle="", label="seed that did not reach it"
                ),
                *marks.keys_of_documented(
                    [network for network in networks if network.documented_first is not None],
                    lambda name, is_own: Line2D(
                        [], [], color=DOCUMENTED, linewidth=1.4, linestyle="--", label=f"{name}: first at the target"
                    ),
                ),
            ],
        )
        medians = "; ".join(f"{network.name}: {_medians(network)}" for network in networks)
        return Picture(
            canvas.svg(figure),
            f"Estimated share of seeds that have reached the target, by epoch, one panel for each network. "
            f"Kaplan–Meier median: {medians}.",
        )


def _draw_accuracy(axes: Axes, network: NetworkSummary, last_epoch: int, limits: Limits) -> None:
    total = network.architecture.target.total
    for summary in network.groups:
        runs = [[marks.percent(count, run.total) for count in run.correct] for run in summary.group.runs if run.correct]
        colour = marks.colour(summary)
        longest = max(map(len, runs), default=0)
        by_epoch = [[run[place] for run in runs if len(run) > place] for place in range(longest)]
        epochs = range(1, longest + 1)
        if len(runs) > 1:
            lowest, highest = [min(at) for at in by_epoch], [max(at) for at in by_epoch]
            axes.fill_between(epochs, lowest, highest, color=colour, alpha=0.18, linewidth=0)
        for run in runs[:SEED_LINES]:
            marker = "o" if len(run) == 1 else ""  # a line through one point is not visible
            axes.plot(
                range(1, len(run) + 1),
                run,
                color=colour,
                linestyle=marks.dashes(summary),
                linewidth=0.9,
                alpha=0.75,
                marker=marker,
                markersize=3,
            )
        _mark_clipped(
            axes, [(epoch, min(at)) for epoch, at in zip(epochs, by_epoch, strict=True)], limits, colour, shift=-0.18
        )
    documented = [marks.percent(count, total) for count in network.documented]
    epochs = range(1, len(documented) + 1)
    style = _style_of_documented(network.is_log_of_this_network)
    axes.plot(
        epochs, documented, color=DOCUMENTED, linewidth=1.6, marker="o", markersize=2.6, zorder=3, linestyle=style
    )
    _mark_clipped(axes, list(zip(epochs, documented, strict=True)), limits, DOCUMENTED, shift=0.18)
    axes.axhline(marks.target(network.architecture), color=TARGET, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xlim(0.5, last_epoch + 0.5)
    axes.set_ylim(*limits)
    axes.set_xticks([1, *_epoch_ticks(last_epoch)])


def _last_epoch(networks: Sequence[NetworkSummary]) -> int:
    seen = [len(run.correct) for network in networks for group in network.groups for run in group.group.runs]
    documented = [max(network.architecture.recipe.epochs, len(network.documented)) for network in networks]
    return max([*seen, *documented], default=1)


def _mark_clipped(axes: Axes, points: Sequence[tuple[int, float]], limits: Limits, colour: str, shift: float) -> None:
    """Mark points outside the axes at the edge, shifted so that seeds and the documented run do not overlap."""
    lowest, highest = limits
    inward = (highest - lowest) / 48
    below = [epoch + shift for epoch, percent in points if percent < lowest]
    above = [epoch + shift for epoch, percent in points if percent > highest]
    edges = (("v", lowest + inward, below), ("^", highest - inward, above))
    for marker, y, epochs in edges:
        if epochs:
            axes.plot(epochs, [y] * len(epochs), color=colour, marker=marker, markersize=4.5, linestyle="", zorder=4)


def _style_of_documented(is_own: bool) -> marks.Dashes:
    """The line style of a documented run. One of an earlier network is dotted."""
    return "-" if is_own else (0, (1, 1))


def _accuracy_keys(networks: Sequence[NetworkSummary]) -> list[Any]:
    groups = [group for network in networks for group in network.groups]
    keys: list[Any] = []
    for one in marks.one_per_label(groups):
        keys.append(marks.line(one, f"a seed, {one.label}", linewidth=0.9))
        if any(group.label == one.label and len(group.group.runs) > 1 for group in groups):
            keys.append(Patch(facecolor=marks.colour(one), alpha=0.18, label="lowest to highest seed"))
    targets = sorted({marks.target(network.architecture) for network in networks})

    def documented(name: str, is_own: bool) -> Line2D:
        key = Line2D([], [], linewidth=1.6, marker="o", markersize=2.6, label=name.replace(" of ", "\nof "))
        key.set(color=DOCUMENTED, linestyle=_style_of_documented(is_own))
        return key

    keys += marks.keys_of_documented(networks, documented)
    lowest, _ = marks.limits(networks)
    named = ", ".join(f"{target:.4g} %" for target in targets)
    keys.append(Line2D([], [], color=TARGET, linewidth=1, linestyle=(0, (4, 3)), label=f"target, {named}"))
    keys.append(Line2D([], [], color=canvas.INK, marker="v", linestyle="", markersize=4.5, label=f"below {lowest:g} %"))
    return keys


def _draw_time(axes: Axes, network: NetworkSummary, longest: int) -> None:
    for summary in network.groups:
        curve, colour = summary.curve, marks.colour(summary)
        reached = [1 - share for share in curve.surviving]
        end = longest if reached[-1] == 1 else curve.end  # once all seeds have reached the target, the share stays 1
        axes.step(
            [*curve.epochs, end],
            [*reached, reached[-1]],
            where="post",
            color=colour,
            linestyle=marks.dashes(summary),
            linewidth=2,
            alpha=0.85,
        )
        censored = sorted({(epoch, 1 - share) for epoch, share in curve.marks})
        axes.plot(
            [epoch for epoch, _ in censored],
            [share for _, share in censored],
            color=colour,
            marker="|",
            markersize=9,
            linestyle="",
            clip_on=False,
        )
    if network.documented_first is not None:
        axes.axvline(network.documented_first, color=DOCUMENTED, linewidth=1.4, linestyle="--")
    elif network.is_documented:
        axes.text(0.4, 0.93, f"{network.documented_run}: never", color=DOCUMENTED, fontsize=8)
    axes.set_xlim(0, longest + 0.5)
    axes.set_ylim(-0.03, 1.05)
    axes.set_xticks([0, *_epoch_ticks(longest)])


def _epoch_ticks(last: int) -> list[int]:
    step = max(5, last // 20 * 5)
    return list(range(step, last + 1, step))


def _of_seeds(network: NetworkSummary) -> str:
    """The end of a title: how many seeds reached the target. It is empty for several groups."""
    hits = [f": {group.first.hits} of {count(group.first.runs, 'seed')}" for group in network.groups]
    return hits[0] if len(hits) == 1 else "" if hits else ": no run"


def _reached(network: NetworkSummary) -> str:
    return (
        ", ".join(f"{group.first.hits} of {group.first.runs} on {group.label}" for group in network.groups) or "no run"
    )


def _medians(network: NetworkSummary) -> str:
    found = (
        f"{'none' if group.first.median is None else f'epoch {group.first.median}'} on {group.label}"
        for group in network.groups
    )
    return ", ".join(found) or "no run"
