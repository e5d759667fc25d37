"""Another process that builds networks once more: `python -m bench.training.trial.again`.

It reads pickled architectures from standard input, and writes their fingerprints to standard output as JSON. A network
whose weights come from the clock, from the system's entropy, from the number of the process or from an address has
another fingerprint there. So has one whose weights come from the current folder, the user, or the place of its file.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import site
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from bench.children import child_command
from bench.network.specification import Architecture
from bench.training import environment, randomness
from bench.training.randomness import Purpose
from bench.training.trial.child import in_child
from bench.training.trial.memory import content

_IMAGES = 4


def fingerprint(architecture: Architecture) -> str:
    """Return a digest of the first weights of seed 1, and of the buffers and scores of a first pass."""
    network = randomness.build(architecture, 1)
    images = torch.rand(_IMAGES, 1, 28, 28, generator=torch.Generator().manual_seed(7))
    digest = hashlib.sha256()
    with randomness.generators_restored():
        for training in (False, True):
            randomness.seed_generators(1, Purpose.NETWORK, 0)
            with torch.set_grad_enabled(training):
                scores = network.train(training)(images)
            for tensor in (*network.state_dict().values(), scores):
                digest.update(content(tensor))
    return digest.hexdigest()


class Process:
    """The process, which starts at once, in another folder. It builds nothing before it is asked."""

    def __init__(self) -> None:
        elsewhere = {**os.environ, "PYTHONUSERBASE": site.getuserbase(), "HOME": "/", "TZ": "UTC+5"}
        for name in ("LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "USER"):
            elsewhere[name] = "C"
        self._child = subprocess.Popen(
            child_command("bench.training.trial.again"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            env=elsewhere,
        )

    def fingerprints(self, architectures: Sequence[Architecture]) -> list[str]:
        """Return the fingerprint of each network, taken in another second than any one before. End the process."""
        before = int(time.time())
        while architectures and int(time.time()) == before:
            time.sleep(0.01)
        moved = [replace(one, path="") for one in architectures]
        output, _ = self._child.communicate(pickle.dumps(moved))
        found: list[str] = json.loads(output)
        return found


def main() -> None:
    """Write the fingerprint of every network from standard input; it is empty for a network that fails here."""
    environment.configure("cpu")
    architectures: list[Architecture] = pickle.load(sys.stdin.buffer)
    found = [in_child(lambda one=one: {"fingerprint": fingerprint(one)}) for one in architectures]  # type: ignore[misc]
    json.dump([one.get("fingerprint", "") for one in found], sys.stdout)


if __name__ == "__main__":
    main()
