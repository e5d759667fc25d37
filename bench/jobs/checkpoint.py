"""The state of a run between two epochs, on disk.

A checkpoint file is the SHA-256 of its payload, 32 bytes, and the payload: a dictionary that torch saved. It names the
run it belongs to. The one before is kept until its successor is on the disk under its final name.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from bench import files
from bench.errors import one_line
from bench.record.rows import Run
from bench.training.loop import Epoch, State

_log = logging.getLogger(__name__)
_CHECKSUM_BYTES = 32


def save(folder: Path, run: Run, state: State) -> None:
    """Put a state on the disk as the newest of its run.

    Raises:
        OSError: it could not be written; the newest one before it is still there.
    """
    buffer = io.BytesIO()
    content = {
        "run": _identity(run),
        "network": state.network,
        "optimizer": state.optimizer,
        "history": [asdict(epoch) for epoch in state.history],
        "predictions": state.predictions,
    }
    torch.save(content, buffer)
    payload = buffer.getvalue()
    newest, previous = _paths(folder, run)
    files.replace(newest, hashlib.sha256(payload).digest() + payload, previous=previous)


def load(folder: Path, run: Run) -> Iterator[State]:
    """The saved states of just this run, the newest first; one that is damaged or another's is passed over."""
    for path in _paths(folder, run):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            _log.warning("%s: cannot be read (%s); an earlier state is used", path, files.cause(error))
            continue
        checksum, payload = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
        if hashlib.sha256(payload).digest() != checksum:
            _log.warning("%s: damaged, its checksum differs; an earlier state is used", path)
            continue
        try:
            saved = torch.load(io.BytesIO(payload), weights_only=True)
            history = tuple(Epoch(**epoch) for epoch in saved["history"])
            identity, state = saved["run"], State(saved["network"], saved["optimizer"], history, saved["predictions"])
        except Exception as error:  # it is whole: another version saved it, whose states may differ in any way
            _log.warning("%s: not a state of this version (%s); an earlier state is used", path, one_line(error))
            continue
        if identity != _identity(run):
            _log.warning("%s: belongs to another run; an earlier state is used", path)
            continue
        yield state


def discard_previous(folder: Path, run: Run) -> None:
    """Delete the last but one state of a finished run."""
    _paths(folder, run)[1].unlink(missing_ok=True)


def _identity(run: Run) -> dict[str, str | int]:
    """What must be equal for a state to be continued; the environment covers PyTorch's version."""
    return {name: getattr(run, name) for name in ("model", "recipe", "device", "environment", "seed")}


def _paths(folder: Path, run: Run) -> tuple[Path, Path]:
    name = "-".join(str(value) for value in _identity(run).values())
    return folder / f"{name}.pt", folder / f"{name}.previous.pt"
