"""Save and load the state of a run between two epochs.

A checkpoint file is the SHA-256 of its payload (32 bytes), then the payload: a dictionary that torch saved. The
dictionary names its run. The previous checkpoint is kept until the new one is on the disk under its final name.
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
from bench.record.rows import Run
from bench.training.loop import Epoch, State

_log = logging.getLogger(__name__)
_CHECKSUM_BYTES = 32


def save(folder: Path, run: Run, state: State) -> None:
    """Save a state to the disk as the newest of its run.

    Raises:
        OSError: the state could not be written. The previous state is still there.
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
    """Yield the saved states of this run, the newest first. Skip a state that is damaged or belongs to another run."""
    for path in _paths(folder, run):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            _log.warning("%s: cannot be read (%s); this state is skipped", path, files.cause(error))
            continue
        checksum, payload = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
        if hashlib.sha256(payload).digest() != checksum:
            _log.warning("%s: damaged, its checksum differs; this state is skipped", path)
            continue
        try:
            saved = torch.load(io.BytesIO(payload), weights_only=True)
            history = tuple(Epoch(**epoch) for epoch in saved["history"])
            identity, state = saved["run"], State(saved["network"], saved["optimizer"], history, saved["predictions"])
        except Exception as error:  # undamaged, but of another version; its content can be anything
            kind = type(error).__name__  # without the text: PyTorch advises to run the code in the file
            _log.warning("%s: not a state of this version (%s); this state is skipped", path, kind)
            continue
        if identity != _identity(run):
            _log.warning("%s: belongs to another run; this state is skipped", path)
            continue
        yield state


def discard_previous(folder: Path, run: Run) -> None:
    """Delete the second newest state of a finished run."""
    _paths(folder, run)[1].unlink(missing_ok=True)


def _identity(run: Run) -> dict[str, str | int]:
    """Return what must be equal to continue from a state. The environment covers PyTorch's version."""
    return {name: getattr(run, name) for name in ("model", "recipe", "device", "environment", "seed")}


def _paths(folder: Path, run: Run) -> tuple[Path, Path]:
    name = "-".join(str(value) for value in _identity(run).values())
    return folder / f"{name}.pt", folder / f"{name}.previous.pt"
