"""The figure of the evidence on each claim, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bench.evidence.statistics import DECIDING
from bench.evidence.summary import GroupSummary, NetworkSummary
from bench.evidence.verdicts import Course
from bench.network.specification import ClaimKind
from bench.report import canvas
from bench.report.canvas import Picture
from bench.report.figures import marks
from bench.report.figures.marks import Dashes
from bench.wording import count

_HIGHEST = 200  # an axis up to the largest e-value would hide the values that are close to a decision
_DECIDED, _REFUTED = "#dcebf5", "#f9e6d8"


class _Kind(NamedTuple):
    label: str
    dashes: Dashes
    marker: str


_KINDS: dict[ClaimKind, _Kind] = {
    "reaches_target": _Kind("reaches the target", "-", "o"),
    "epochs_below": _Kind("in fewer epochs", (0, (4, 1.5)), "s"),
    "sustained": _Kind("above it in the last epochs", (0, (1, 1)), "^"),
    "first_epoch": _Kind("claimed first epoch", (0, (5, 1, 1, 1)), "<"),
    "best": _Kind("claimed best", (0, (5, 1, 1, 1)), "v"),
    "last": _Kind("claimed last", (0, (5, 1, 1, 1)), "D"),
}


_SETTLED: dict[str, Any] = {"marker": "o", "markersize": 6, "markerfacecolor": canvas.GROUND, "linestyle": ""}

_Drawn = tuple[GroupSummary, Course]


def evidence(networks: Sequence[NetworkSummary]) -> Picture:
    """The evidence for and against each claim after its first 1, 2, 3, … seeds, with one panel for each network."""
    drawn: dict[str, list[_Drawn]] = {
        network.name: [(group, course) for group in network.groups for course in _different(group.courses)]
        for network in networks
    }
    everything = [one for several in drawn.values() for one in several]
    places = marks.one_per_label([group for group, _ in everything])
    longest = max((len(course.against) for _, course in everything), default=1)
    with canvas.style():
        figure, panels = canvas.panels(len(networks))
        for axes, network in zip(panels, networks, strict=False):
            _prepare(axes, longest)
            for group, course in drawn[network.name]:
                _draw(axes, course, _colour(group, course, len(places) == 1))
            axes.set_title(marks.short_name(network.name))
        canvas.label_outer(panels, len(networks), "seeds", "against ← evidence → for")
        canvas.legend(panels, _keys(everything, places))
        told = "; ".join(
            f"{name}: {', '.join(_told(course) for _, course in several) or 'no seed'}"
            for name, several in drawn.items()
        )
        return Picture(
            canvas.svg(figure),
            f"Evidence on each claim, seed by seed, one panel for each network. {DECIDING} decides. {told}.",
        )


def _different(courses: Sequence[Course]) -> list[Course]:
    """The first of all courses that are drawn alike."""
    return list({(one.is_of_a_share, one.support, one.against): one for one in reversed(courses)}.values())[::-1]


def _height(course: Course) -> list[float]:
    """The side with evidence of more than 1, upward for a claim and downward against it, on a logarithmic scale.

    A claim that can no longer be rejected ends in the middle.
    """
    heights = [
        math.log10(max(support, 1)) - math.log10(max(against, 1))
        for support, against in zip(course.support, course.against, strict=True)
    ]
    return heights if course.settled is None else [*heights[:-1], 0.0]


def _prepare(axes: Axes, longest: int) -> None:
    line, end = math.log10(DECIDING), math.log10(_HIGHEST)
    axes.axhspan(line, end, color=_DECIDED, linewidth=0)
    axes.axhspan(-end, -line, color=_REFUTED, linewidth=0)
    for height in (-line, line):
        axes.axhline(height, color=marks.TARGET, linewidth=1, linestyle=(0, (4, 3)))
    axes.axhline(0, color="#888888", linewidth=0.8)
    axes.set_ylim(-end, end)
    ticks = (5, DECIDING, 100)
    axes.set_yticks([*(-math.log10(one) for one in reversed(ticks)), 0, *map(math.log10, ticks)])
    axes.set_yticklabels([*map(str, reversed(ticks)), "1", *map(str, ticks)])
    axes.set_xlim(0.5, max(longest, 5) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def _draw(axes: Axes, course: Course, colour: str) -> None:
    kind, heights = _KINDS[course.claim.kind], _height(course)
    every = max(1, len(heights) // 8)
    line = _line(kind, colour)
    line.set_data(range(1, len(heights) + 1), heights)
    line.set_markevery(every)
    axes.add_line(line)
    if course.settled is not None:
        axes.plot([course.settled], [0], color=colour, zorder=3, **_SETTLED)


def _line(kind: _Kind, colour: str) -> Line2D:
    return Line2D(
        [], [], color=colour, linestyle=kind.dashes, linewidth=1.4, marker=kind.marker, markersize=3.5, label=kind.label
    )


def _colour(group: GroupSummary, course: Course, is_only_place: bool) -> str:
    """The colour of the place. If there is only one, what the documented run claims of itself has its colour."""
    return marks.DOCUMENTED if is_only_place and not course.is_of_a_share else marks.colour(group)


def _keys(drawn: Sequence[_Drawn], places: Sequence[GroupSummary]) -> list[Line2D | Patch]:
    is_only = len(places) == 1
    first = {course.claim.kind: (group, course) for group, course in reversed(drawn)}
    keys: list[Line2D | Patch] = [
        _line(kind, _colour(*first[name], is_only) if is_only else canvas.INK)
        for name, kind in _KINDS.items()
        if name in first
    ]
    if any(course.settled is not None for _, course in drawn):
        ink = marks.DOCUMENTED if is_only else canvas.INK
        keys.append(Line2D([], [], color=ink, label="holds: cannot be rejected any more", **_SETTLED))
    if not is_only:
        keys += [Patch(facecolor=marks.colour(group), label=group.label) for group in places]
    edge: dict[str, Any] = {"edgecolor": marks.TARGET, "linestyle": "--"}
    holds = Patch(facecolor=_DECIDED, label=f"decided: holds ({DECIDING} or more)", **edge)
    return [*keys, holds, Patch(facecolor=_REFUTED, label="decided: does not hold", **edge)]


def _told(course: Course) -> str:
    label, seeds = _KINDS[course.claim.kind].label, count(len(course.against), "seed")
    if course.settled is not None:
        return f"{label} cannot be rejected after {seeds}"
    return f"{label} {_shown(course.support[-1])} for and {_shown(course.against[-1])} against after {seeds}"


def _shown(value: float) -> str:
    """A value, rounded down as in the evidence of a verdict."""
    return f"{int(value * 100) / 100:.2f}" if value < 1000 else "over 1,000"
