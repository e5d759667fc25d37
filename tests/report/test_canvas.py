"""Tests of `canvas`: the ground of every figure, with room for its panels, rows and legend."""

from __future__ import annotations

from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
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


@pytest.mark.parametrize("name", ["short", "m" * 28, "ten_twenty_thirty: everything, cpu a5a73a76", "m" * 56])
def test_a_name_of_any_length_is_drawn_whole(name: str):
    keys = [Line2D([], [], label="a word or two") for _ in range(4)]
    with canvas.style(), matplotlib.rc_context({"text.hinting": "none"}):
        figure, axes = canvas.rows(["one", name])
        canvas.legend_above(axes, keys)
        FigureCanvasAgg(figure).draw()
        assert min(label.get_window_extent().x0 for label in axes.get_yticklabels()) >= 0
        assert axes.get_position().x0 == pytest.approx(0.24) or len(name) > 20
        legend = axes.get_legend()
        assert legend is not None
        assert legend.get_window_extent().x0 == pytest.approx(0.24 * 840, abs=12)


def test_a_figure_is_the_same_file_every_time_whatever_the_users_settings():
    def drawn() -> bytes:
        with canvas.style():
            return canvas.svg(canvas.rows(["one", "two"])[0])

    first = drawn()
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": "another", "axes.facecolor": "black"}):
        assert drawn() == first
    assert canvas.GROUND.encode() in first
