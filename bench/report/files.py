"""From a record to the files of its report, and from there to the disk."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bench import figures, structure_facts
from bench.files import replace
from bench.record import Record
from bench.report import across, head, networks, numbers, reference
from bench.report.names import FIGURE, LAST, OVERVIEW, SECONDS, TIME, figure_of
from bench.specification import Architecture
from bench.structure_facts import Structure
from bench.summary import Summary, summarise

README, NUMBERS = "README.md", "summary.json"


def write(record: Record, architectures: Mapping[str, Architecture], folder: Path) -> None:
    """Write the report of a record into a folder, README.md last, so that it never names a picture that is not there.

    Pictures of an earlier report that this one no longer has are removed; any other file stays.

    Raises:
        OSError: the folder cannot be written; every file in it is the old one or the new one, whole.
    """
    files = render(record, architectures, structure_facts.load())
    stale = _figures_named_in(folder / README) - files.keys()
    for name in sorted(files, key=lambda name: (name == README, name)):
        replace(folder / name, files[name])
    for name in stale:
        (folder / name).unlink(missing_ok=True)


def render(
    record: Record, architectures: Mapping[str, Architecture], structures: Mapping[str, Structure]
) -> dict[str, bytes]:
    """The files of the report, name to content."""
    summary = summarise(record, architectures, structures)
    pictures = _pictures(summary)
    alts = {name: picture.alt for name, picture in pictures.items()}
    return {
        **{name: picture.svg for name, picture in pictures.items()},
        NUMBERS: numbers.as_json(summary).encode(),
        README: document(summary, alts).encode(),
    }


def document(summary: Summary, alts: Mapping[str, str]) -> str:
    """The Markdown; `alts` has the words that stand for each picture."""
    lines = head.lines(summary, alts)
    for network in summary.networks:
        lines += networks.lines(network, alts)
    lines += across.lines(summary, alts)
    lines += reference.lines(summary)
    return "\n".join(lines).rstrip("\n") + "\n"


def _pictures(summary: Summary) -> dict[str, figures.Picture]:
    return {
        OVERVIEW: figures.accuracy_overview(summary.networks),
        TIME: figures.time_to_target(summary.networks),
        LAST: figures.last_accuracy(summary.networks),
        SECONDS: figures.seconds_per_epoch(summary.current),
        **{figure_of(network.name): figures.accuracy(network) for network in summary.networks},
    }


def _figures_named_in(readme: Path) -> set[str]:
    """The pictures that an earlier report shows and may have made: files of ours, beside it."""
    if not readme.is_file():
        return set()
    shown = re.findall(r"^!\[.*\]\(([^()/]+)\)$", readme.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return {name for name in shown if FIGURE.fullmatch(name)}
