"""Tests of `canvas`: the ground of every figure, with room for its panels, rows and legend."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.lines import Line2D

from bench.report import canvas


@pytest.mark.parametrize(("count", "places"), [(1, 3), (2, 3), (3, 6), (5, 6), (6, 9)])
def test_a_grid_has_a_free_place_for_the_legend(count: int, places: int):
    with canvas.style():
        _, panels = canvas.panels(count)
        canvas.legend(panels, [Line2D([], [], label="one")])
    assert len(panels) == places > count
    assert [axes.axison for axes in panels] == [True] * count + [False] * (places - count)
    assert panels[-1].get_legend() is not None


def test_only_the_outer_panels_name_their_axes():
    with canvas.style():
        _, panels = canvas.panels(5)
        canvas.label_outer(panels, 5, "epoch", "accuracy")
    assert [bool(axes.get_ylabel()) for axes in panels] == [True, False, False, True, False, False]
    assert [bool(axes.get_xlabel()) for axes in panels] == [False, False, True, True, True, False]


@pytest.mark.parametrize("names", [(), ("one",), ("one", "two", "three")])
def test_rows_stand_from_top_to_bottom_in_the_order_given(names: tuple[str, ...]):
    with canvas.style():
        figure, axes = canvas.rows(names)
        canvas.legend_above(axes, [])
        svg = canvas.svg(figure)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(names)
    bottom, top = axes.get_ylim()
    assert top < 0 <= max(0, len(names) - 1) < bottom
    assert axes.get_legend() is None
    assert ElementTree.fromstring(svg).tag.endswith("svg")


@pytest.mark.parametrize("keys", [1, 4, 5, 9])
@pytest.mark.parametrize(
    "name", ["one", "a_name_of_28_letters_________, cuda", "x: everything, cpu a5a73a76", "m" * 56]
)
def test_names_and_legend_are_inside_the_figure_and_the_legend_is_above_the_rows(name: str, keys: int):
    with canvas.style():
        figure, axes = canvas.rows([name, name])
        canvas.legend_above(axes, [Line2D([], [], label="a seed on a GPU") for _ in range(keys)])
        FigureCanvasSVG(figure).print_svg(io.BytesIO())
        legend = axes.get_legend()
        assert legend is not None
        whole, rows, box = figure.bbox, axes.get_window_extent(), legend.get_window_extent()
        names = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert min(one.x0 for one in names) > 0
    assert (box.x0 > 0, box.x1 < whole.x1, box.y1 < whole.y1, box.y0 > rows.y1 - 5) == (True,) * 4


def test_a_figure_is_the_same_file_every_time_whatever_the_users_settings():
    def drawn() -> bytes:
        with canvas.style():
            return canvas.svg(canvas.rows(["one", "two"])[0])

    first = drawn()
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": "another", "axes.facecolor": "black"}):
        assert drawn() == first
    assert canvas.GROUND.encode() in first
