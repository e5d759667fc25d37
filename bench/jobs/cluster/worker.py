"""The functions that run on a worker of a cluster: describe the worker, and train a run as a local job does.

PyTorch is imported in a separate thread. Otherwise the worker's event loop would miss heartbeats during the import.
"""

from __future__ import annotations

import asyncio
import json
import pickle
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench import __version__
from bench.network.specification import Architecture

GPU = "GPU"
"""The resource that a worker announces to train on its GPU. Without it, the worker trains on its CPU."""


@dataclass(frozen=True)
class Description:
    """A worker: its version of this package, its digests of the given architectures, its device and its machine.

    `environment` has the details of that of native runs.
    """

    version: str
    recipes: tuple[str, ...]
    device: str
    environment: dict[str, str]
    machine: str


async def describe(architectures: bytes, dask_worker: Any) -> str:
    """Return a `Description` of this worker as JSON. Its own files give the digests of the pickled architectures.

    Raises:
        UnusableInput: the worker announces a GPU, but PyTorch sees none.
    """
    return await asyncio.to_thread(_describe, architectures, GPU in dask_worker.state.total_resources)


def _describe(pickled: bytes, announces_gpu: bool) -> str:
    from bench.errors import UnusableInput
    from bench.training import environment

    architectures: tuple[Architecture, ...] = pickle.loads(pickled)
    recipes = tuple(replace(one).digest for one in architectures)  # a pickle brings its digest; a copy computes its own
    devices = [device for device in environment.available_devices() if (device != "cpu") == announces_gpu]
    if not devices:
        raise UnusableInput(f"it announces the resource {GPU}, but PyTorch sees no GPU there")
    found = environment.describe(devices[0])
    details = dict(found.details)
    return json.dumps(asdict(Description(__version__, recipes, devices[0], details, environment.machine(found))))


def train(pickled: bytes, topic: str) -> None:
    """Train a pickled task in a separate process. Log each of its events under a topic, with the key of the Dask task.

    A worker runs the code of the job's networks. So it can trust a pickle of the job too. The events are JSON.

    The states are kept in the worker's own folder until it closes. The process ends when the scheduler no longer wants
    the run.
    """
    from distributed import get_worker

    from bench.jobs.cluster import messages
    from bench.jobs.events import Stop, Waiting
    from bench.jobs.scheduling import execute

    worker = get_worker()
    key = worker.get_current_task()
    task = pickle.loads(pickled)
    task = replace(task, checkpoints=Path(worker.local_directory) / "bench994" / task.checkpoints)
    stop = Stop()
    for event in execute([task], {task.run.device: 1}, stop):
        if not _is_wanted(worker, key):
            stop.request("the scheduler no longer wants it")
        if not isinstance(event, Waiting):
            worker.log_event(topic, {"key": key, "event": messages.write(event)})


def _is_wanted(worker: Any, key: Any) -> bool:
    """Whether the scheduler is there and still wants a task that runs here. Dask itself never stops a task."""
    state = worker.state.tasks.get(key)
    has_scheduler = worker.status.name in ("running", "paused", "closing_gracefully")
    return has_scheduler and state is not None and state.state == "executing"
