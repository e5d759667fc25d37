"""A run that a worker trains, and the messages about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UnusableInput, one_line
from bench.network.specification import Architecture
from bench.record.environments import EXACT
from bench.record.rows import Fingerprint, Run, fingerprint

if TYPE_CHECKING:
    from torch import Tensor

    from bench.training.data import Dataset
    from bench.training.loop import Epoch, State

Send = Callable[[dict[str, Any]], None]
MissedImages = tuple[tuple[int, int, int], ...]
"""Number, label and prediction of every test image that is classified wrongly, in the order of the images."""


@dataclass(frozen=True)
class Task:
    """A run to train, and where its files are.

    `data` is the data's folder, `checkpoints` the folder of the states. `recorded` has the fingerprints of the epochs
    that are already recorded, from the first. `subset` keeps only the first training and test images.
    """

    architecture: Architecture
    run: Run
    data: Path
    checkpoints: Path
    recorded: tuple[Fingerprint, ...] = ()
    subset: tuple[int, int] | None = None

    def is_beside(self, other: Task) -> bool:
        """Whether a GPU trains the runs of two tasks side by side: those of the exact arithmetic, on the same images.

        A user's own network has a process of its own, because a crash of its code ends all runs of the process.
        """
        where = {(one.run.device, one.run.environment) for one in (self, other)}
        are_documented = None not in (self.architecture.document, other.architecture.document)
        is_same_network = (self.run.model, self.run.recipe) == (other.run.model, other.run.recipe)
        is_exact = where == {("cuda", EXACT.digest)}
        return is_exact and self.subset == other.subset and (are_documented or is_same_network)


def dataset_of(task: Task) -> Dataset:
    """Load the images of a task.

    Raises:
        UnusableInput: the files cannot be used.
    """
    from bench.training import data

    dataset = data.load(task.data)
    return dataset if task.subset is None else dataset.head(*task.subset)


def send_history(task: Task, start: State | None, labels: Tensor, send: Send) -> None:
    """Send the epochs of a saved state, as far as they belong to the run."""
    if start is not None:
        for epoch in start.history[: task.run.epochs]:
            send_epoch(task, epoch, start, labels, send)


def send_epoch(task: Task, epoch: Epoch, state: State, labels: Tensor, send: Send) -> None:
    """Send an epoch of a state that is not recorded yet, with its misses if the state still has its predictions.

    Raises:
        UnusableInput: the epoch differs from its record.
    """
    if epoch.epoch > len(task.recorded):
        known = epoch.epoch == len(state.history)
        misses = _misses(state.predictions, labels) if known else None
        send({"kind": "epoch", "epoch": asdict(epoch), "misses": misses})
    elif (trained := fingerprint(epoch)) != (recorded := task.recorded[epoch.epoch - 1]):
        difference = f"epoch {epoch.epoch} is recorded as {recorded}, but training gives {trained}"
        raise UnusableInput(f"{difference}: correct the record, or use another --runs file")


def failed(error: Exception) -> dict[str, Any]:
    """Return the message on a run that an error has ended."""
    is_divergence = type(error).__name__ == "Diverged"
    is_said = is_divergence or isinstance(error, UnusableInput)
    reason = one_line(error) if is_said else f"{type(error).__name__}: {one_line(error)}"
    return {"kind": "failed", "status": "diverged" if is_divergence else "error", "reason": reason}


def _misses(predictions: Tensor, labels: Tensor) -> MissedImages:
    """Return the images whose prediction is not their label. Both tensors are (N,), on the CPU."""
    wrong = (predictions != labels).nonzero().flatten()
    return tuple(zip(wrong.tolist(), labels[wrong].tolist(), predictions[wrong].tolist(), strict=True))
