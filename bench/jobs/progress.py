"""Show the progress of a job on standard error: bars on a terminal, otherwise a plain line every half minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TextIO

from tqdm import tqdm

from bench.jobs.plan import Planned, duration
from bench.record.rows import Run
from bench.training.loop import Epoch
from bench.wording import count

PLAIN_INTERVAL = 30.0  # seconds


class Progress:
    """The display of one job. It counts estimated seconds of work, so a long epoch counts more than a short one.

    `plan` has every run that may be trained, `expected` those that will probably be trained.
    """

    def __init__(
        self, plan: Sequence[Planned], stream: TextIO | None = None, expected: Sequence[Planned] | None = None
    ) -> None:
        expected = plan if expected is None else expected
        self._stream = stream or sys.stderr
        self._seconds = {one.run.key: one.seconds / max(1, one.left) for one in plan}
        self._total = sum(one.seconds for one in expected)
        self._runs = len(expected)
        self._ended = 0
        self._worked = 0.0
        self._started = self._last_line = time.monotonic()
        self._status: dict[Run, str] = {}
        self._names: dict[Run, str] = {}
        self._bars: dict[Run, tqdm[Any]] = {}
        self._overall: tqdm[Any] | None = None
        if self._stream.isatty():
            form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
            self._overall = tqdm(
                total=self._total,
                desc=self._headline(),
                bar_format=form,
                file=self._stream,
                position=0,
                smoothing=0,
                dynamic_ncols=True,
            )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bar in [*self._bars.values(), *filter(None, [self._overall])]:
            bar.close()

    def started(self, run: Run, recorded: int, worker: str = "") -> None:
        """Show that a run has begun, or continues after `recorded` epochs. `worker` names the worker of a cluster."""
        self._status[run] = "starting"
        self._names[run] = f"{run} on {worker}" if worker else str(run)
        if self._overall is not None:
            taken = {-bar.pos for bar in self._bars.values()}
            position = next(number for number in range(1, len(taken) + 2) if number not in taken)
            form = "  {desc:<34} epoch {n_fmt}/{total_fmt} |{bar:20}| {postfix}"
            self._bars[run] = tqdm(
                total=run.epochs,
                initial=recorded,
                desc=self._names[run],
                bar_format=form,
                file=self._stream,
                position=position,
                leave=False,
                dynamic_ncols=True,
            )

    def stage(self, run: Run, name: str) -> None:
        """Show what a run does before its first epoch is finished."""
        self._status[run] = name
        if self._overall is not None:
            self._bars[run].set_postfix_str(name)

    def epoch_finished(self, run: Run, epoch: Epoch) -> None:
        """Show that a run has finished an epoch."""
        self._status[run] = f"epoch {epoch.epoch}/{run.epochs} {100 * epoch.correct / epoch.total:.2f} %"
        self._worked += self._seconds[run.key]
        if self._overall is not None:
            bar = self._bars[run]
            bar.set_postfix_str(f"{100 * epoch.correct / epoch.total:.2f} %", refresh=False)
            bar.update(epoch.epoch - bar.n)
            self._overall.update(min(self._seconds[run.key], self._total - self._overall.n))
        self.tick()

    def lost(self, run: Run, reason: str) -> None:
        """Show that a run has lost its worker and waits for another one."""
        self._forget(run)
        self.say(f"{run}: {reason}")

    def ended(self, run: Run, status: str, reason: str) -> None:
        """Show that a run has ended."""
        self._ended += 1
        self._forget(run)
        if self._overall is not None:
            self._overall.set_description_str(self._headline())
        if status != "ok":
            self.say(f"{run}: {status}: {reason}")

    def _forget(self, run: Run) -> None:
        self._status.pop(run, None)
        if run in self._bars:
            self._bars.pop(run).close()

    def tick(self) -> None:
        """Print the plain line if it is due."""
        if self._overall is None and time.monotonic() - self._last_line >= PLAIN_INTERVAL:
            self._last_line = time.monotonic()
            running = "; ".join(f"{self._names[run]}: {text}" for run, text in self._status.items())
            self.say(f"{self._headline()}, {self._remaining()}; {running}")

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        if self._overall is None:
            print(line, file=self._stream, flush=True)
        else:
            self._overall.write(line, file=self._stream)

    def _headline(self) -> str:
        return f"{self._ended} of {count(max(self._runs, self._ended), 'run')} done"

    def _remaining(self) -> str:
        elapsed = time.monotonic() - self._started
        left = elapsed * max(0.0, self._total - self._worked) / self._worked if self._worked else self._total
        return f"about {duration(left)} left" if self._worked else "time left not known yet"
