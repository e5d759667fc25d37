"""The workers of a Dask cluster: which there are, and which of them can train the same as this machine would.

Nothing here listens: the client connects to the scheduler, and to nothing else.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from bench import __version__
from bench.errors import UnusableInput, one_line
from bench.jobs.cluster import worker
from bench.jobs.cluster.worker import GPU, Description
from bench.network.specification import Architecture
from bench.training.environment import Environment

_log = logging.getLogger(__name__)

_CONNECT = 30.0  # seconds for a scheduler to answer


@dataclass(frozen=True)
class Worker:
    """A worker that trains `slots` runs at a time, in one environment of one device."""

    address: str
    name: str
    slots: int
    device: str
    environment: Environment


@dataclass(frozen=True)
class Cluster:
    """A scheduler, and those of its workers `asked`, by address, that can train these architectures."""

    address: str
    architectures: tuple[Architecture, ...]
    workers: tuple[Worker, ...]
    asked: frozenset[str]
    client: Any = field(repr=False)

    @property
    def environments(self) -> dict[str, Environment]:
        """The environments there are, by digest."""
        return {one.environment.digest: one.environment for one in self.workers}

    @property
    def slots(self) -> dict[str, dict[str, int]]:
        """How many runs go on at a time, by device and by digest of the environment."""
        found: dict[str, dict[str, int]] = {}
        for one in self.workers:
            slots = found.setdefault(one.device, {})
            slots[one.environment.digest] = slots.get(one.environment.digest, 0) + one.slots
        return found

    def require(self, devices: Sequence[str]) -> None:
        """Raise UnusableInput if there is a device that no worker has."""
        for device in devices:
            if device not in self.slots:
                advice = f"start one, on a GPU with `--resources {GPU}=1`"
                raise UnusableInput(
                    f"--devices {device}: no worker of {self.address} has it, only {', '.join(self.slots)}: {advice}"
                )


@contextmanager
def connect(address: str, architectures: Sequence[Architecture]) -> Iterator[Cluster]:
    """The cluster of a scheduler, while this lasts. A worker that cannot train the same is left out, with a warning.

    Raises:
        UnusableInput: Dask is not installed, no scheduler answers, or it has no worker that can be used.
    """
    try:
        import distributed
    except ImportError as error:
        advice = "pip install 'bench994[cluster]', or leave out --cluster"
        raise UnusableInput(f"--cluster: Dask is not installed here ({one_line(error)}): {advice}") from None
    for name in ("distributed", "distributed.client", "distributed.core", "distributed.batched"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what it has to say of a lost scheduler is said here
    try:
        client: Any = distributed.Client(address, timeout=_CONNECT, set_as_default=False, name="bench994")
    except (OSError, ValueError) as error:
        advice = "name the address that `dask scheduler` prints, like tcp://127.0.0.1:8786"
        raise UnusableInput(f"--cluster {address}: no scheduler answers ({one_line(error)}): {advice}") from None
    try:
        asked = frozenset(registered(client))
        workers = survey(client, architectures, asked) if asked else []
        if not workers:
            advice = f"start one with `dask worker {address} --nthreads 1`"
            raise UnusableInput(f"--cluster {address}: it has no worker that can be used: {advice}")
        yield Cluster(address, tuple(architectures), tuple(workers), asked, client)
    finally:
        with suppress(Exception):  # whatever is wrong with a connection that is given up is of no interest
            client.close(timeout=2)


def registered(client: Any) -> dict[str, dict[str, Any]]:
    """The workers that the scheduler knows, by address, of any kind.

    `Client.scheduler_info` would not do: an update that the client makes of its own leaves it without workers at times.
    """
    found: dict[str, dict[str, Any]] = client.sync(client.scheduler.identity, n_workers=-1)["workers"]
    return found


def survey(client: Any, architectures: Sequence[Architecture], addresses: Collection[str]) -> list[Worker]:
    """Ask workers what they are; those that can train these architectures as we would. The others are warned of."""
    usable, reasons = [], dict[str, list[str]]()
    wanted = pickle.dumps(tuple(architectures))
    answers = client.run(worker.describe, wanted, workers=list(addresses), on_error="return")
    known = registered(client)
    for address, answer in answers.items():
        if address not in known:
            continue
        name, threads = str(known[address]["name"]), known[address]["nthreads"]
        reason = _obstacle(answer, architectures)
        if reason:
            reasons.setdefault(reason, []).append(name)
        else:
            slots = threads if answer.device == "cpu" else 1
            usable.append(Worker(address, name, slots, answer.device, answer.environment))
    for reason, names in reasons.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        _log.warning("worker %s%s left out: %s", ", ".join(names[:3]), more, reason)
    return sorted(usable, key=lambda one: (one.environment.digest, one.name))


def _obstacle(answer: Description | Exception, architectures: Sequence[Architecture]) -> str:
    """Why a worker cannot be used; empty if it can."""
    advice = "install the same bench994 there as here"
    if isinstance(answer, UnusableInput):
        return one_line(answer)
    if isinstance(answer, Exception):
        return f"it cannot say what it is ({type(answer).__name__}: {one_line(answer)}): {advice}"
    if answer.version != __version__:
        return f"it has bench994 {answer.version}, and this is {__version__}: {advice}"
    for one, recipe in zip(architectures, answer.recipes, strict=True):
        if recipe != one.digest:
            return f"its {one.name} has the recipe {recipe}, and here it is {one.digest}: {advice}"
    return ""


def format_workers(workers: Sequence[Worker]) -> list[str]:
    """The workers for a reader, a line an environment."""
    lines = []
    for digest in dict.fromkeys(one.environment.digest for one in workers):
        here = [one for one in workers if one.environment.digest == digest]
        names = ", ".join(one.name for one in here[:8]) + (", …" if len(here) > 8 else "")
        count = "1 worker" if len(here) == 1 else f"{len(here)} workers"
        lines.append(f"environment {digest}, {here[0].device}: {count} ({names}); {here[0].environment.machine}")
    return lines
