"""The figure of the components of the variance: bars for each group of runs."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.evidence.summary import GroupSources, Kinds
from bench.report import canvas
from bench.report.canvas import Picture
from bench.report.figures import marks

_FLIPS, _LEFT, _WHOLE = "#bbbbbb", "#56B4E9", "#E69F00"


def components(groups: Sequence[GroupSources], kinds: Sequence[Kinds] = ()) -> Picture:
    """The variance of the last epoch of each group: flips of single images, and what is left, with its error.

    Below stands all of the variance, by what the seed changes.
    """
    split = [(one, one.flips) for one in groups if one.flips is not None]
    whole = [(network, one.vary or "everything", one.last) for network in kinds for one in network.kinds if one.last]
    labels = {one.label for one, _ in split} | {network.label for network, _, _ in whole}

    def name(model: str, label: str, vary: str = "") -> str:
        shown = (marks.short_name(model) if model else "all") + (f": {vary}" if vary else "")
        return shown + (f", {label}" if len(labels) > 1 else "")

    names = [name(one.model, one.label) for one, _ in split]
    names += [name(network.model, network.label, vary) for network, vary, _ in whole]
    with canvas.style():
        figure, axes = canvas.rows(names or ["no group has two runs"])
        for y, (_, found) in enumerate(split):
            axes.barh([y - 0.16], [found.flips], height=0.28, color=_FLIPS)
            axes.barh([y + 0.16], [found.left], height=0.28, color=_LEFT)
            error = [found.left - found.left_error, found.left + found.left_error]
            axes.plot(error, [y + 0.16] * 2, color=canvas.INK, linewidth=1.2)
        for y, (_, _, spread) in enumerate(whole, start=len(split)):
            axes.barh([y], [spread.variance], height=0.28, color=_WHOLE)
            error = [spread.variance - spread.error, spread.variance + spread.error]
            axes.plot(error, [y] * 2, color=canvas.INK, linewidth=1.2)
        axes.axvline(0, color="#888888", linewidth=0.8)
        axes.set_xlabel("variance of the last epoch over seeds (images squared)")
        keys = [
            Patch(facecolor=_FLIPS, label="flips of single test images"),
            Patch(facecolor=_LEFT, label="left for training"),
            Line2D([], [], color=canvas.INK, linewidth=1.2, label="± one standard error"),
        ]
        of_whole = [Patch(facecolor=_WHOLE, label="whole")] if whole else []
        canvas.legend_above(axes, [*(keys if split else keys[2:]), *of_whole])
        parts = [
            f"{found.flips:.1f} from flips, {found.left:.1f} left (standard error {found.left_error:.1f})"
            for _, found in split
        ]
        parts += [f"{spread.variance:.1f} (standard error {spread.error:.1f})" for _, _, spread in whole]
        told = "; ".join(f"{name}: {part}" for name, part in zip(names, parts, strict=True))
        return Picture(canvas.svg(figure), f"Variance of the last epoch over seeds, by source. {told or 'No group'}.")
