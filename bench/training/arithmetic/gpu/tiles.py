"""How the work of a convolution is cut into blocks and threads. This changes the speed and no bit.

The choice is by a model of an H100: 132 multiprocessors with four schedulers, each of which starts an instruction of 32
threads per cycle; 65,536 registers, 228 KB of shared memory, which gives 128 bytes per cycle.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.training.arithmetic.program import Shape

_SHARED, _LARGEST_SHARED, _OF_A_MULTIPROCESSOR = 99 << 10, 227 << 10, 228 << 10
"""Bytes of shared memory: what every GPU gives to a block, and what an H100 gives to a block and has in all."""

_MULTIPROCESSORS, _SCHEDULERS = 132, 4
_THREADS = 512  # of a block
_LOAD = 14  # instructions that bring a value into shared memory
_WAIT = 1500  # cycles from the first load of a block to its first product
_BATCH, _RUNS = 128, 8  # what is typical


@dataclass(frozen=True)
class Tile:
    """What a block and a thread take: the arguments of a template in convolution.cuh. `blocks` is (x, images)."""

    arguments: tuple[int, ...]
    threads: int
    shared: int
    blocks: tuple[int, int]


@dataclass(frozen=True)
class _Work:
    """What a block does: instructions of a thread, cycles of shared memory for a warp, values that it loads.

    `waits` counts how often all threads wait for loads; `registers` are those of a thread.
    """

    instructions: float
    reads: float
    values: int
    waits: int
    registers: int


def pitch(channels: int) -> int:
    """How far two pixels of a tile are apart, as in convolution.cuh."""
    return channels if channels < 3 else ((channels + 3) // 4 | 1) * 4


def convolution(before: Shape, size: tuple[int, int], after: Shape) -> Tile | None:
    """The tile of a convolution; None if no block can hold its filter."""
    taps, inputs = size[0] * size[1], before[2]
    found = []
    for outputs in _outputs(after[2], (8, 10, 6, 5, 4, 3, 2, 1)):
        groups = -(-after[2] // outputs)
        weights = taps * inputs * groups * outputs
        for pixels in (8, 6, 4, 2):
            each = taps * inputs * (pixels * outputs + pixels / min(4, inputs) + outputs / _aligned(outputs))
            reads = taps * inputs * (pixels + outputs / _aligned(outputs))
            registers = 40 + pixels * (outputs + 5) + outputs
            for band, images in _shares(after[0]):
                items = -(-images * band * after[1] // pixels) * groups
                tile = images * (band + size[0] - 1) * (after[1] + size[1] - 1)
                shared = 4 * (-(-weights // 4) * 4 + tile * pitch(inputs))
                threads = min(-(-items // 32) * 32, _THREADS)
                rounds = -(-items // threads)
                cut = Tile((images, band, pixels, outputs), threads, shared, (-(-after[0] // band), images))
                work = _Work(rounds * (each + 60), rounds * reads, tile * inputs + weights // 3, 1, registers)
                found.append((_cycles(cut, work), cut))
    return _best(found)


def filter_gradient(before: Shape, size: tuple[int, int], after: Shape) -> Tile | None:
    """The tile of the gradient of a filter; None if no block can hold a row of the images."""
    width = after[1] + size[1] - 1
    found = []
    for inputs in (1,) if before[2] == 1 else (4, 2, 1):
        across = -(-before[2] // inputs)
        for outputs in _outputs(after[2], (8, 4, 10, 6, 5, 2, 3, 1)):
            taken = -(-after[2] // outputs)
            products = size[1] * inputs * outputs
            if products > 64:
                continue
            reads = inputs / _aligned(inputs) * 2 + outputs / _aligned(outputs)
            registers = 40 + products + size[1] * inputs + 2 * outputs
            for slices in range(1, taken + 1):
                groups = -(-taken // slices)
                for band, images in _shares(after[0]):
                    threads = -(-across * size[0] * groups * images // 32) * 32
                    if threads > _THREADS:
                        continue
                    tile = images * (band + size[0] - 1) * width * across * inputs
                    gradient = images * band * after[1] * groups * outputs
                    shared = 4 * (-(-tile // 4) * 4 + gradient)
                    bands, pixels = -(-after[0] // band), after[0] * after[1]
                    arguments = images, band, inputs, outputs, groups * outputs
                    cut = Tile(arguments, threads, shared, (slices, images))
                    each = pixels * (products + reads + 4)
                    work = _Work(each, pixels * reads * 1.5, bands * (tile + gradient), bands, registers)
                    found.append((_cycles(cut, work), cut))
    return _best(found)


def _outputs(channels: int, choices: Iterable[int]) -> list[int]:
    """How many channels a thread may take: those that leave the fewest lanes idle."""
    idle = {one: -(-channels // one) * one for one in choices}
    return [one for one in idle if idle[one] == min(idle.values())]


def _shares(rows: int) -> Iterator[tuple[int, int]]:
    """Rows and images that a block may take."""
    for band in sorted({-(-rows // parts) for parts in range(1, rows + 1)}):
        for images in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32):
            yield band, images


def _aligned(count: int) -> int:
    return math.gcd(count, 4)


def _cycles(tile: Tile, work: _Work) -> float:
    """The cycles of a launch."""
    blocks = tile.blocks[0] * -(-_BATCH // tile.blocks[1]) * _RUNS
    fit = min(_OF_A_MULTIPROCESSOR // (tile.shared + 1024), 65_536 // (tile.threads * work.registers), 32)
    resident = max(1, min(fit, -(-blocks // _MULTIPROCESSORS)))
    waves = -(-blocks // (_MULTIPROCESSORS * resident))
    warps, loads = tile.threads // 32, work.values * _LOAD / 32
    busy = resident * max((warps * work.instructions + loads) / _SCHEDULERS, warps * work.reads)
    alone = work.instructions + loads / warps + work.waits * _WAIT
    return waves * max(busy, alone)


def _best(found: list[tuple[float, Tile]]) -> Tile | None:
    """The fastest tile, of those that every GPU can hold if there are any."""
    for limit in (_SHARED, _LARGEST_SHARED):
        within = [one for one in found if one[1].shared <= limit]
        if within:
            return min(within, key=lambda one: one[0])[1]
    return None
