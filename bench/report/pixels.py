"""Read the test images of MNIST for the figures, without torch."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_MAGIC = 2051  # starts an IDX file of unsigned bytes in three dimensions


def test_images(data: Path) -> NDArray[np.uint8] | None:
    """The test images (N, 28, 28) from the MNIST folder; 255 is ink. None if the file is missing or not valid."""
    try:
        content = gzip.decompress((data / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz").read_bytes())
        magic, count, height, width = struct.unpack(">4i", content[:16])
    except (OSError, EOFError, zlib.error, struct.error):
        return None
    if (magic, height, width, len(content)) != (_MAGIC, 28, 28, 16 + count * 28 * 28):
        return None
    return np.frombuffer(content, dtype=np.uint8, offset=16).reshape(count, height, width)
