"""Draw all random numbers as a pure function of (seed, purpose, step, layer).

The generator is Philox4x64 with 10 rounds (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2,
3", SC 2011). Its specification fixes its raw words for all versions. The key is (seed, purpose). The second and third
words of the counter are the step and the layer. The first word counts the blocks of four words within one draw, from 1.
No draw depends on earlier draws. This module does not use numpy's distributions, because their streams can change
between versions. All draws of an ordinary run have the same seed. `seeds` says which seeds other runs have.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bench.network.specification import Architecture, Vary

ONE_THREAD = threading.RLock()
"""Held by the one thread that may use what the whole process shares: the global generators, and how a module is called.

`torch.fx` changes the second one while it traces a network.
"""


class Purpose(IntEnum):
    """The purpose of a draw. Never change these numbers, because they are part of the stream."""

    WEIGHTS = 1
    ORDER = 2
    DROPOUT = 3
    AUGMENTATION = 4
    NETWORK = 5
    """The random numbers that a network itself draws in a step, from any global generator."""
    GOLDEN = 6
    """The images of the golden digests."""


@dataclass(frozen=True)
class Seeds:
    """The seeds of a run's draws, by their purposes.

    The augmentation of the images has the seed of their order. The numbers that the network itself draws in a step have
    the seed of dropout.
    """

    weights: int
    order: int
    dropout: int


def seeds(vary: Vary, seed: int) -> Seeds:
    """Return the seeds of a run. With a kind in `vary`, only this kind has the run's seed, and the others have 1."""
    return replace(Seeds(1, 1, 1), **{vary: seed}) if vary else Seeds(seed, seed, seed)


def words(seed: int, purpose: Purpose, step: int, layer: int, count: int) -> NDArray[numpy.uint64]:
    """Draw `count` raw 64-bit words of the stream (seed, purpose, step, layer). Each of these is from 0 to 2⁶⁴ - 1."""
    generator = numpy.random.Philox(
        key=numpy.array([seed, purpose], dtype=numpy.uint64),
        counter=numpy.array([0, step, layer, 0], dtype=numpy.uint64),
    )
    return numpy.asarray(generator.random_raw(count), dtype=numpy.uint64)


def order(seed: int, epoch: int, count: int) -> Tensor:
    """Draw the order of `count` images in an epoch: a permutation, int64 (count,).

    It sorts the images by one random word each. Only two equal words, out of 2⁶⁴ possible ones, would bias the order.
    """
    return torch.from_numpy(numpy.argsort(words(seed, Purpose.ORDER, epoch, 0, count), kind="stable"))


def keep_threshold(probability: float) -> int:
    """Return how many of the 65,536 16-bit words keep a value.

    The share of the others differs from the dropout probability by less than 2⁻¹⁶.
    """
    return round((1 - probability) * 65_536)


def kept_factor(probability: float) -> numpy.float32:
    """Return 1 / (1 - probability), the factor for kept values that preserves the mean."""
    return numpy.float32(1 / (1 - probability) if probability < 1 else 0)


def dropout_stream(layer: int, call: int) -> int:
    """Return the word `layer` of the stream of a dropout layer's call in a step. Layers and calls count from 0."""
    return layer + (call << 32)


def half_words(seed: int, step: int, layer: int, count: int) -> NDArray[numpy.uint16]:
    """Draw `count` 16-bit words for a dropout mask. Each 64-bit word of the stream gives four, the low end first."""
    stream = words(seed, Purpose.DROPOUT, step, layer, -(-count // 4))
    return stream.astype("<u8", copy=False).view("<u2")[:count]


def dropout_mask(
    seed: int, step: int, layer: int, shape: tuple[int, ...], probability: float
) -> NDArray[numpy.float32]:
    """Draw a dropout mask in logical order: 0 for a dropped value, 1 / (1 - probability) for a kept value.

    Element i of the flattened mask uses the i-th 16-bit word. So the mask is the same for every memory layout and
    device.
    """
    kept = half_words(seed, step, layer, int(numpy.prod(shape))) < keep_threshold(probability)
    return numpy.multiply(kept, kept_factor(probability), dtype=numpy.float32).reshape(shape)


def build(architecture: Architecture, seed: int) -> nn.Module:
    """Build a network on the CPU, with PyTorch's default initialisation and a seed derived from the run's seed.

    A few images run through a network with lazy layers, so that they get their shapes. The initialisation can draw from
    the global generators. Their states are restored afterwards.
    """
    with generators_restored():
        seed_generators(seed, Purpose.WEIGHTS, 0)
        network = architecture.build()
        if any(is_lazy(one) for one in (*network.parameters(), *network.buffers())):
            with torch.no_grad():
                network.eval()(torch.zeros(2, 1, 28, 28))
            network.train()
        return network


def seed_generators(seed: int, purpose: Purpose, step: int) -> None:
    """Seed the global generators of PyTorch (on every device), Python and numpy from the run's own stream.

    The next draws from them, for example in a user's code, do not depend on earlier draws.
    """
    derived = int(words(seed, purpose, step, 0, 1)[0])
    torch.manual_seed(derived)
    random.seed(derived)
    numpy.random.seed(derived % 2**32)


@contextmanager
def generators_restored() -> Iterator[None]:
    """Restore the global generators of PyTorch on the CPU, of Python and of numpy on exit. Other threads wait."""
    with ONE_THREAD:
        state, numpy_state = random.getstate(), numpy.random.get_state()
        try:
            with torch.random.fork_rng(devices=[]):
                yield
        finally:
            random.setstate(state)
            numpy.random.set_state(numpy_state)


def generator_states() -> tuple[object, ...]:
    """Return the states of those three generators. If two results are equal, nothing was drawn in between."""
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), str(numpy.random.get_state(legacy=False))
