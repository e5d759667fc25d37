"""Train runs on the workers of a Dask cluster, one Dask task for each run. Yield the events of `bench.jobs.events`.

A free worker gets a run of its environment, together with the epochs that are recorded by then. If the worker is lost,
the next one trains the run again and compares these epochs. It sends only the epochs after them, so no epoch arrives
twice.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty
from typing import Any
from uuid import uuid4

from bench.errors import UnusableInput, one_line
from bench.jobs.cluster import messages
from bench.jobs.cluster.worker import GPU, train
from bench.jobs.cluster.workers import Cluster, Worker, registered, survey
from bench.jobs.events import Ended, EpochFinished, Event, Lost, Started, Stop, Waiting
from bench.jobs.scheduling import More, no_more
from bench.jobs.worker.task import Task
from bench.record import schema
from bench.record.rows import Run, fingerprint

TRIES = 3
"""A run ends as an error when it has lost so many workers."""

PATIENCE = 600.0
"""How many seconds a run waits for a worker of its environment if there is none."""

_POLL = 0.5  # seconds between two looks at the clock
_WORKERS_POLL = 2.0  # seconds between two looks at the list of workers


@dataclass(eq=False)
class _Try:
    """A task that a worker has got. Dask's scheduler drops the task when the future is released."""

    task: Task
    worker: Worker
    future: Any
    has_started: bool = False


@dataclass(frozen=True)
class _Reported:
    """A worker has reported an event of a task, in the form of `messages`."""

    key: str
    event: str


@dataclass(frozen=True)
class _TaskEnded:
    """Dask has ended a task. The task may have reported its end before."""

    key: str


def execute(
    tasks: Sequence[Task], cluster: Cluster, stop: Stop, patience: float = PATIENCE, more: More = no_more
) -> Generator[Event, None, None]:
    """Train every task's run on a worker of its environment, in this order, then `more`.

    Workers that join later get runs too.

    No worker continues a run when the iteration ends, even if it ends early.

    Raises:
        UnusableInput: the scheduler is lost. The runs in progress are first closed as interrupted.
    """
    job = _Job(cluster, stop, patience, more)
    for task in tasks:
        job.waiting.setdefault(task.run.environment, deque()).append(task)
    over = threading.Event()
    job.client.subscribe_topic(job.topic, job.hear)
    threading.Thread(target=_watch, args=(cluster, stop, over), daemon=True).start()
    try:
        while not stop.reason:
            job.hand_out()
            if not job.active and not job.is_waiting():
                return
            yield from job.next_events()
            if job.is_cut_off or job.client.status != "running":
                yield from job.interrupt(f"the scheduler {cluster.address} is lost")
                advice = "every finished epoch is kept. Start it again, then run the same command to continue"
                raise UnusableInput(f"--cluster {cluster.address}: the scheduler is lost: {advice}")
        yield from job.interrupt(stop.reason)
    finally:
        over.set()
        job.release()


class _Job:
    """The tasks of a job: those that wait, those that workers train, and how often each run has lost its worker."""

    def __init__(self, cluster: Cluster, stop: Stop, patience: float, more: More) -> None:
        self.client = cluster.client
        self.topic = f"bench994-{uuid4().hex}"
        self.waiting: dict[str, deque[Task]] = {}  # by environment
        self.active: dict[str, _Try] = {}  # by the key of Dask's task
        self._workers: Mapping[str, Worker] = {one.address: one for one in cluster.workers}
        self._busy: Counter[str] = Counter()  # runs in progress, by address
        self._lost: Counter[Run] = Counter()  # lost workers, by run
        self._last_seen: dict[str, float] = {}  # when there was a worker, by environment
        self.is_cut_off = False  # whether the scheduler was lost, even for a moment: it has then dropped all tasks
        self._stop = stop
        self._patience = patience
        self._more = more

    def hear(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Queue what a worker has logged. Dask calls this in a separate thread."""
        self._stop.inbox.put(_Reported(str(event[1]["key"]), str(event[1]["event"])))

    def hand_out(self) -> None:
        """Give every worker as many runs as it trains at the same time."""
        for worker in self._workers.values():
            while self._busy[worker.address] < worker.slots and (task := self._next(worker)) is not None:
                key = f"{self.topic}-{uuid4().hex}"
                future = self.client.submit(
                    train,
                    pickle.dumps(task),
                    self.topic,
                    key=key,
                    workers=[worker.address],
                    resources=None if worker.device == "cpu" else {GPU: 1},
                )
                future.add_done_callback(lambda future: self._stop.inbox.put(_TaskEnded(future.key)))
                self._busy[worker.address] += 1
                self.active[key] = _Try(task, worker, future)

    def _next(self, worker: Worker) -> Task | None:
        """The next task for a worker."""
        for digest in worker.digests:
            if self.waiting.get(digest):
                return self.waiting[digest].popleft()
        return next((task for digest in worker.digests if (task := self._more(digest)) is not None), None)

    def is_waiting(self) -> bool:
        """Whether a task waits for a worker. If none does, one more may have to wait, because no worker can take it."""
        if not any(self.waiting.values()) and (task := self._more(None)) is not None:
            self.waiting.setdefault(task.run.environment, deque()).append(task)
        return any(self.waiting.values())

    def next_events(self) -> Iterator[Event]:
        """Handle what happens next."""
        try:
            item = self._stop.inbox.get(timeout=_POLL)
        except Empty:
            item = None
            yield Waiting()
        if isinstance(item, _Reported) and item.key in self.active:
            yield from self._handle_report(item.key, item.event)
        elif isinstance(item, _TaskEnded) and item.key in self.active:
            yield from self._task_ended(item.key)
        elif isinstance(item, dict):
            self._workers = item
            for key in [key for key, one in self.active.items() if one.worker.address not in item]:
                yield from self._worker_lost(key)
        yield from self._end_without_workers()

    def _handle_report(self, key: str, content: str) -> Iterator[Event]:
        """Handle an event that a worker has reported."""
        one = self.active[key]
        try:
            event = messages.read(content, one.task.run)
        except schema.Mismatch as error:
            event = Ended(one.task.run, "error", f"its worker sent what is no message: {one_line(error)}")
        if isinstance(event, Started):
            if one.has_started:  # a lost worker is back under its address; Dask has begun the task again
                yield from self._worker_lost(key)
                return
            one.has_started = True
            event = replace(event, worker=one.worker.name)
        elif isinstance(event, EpochFinished):
            one.task = replace(one.task, recorded=(*one.task.recorded, fingerprint(event.epoch)))
        elif isinstance(event, Ended):
            self._forget(key)
            if event.status != "ok":
                event = replace(event, reason=f"{event.reason} (on {one.worker.name})")
        yield event

    def _task_ended(self, key: str) -> Iterator[Event]:
        """Handle a task that Dask has ended and that never reported the end of its run."""
        future = self.active[key].future
        if future.status == "cancelled":
            self.is_cut_off = True
            return
        error = future.exception() if future.status == "error" else None
        if error is None or type(error).__name__ == "KilledWorker":
            yield from self._worker_lost(key)
        else:
            one = self._forget(key)
            reason = f"{type(error).__name__}: {one_line(error)} (on {one.worker.name})"
            yield Ended(one.task.run, "error", reason, one.worker.machine)

    def _worker_lost(self, key: str) -> Iterator[Event]:
        """Handle the loss of a run's worker: the next free worker begins the run again, unless too many were lost."""
        one = self._forget(key)
        run = one.task.run
        if not one.has_started:
            self.waiting.setdefault(run.environment, deque()).appendleft(one.task)
            return
        self._lost[run] += 1
        if self._lost[run] == TRIES:
            reason = f"its worker was lost {TRIES} times; the last one was {one.worker.name}"
            yield Ended(run, "error", reason, one.worker.machine)
        else:
            self.waiting.setdefault(run.environment, deque()).appendleft(one.task)
            yield Lost(run, f"the worker {one.worker.name} is lost; another worker will train the run again")

    def _end_without_workers(self) -> Iterator[Event]:
        """Close the runs that have waited too long for a worker of their environment."""
        now = time.monotonic()
        present = {digest for one in self._workers.values() for digest in one.digests}
        for digest, queued in self.waiting.items():
            last_seen = self._last_seen.setdefault(digest, now)
            if digest in present or not queued:
                self._last_seen[digest] = now
            elif now - last_seen > self._patience:
                reason = f"no worker of environment {digest} for {self._patience:g} seconds"
                while queued:
                    yield Ended(queued.popleft().run, "error", reason)

    def interrupt(self, reason: str) -> Iterator[Event]:
        """Close the runs in progress as interrupted."""
        for key in [key for key, one in self.active.items() if one.has_started]:
            one = self._forget(key)
            yield Ended(one.task.run, "interrupted", reason, one.worker.machine)

    def release(self) -> None:
        """Take back all tasks in progress and stop listening to the workers."""
        for key in list(self.active):
            self._forget(key)
        self.client.unsubscribe_topic(self.topic)

    def _forget(self, key: str) -> _Try:
        """Take a task back. If its worker still trains it, the worker ends it."""
        one = self.active.pop(key)
        self._busy[one.worker.address] -= 1
        one.future.release()
        return one


def _watch(cluster: Cluster, stop: Stop, over: threading.Event) -> None:
    """Regularly report which workers there are, until the job is over or the scheduler no longer answers."""
    known = {one.address: one for one in cluster.workers}
    asked = set(cluster.asked)

    def ask(addresses: set[str]) -> None:
        with suppress(Exception):  # the scheduler is lost; the job notices that itself
            known.update({one.address: one for one in survey(cluster.client, cluster.architectures, addresses)})

    while not over.wait(_WORKERS_POLL):
        try:
            present = set(registered(cluster.client))
        except Exception:  # as above
            return
        joined = present - asked
        asked = present
        for address in set(known) - present:
            del known[address]
        if joined:
            threading.Thread(target=ask, args=(joined,), daemon=True).start()
        stop.inbox.put(dict(known))
