"""MNIST as tensors, read through torchvision from files whose checksums were compared.

The images are normalised as the documents' notebooks do it: pixels from 0 to 1, less 0.1307, over 0.3081.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.errors import UnusableInput, one_line
from bench.files import cause
from bench.vision import import_torchvision

MEAN = 0.1307
STANDARD_DEVIATION = 0.3081

# What torchvision raises, and what it lets through when a connection breaks in the middle.
_DOWNLOAD_ERRORS = (RuntimeError, ValueError, ConnectionError, TimeoutError, http.client.HTTPException)


@dataclass(frozen=True)
class Dataset:
    """Training and test set on one device: normalised float32 images (N, 1, 28, 28), int64 labels (N)."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    def to(self, device: str) -> Dataset:
        """The same data on another device."""
        tensors = (self.train_images, self.train_labels, self.test_images, self.test_labels)
        return Dataset(*(tensor.to(device) for tensor in tensors))

    def head(self, train: int, test: int) -> Dataset:
        """Only the first images of each set: a short job that still sees real data."""
        return Dataset(
            self.train_images[:train], self.train_labels[:train], self.test_images[:test], self.test_labels[:test]
        )


def ensure(root: Path) -> None:
    """Make sure that the four files are under `root`, whole and unaltered, downloading those that are missing.

    Raises:
        UnusableInput: a file is not what it should be, or is missing and cannot be had. Nothing is left behind.
    """
    folder = _raw_folder(root)
    missing = [name for name, _ in _resources() if not _is_file(folder / name)]
    if missing:
        _download(root, missing)
    for name, checksum in _resources():
        _verify(folder / name, checksum)


def load(root: Path) -> Dataset:
    """Both sets from the files under `root`.

    Raises:
        UnusableInput: as `ensure`.
    """
    ensure(root)
    mnist = import_torchvision().datasets.MNIST
    with _one_line_for_system_errors(root), unpacked(root) as folder:
        train, test = (mnist(folder, train=is_train) for is_train in (True, False))
    return Dataset(_normalised(train.data), train.targets, _normalised(test.data), test.targets)


@contextlib.contextmanager
def unpacked(root: Path) -> Iterator[str]:
    """A temporary folder in which torchvision finds the files under `root` unpacked.

    torchvision never compares the checksums of files it has unpacked before, and it unpacks beside the archives. In a
    folder of our own it reads just what was verified, and a read-only checkout will do.
    """
    with tempfile.TemporaryDirectory(prefix="bench-mnist-") as folder:
        links = _raw_folder(Path(folder))
        links.mkdir(parents=True)
        for name, _ in _resources():
            (links / name).symlink_to((_raw_folder(root) / name).resolve())
        import_torchvision().datasets.MNIST(folder, download=True)
        yield folder


def _normalised(pixels: Tensor) -> Tensor:
    """(N, 28, 28) bytes to (N, 1, 28, 28) floats, with the same operations and so the same bits as the transforms."""
    return pixels.unsqueeze(1).to(torch.float32).div_(255).sub_(MEAN).div_(STANDARD_DEVIATION)


def _raw_folder(root: Path) -> Path:
    return root / "MNIST" / "raw"


def _resources() -> list[tuple[str, str]]:
    resources: list[tuple[str, str]] = import_torchvision().datasets.MNIST.resources
    return resources


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be read ({cause(error)}): name another folder with --data") from error


def _verify(path: Path, checksum: str) -> None:
    with _one_line_for_system_errors(path):
        utils: Any = import_torchvision().datasets.utils
        found = utils.calculate_md5(path)
        if found == checksum:
            return
        start = path.open("rb").read(64).lstrip().lower()
    kind = "an HTML page" if start.startswith((b"<!doctype", b"<html")) else f"MD5 {found} instead of {checksum}"
    raise UnusableInput(f"{path}: not the published file ({kind}): delete it, and it is downloaded again")


def _download(root: Path, names: list[str]) -> None:
    folder = _raw_folder(root)
    with _one_line_for_system_errors(folder):
        new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as arriving:
                # It reports its mirrors on standard output, which is for results.
                with contextlib.redirect_stdout(sys.stderr):
                    import_torchvision().datasets.MNIST(arriving, download=True)
                for name in names:
                    os.replace(_raw_folder(Path(arriving)) / name, folder / name)
        except BaseException as error:
            for path in new_folders:
                with contextlib.suppress(OSError):
                    path.rmdir()
            if isinstance(error, _DOWNLOAD_ERRORS):
                advice = "copy the four files of MNIST there, or name a folder that has them with --data"
                message = f"{folder}: {', '.join(names)} missing and not to be downloaded ({one_line(error)}): {advice}"
                raise UnusableInput(message) from error
            raise


@contextlib.contextmanager
def _one_line_for_system_errors(path: Path) -> Any:
    try:
        yield
    except OSError as error:
        place = error.filename or path
        raise UnusableInput(f"{place}: {cause(error)}: free or mend it, or name another folder with --data") from error
