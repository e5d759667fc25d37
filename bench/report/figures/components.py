"""The figure of the components of the variance: a bar for each group of runs."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.evidence.summary import GroupSources
from bench.report import canvas
from bench.report.canvas import Picture
from bench.report.figures import marks

_FLIPS, _LEFT = "#bbbbbb", "#56B4E9"


def components(groups: Sequence[GroupSources]) -> Picture:
    """The variance of the last epoch of each group: flips of single images, and what is left, with its error."""
    split = [(one, one.flips) for one in groups if one.flips is not None]
    labels = {one.label for one, _ in split}
    names = [
        (marks.short_name(one.model) if one.model else "all") + (f", {one.label}" if len(labels) > 1 else "")
        for one, _ in split
    ]
    with canvas.style():
        figure, axes = canvas.rows(names or ["no group has two runs"])
        for y, (_, found) in enumerate(split):
            axes.barh([y - 0.16], [found.flips], height=0.28, color=_FLIPS)
            axes.barh([y + 0.16], [found.left], height=0.28, color=_LEFT)
            error = [found.left - found.left_error, found.left + found.left_error]
            axes.plot(error, [y + 0.16] * 2, color=canvas.INK, linewidth=1.2)
        axes.axvline(0, color="#888888", linewidth=0.8)
        axes.set_xlabel("variance of the last epoch over seeds (images squared)")
        canvas.legend_above(
            axes,
            [
                Patch(facecolor=_FLIPS, label="flips of single test images"),
                Patch(facecolor=_LEFT, label="left for training"),
                Line2D([], [], color=canvas.INK, linewidth=1.2, label="± one standard error"),
            ],
        )
        told = "; ".join(
            f"{name}: {found.flips:.1f} from flips, {found.left:.1f} left (standard error {found.left_error:.1f})"
            for name, (_, found) in zip(names, split, strict=True)
        )
        return Picture(canvas.svg(figure), f"Variance of the last epoch over seeds, by source. {told or 'No group'}.")
