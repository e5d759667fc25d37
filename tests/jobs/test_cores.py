"""Tests of `cores`: the physical cores, and the limits of a container on processors and memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bench.jobs import cores
from bench.jobs.cores import Cores, usable

GIB = 1 << 30


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a machine of 8 physical cores and 64 GiB of memory, with some files of the system."""
    monkeypatch.setattr(cores, "_physical_cores", lambda root: 8)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 64 * GIB // 4096}.__getitem__)

    def make(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        return tmp_path

    return make


V2 = {"proc/self/cgroup": "0::/"}
V1 = {"proc/self/cgroup": "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/"}
QUOTA = "the CPU quota of this container is 2.5 of 8 cores"
MEMORY = "the memory is 4 GiB, and a run takes up to 1 GiB"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, Cores(8)),
        (V2, Cores(8)),
        ({**V2, "sys/fs/cgroup/cpu.max": "max 100000", "sys/fs/cgroup/memory.max": "max"}, Cores(8)),
        ({**V2, "sys/fs/cgroup/cpu.max": "250000 100000"}, Cores(2, QUOTA)),
        ({**V2, "sys/fs/cgroup/cpu.max": "10000 100000"}, Cores(1, QUOTA.replace("2.5", "0.1"))),
        ({**V2, "sys/fs/cgroup/cpu.max": "1600000 100000"}, Cores(8)),
        ({**V2, "sys/fs/cgroup/cpu.max": "nonsense"}, Cores(8)),
        ({**V2, "sys/fs/cgroup/memory.max": str(4 * GIB)}, Cores(3, MEMORY)),
        ({**V2, "sys/fs/cgroup/memory.max": "1000"}, Cores(1, MEMORY.replace("4 GiB", "9.31e-07 GiB"))),
        (
            {**V2, "sys/fs/cgroup/cpu.max": "250000 100000", "sys/fs/cgroup/memory.max": str(4 * GIB)},
            Cores(2, QUOTA),
        ),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "250000 100000"}, Cores(2, QUOTA)),
        (
            {"proc/self/cgroup": "0::/a", "sys/fs/cgroup/cpu.max": "4 1", "sys/fs/cgroup/a/cpu.max": "5 2"},
            Cores(2, QUOTA),
        ),
        ({"proc/self/cgroup": "0::/a", "sys/fs/cgroup/other/cpu.max": "5 2"}, Cores(8)),
        (
            {**V1, "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
            Cores(2, QUOTA),
        ),
        (
            {**V1, "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
            Cores(8),
        ),
        ({**V1, "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": str(4 * GIB)}, Cores(3, MEMORY)),
        ({**V1, "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"}, Cores(8)),
    ],
)
def test_the_smallest_limit_counts_and_is_named(machine, files: Mapping[str, str], expected: Cores):
    assert usable(machine(files)) == expected


def test_one_core_is_always_used_and_is_no_limit_of_itself(machine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cores, "_physical_cores", lambda root: 1)
    assert usable(machine({**V2, "sys/fs/cgroup/cpu.max": "5 10"})) == Cores(1)


def test_there_is_at_least_one_core_and_none_more_than_processors():
    assert 1 <= usable().number <= (os.cpu_count() or 1)


def test_two_processors_of_one_core_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    monkeypatch.setattr(cores.sys, "platform", "linux")
    for processor, siblings in ((0, "0-1"), (1, "0-1"), (2, "2-3")):
        path = tmp_path / f"sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list"
        path.parent.mkdir(parents=True)
        path.write_text(siblings)
    assert cores._physical_cores(tmp_path) == 2


@pytest.fixture
def one_processor() -> Iterator[None]:
    """This process may use one processor only."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("a process cannot be confined here")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("one_processor")
def test_only_the_processors_this_process_may_use_are_counted():
    assert usable().number == 1
