"""Turn the events of a job into rows of the record, as they come."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing

from bench.jobs.events import Ended, EpochFinished, Event, Lost, Stage, Started, Stop, Waiting, stopped_by_signals
from bench.jobs.plan import Planned
from bench.jobs.progress import Progress
from bench.jobs.until_decided import UntilDecided
from bench.record import misses, record
from bench.record.rows import Row, Run, utc_now
from bench.training.loop import Epoch


def record_events(
    events: Generator[Event, None, None],
    stop: Stop,
    missing: Sequence[Planned],
    expected: Sequence[Planned],
    writers: tuple[record.Writer, misses.Writer],
    deciding: UntilDecided | None,
) -> tuple[list[Ended], int | None]:
    """Record every epoch and every bad ending, and show the progress, until the events end.

    Returns the runs that ended badly, and the signal that interrupted the job, if any.

    Raises:
        UnusableInput: the record or the file of misses cannot be written, or the scheduler of a cluster is lost.
    """
    writer, misses_writer = writers
    failed: list[Ended] = []
    done = {one.run.key: one.recorded for one in missing}
    with stopped_by_signals(stop) as received, Progress(missing, expected=expected) as progress, closing(events):
        for event in events:
            if deciding is not None:
                deciding.note(event)
            if isinstance(event, Waiting):
                progress.tick()
                continue
            run = event.run
            if isinstance(event, Started):
                progress.started(run, done[run.key], event.worker)
            elif isinstance(event, Stage):
                progress.stage(run, event.name)
            elif isinstance(event, Lost):
                progress.lost(run, event.reason)
            elif isinstance(event, EpochFinished):
                if event.misses is not None:  # written before the row, so that every recorded epoch has them
                    misses_writer.append(run, event.epoch.epoch, event.misses)
                writer.append(_epoch_row(run, event.epoch, event.machine))
                done[run.key] = event.epoch.epoch
                progress.epoch_finished(run, event.epoch)
            else:
                if event.status != "ok":
                    writer.append(_closing_row(event, done[run.key] + 1))
                    failed.append(event)
                progress.ended(run, event.status, event.reason)
    return failed, received[0] if received else None


def _epoch_row(run: Run, epoch: Epoch, machine: str) -> Row:
    return Row(
        *run.key,
        epoch=epoch.epoch,
        correct=epoch.correct,
        total=epoch.total,
        test_loss=epoch.test_loss,
        train_loss=epoch.train_loss,
        train_seconds=epoch.train_seconds,
        eval_seconds=epoch.eval_seconds,
        status="ok",
        note="",
        recorded_at=utc_now(),
        machine=machine,
        smallest_variance=epoch.smallest_variance,
        correct_batch_statistics=epoch.correct_batch_statistics,
    )


def _closing_row(event: Ended, epoch: int) -> Row:
    return Row(
        *event.run.key,
        epoch=epoch,
        correct=None,
        total=None,
        test_loss=None,
        train_loss=None,
        train_seconds=None,
        eval_seconds=None,
        status=event.status,
        note=event.reason,
        recorded_at=utc_now(),
        machine=event.machine,
    )
