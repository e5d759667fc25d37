"""The golden digests: a short training of each documented network must give these bits on every machine.

`python -m bench.training.golden` prints them as this machine computes them.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from typing import Any

import numpy
from numpy.typing import NDArray

from bench.errors import UnusableInput
from bench.network.specification import Architecture
from bench.training.arithmetic.engine import Engine
from bench.training.exact import ExactTrainer
from bench.training.randomness import Purpose, words
from models import ARCHITECTURES

DIGESTS = {
    "squeeze_fc": "26b9dbb3efc85178",
    "expand_squeeze": "85e34a3eb57d1ee5",
    "unpadded": "92062b385b1ed082",
    "ten_twenty_thirty": "c4906655074cdf17",
    "gap_head": "d77d608b11983de1",
}
"""What `digest` must return for each documented network with the initial weights of seed 1."""

_BATCHES = (32, 32, 17)
_EVALUATED = 500
_MOMENTUM, _RATE = 0.9, 0.05


def differing(names: tuple[str, ...] = tuple(DIGESTS)) -> tuple[str, ...]:
    """Return the names of the documented networks for which this machine computes other bits."""
    return tuple(name for name in names if digest(ExactTrainer(ARCHITECTURES[name], 1).engine) != DIGESTS[name])


def require(architecture: Architecture) -> None:
    """Check a documented network, or a small one instead of a user's own network.

    A job hands its networks to its workers. So a file in models/ can change meanwhile.

    Raises:
        UnusableInput: this machine computes other bits.
    """
    checked = architecture if architecture.name in DIGESTS else ARCHITECTURES["ten_twenty_thirty"]
    if digest(ExactTrainer(checked, 1).engine) != DIGESTS[checked.name]:
        problem = f"this machine computes other bits for {checked.name} than the exact arithmetic defines"
        advice = f"if models/{checked.name}.py was changed, undo that; otherwise use --arithmetic native, and report it"
        raise UnusableInput(f"{problem}: {advice}")


def digest(engine: Engine) -> str:
    """Return 16 hex digits over a short training: three steps, the last one short, and one evaluation.

    They cover the weights, the velocities, the running statistics, the losses and the predictions.
    """
    state, losses = engine.state, []
    for step, count in enumerate(_BATCHES):
        state.step = step
        losses.append(engine.step(*_images(count, step), _MOMENTUM, _RATE))
    loss, digits = engine.evaluate(*_images(_EVALUATED, len(_BATCHES)))
    content = hashlib.sha256(struct.pack("<4d", *losses, loss) + digits.tobytes())
    for values in (state.parameters, state.velocities, state.buffers):
        for name in sorted(values):
            content.update(name.encode() + values[name].astype(values[name].dtype.newbyteorder("<")).tobytes())
    return content.hexdigest()[:16]


def _images(count: int, part: int) -> tuple[NDArray[numpy.float32], NDArray[Any]]:
    """Images (count, 28, 28, 1) of random pixels and random labels (count,), from a stream of their own."""
    stream = words(0, Purpose.GOLDEN, part, 0, count * 28 * 28 // 8)
    pixels = stream.astype("<u8").view(numpy.uint8).reshape(count, 28, 28, 1)
    labels = (words(0, Purpose.GOLDEN, part, 1, count) % numpy.uint64(10)).astype(numpy.int64)
    shares = pixels.astype(numpy.float32) / numpy.float32(255)
    return (shares - numpy.float32(0.1307)) / numpy.float32(0.3081), labels


def main() -> int:
    """Print the digest of each network; the exit code is 1 if one of them is not as defined."""
    found = {name: digest(ExactTrainer(ARCHITECTURES[name], 1).engine) for name in DIGESTS}
    for name, one in found.items():
        print(f"{name}: {one}" + ("" if one == DIGESTS[name] else f", defined is {DIGESTS[name]}"))
    return int(not found or found != DIGESTS)


if __name__ == "__main__":
    sys.exit(main())
