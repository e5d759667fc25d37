"""The common base of all figures: style, panels, rows, legends, and SVG with the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath
from matplotlib.transforms import blended_transform_factory

from bench.report.written import COMMENT

INK, GROUND = "#222222", "#fcfcfa"

_POINTS, _POINTS_PER_INCH = 9, 72
_LEFT, _BESIDE_NAMES = 0.24, 10
"""The least space left of rows, as a part of the width, and the space beside their names, in points."""

_STYLE = {
    "svg.hashsalt": "bench",
    "svg.fonttype": "path",
    "font.size": _POINTS,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3df",
    "grid.linewidth": 0.6,
    "figure.facecolor": GROUND,
    "savefig.facecolor": GROUND,
    "axes.facecolor": GROUND,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#888888",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Picture:
    """An SVG file and its alternative text."""

    svg: bytes
    alt: str


@contextmanager
def style() -> Iterator[None]:
    """The matplotlib style in which every figure is made and drawn."""
    # "default" comes first, so that a user's own matplotlibrc does not change a byte.
    with matplotlib.style.context(["default", _STYLE]):
        yield


def svg(figure: Figure) -> bytes:
    """The figure as the content of an SVG file."""
    buffer = io.BytesIO()
    canvas = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    declaration, _, rest = buffer.getvalue().partition(b"\n")
    return b"\n".join([declaration, COMMENT.encode(), rest])


def panels(count: int) -> tuple[Figure, list[Axes]]:
    """A grid of three columns with `count` panels and at least one empty place for the legend."""
    rows = count // 3 + 1
    figure = Figure(figsize=(9.6, 0.55 + 2.35 * rows))
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.07, right=0.985, bottom=0.5 / height, top=1 - 0.3 / height, wspace=0.1, hspace=0.32)
    places = list(figure.subplots(rows, 3, squeeze=False, sharex=True, sharey=True).flat)
    for axes in places[count:]:
        axes.set_axis_off()
    return figure, places


def label_outer(panels: Sequence[Axes], count: int, x: str, y: str) -> None:
    """Label the x axis of the lowest panels and the y axis of the leftmost panels, of the first `count` panels."""
    for place, axes in enumerate(panels[:count]):
        if place + 3 >= count:  # no panel is below it
            axes.set_xlabel(x)
            axes.tick_params(labelbottom=True)
        if place % 3 == 0:
            axes.set_ylabel(y)


def legend(panels: Sequence[Axes], keys: Sequence[Any]) -> None:
    """Put the legend in the last place of the grid."""
    panels[-1].legend(handles=keys, loc="center left", frameon=False, fontsize=9 if len(keys) < 10 else 8)


def rows(names: Sequence[str]) -> tuple[Figure, Axes]:
    """One axes with a row for each name, the first row at the top. The space beside it has room for every name."""
    height = 1.1 + 0.36 * max(1, len(names))
    figure = Figure(figsize=(8.4, height))
    widest = max((TextPath((0, 0), name, size=_POINTS).get_extents().width for name in names), default=0)
    left = max(_LEFT, (widest + _BESIDE_NAMES) / _POINTS_PER_INCH / figure.get_figwidth())
    figure.subplots_adjust(left=left, right=0.975, bottom=0.55 / height, top=1 - 0.4 / height)
    axes = figure.add_subplot()
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(1, len(names)) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.grid(visible=False, axis="y")
    return figure, axes


def legend_above(axes: Axes, keys: Sequence[Any]) -> None:
    """Put the legend above the axes of `rows`, four keys a line. The figure grows with every line after the first."""
    more = 0.2 * ((len(keys) - 1) // 4)
    figure = axes.get_figure(root=True)
    assert figure is not None
    if more > 0:
        height = figure.get_figheight() + more
        figure.set_figheight(height)
        figure.subplots_adjust(bottom=0.55 / height, top=1 - (0.4 + more) / height)
    if keys:
        is_shifted = axes.get_position().x0 > 0.25  # by long names of rows: then there is no room right of them
        axes.legend(
            handles=keys,
            loc="lower left",
            bbox_to_anchor=(0.02 if is_shifted else 0.235, 1.0),
            bbox_transform=blended_transform_factory(figure.transFigure, axes.transAxes),
            ncols=4,
            frameon=False,
            fontsize=8,
            columnspacing=1.4,
        )
