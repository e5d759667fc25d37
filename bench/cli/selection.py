"""Read the options that select what to train: networks, seeds, devices and the cluster.

Slow modules are imported only when they are needed, so that a wrong word is refused at once.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UnusableInput
from bench.network.calls import is_member

if TYPE_CHECKING:
    from bench.jobs.cluster.workers import Cluster
    from bench.jobs.job import Paths, Selection
    from bench.network.specification import Architecture

_MANY_RUNS = 100_000  # more of them take seconds

_log = logging.getLogger(__name__)


SEEDS, AT_MOST = "5", 40
"""The defaults of `--seeds` and of `--at-most`."""


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds of `--seeds`: `N` means 1 to N; a list has seeds and ranges `A-B`.

    Raises:
        UnusableInput: the text has another form, a seed does not fit 64 bits, or there are too many seeds.
    """
    most = 10_000_000
    problem = f"--seeds {text}: give N for 1 to N, A-B, or a list like 3,8"
    if re.fullmatch(r"[0-9]{1,7}", text):
        if int(text) == 0:
            raise UnusableInput(f"--seeds {text}: at least one seed is needed")
        return tuple(range(1, int(text) + 1))
    if re.fullmatch(r"[0-9]+", text):
        raise UnusableInput(f"--seeds {text}: 1 to {text} is too many; for this one seed, give {text}-{text}")
    ranges: list[range] = []
    for part in text.split(","):
        ends = re.fullmatch(r"([0-9]{1,20})(?:-([0-9]{1,20}))?", part)
        if not ends:
            raise UnusableInput(problem)
        first, last = int(ends[1]), int(ends[2] or ends[1])
        if first > last or last >= 2**64:
            raise UnusableInput(problem)
        ranges.append(range(first, last + 1))
    if sum(one.stop - one.start for one in ranges) > most:
        raise UnusableInput(f"--seeds {text}: these are too many seeds: give at most {most}")
    return tuple(dict.fromkeys(seed for one in ranges for seed in one))


def training_seeds(arguments: argparse.Namespace) -> tuple[int, ...]:
    """Return the seeds that may be trained: those of `--seeds`, or 1 to `--at-most` with `--until-decided`.

    Raises:
        UnusableInput: the options do not go together, or as `parse_seeds`.
    """
    if not arguments.until_decided:
        if arguments.at_most is not None:
            raise UnusableInput("--at-most: can only be used with --until-decided; give --seeds N for seeds 1 to N")
        return parse_seeds(SEEDS if arguments.seeds is None else arguments.seeds)
    for name in ("seeds", "epochs"):
        if getattr(arguments, name) is not None:
            takes = "seeds 1, 2, 3, … up to --at-most, with all epochs of each recipe"
            raise UnusableInput(f"--{name}: cannot be used with --until-decided, which trains {takes}")
    if arguments.vary:
        problem = "cannot be used with --until-decided, because such runs count for no claim"
        raise UnusableInput(f"--vary: {problem}; give --seeds 1-8")
    at_most = AT_MOST if arguments.at_most is None else arguments.at_most
    if at_most > 1000:
        raise UnusableInput(f"--at-most {at_most}: give at most 1000; 242 seeds decide every share")
    return tuple(range(1, at_most + 1))


def parse_names(text: str | None) -> tuple[str, ...]:
    """Return the names of the documented networks that `--models` names, or of all if the option is omitted.

    Raises:
        UnusableInput: a name is not that of a documented network.
    """
    from models import ARCHITECTURES

    names = text.split(",") if text is not None else list(ARCHITECTURES)
    for name in names:
        if name not in ARCHITECTURES:
            raise UnusableInput(f"--models {name}: no such network; choose from {', '.join(ARCHITECTURES)}")
    return tuple(dict.fromkeys(names))


def parse_networks(text: str | None, others: Mapping[str, Architecture] | None = None) -> list[Architecture]:
    """Return the networks that `--models` chooses. If the option is omitted, return all that have a name.

    `others` are more networks that can be chosen by name.

    Raises:
        UnusableInput: as `bench.cli.networks.known` and `bench.cli.networks.find`.
    """
    from bench.cli import networks

    known = networks.known()
    if text is None:
        return list(known.values())
    named = {**(others or {}), **known}
    return networks.find(_words(text, named), named, "--models ")


def _words(text: str, named: Mapping[str, Architecture]) -> list[str]:
    """Split a list at its commas, without those in a path and those between the arguments of a network."""
    parts, words = text.split(","), list[str]()
    while parts:
        tries = (",".join(parts[:length]) for length in range(1, len(parts) + 1))
        word = next((one for one in tries if _is_word(one, named)), parts[0])
        words.append(word)
        del parts[: word.count(",") + 1]
    return words


def _is_word(text: str, named: Mapping[str, Architecture]) -> bool:
    path, _, member = text.partition("::")
    return text in named or (bool(path) and Path(path).exists() and is_member(member))


def parse_columns(words: Iterable[str]) -> dict[str, str]:
    """Return the columns of a log that `--column` names, by role.

    Raises:
        UnusableInput: a word is not ROLE=NAME, or names a role again.
    """
    from bench.logs.columns import ROLES

    found: dict[str, str] = {}
    for word in words:
        role, _, name = word.partition("=")
        if role not in ROLES or not name:
            raise UnusableInput(f"--column {word}: give ROLE=NAME, where the role is one of {', '.join(ROLES)}")
        if role in found:
            raise UnusableInput(f"--column {word}: the column of {role} is also {found[role]}: name one of them")
        found[role] = name
    return found


def parse_devices(text: str, available: Iterable[str] | None = None) -> tuple[str, ...]:
    """Return the devices of `--devices`. `auto` means all `available` devices, by default those of this machine.

    Raises:
        UnusableInput: a word is not a kind of device.
    """
    from bench.network.specification import DEVICES

    wanted = text.split(",")
    for device in wanted:
        if device not in ("auto", *DEVICES):
            raise UnusableInput(f"--devices {device}: no such device; choose from auto, {', '.join(DEVICES)}")

    if available is None:
        from bench.training import environment

        available = environment.available_devices()
    found = [every for one in wanted for every in (available if one == "auto" else (one,))]
    return tuple(dict.fromkeys(found))


def jobs(arguments: argparse.Namespace) -> int:
    """Return how many runs train at the same time on the CPU: `--jobs`, or as many as the machine can.

    If that is less than the physical cores, a line says why.
    """
    from bench.jobs import cores
    from bench.wording import count

    if arguments.jobs:
        return int(arguments.jobs)
    found = cores.usable()
    if found.limit:
        print(f"bench: {count(found.number, 'run')} at a time, because {found.limit}; see --jobs", file=sys.stderr)
    return found.number


def paths(arguments: argparse.Namespace) -> Paths:
    """Return the paths that `--runs`, `--report` and `--data` name."""
    from bench.jobs.job import Paths

    return Paths(arguments.runs, arguments.report, arguments.data)


@contextlib.contextmanager
def selected(arguments: argparse.Namespace) -> Iterator[tuple[Selection, Cluster | None]]:
    """Yield the selection and the cluster of `--cluster`. The connection to the cluster closes with the context.

    Raises:
        UnusableInput: an option is wrong, a network cannot be trained, or the cluster cannot be used.
    """
    chosen, seeds = parse_networks(arguments.models), training_seeds(arguments)
    parse_devices(arguments.devices, ())  # refuse a wrong word before the slow steps below
    number = len(chosen) * len(seeds)
    if number > _MANY_RUNS:
        print(f"bench: comparing {number:,} runs with the record, which takes a while", file=sys.stderr)
    if arguments.cluster is not None and arguments.jobs is not None:
        raise UnusableInput(
            "--jobs: cannot be used with --cluster; there, each worker trains as many runs as it has threads"
        )

    from bench.cli import networks
    from bench.jobs.job import Selection

    own = {one.architecture.name: one for one in networks.inspect([one for one in chosen if one.document is None])}
    found = (own[one.name].architecture if one.name in own else one for one in chosen)
    architectures = tuple(one.varied(arguments.vary) for one in found)
    structures = {name: one.structure for name, one in own.items()}
    for one in own.values():
        for remark in one.remarks:
            _log.warning("%s: %s", one.architecture.path, remark)
    with _cluster(arguments.cluster, architectures) as cluster:
        devices = parse_devices(arguments.devices, None if cluster is None else cluster.slots)
        chosen_jobs = jobs(arguments) if cluster is None else 1
        yield (
            Selection(
                architectures,
                devices,
                seeds,
                epochs=arguments.epochs,
                jobs=chosen_jobs,
                structures=structures,
                arithmetic=arguments.arithmetic,
                until_decided=arguments.until_decided,
            ),
            cluster,
        )


def _cluster(
    address: str | None, architectures: Sequence[Architecture]
) -> contextlib.AbstractContextManager[Cluster | None]:
    if address is None:
        return contextlib.nullcontext()

    from bench.jobs.cluster import workers

    return workers.connect(address, architectures)
