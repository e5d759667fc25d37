"""Networks that fail in every way in which a worker process can fail, and one that behaves."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time

import torch
from torch import Tensor, nn

MEGABYTES = 20


class Behaves(nn.Module):
    """Images (N, 1, 28, 28) to log-probabilities (N, 10), by one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Linear(28 * 28, 10)

    def forward(self, images: Tensor) -> Tensor:
        self.misbehave()
        return torch.log_softmax(self.scores(images.flatten(1)), dim=1)

    def misbehave(self) -> None:
        """The other networks misbehave here, in the first step of training."""


class Raises(Behaves):
    def misbehave(self) -> None:
        raise ValueError("first line\nsecond line")


class Exits(Behaves):
    def misbehave(self) -> None:
        sys.exit(3)


class ExitsAtOnce(Behaves):
    def misbehave(self) -> None:
        print("some words\nlast words", flush=True)
        os._exit(1)


class ReadsNowhere(Behaves):
    def misbehave(self) -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        ctypes.string_at(0)


class IsKilled(Behaves):
    def misbehave(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class IsNotANumber(Behaves):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * torch.nan


class PrintsMuch(Behaves):
    def misbehave(self) -> None:
        if self.training:
            for stream in (sys.stdout, sys.stderr):
                stream.write("x" * (MEGABYTES * 500_000))


class LeavesAGrandchild(Behaves):
    def misbehave(self) -> None:
        subprocess.Popen(["sleep", "600"])


class Hangs(Behaves):
    def misbehave(self) -> None:
        time.sleep(600)
