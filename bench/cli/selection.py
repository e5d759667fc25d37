"""What the words of a command line select: networks, seeds, devices, and the cluster that trains.

What it takes to look is imported only then, so that a wrong word is refused at once.
"""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.errors import UnusableInput

if TYPE_CHECKING:
    from bench.jobs.cluster.workers import Cluster
    from bench.jobs.job import Places, Selection
    from bench.network.specification import Architecture


def parse_seeds(text: str) -> tuple[int, ...]:
    """The seeds meant by `N` (1 to N), or by a list of seeds and ranges `A-B`.

    Raises:
        UnusableInput: the text means no seed, or none that fits 64 bits.
    """
    problem = f"--seeds {text}: give N for 1 to N, A-B, or a list like 3,8"
    if re.fullmatch(r"[0-9]{1,7}", text):
        if int(text) == 0:
            raise UnusableInput(f"--seeds {text}: at least one seed is needed")
        return tuple(range(1, int(text) + 1))
    if re.fullmatch(r"[0-9]+", text):
        raise UnusableInput(f"--seeds {text}: 1 to N is too many; for one seed alone give {text}-{text}")
    seeds: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"([0-9]{1,20})(?:-([0-9]{1,20}))?", part)
        if not ends:
            raise UnusableInput(problem)
        first, last = int(ends[1]), int(ends[2] or ends[1])
        if first > last or last >= 2**64 or last - first >= 10_000_000:
            raise UnusableInput(problem)
        seeds.extend(range(first, last + 1))
    return tuple(dict.fromkeys(seeds))


def parse_names(text: str | None) -> tuple[str, ...]:
    """The documented networks meant by `--models`; all of them by none.

    Raises:
        UnusableInput: there is no such network.
    """
    from models import ARCHITECTURES

    names = text.split(",") if text is not None else list(ARCHITECTURES)
    for name in names:
        if name not in ARCHITECTURES:
            raise UnusableInput(f"--models {name}: no such network; there are {', '.join(ARCHITECTURES)}")
    return tuple(dict.fromkeys(names))


def parse_networks(text: str | None, others: Mapping[str, Architecture] | None = None) -> list[Architecture]:
    """The networks meant by `--models`, `others` among them by name; by none all that have a name here.

    Raises:
        UnusableInput: as `bench.cli.networks.known` and `bench.cli.networks.find`.
    """
    from bench.cli import networks

    here = networks.known()
    if text is None:
        return list(here.values())
    return networks.find(text.split(","), {**(others or {}), **here}, "--models ")


def parse_devices(text: str, available: Iterable[str] | None = None) -> tuple[str, ...]:
    """The devices meant by `--devices`; `available` are those of this machine by default.

    Raises:
        UnusableInput: there is no such kind of device.
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
    """The runs at a time on the CPU: those of `--jobs`, or one a physical core."""
    from bench.jobs import scheduling

    return arguments.jobs or scheduling.physical_cores()


def places(arguments: argparse.Namespace, cluster: Cluster | None = None) -> Places:
    """The places that `--runs`, `--report` and `--data` name."""
    from bench.jobs.job import Places

    return Places(arguments.runs, arguments.report, arguments.data, cluster)


@contextlib.contextmanager
def selected(arguments: argparse.Namespace) -> Iterator[tuple[Selection, Cluster | None]]:
    """The runs that are selected, and the cluster of `--cluster`, connected to while this lasts.

    Raises:
        UnusableInput: the words mean nothing, a network cannot be trained, or the cluster cannot be used.
    """
    chosen, seeds = parse_networks(arguments.models), parse_seeds(arguments.seeds)
    parse_devices(arguments.devices, ())  # whatever is wrong with the words is said before anybody is asked
    if arguments.cluster is not None and arguments.jobs is not None:
        raise UnusableInput(
            "--jobs: not with --cluster, where a worker trains as many runs at a time as it has threads"
        )

    from bench.cli import networks
    from bench.jobs.job import Selection

    own = {one.architecture.name: one for one in networks.inspect([one for one in chosen if one.document is None])}
    architectures = tuple(own[one.name].architecture if one.name in own else one for one in chosen)
    structures = {name: one.structure for name, one in own.items()}
    with _cluster(arguments.cluster, architectures) as cluster:
        devices = parse_devices(arguments.devices, None if cluster is None else cluster.slots)
        yield Selection(architectures, devices, seeds, arguments.epochs, jobs(arguments), structures), cluster


def _cluster(
    address: str | None, architectures: Sequence[Architecture]
) -> contextlib.AbstractContextManager[Cluster | None]:
    if address is None:
        return contextlib.nullcontext()

    from bench.jobs.cluster import workers

    return workers.connect(address, architectures)
