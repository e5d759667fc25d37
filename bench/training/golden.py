"""The golden digests: a short training of each documented network must give these bits on every machine.

`python -m bench.training.golden` prints them as this machine computes them.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from bench.errors import UnusableInput
from bench.network.specification import Architecture
from bench.training.arithmetic.engine import Engine
from bench.training.arithmetic.gpu.runs import GPU, Runs
from bench.training.arithmetic.state import State
from bench.training.exact import ExactTrainer, begin, program_of
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

_SMALL = "ten_twenty_thirty"
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
    checked = _checked(architecture)
    if digest(ExactTrainer(checked, 1).engine) != DIGESTS[checked.name]:
        problem = f"this machine computes other bits for {checked.name} than the exact arithmetic defines"
        advice = f"if models/{checked.name}.py was changed, undo that; otherwise use --arithmetic native, and report it"
        raise UnusableInput(f"{problem}: {advice}")


def require_on_gpu(architecture: Architecture, gpu: GPU) -> None:
    """Check a network on a GPU, as `require` does.

    Raises:
        UnusableInput: this GPU computes other bits.
    """
    checked = _checked(architecture)
    if digests_on_gpu(checked, (1,), gpu) != (DIGESTS[checked.name],):
        problem = f"this GPU computes other bits for {checked.name} than the exact arithmetic defines"
        raise UnusableInput(f"{problem}: use --devices cpu, or --arithmetic native, and report it")


def _checked(architecture: Architecture) -> Architecture:
    return architecture if architecture.name in DIGESTS else ARCHITECTURES[_SMALL]


def digest(engine: Engine) -> str:
    """Return 16 hex digits over a short training: three steps, the last one short, and one evaluation.

    They cover the weights, the velocities, the running statistics, the losses and the predictions.
    """
    losses = []
    for step, count in enumerate(_BATCHES):
        engine.state.step = step
        pixels, labels = _images(count, step)
        losses.append(engine.step(_normalised(pixels), labels, _MOMENTUM, _RATE))
    pixels, labels = _images(_EVALUATED, len(_BATCHES))
    loss, digits = engine.evaluate(_normalised(pixels), labels)
    return _digest((*losses, loss), digits, engine.state)


def digests_on_gpu(architecture: Architecture, seeds: Sequence[int], gpu: GPU) -> tuple[str, ...]:
    """Return what `digest` gives for each of these seeds, which a GPU trains side by side."""
    begun = [begin(architecture, seed) for seed in seeds]
    states = [state for _, state in begun]
    runs = Runs(gpu, program_of(architecture, begun[0][0]), states, max(_BATCHES))
    try:
        batches = [_images(count, step) for step, count in enumerate(_BATCHES)]
        images, labels = (numpy.concatenate(parts) for parts in zip(*batches, strict=True))
        runs.see(images, labels, *_images(_EVALUATED, len(_BATCHES)))
        ends = numpy.cumsum(_BATCHES)
        losses = [
            runs.train(numpy.tile(numpy.arange(end - count, end), (len(seeds), 1)), count, _MOMENTUM, _RATE)
            for count, end in zip(_BATCHES, ends, strict=True)
        ]
        mean, _, digits = runs.evaluate()
        runs.fetch()
    finally:
        runs.close()
    return tuple(_digest((*(one[i] for one in losses), mean[i]), digits[i], state) for i, state in enumerate(states))


def _digest(losses: Sequence[float], digits: NDArray[numpy.uint8], state: State) -> str:
    content = hashlib.sha256(struct.pack(f"<{len(losses)}d", *losses) + digits.tobytes())
    for values in (state.parameters, state.velocities, state.buffers):
        for name in sorted(values):
            content.update(name.encode() + values[name].astype(values[name].dtype.newbyteorder("<")).tobytes())
    return content.hexdigest()[:16]


def _images(count: int, part: int) -> tuple[NDArray[numpy.uint8], NDArray[Any]]:
    """Images (count, 28, 28) of random pixels and random labels (count,), from a stream of their own."""
    stream = words(0, Purpose.GOLDEN, part, 0, count * 28 * 28 // 8)
    labels = (words(0, Purpose.GOLDEN, part, 1, count) % numpy.uint64(10)).astype(numpy.int64)
    return stream.astype("<u8").view(numpy.uint8).reshape(count, 28, 28), labels


def _normalised(pixels: NDArray[numpy.uint8]) -> NDArray[numpy.float32]:
    """The images (N, 28, 28, 1) as the engine takes them."""
    shares = pixels[..., None].astype(numpy.float32) / numpy.float32(255)
    return (shares - numpy.float32(0.1307)) / numpy.float32(0.3081)


def main() -> int:
    """Print the digest of each network; the exit code is 1 if one of them is not as defined."""
    found = {name: digest(ExactTrainer(ARCHITECTURES[name], 1).engine) for name in DIGESTS}
    for name, one in found.items():
        print(f"{name}: {one}" + ("" if one == DIGESTS[name] else f", defined is {DIGESTS[name]}"))
    return int(not found or found != DIGESTS)


if __name__ == "__main__":
    sys.exit(main())
