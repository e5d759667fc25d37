"""How many runs this machine can train at the same time on its CPU, and what limits their number."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RUN_BYTES = 1 << 30
"""The memory of a run, rounded up."""

_JOB_BYTES = 1 << 29  # the memory of the job itself


@dataclass(frozen=True)
class Cores:
    """How many runs to train at the same time. `limit` says in words why that is less than the physical cores."""

    number: int
    limit: str = ""


def usable(root: Path = Path("/")) -> Cores:
    """Return how many runs this machine can train at the same time: one for each physical core that they may use.

    A container can have a quota of CPU time and a limit of memory. `root` is the folder of the system's files.
    """
    physical = _physical_cores(root)
    quota = min(_quotas(root), default=float("inf"))
    memory = min(_memories(root), default=float("inf"))
    choices = [
        (physical, ""),
        (quota, f"the CPU quota of this container is {quota:.3g} of {physical} cores"),
        ((memory - _JOB_BYTES) / RUN_BYTES, f"the memory is {memory / 2**30:.3g} GiB, and a run takes up to 1 GiB"),
    ]
    least, limit = min(choices, key=lambda choice: choice[0])
    number = max(1, int(least))
    return Cores(number, limit if number < physical else "")


def _physical_cores(root: Path) -> int:
    if sys.platform == "darwin":
        counted = subprocess.run(["sysctl", "-n", "hw.physicalcpu"], capture_output=True, text=True, check=True)
        return int(counted.stdout)
    siblings = set()
    for processor in os.sched_getaffinity(0):
        path = root / f"sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list"
        siblings.add(_text(path) or str(processor))
    return max(1, len(siblings))


def _quotas(root: Path) -> Iterator[float]:
    """Yield each quota of CPU time that holds here, in processors."""
    for folder in _control_groups(root, ""):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit():
            yield int(quota) / int(period)
    for folder in _control_groups(root, "cpu"):
        quota, period = (_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit():  # a quota of -1 is none
            yield int(quota) / int(period)


def _memories(root: Path) -> Iterator[int]:
    """Yield the memory of this machine and each limit that holds here, in bytes."""
    yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for controller, name in (("", "memory.max"), ("memory", "memory.limit_in_bytes")):
        for folder in _control_groups(root, controller):
            limit = _text(folder / name)
            if limit.isdigit():
                yield int(limit)


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control group and of those around it. Linux alone has them.

    The controller is empty for version 2 of the control groups. Inside a container, the path of the group may be that
    of the host, so that only the outermost folder exists.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            top = root / "sys/fs/cgroup" / controller
            inside = top / path.strip("/")
            yield from (folder for folder in (inside, *inside.parents) if folder == top or top in folder.parents)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
