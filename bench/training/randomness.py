"""Every random draw as a pure function of (seed, purpose, step, layer).

The generator is Philox4x64 with 10 rounds (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2,
3", SC 2011), whose raw words are specified for good. The key is (seed, purpose); the counter's second and third words
are step and layer, and the first counts the blocks of four words within one draw, from 1. Nothing depends on what was
drawn before, and numpy's distributions, whose streams may change between versions, are not used.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.network.specification import Architecture


class Purpose(IntEnum):
    """What a draw is for. The numbers are part of the stream: never change one."""

    WEIGHTS = 1
    ORDER = 2
    DROPOUT = 3
    AUGMENTATION = 4
    NETWORK = 5
    """What a network draws by itself in a step, from whatever generator."""


def words(seed: int, purpose: Purpose, step: int, layer: int, count: int) -> NDArray[numpy.uint64]:
    """`count` raw 64-bit words of the stream (seed, purpose, step, layer), each argument from 0 to 2⁶⁴ - 1."""
    generator = numpy.random.Philox(
        key=numpy.array([seed, purpose], dtype=numpy.uint64),
        counter=numpy.array([0, step, layer, 0], dtype=numpy.uint64),
    )
    return numpy.asarray(generator.random_raw(count), dtype=numpy.uint64)


def order(seed: int, epoch: int, count: int) -> Tensor:
    """The order of `count` images in an epoch: int64 (count,), a permutation.

    It sorts the images by one random word each, which is unbiased but for two equal words among 2⁶⁴.
    """
    return torch.from_numpy(numpy.argsort(words(seed, Purpose.ORDER, epoch, 0, count), kind="stable"))


def keep_threshold(probability: float) -> int:
    """How many of the 65,536 16-bit words keep a value under this dropout probability: off by less than 2⁻¹⁶."""
    return round((1 - probability) * 65_536)


def kept_factor(probability: float) -> numpy.float32:
    """What a kept value is multiplied by, so that the mean stays: 1 / (1 - probability)."""
    return numpy.float32(1 / (1 - probability) if probability < 1 else 0)


def half_words(seed: int, step: int, layer: int, count: int) -> NDArray[numpy.uint16]:
    """`count` 16-bit words for a dropout mask, from the low end of each 64-bit word of the stream."""
    stream = words(seed, Purpose.DROPOUT, step, layer, -(-count // 4))
    return stream.astype("<u8", copy=False).view("<u2")[:count]


def dropout_mask(
    seed: int, step: int, layer: int, shape: tuple[int, ...], probability: float
) -> NDArray[numpy.float32]:
    """A dropout mask in logical order: 0 where a value is dropped, 1 / (1 - probability) where it is kept.

    Element i of the flattened mask takes the i-th 16-bit word, so it is the same for every memory layout and device.
    """
    kept = half_words(seed, step, layer, int(numpy.prod(shape))) < keep_threshold(probability)
    return numpy.multiply(kept, kept_factor(probability), dtype=numpy.float32).reshape(shape)


def build(architecture: Architecture, seed: int) -> nn.Module:
    """A new network on the CPU, with PyTorch's default initialisation under a seed derived from the run's.

    The global generators, which that initialisation may draw from, are left as they were.
    """
    with generators_restored():
        seed_generators(seed, Purpose.WEIGHTS, 0)
        return architecture.build()


def seed_generators(seed: int, purpose: Purpose, step: int) -> None:
    """Seed the global generators of PyTorch, on every device, of Python and of numpy from a run's own stream.

    What draws from them next, code of a user's own say, draws the same whatever was drawn before.
    """
    derived = int(words(seed, purpose, step, 0, 1)[0])
    torch.manual_seed(derived)
    random.seed(derived)
    numpy.random.seed(derived % 2**32)


@contextmanager
def generators_restored() -> Iterator[None]:
    """Leave the global generators of PyTorch on the CPU, of Python and of numpy as they were."""
    state, numpy_state = random.getstate(), numpy.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(state)
        numpy.random.set_state(numpy_state)


def generator_states() -> tuple[object, ...]:
    """The states of those generators: equal ones mean that nothing was drawn in between."""
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), str(numpy.random.get_state(legacy=False))
