"""Tests of `pixels`: the test images come from the published file, or there are none."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from bench.report import pixels

NAME = Path("MNIST") / "raw" / "t10k-images-idx3-ubyte.gz"


def test_the_images_are_those_that_are_trained_on(root, dataset):
    images = pixels.test_images(root / "data")
    assert (images.shape, images.dtype) == ((10_000, 28, 28), np.uint8)
    normalised = (images[:50].astype(np.float32) / 255 - np.float32(0.1307)) / np.float32(0.3081)
    assert np.allclose(normalised, dataset.test_images[:50, 0].numpy(), atol=1e-5)


def test_without_the_file_there_are_no_images(tmp_path):
    assert pixels.test_images(tmp_path) is None
    (tmp_path / NAME).mkdir(parents=True)
    assert pixels.test_images(tmp_path) is None


HEAD = struct.pack(">4i", 2051, 2, 28, 28)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!doctype html>",
        gzip.compress(b""),
        gzip.compress(HEAD),
        gzip.compress(HEAD + bytes(2 * 784))[:-9],
        gzip.compress(HEAD + bytes(2 * 784)) + b"more",
        gzip.compress(HEAD + bytes(2 * 784 + 1)),
        gzip.compress(struct.pack(">4i", 2049, 2, 28, 28) + bytes(2 * 784)),
        gzip.compress(struct.pack(">4i", 2051, 8, 14, 14) + bytes(2 * 784)),
    ],
    ids=[
        "empty",
        "a page",
        "nothing packed",
        "a header",
        "cut short",
        "more behind",
        "a byte too many",
        "labels",
        "small",
    ],
)
def test_a_file_that_is_another_is_no_images(tmp_path, content):
    path = tmp_path / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert pixels.test_images(tmp_path) is None


def test_any_number_of_images_is_read(tmp_path):
    path = tmp_path / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(HEAD + bytes(784) + b"\xff" * 784))
    assert pixels.test_images(tmp_path).mean(axis=(1, 2)).tolist() == [0, 255]
