"""Check the bits of a real GPU, and measure its speed, in less than ten minutes.

    python tests/gpu/measure.py FOLDER [--emulated] [--parts golden,epochs,...]

Each part of `parts.py` runs in a process of its own, with a time limit, and appends a line of JSON for each result to
FOLDER/results.jsonl. So a part that is cut off keeps what it has. If a network makes the driver refuse everything
further, another process goes on with the networks after it; and after the golden digests, one more tries this network
slowly, to name the kernel. If no network has its golden digest, the other parts are left out. A FOLDER in memory, such
as one in /dev/shm, is the fastest; FOLDER/results.jsonl and FOLDER/runs.csv are worth keeping. `--emulated` rehearses
all of it on a machine without a GPU, on a few images. The exit code is 1 if a bit differs or a part fails.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import parts

LIMITS = {"golden": 130, "all": 220, "plain": 60, "epochs": 80, "profile": 60}
"""The parts in their order, with seconds: the most wanted ones first."""

_OF_NETWORKS = ("golden", "plain", "epochs", "profile")
_CUT_OFF = -1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--emulated", action="store_true")
    parser.add_argument("--parts", default=",".join(LIMITS))
    chosen = parser.parse_args(arguments)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in chosen.parts.split(","):
        began = time.monotonic()
        codes = _part(chosen.folder, name, chosen.emulated)
        seconds = round(time.monotonic() - began, 1)
        print(json.dumps({"part": name, "ended": codes, "seconds": seconds}), flush=True)
        if any(codes):
            failed.append(name)
        if name == "golden" and not _has_a_golden_digest(chosen.folder):
            print(json.dumps({"left_out": "the other parts, because no network has its golden digest"}), flush=True)
            break
    return 1 if failed else 0


def _part(folder: Path, name: str, emulated: bool) -> list[int]:
    """The exit codes of the processes of a part: one, and another after each network that made the driver refuse."""
    from models import ARCHITECTURES

    ends = time.monotonic() + LIMITS[name] * (20 if emulated else 1)
    command = [sys.executable, parts.__file__, str(folder), name, *["--emulated"] * emulated]
    if name not in _OF_NETWORKS:
        return [_run(command, ends)]
    codes, networks = [], list(ARCHITECTURES)
    while networks:
        codes.append(_run([*command, "--networks", ",".join(networks)], ends))
        place = codes[-1] - parts.FAULT
        if place not in range(len(networks)):
            break
        if name == "golden":
            codes.append(_run([*command, "--networks", networks[place], "--slowly"], ends))
        networks = networks[place + 1 :]
    return codes


def _run(command: Sequence[str], ends: float) -> int:
    """The exit code of a process, which is ended with all that it started if it runs longer."""
    process = subprocess.Popen(command, start_new_session=True)
    try:
        return process.wait(max(0.0, ends - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return _CUT_OFF


def _has_a_golden_digest(folder: Path) -> bool:
    results = folder / "results.jsonl"
    lines = results.read_text().splitlines() if results.exists() else []
    return any(one["part"] == "golden" and one.get("same") for one in map(json.loads, lines))


if __name__ == "__main__":
    sys.exit(main())
