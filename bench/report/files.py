"""Render the files of a report from a record, and write them to disk."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.evidence.summary import Summary, summarise
from bench.files import replace
from bench.network import structure_facts
from bench.network.specification import Architecture
from bench.network.structure_facts import Structure
from bench.record import catalogue, environments, misses, verifications
from bench.record.misses import Misses
from bench.record.record import Record
from bench.record.verifications import Verifications
from bench.report import digits, figures, numbers, pixels
from bench.report.canvas import Picture
from bench.report.pages import across, head, networks, reference
from bench.report.pages.markdown import COMPONENTS, FIGURE, LAST, MISSED, OVERVIEW, SECONDS, TIME, figure_of

README, NUMBERS = "README.md", "summary.json"


def write(record: Record, architectures: Mapping[str, Architecture], folder: Path, data: Path | None = None) -> None:
    """Write the report of a record into a folder.

    The files beside the record are read too, and the pixels of the test images if they are in the folder `data`. The
    details of the environments go into the folder `environments`.

    Raises:
        OSError: like `replace_files`.
    """
    files = render(
        record,
        architectures,
        {**catalogue.read(record.path).structures, **structure_facts.load()},
        misses.read(record),
        verifications.read(record),
        pixels.test_images(data) if data is not None else None,
    )
    described = environments.read(record.path).items()
    recorded = set(record.rows["environment"])
    files |= {f"environments/{digest}.json": one.to_json().encode() for digest, one in described if digest in recorded}
    replace_files(files, folder)


def replace_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files of a report, by name, into a folder.

    README.md is written last, so that it never links to a missing figure. Figures that only an earlier report has are
    removed. Any other file stays.

    Raises:
        OSError: the folder cannot be written. Every file in it is then complete, either the old one or the new one.
    """
    stale = _figures_named_in(folder / README) - files.keys()
    for name in sorted(files, key=lambda name: (name == README, name)):
        replace(folder / name, files[name])
    for name in stale:
        (folder / name).unlink(missing_ok=True)


def render(
    record: Record,
    architectures: Mapping[str, Architecture],
    structures: Mapping[str, Structure],
    missed: Misses | None = None,
    verified: Verifications | None = None,
    test_images: NDArray[np.uint8] | None = None,
) -> dict[str, bytes]:
    """The files of the report, as a mapping from name to content."""
    summary = summarise(record, architectures, structures, missed, verified)
    pictures = _pictures(summary, test_images)
    alts = {name: picture.alt for name, picture in pictures.items()}
    return {
        **{name: picture.svg for name, picture in pictures.items()},
        NUMBERS: numbers.as_json(summary).encode(),
        README: document(summary, alts).encode(),
    }


def is_of_a_log(readme: Path) -> bool:
    """Whether a page is the report of a log."""
    return head.TITLE_OF_A_LOG in readme.read_text(encoding="utf-8", errors="replace").partition("\n")[0]


def document(summary: Summary, alts: Mapping[str, str]) -> str:
    """The Markdown of the report. `alts` maps the name of each figure to its alternative text."""
    lines = head.lines(summary, alts)
    for network in summary.networks:
        lines += networks.lines(network, alts)
    lines += [] if summary.is_of_a_log else across.lines(summary, alts)
    lines += reference.lines(summary)
    return "\n".join(lines).rstrip("\n") + "\n"


def _pictures(summary: Summary, test_images: NDArray[np.uint8] | None) -> dict[str, Picture]:
    most_missed = summary.images.most_missed
    is_drawn = test_images is not None and most_missed and max(one.image for one in most_missed) < len(test_images)
    missed = {MISSED: digits.missed(most_missed, test_images)} if test_images is not None and is_drawn else {}
    if summary.has_many_networks:
        return missed
    if summary.is_of_a_log:
        return {figure_of(network.name): figures.accuracy(network) for network in summary.networks}
    return {
        OVERVIEW: figures.accuracy_overview(summary.networks),
        TIME: figures.time_to_target(summary.networks),
        LAST: figures.last_accuracy(summary.networks),
        SECONDS: figures.seconds_per_epoch(summary.current),
        **_components(summary),
        **{figure_of(network.name): figures.accuracy(network) for network in summary.networks},
        **missed,
    }


def _components(summary: Summary) -> dict[str, Picture]:
    groups = [*summary.sources.groups, *summary.sources.together]
    return {COMPONENTS: figures.components(groups)} if any(one.flips for one in groups) else {}


def _figures_named_in(readme: Path) -> set[str]:
    """The figures that an earlier report shows and that the harness can have written beside it."""
    if not readme.is_file():
        return set()
    shown = re.findall(r"^!\[.*\]\(([^()/]+)\)$", readme.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return {name for name in shown if FIGURE.fullmatch(name)}
