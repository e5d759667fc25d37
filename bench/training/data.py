"""Load MNIST as tensors from the published files. torchvision downloads missing files. All checksums are compared.

The images are normalised as in the documents' notebooks: pixels from 0 to 1, minus 0.1307, divided by 0.3081.
torchvision only downloads the files and does not read them. Its reader would unpack the files into a folder that a
killed worker leaves behind, and each worker would start half a second later.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.errors import UnusableInput, one_line
from bench.files import cause
from bench.network.vision import import_torchvision

MEAN = 0.1307
STANDARD_DEVIATION = 0.3081

MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
"""The published files and their checksums, as torchvision has them."""

# The bytes before the values in the published files: four for a magic number, and four for each dimension.
_IMAGE_HEADER, _LABEL_HEADER = 16, 8

# The errors that torchvision raises, and those that it does not catch when a connection breaks.
_DOWNLOAD_ERRORS = (RuntimeError, ValueError, ConnectionError, TimeoutError, http.client.HTTPException)


@dataclass(frozen=True)
class Dataset:
    """Training and test set on one device: normalised float32 images (N, 1, 28, 28), int64 labels (N)."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    def to(self, device: str) -> Dataset:
        """Return the same data on another device."""
        tensors = (self.train_images, self.train_labels, self.test_images, self.test_labels)
        return Dataset(*(tensor.to(device) for tensor in tensors))

    def head(self, train: int, test: int) -> Dataset:
        """Return only the first images of each set, for a short job with real data."""
        return Dataset(
            self.train_images[:train], self.train_labels[:train], self.test_images[:test], self.test_labels[:test]
        )


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation of the test images gives.

    These are images classified correctly, mean negative log-likelihood, and the digit seen in each image, uint8 (N,).
    """

    correct: int
    loss: float
    predictions: Tensor


_CLONE = Path(__file__).resolve().parents[2] / "data"
"""The folder of the images in a clone of this project."""


def ensure(root: Path) -> None:
    """Make sure that the four files under `root` are complete and unaltered. Download missing files.

    Raises:
        UnusableInput: a file is not the published one, or it is missing and cannot be downloaded. A failed download
            leaves no files.
    """
    _published(root)


def load(root: Path) -> Dataset:
    """Load both sets from the files under `root`.

    Raises:
        UnusableInput: as for `ensure`.
    """
    train_images, train_labels, test_images, test_labels = map(gzip.decompress, _published(root))
    return Dataset(_images(train_images), _labels(train_labels), _images(test_images), _labels(test_labels))


def raw_folder(root: Path) -> Path:
    """Return the folder below `root` where torchvision puts the four files."""
    return root / "MNIST" / "raw"


def pixels(images: Tensor) -> Tensor:
    """Return the bytes (N, 28, 28) of normalised images (N, 1, 28, 28)."""
    table = _normalised(torch.arange(256, dtype=torch.uint8)).flatten()
    found = torch.searchsorted(table, images.squeeze(1).contiguous())
    if not torch.equal(table[found.clamp(max=255)], images.squeeze(1)):
        raise ValueError("these images do not come from bytes")
    return found.to(torch.uint8)


def _published(root: Path) -> list[bytes]:
    """Return the contents of the four files, in the order of `MD5`, after comparing their checksums."""
    folder = raw_folder(root)
    missing = [name for name in MD5 if not _is_file(folder / name)]
    if missing:
        _download(root, missing)
    return [_verified(folder / name, checksum) for name, checksum in MD5.items()]


def _images(content: bytes) -> Tensor:
    pixels = torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=_IMAGE_HEADER)
    return _normalised(pixels.reshape(-1, 28, 28))


def _labels(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=_LABEL_HEADER).to(torch.int64)


def _normalised(pixels: Tensor) -> Tensor:
    """Convert bytes (N, 28, 28) to floats (N, 1, 28, 28).

    The operations, and so the bits, are those of torchvision's transforms.
    """
    return pixels.unsqueeze(1).to(torch.float32).div_(255).sub_(MEAN).div_(STANDARD_DEVIATION)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be read ({cause(error)}): name another folder with --data") from error


def _verified(path: Path, checksum: str) -> bytes:
    with _one_line_for_system_errors(path):
        content = path.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found == checksum:
        return content
    is_page = content[:64].lstrip().lower().startswith((b"<!doctype", b"<html"))
    kind = "an HTML page" if is_page else f"MD5 {found} instead of {checksum}"
    raise UnusableInput(f"{path}: this is not the published file ({kind}): delete it to download it again")


def _download(root: Path, names: list[str]) -> None:
    folder = raw_folder(root)
    with _one_line_for_system_errors(folder):
        new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as arriving:
                # torchvision writes about its mirrors to standard output, but that is only for results.
                with contextlib.redirect_stdout(sys.stderr):
                    import_torchvision().datasets.MNIST(arriving, download=True)
                for name in names:
                    os.replace(raw_folder(Path(arriving)) / name, folder / name)
        except BaseException as error:
            for path in new_folders:
                with contextlib.suppress(OSError):
                    path.rmdir()
            if isinstance(error, _DOWNLOAD_ERRORS):
                advice = "copy the four files of MNIST there, or name a folder that has them with --data"
                if raw_folder(_CLONE).is_dir() and root.resolve() != _CLONE:
                    advice += f" {_CLONE}"
                message = f"{folder}: {', '.join(names)} missing, and the download failed ({one_line(error)}): {advice}"
                raise UnusableInput(message) from error
            raise


@contextlib.contextmanager
def _one_line_for_system_errors(path: Path) -> Any:
    try:
        yield
    except OSError as error:
        place = error.filename or path
        raise UnusableInput(f"{place}: {cause(error)}: remove the cause, or name another folder with --data") from error
