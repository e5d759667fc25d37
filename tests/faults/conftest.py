"""Fixtures for the tests of faults: a server for quick jobs, and the folder of an undisturbed job."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest
from jobs import JOB, Undisturbed
from quickly import Server

from bench.record import record


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Starts jobs on a few images, quickly."""
    if not sys.platform.startswith("linux"):
        pytest.skip("a process that has loaded PyTorch can be forked on Linux alone")
    one = Server(tmp_path_factory.mktemp("server"))
    yield one
    one.close()


@pytest.fixture(scope="session")
def undisturbed(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A job that nothing disturbed."""
    for _ in range(2):  # the first job may have to load and compile more than the second
        folder = tmp_path_factory.mktemp("undisturbed")
        started = time.monotonic()
        job = server.run("all", *JOB, folder=folder)
        seconds = time.monotonic() - started
        assert job.code == 0, job.errors
    assert record.read(folder / "runs.csv").problems == ()
    one = Undisturbed(folder, seconds)
    assert len(one.rows) == 4 * 3
    return one
