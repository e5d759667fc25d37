"""Tests of `by_epoch`, `by_group`, `components`, `evidence`, `marks`: every picture is valid SVG and the same."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
import synthetic
from cases import few_by_default

from bench.evidence.summary import Summary, summarise
from bench.logs.judged import Claimed, architecture, as_record
from bench.logs.log import Log, LoggedRun
from bench.network import structure_facts
from bench.network.specification import Target
from bench.record.rows import Row
from bench.report import figures
from bench.report.canvas import Picture
from bench.report.figures import marks
from models import ARCHITECTURES

CASES: dict[str, list[Row]] = {
    "no run": [],
    "one epoch": synthetic.run_rows("unpadded", 1, [9800]),
    "one run": synthetic.run_rows("gap_head", 1, synthetic.counts(1, 20)),
    "two runs, one cut short": [
        *synthetic.run_rows("gap_head", 1, synthetic.counts(1, 20)),
        *synthetic.run_rows("gap_head", 2, synthetic.counts(2, 7), ending=("interrupted", "")),
    ],
    "a run that crashed in its first epoch": synthetic.run_rows("unpadded", 1, [], ending=("error", "boom")),
    "five seeds": synthetic.full(),
    "two devices and two environments of one": [
        *synthetic.full(seeds=(1, 2)),
        *synthetic.full(seeds=(1, 2), device="cuda", environment=synthetic.GPU, seconds=1.0),
        *synthetic.full(seeds=(3,), environment="99990000"),
    ],
    "more epochs than documented": synthetic.run_rows("squeeze_fc", 1, synthetic.counts(1, 45)),
    "a collapse": synthetic.collapsing(),
    "no time at all": synthetic.run_rows("unpadded", 1, [9800, 9900], seconds=0.0),
    "far below and far above": [
        *synthetic.run_rows("unpadded", 1, [1000] * 19),
        *synthetic.run_rows("unpadded", 2, [9999] * 19),
    ],
}

QUICK = ("no run", "a run that crashed in its first epoch", "five seeds", "far below and far above")


def summary(folder: Path, rows: list[Row]) -> Summary:
    return summarise(synthetic.record(folder, rows), synthetic.architectures(), structure_facts.load())


def pictures(one: Summary) -> dict[str, Picture]:
    return {
        "overview": figures.accuracy_overview(one.networks),
        "time": figures.time_to_target(one.networks),
        "last": figures.last_accuracy(one.networks),
        "seconds": figures.seconds_per_epoch(one.current),
        "evidence": figures.evidence(one.networks),
        "components": figures.components([*one.sources.groups, *one.sources.together]),
        **{network.name: figures.accuracy(network) for network in one.networks},
    }


@pytest.mark.parametrize("case", few_by_default(CASES, QUICK, pytest.mark.slow))
def test_every_record_gives_pictures_that_are_xml_with_words_and_no_raw_formula(tmp_path: Path, case: str) -> None:
    for picture in pictures(summary(tmp_path, CASES[case])).values():
        assert ElementTree.fromstring(picture.svg).tag.endswith("svg")
        assert len(picture.alt) > 20
        assert "\n" not in picture.alt
        assert "nan" not in picture.alt
        drawn = re.findall(r"<!-- (.*?) -->", picture.svg.decode())  # the words beside the paths of their letters
        assert len(drawn) > 3
        assert not [words for words in drawn if "$" in words]


def test_seconds_that_are_far_apart_are_read_off_a_logarithmic_axis(tmp_path: Path) -> None:
    slow = synthetic.run_rows("squeeze_fc", 1, synthetic.counts(1, 19), seconds=700.0)
    one = summary(tmp_path, [*slow, *synthetic.run_rows("unpadded", 1, synthetic.counts(1, 19), seconds=12.0)])
    words = re.findall(r"<!-- (\d+) -->", figures.seconds_per_epoch(one.current).svg.decode())
    assert {"20", "50", "100", "200", "500"} <= set(words)


def test_pictures_hold_no_date_no_version_and_no_path(tmp_path: Path) -> None:
    for picture in pictures(summary(tmp_path, CASES["five seeds"])).values():
        text = picture.svg.decode()
        assert "dc:date" not in text
        assert matplotlib.__version__ not in text
        assert str(tmp_path) not in text
        assert "font-family" not in text  # letters are paths


def test_pictures_stand_on_an_opaque_light_ground(tmp_path: Path) -> None:
    for picture in pictures(summary(tmp_path, CASES["one run"])).values():
        first_patch = re.search(rb'<g id="patch_1">.*?</g>', picture.svg, re.DOTALL)
        assert first_patch is not None
        assert b"#fcfcfa" in first_patch.group()


def test_a_users_own_matplotlib_settings_change_no_byte(tmp_path: Path) -> None:
    one = summary(tmp_path, CASES["five seeds"])
    plain = figures.accuracy_overview(one.networks)
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "none", "axes.formatter.use_locale": True}):
        assert figures.accuracy_overview(one.networks) == plain


def test_drawing_leaves_no_setting_behind(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    pictures(summary(tmp_path, CASES["one run"]))
    assert dict(matplotlib.rcParams) == before


def test_alternative_texts_say_what_the_picture_shows(tmp_path: Path) -> None:
    shown = pictures(summary(tmp_path, CASES["two runs, one cut short"]))
    assert "gap_head: 1 of 2 on cpu" in shown["overview"].alt
    assert "squeeze_fc: no run" in shown["overview"].alt
    assert "reaches it in epoch 10" in shown["gap_head"].alt
    assert "never reaches it" in shown["squeeze_fc"].alt
    assert "no complete run" in shown["last"].alt


def _lines(picture: Picture, points: int) -> list[list[tuple[float, float]]]:
    """Every straight line of a picture through so many points, as (x, y) in its own coordinates; y grows downward."""
    paths = (re.findall(r"[MLCz][^MLCz]*", path) for path in re.findall(r' d="([^"]*)"', picture.svg.decode()))
    straight = (path for path in paths if len(path) == points and not {"C", "z"} & {part[0] for part in path})
    return [[(float(x), float(y)) for x, y in (part[1:].split() for part in path)] for path in straight]


def _evidence(folder: Path, rows: list[Row], *names: str) -> Picture:
    one = summarise(synthetic.record(folder, rows), synthetic.architectures(*names), structure_facts.load())
    return figures.evidence(one.networks)


def test_the_fifth_seed_that_agrees_brings_the_evidence_to_the_line_where_it_decides(tmp_path: Path) -> None:
    """All seeds reach the target, so this claim goes up. None keeps it, so that claim goes down."""
    rows = [row for seed in range(1, 6) for row in synthetic.run_rows("expand_squeeze", seed, [9940] * 19)]
    picture = _evidence(tmp_path, rows, "expand_squeeze")
    assert "reaches the target 20.17 for and 0.09 against after 5 seeds" in picture.alt
    assert "above it in the last epochs 0.09 for and 20.17 against after 5 seeds" in picture.alt
    decides = {one[0][1] for one in _lines(picture, 2) if one[0][1] == one[1][1]}
    up, *_, down = sorted(_lines(picture, 5), key=lambda one: one[-1][1])
    for course in (up, down):
        distances = [min(abs(y - line) for line in decides) for _, y in course]
        assert distances[4] < 0.5 < distances[3]
    assert up[-1][1] < up[0][1] < down[0][1] < down[-1][1]


def test_a_claim_on_the_documented_run_ends_where_a_seed_settles_it(tmp_path: Path) -> None:
    """The document of `unpadded` ends at 9951. The third seed is as good."""
    lasts = (9930, 9940, 9951, 9930)
    rows = [
        row for seed, last in enumerate(lasts) for row in synthetic.run_rows("unpadded", seed, [9900] * 18 + [last])
    ]
    picture = _evidence(tmp_path, rows, "unpadded")
    assert "claimed last cannot be rejected after 3 seeds" in picture.alt
    assert b"holds: cannot be rejected any more" in picture.svg
    assert b"holds: cannot be rejected any more" not in _evidence(tmp_path, rows[:19], "unpadded").svg


def test_a_long_name_with_its_place_is_not_cut_off(tmp_path: Path) -> None:
    one = summary(tmp_path, CASES["two devices and two environments of one"])
    for picture in (figures.last_accuracy(one.networks), figures.seconds_per_epoch(one.current)):
        names = re.findall(r"<!-- [^>]*cpu 99990000 -->\s*<g [^>]*translate\((-?[\d.]+)", picture.svg.decode())
        assert names
        assert min(map(float, names)) > 0


def test_points_outside_the_range_are_marked_at_the_edge(tmp_path: Path) -> None:
    inside = summary(tmp_path, synthetic.run_rows("gap_head", 1, [9930] * 20)).networks[-1]
    outside = summary(tmp_path, synthetic.run_rows("gap_head", 1, [9930] * 19 + [9000])).networks[-1]
    # The first epochs of the documented curve lie outside in both. In `outside` one epoch of the seed does too.
    assert _markers(figures.accuracy(outside)) == _markers(figures.accuracy(inside)) + 1


def test_a_documented_run_of_an_earlier_network_is_named_so_in_the_figure(tmp_path: Path) -> None:
    by_name = {one.name: figures.accuracy(one) for one in summary(tmp_path, synthetic.full()).networks}
    assert "The documented run of an earlier network never reaches it and ends at 9922." in by_name["squeeze_fc"].alt
    assert "The documented run reaches it in epoch 10 and ends at 9952." in by_name["gap_head"].alt
    assert [b"of an earlier network" in by_name[name].svg for name in ("squeeze_fc", "gap_head")] == [True, False]


def test_every_seed_of_many_with_the_same_value_is_drawn(tmp_path: Path) -> None:
    rows = [row for seed in range(1, 13) for row in synthetic.run_rows("gap_head", seed, [9930] * 20)]
    svg = figures.last_accuracy(summary(tmp_path, rows).networks).svg.decode()
    places = re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)" style="fill: #0072b2; fill-opacity: 0.85', svg)
    assert len(set(places)) == 12


def test_seeds_that_end_below_the_figure_are_counted_at_its_edge(tmp_path: Path) -> None:
    ends = (9930, 9000, 8000)
    rows = [
        row for seed, end in enumerate(ends, 1) for row in synthetic.run_rows("gap_head", seed, [9930] * 19 + [end])
    ]
    assert b"2 seeds further left" in figures.last_accuracy(summary(tmp_path, rows).networks).svg
    assert b"further left" not in figures.last_accuracy(summary(tmp_path, rows[:20]).networks).svg


@pytest.mark.parametrize(
    ("target", "limits"),
    [(9940, (98.5, 99.7)), (9900, (97.5, 99.7)), (9800, (95.0, 99.7)), (9990, (98.5, 99.95)), (3000, (0.0, 99.7))],
)
def test_the_target_of_any_network_is_inside_the_picture(
    tmp_path: Path, target: int, limits: tuple[float, float]
) -> None:
    own = synthetic.with_recipe(ARCHITECTURES["unpadded"], document=None, target=Target(target))
    rows = synthetic.run_rows("unpadded", 1, [100, *[target] * 18])
    one = summarise(synthetic.record(tmp_path, rows), {"unpadded": own}, {})
    assert marks.limits(one.networks) == limits
    words = re.findall(r"<!-- (.*?) -->", figures.accuracy(one.networks[0]).svg.decode())
    assert f"below {limits[0]:g} %" in words
    assert f"target, {target / 100:g} %" in words
    assert "documented run" not in words


def _markers(picture: Picture) -> int:
    return picture.svg.count(b"<use xlink:href=")


def test_three_hundred_seeds_stay_a_small_picture(tmp_path: Path) -> None:
    rows = [
        row for seed in range(1, 301) for row in synthetic.run_rows("unpadded", seed, synthetic.counts(seed, 19, 9935))
    ]
    for picture in pictures(summary(tmp_path, rows)).values():
        assert len(picture.svg) < 300_000


def test_a_name_the_font_lacks_is_still_drawn(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    name = "net | 🚀\n<b>" + "x" * 80
    architectures = {name: synthetic.with_recipe(ARCHITECTURES["unpadded"], name=name)}
    one = summarise(synthetic.record(tmp_path, []), architectures, {})
    for picture in (figures.accuracy_overview(one.networks), figures.time_to_target(one.networks)):
        ElementTree.fromstring(picture.svg)
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def logged(*runs: tuple[int, ...]) -> Summary:
    log = Log(
        (Path("log.csv"),), tuple(LoggedRun("", *one) for one in enumerate(runs, start=1)), 10_000, True, False, ()
    )
    network = architecture(log, Claimed("76%"))
    return summarise(as_record(log, network), {network.name: network}, {})


def test_the_figure_of_a_log_shows_the_accuracies_that_the_log_has():
    networks = logged((2000, 7000, 7500, 7610), (2100, 7100, 7450, 7590)).networks
    lowest, highest = marks.limits(networks)
    assert 20 < lowest < 74
    assert 76.1 < highest < 80
    assert figures.accuracy(networks[0]).svg == figures.accuracy(networks[0]).svg
    perfect = marks.limits(logged((10_000,)).networks)
    assert perfect[1] == 100
