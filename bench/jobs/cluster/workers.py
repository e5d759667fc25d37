"""Find the workers of a Dask cluster that train the same as this machine would.

This module opens no listening port. The client connects to the scheduler only.
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
from bench.record import schema
from bench.record.environments import EXACT, Environment
from bench.wording import count

_log = logging.getLogger(__name__)

_ANSWER_LIMIT = 30.0  # seconds in which a scheduler must answer


@dataclass(frozen=True)
class Worker:
    """A worker that trains `slots` runs at the same time on one device. `environment` is that of native runs."""

    address: str
    name: str
    slots: int
    device: str
    environment: Environment
    machine: str

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests of the environments in which it can train."""
        native = self.environment.digest
        return (EXACT.digest, native) if self.device == "cpu" else (native,)


@dataclass(frozen=True)
class Cluster:
    """A scheduler and its workers that can train these architectures. `asked` has the address of every worker asked."""

    address: str
    architectures: tuple[Architecture, ...]
    workers: tuple[Worker, ...]
    asked: frozenset[str]
    client: Any = field(repr=False)

    @property
    def environments(self) -> dict[str, Environment]:
        """The native environments of the workers, by digest."""
        return {one.environment.digest: one.environment for one in self.workers}

    @property
    def slots(self) -> dict[str, dict[str, int]]:
        """How many runs train at the same time, by device and by digest of the environment."""
        found: dict[str, dict[str, int]] = {}
        for one in self.workers:
            slots = found.setdefault(one.device, {})
            for digest in one.digests:
                slots[digest] = slots.get(digest, 0) + one.slots
        return found

    def require(self, devices: Sequence[str]) -> None:
        """Raise UnusableInput if no worker has one of the devices."""
        for device in devices:
            if device not in self.slots:
                there = ", ".join(self.slots)
                problem = f"--devices {device}: no worker of {self.address} has this device; there is only {there}"
                raise UnusableInput(f"{problem}: start such a worker, for a GPU with `--resources {GPU}=1`")


@contextmanager
def connect(address: str, architectures: Sequence[Architecture]) -> Iterator[Cluster]:
    """Connect to a scheduler and yield its cluster. A worker that cannot train the same is left out, with a warning.

    Raises:
        UnusableInput: Dask is not installed, no scheduler answers, or it has no usable worker.
    """
    try:
        import distributed
    except ImportError as error:
        advice = "run `pip install 'bench994[cluster]'`, or omit --cluster"
        raise UnusableInput(f"--cluster: Dask is not installed here ({one_line(error)}): {advice}") from None
    for name in ("distributed", "distributed.client", "distributed.core", "distributed.batched"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the job itself reports a lost scheduler
    try:
        client: Any = distributed.Client(address, timeout=_ANSWER_LIMIT, set_as_default=False, name="bench994")
    except (OSError, ValueError) as error:
        advice = "give the address that `dask scheduler` prints, like tcp://127.0.0.1:8786"
        raise UnusableInput(f"--cluster {address}: no scheduler answers ({one_line(error)}): {advice}") from None
    try:
        asked = frozenset(registered(client))
        workers = survey(client, architectures, asked) if asked else []
        if not workers:
            advice = f"start one with `dask worker {address} --nthreads 1`"
            raise UnusableInput(f"--cluster {address}: this scheduler has no usable worker: {advice}")
        yield Cluster(address, tuple(architectures), tuple(workers), asked, client)
    finally:
        with suppress(Exception):  # the connection is no longer needed, so its errors do not matter
            client.close(timeout=2)


def registered(client: Any) -> dict[str, dict[str, Any]]:
    """Return all workers that the scheduler knows, by address.

    `Client.scheduler_info` is not used: the client updates it by itself and sometimes leaves it without workers.
    """
    found: dict[str, dict[str, Any]] = client.sync(client.scheduler.identity, n_workers=-1)["workers"]
    return found


def survey(client: Any, architectures: Sequence[Architecture], addresses: Collection[str]) -> list[Worker]:
    """Ask workers to describe themselves. Return those that train the same as here, and warn about the others."""
    usable, reasons = [], dict[str, list[str]]()
    wanted = pickle.dumps(tuple(architectures))
    answers = client.run(worker.describe, wanted, workers=list(addresses), on_error="return")
    known = registered(client)
    for address, answer in answers.items():
        if address not in known:
            continue
        name, threads = str(known[address]["name"]), known[address]["nthreads"]
        described = _description(answer)
        reason = _obstacle(described, architectures)
        if reason or not isinstance(described, Description):
            reasons.setdefault(reason, []).append(name)
        else:
            slots = threads if described.device == "cpu" else 1
            native = Environment(tuple(sorted(described.environment.items())))
            usable.append(Worker(address, name, slots, described.device, native, described.machine))
    for reason, names in reasons.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        _log.warning("worker %s%s left out: %s", ", ".join(names[:3]), more, reason)
    return sorted(usable, key=lambda one: (one.environment.digest, one.name))


def _description(answer: object) -> Description | Exception:
    """Return what a worker says of itself, or why it cannot be read."""
    if isinstance(answer, Exception):
        return answer
    try:
        described: Description = schema.read(str(answer).encode(errors="replace"), Description)
    except schema.Mismatch as error:
        return error
    return described


def _obstacle(answer: Description | Exception, architectures: Sequence[Architecture]) -> str:
    """Return why a worker cannot be used, or an empty string if it can."""
    advice = "install the same bench994 there as here"
    if isinstance(answer, UnusableInput):
        return one_line(answer)
    if isinstance(answer, Exception):
        return f"it cannot describe itself ({type(answer).__name__}: {one_line(answer)}): {advice}"
    if answer.version != __version__:
        return f"it has bench994 {answer.version}, but this is {__version__}: {advice}"
    for one, recipe in zip(architectures, answer.recipes, strict=True):
        if recipe != one.digest:
            return f"its {one.name} has the recipe {recipe}, but here it is {one.digest}: {advice}"
    return ""


def format_workers(workers: Sequence[Worker]) -> list[str]:
    """Format the workers for a reader: a line for each environment."""
    lines = []
    for digest in dict.fromkeys(one.environment.digest for one in workers):
        here = [one for one in workers if one.environment.digest == digest]
        names = ", ".join(one.name for one in here[:8]) + (", …" if len(here) > 8 else "")
        workers_here = count(len(here), "worker")
        lines.append(f"environment {digest}, {here[0].device}: {workers_here} ({names}); {here[0].machine}")
    return lines
