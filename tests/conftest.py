"""Fixtures for all tests: the project's folder and the images. Signals have their usual effect in every test."""

from __future__ import annotations

import signal
from pathlib import Path

import hypothesis
import pytest

from bench.training.data import Dataset, load

# `nohup` and a shell's `&` start a process that ignores these signals, and a job then ignores them too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

ROOT = Path(__file__).resolve().parent.parent

# A machine that is busy for a moment must not fail a test.
hypothesis.settings.register_profile("unhurried", deadline=None, print_blob=True)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """All of MNIST."""
    return load(ROOT / "data")


@pytest.fixture(scope="session")
def small(dataset: Dataset) -> Dataset:
    """Three batches of 128 and a short one of 32, and 500 test images. Batches of 64 end with a short one too."""
    return dataset.head(3 * 128 + 32, 500)
