"""The marks common to all figures: colours, lines and dots of groups, short names and the range of accuracies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Literal

from matplotlib.lines import Line2D

from bench.evidence.summary import GroupSummary, NetworkSummary
from bench.network.specification import Architecture

_LOWEST, _HIGHEST = 98.5, 99.7
Limits = tuple[float, float]

DOCUMENTED, TARGET = "#D55E00", "#444444"

_COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
Dashes = Literal["-"] | tuple[float, Sequence[float]]
_DASHES: tuple[Dashes, ...] = ("-", (0, (3, 1)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (6, 2)))


def short_name(name: str) -> str:
    """A name in letters that the font of the figures has, at most 28 of them. Any other letter becomes a "?"."""
    shown = "".join(letter if letter.isprintable() and ord(letter) < 0x2000 else "?" for letter in name)
    return shown if len(shown) <= 28 else shown[:27] + "…"


def percent(count: float, total: int) -> float:
    """A count of images as a share of `total`, in percent."""
    return 100 * count / total


def target(architecture: Architecture) -> float:
    """The target accuracy of a network, in percent."""
    return percent(architecture.target.correct, architecture.target.total)


def limits(networks: Sequence[NetworkSummary]) -> Limits:
    """The range of accuracies that a figure shows, in percent. Points outside are marked at the edge.

    Every target is well inside. Below a target there is room for the epochs that come close to it. The runs of a log
    have a range of their own.
    """
    targets = [target(network.architecture) for network in networks]
    runs = [run for network in networks for group in network.groups for run in group.group.runs]
    if runs and all(network.architecture.is_logged for network in networks):
        seen = [percent(correct, run.total) for run in runs for correct in run.correct]
        top, bottom = max(*seen, *targets), min(median(seen), *targets)
        margin = max(top - bottom, 0.4) / 4
        return math.floor(10 * max(bottom - 2 * margin, 0)) / 10, min(top + margin, 100)
    lowest = min((one - 1.5 * (100 - one) for one in targets), default=_LOWEST)
    highest = max((one + 0.5 * (100 - one) for one in targets), default=_HIGHEST)
    return max(0.0, round(min(_LOWEST, lowest), 3)), round(max(_HIGHEST, highest), 3)


def colour(group: GroupSummary) -> str:
    """The colour of a group. After five colours they repeat."""
    return _COLOURS[group.colour % len(_COLOURS)]


def dashes(group: GroupSummary) -> Dashes:
    """The line style of a group, as matplotlib's `linestyle`."""
    return _DASHES[group.colour % len(_DASHES)]


def one_per_label(groups: Sequence[GroupSummary]) -> list[GroupSummary]:
    """One group for each label, in the order of their colours."""
    by_label = {group.label: group for group in groups}
    return sorted(by_label.values(), key=lambda group: group.colour)


def keys_of_documented(networks: Sequence[NetworkSummary], key: Callable[[str, bool], Line2D]) -> list[Line2D]:
    """The keys of the legend for the documented runs. `key` makes one, from its name and whether it is of the network.

    A run of an earlier network has a key of its own. There is none if no network is documented.
    """
    found = {one.documented_run: one.is_log_of_this_network for one in networks if one.is_documented}
    return [key(name, is_own) for name, is_own in sorted(found.items(), key=lambda one: not one[1])]


def line(group: GroupSummary, label: str, linewidth: float) -> Line2D:
    """The legend key of a group's line. The width is in points."""
    return Line2D([], [], color=colour(group), linestyle=dashes(group), linewidth=linewidth, label=label)


def dot(group: GroupSummary, label: str) -> Line2D:
    """The legend key of a group's dots."""
    return Line2D([], [], color=colour(group), marker="o", markersize=5, linestyle="", label=label)
