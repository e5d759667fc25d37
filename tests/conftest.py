"""What several test modules share."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

from bench.training.data import Dataset, load

ROOT = Path(__file__).resolve().parent.parent

# A machine that is busy for a moment is no failure of what is tested.
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
    """Three batches of 128 and a short one of 32, which is just as short in batches of 64, and 500 test images."""
    return dataset.head(3 * 128 + 32, 500)
