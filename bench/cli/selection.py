"""Read the options that select what to train: networks, seeds, devices and the cluster.

Slow modules are imported only when they are needed, so that a wrong word is refused at once.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.errors import UnusableInput

if TYPE_CHECKING:
    from bench.jobs.cluster.workers import Cluster
    from bench.jobs.job import Places, Selection
    from bench.network.specification import Architecture

_log = logging.getLogger(__name__)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds of `--seeds`: `N` means 1 to N; a list has seeds and ranges `A-B`.

    Raises:
        UnusableInput: the text has another form, a seed does not fit 64 bits, or there are too many seeds.
    """
    problem = f"--seeds {text}: give N for 1 to N, A-B, or a list like 3,8"
    if re.fullmatch(r"[0-9]{1,7}", text):
        if int(text) == 0:
            raise UnusableInput(f"--seeds {text}: at least one seed is needed")
        return tuple(range(1, int(text) + 1))
    if re.fullmatch(r"[0-9]+", text):
        raise UnusableInput(f"--seeds {text}: 1 to {text} is too many; for this one seed, give {text}-{text}")
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
    return networks.find(text.split(","), {**(others or {}), **known}, "--models ")


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
    """Return how many runs train at the same time on the CPU: `--jobs`, or one for each physical core."""
    from bench.jobs import scheduling

    return arguments.jobs or scheduling.physical_cores()


def places(arguments: argparse.Namespace, cluster: Cluster | None = None) -> Places:
    """Return the places that `--runs`, `--report` and `--data` name."""
    from bench.jobs.job import Places

    return Places(arguments.runs, arguments.report, arguments.data, cluster)


@contextlib.contextmanager
def selected(arguments: argparse.Namespace) -> Iterator[tuple[Selection, Cluster | None]]:
    """Yield the selection and the cluster of `--cluster`. The connection to the cluster closes with the context.

    Raises:
        UnusableInput: an option is wrong, a network cannot be trained, or the cluster cannot be used.
    """
    chosen, seeds = parse_networks(arguments.models), parse_seeds(arguments.seeds)
    parse_devices(arguments.devices, ())  # refuse a wrong word before the slow steps below
    if arguments.cluster is not None and arguments.jobs is not None:
        raise UnusableInput(
            "--jobs: cannot be used with --cluster; there, each worker trains as many runs as it has threads"
        )

    from bench.cli import networks
    from bench.jobs.job import Selection

    own = {one.architecture.name: one for one in networks.inspect([one for one in chosen if one.document is None])}
    architectures = tuple(own[one.name].architecture if one.name in own else one for one in chosen)
    structures = {name: one.structure for name, one in own.items()}
    for one in own.values():
        for remark in one.remarks:
            _log.warning("%s: %s", one.architecture.path, remark)
    with _cluster(arguments.cluster, architectures) as cluster:
        devices = parse_devices(arguments.devices, None if cluster is None else cluster.slots)
        chosen_jobs = jobs(arguments)
        yield (
            Selection(architectures, devices, seeds, arguments.epochs, chosen_jobs, structures, arguments.arithmetic),
            cluster,
        )


def _cluster(
    address: str | None, architectures: Sequence[Architecture]
) -> contextlib.AbstractContextManager[Cluster | None]:
    if address is None:
        return contextlib.nullcontext()

    from bench.jobs.cluster import workers

    return workers.connect(address, architectures)
