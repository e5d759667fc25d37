"""Draw the test images that runs miss most often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from bench.evidence.summary import MissedImage
from bench.report import canvas
from bench.report.canvas import Picture

_COLUMNS = 5
_INCHES = 9.6 / _COLUMNS, 1.0  # width and height of one image with its text
_PIXEL = 2.0 / 72  # inches: two points, so that the coordinates of pixels are short numbers
_SHADES = ((48, "#c9c9c5"), (112, "#8d8d89"), (176, "#575753"), (224, "#222222"))
"""The least ink and the colour of four shades. Each shade is drawn over the one before."""


def missed(images: Sequence[MissedImage], pixels: NDArray[np.uint8]) -> Picture:
    """Draw images with their number, label and the digits that runs see. `pixels` (N, 28, 28) has all test images."""
    rows = -(-len(images) // _COLUMNS)
    size = (_INCHES[0] * _COLUMNS, _INCHES[1] * rows)
    with canvas.style():
        figure = Figure(figsize=size)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, size[0]), ylim=(size[1], 0))
        axes.set_axis_off()
        for place, one in enumerate(images):
            left, top = place % _COLUMNS * _INCHES[0] + 0.1, place // _COLUMNS * _INCHES[1] + 0.1
            _draw(axes, pixels[one.image], left, top)
            x = left + 29 * _PIXEL + 0.06
            axes.text(x, top + 0.14, f"label {one.label}", fontsize=10, fontweight="bold")
            axes.text(x, top + 0.31, f"image {one.image}", fontsize=8, color="#555555")
            for line, words in enumerate(_seen(one)):
                axes.text(x, top + 0.5 + 0.15 * line, words, fontsize=8)
        said = "; ".join(f"image {one.image}, label {one.label}, {' and '.join(_seen(one))}" for one in images[:5])
        alt = f"The test images that {images[0].runs:,} runs miss most often. The first ones: {said}."
        return Picture(canvas.svg(figure), alt)


def _draw(axes: Axes, image: NDArray[np.uint8], left: float, top: float) -> None:
    """Draw an image as one patch for each shade. Equal neighbouring pixels of a row are one rectangle."""
    edge = 28 * _PIXEL
    axes.add_patch(PathPatch(_rectangles([(left, top, left + edge, top + edge)]), facecolor="white", linewidth=0))
    for darkness, colour in _SHADES:
        boxes = []
        for row, inked in enumerate(image >= darkness):
            ends = np.flatnonzero(np.diff(np.concatenate([[0], inked, [0]])))
            y = top + row * _PIXEL
            boxes += [
                (left + start * _PIXEL, y, left + end * _PIXEL, y + _PIXEL)
                for start, end in ends.reshape(-1, 2).tolist()
            ]
        if boxes:
            axes.add_patch(PathPatch(_rectangles(boxes), facecolor=colour, linewidth=0))


def _rectangles(boxes: Sequence[tuple[float, float, float, float]]) -> Path:
    vertices = [
        point
        for left, top, right, bottom in boxes
        for point in ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
    ]
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(boxes)
    return Path(vertices, codes)


def _seen(one: MissedImage) -> list[str]:
    """The digits that the runs see that miss an image, in at most two lines."""
    shown = [f"{runs} run{' sees' if runs == 1 else 's see'} {digit}" for digit, runs in one.seen_as[:2]]
    return shown if len(one.seen_as) < 3 else [shown[0], f"{one.missed_by - one.seen_as[0][1]} see others"]
