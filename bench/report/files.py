"""Render the files of a report from a record, and write them to disk."""

from __future__ import annotations

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
from bench.report import digits, figures, numbers, pixels, written
from bench.report.canvas import Picture
from bench.report.markdown import (
    COMPONENTS,
    DATA,
    EVIDENCE,
    LAST,
    METHODS,
    MISSED,
    OVERVIEW,
    README,
    SECONDS,
    TIME,
    figure_of,
    page_of,
)
from bench.report.pages import across, claims, definitions, doubt, head, methods, networks, variance

NUMBERS = "summary.json"


def write(
    record: Record, architectures: Mapping[str, Architecture], folder: Path, data: Path | None = None
) -> tuple[Path, ...]:
    """Write the report of a record into a folder. Return the files of an earlier report that were removed.

    The files beside the record are read too, and the pixels of the test images if they are in the folder `data`. The
    details of the environments go into the folder `environments`.

    Raises:
        UnusableInput, OSError: like `replace_files`.
    """
    files = render(
        record,
        architectures,
        {**catalogue.read(record.path).structures, **structure_facts.load()},
        misses.read(record),
        verifications.read(record),
        pixels.test_images(data) if data is not None else None,
        folder,
    )
    described = environments.read(record.path).items()
    recorded = set(record.rows["environment"])
    files |= {f"environments/{digest}.json": one.to_json().encode() for digest, one in described if digest in recorded}
    return replace_files(files, folder)


def replace_files(files: Mapping[str, bytes], folder: Path) -> tuple[Path, ...]:
    """Write the files of a report, by name, into a folder. Return the files of an earlier report that were removed.

    README.md is written last, so that it never links to a missing page. Only files of a report are replaced or removed.
    An environment's file is named by its content, so it is replaced without a mark.

    Raises:
        UnusableInput: something else has the name of a file of the report. Nothing was written.
        OSError: the folder cannot be written. Every file in it is then complete, either the old one or the new one.
    """
    written.require_own(folder, [name for name in files if "/" not in name])
    stale = written.stale(folder, files)
    for name in sorted(files, key=lambda name: (name == README, name)):
        replace(folder / name, files[name])
    for path in stale:
        path.unlink(missing_ok=True)
    return tuple(stale)


def render(
    record: Record,
    architectures: Mapping[str, Architecture],
    structures: Mapping[str, Structure],
    missed: Misses | None = None,
    verified: Verifications | None = None,
    test_images: NDArray[np.uint8] | None = None,
    folder: Path | None = None,
) -> dict[str, bytes]:
    """The files of the report, as a mapping from name to content. The report's folder is `report` by default."""
    summary = summarise(record, architectures, structures, missed, verified)
    pictures = _pictures(summary, test_images)
    alts = {name: picture.alt for name, picture in pictures.items()}
    texts = pages(summary, alts, record.path, folder or record.path.with_name("report"))
    return {
        **{name: picture.svg for name, picture in pictures.items()},
        NUMBERS: numbers.as_json(summary).encode(),
        **{name: page.encode() for name, page in texts.items()},
    }


def is_of_a_log(readme: Path) -> bool:
    """Whether a page is the report of a log."""
    text = readme.read_text(encoding="utf-8", errors="replace")
    return head.TITLE_OF_A_LOG in next((line for line in text.splitlines() if line.startswith("# ")), "")


def pages(summary: Summary, alts: Mapping[str, str], runs: Path, folder: Path) -> dict[str, str]:
    """The pages of the report as Markdown, by file name. `alts` maps each figure to its alternative text.

    `runs` is the record and `folder` is the report's folder. The pages name the one as seen from the other. The report
    of a log has no page of data.
    """
    defined = definitions.terms(summary)
    front = [*head.lines(summary, alts), *claims.lines(summary, alts)]
    if not summary.is_of_a_log:
        front += [*variance.in_brief(summary), *doubt.lines(summary, runs, folder)]
    texts = {
        README: front,
        **{page_of(one.name): networks.lines(one, summary, alts) for one in summary.networks},
        METHODS: methods.lines(summary, defined),
        **({} if summary.is_of_a_log else {DATA: across.lines(summary, alts)}),
    }
    return {
        name: definitions.with_links("\n".join([written.COMMENT, "", *lines]).rstrip("\n") + "\n", defined, name)
        for name, lines in texts.items()
    }


def _pictures(summary: Summary, test_images: NDArray[np.uint8] | None) -> dict[str, Picture]:
    most_missed = summary.images.most_missed
    is_drawn = test_images is not None and most_missed and max(one.image for one in most_missed) < len(test_images)
    missed = {MISSED: digits.missed(most_missed, test_images)} if test_images is not None and is_drawn else {}
    if summary.has_many_networks:
        return missed
    evidence = {EVIDENCE: figures.evidence(summary.networks)} if any(one.courses for one in summary.current) else {}
    if summary.is_of_a_log:
        return evidence | {figure_of(network.name): figures.accuracy(network) for network in summary.networks}
    return {
        OVERVIEW: figures.accuracy_overview(summary.networks),
        **evidence,
        TIME: figures.time_to_target(summary.networks),
        LAST: figures.last_accuracy(summary.networks),
        SECONDS: figures.seconds_per_epoch(summary.current),
        **_components(summary),
        **{figure_of(network.name): figures.accuracy(network) for network in summary.networks},
        **missed,
    }


def _components(summary: Summary) -> dict[str, Picture]:
    groups = [*summary.sources.groups, *summary.sources.together]
    kinds = summary.sources.kinds
    is_known = any(one.flips for one in groups) or any(one.last for network in kinds for one in network.kinds)
    return {COMPONENTS: figures.components(groups, kinds)} if is_known else {}
