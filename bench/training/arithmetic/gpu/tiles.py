"""How the work of a convolution is cut into blocks and threads. This changes the speed and no bit.

The choice is by a model of a multiprocessor of an H100: four schedulers, which start an instruction of 32 threads per
cycle each, 65,536 registers, and 228 KB of shared memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.training.arithmetic.program import Shape

_SHARED, _LARGEST_SHARED, _OF_A_MULTIPROCESSOR = 99 << 10, 227 << 10, 228 << 10
"""Bytes of shared memory: what every GPU gives to a block, and what an H100 gives to a block and has in all."""

_THREADS = 512  # of a block
_LOAD = 14  # instructions that bring a value into shared memory
_ENOUGH = 12  # warps of a multiprocessor that hide each other's waits


@dataclass(frozen=True)
class Tile:
    """What a block and a thread take: the arguments of a template in convolution.cuh. `blocks` is (x, images)."""

    arguments: tuple[int, ...]
    threads: int
    shared: int
    blocks: tuple[int, int]


def pitch(channels: int) -> int:
    """How far two pixels of a tile are apart, as in convolution.cuh."""
    return channels if channels < 3 else ((channels + 3) // 4 | 1) * 4


def convolution(before: Shape, size: tuple[int, int], after: Shape) -> Tile | None:
    """The tile of a convolution; None if no block can hold its filter."""
    outputs = _outputs(after[2], (8, 10, 9, 7, 6, 5, 12, 4, 3, 2, 1))
    pixels = 8 if outputs <= 8 else 6
    groups = -(-after[2] // outputs)
    found: list[tuple[float, Tile]] = []
    for band, images in _shares(after[0]):
        slots = -(-images * band * after[1] // pixels)
        tile = images * (band + size[0] - 1) * (after[1] + size[1] - 1)
        weights = size[0] * size[1] * before[2] * groups * outputs
        shared = 4 * (-(-weights // 4) * 4 + tile * pitch(before[2]))
        threads = min(-(-slots * groups // 32) * 32, _THREADS)
        rounds = -(-slots * groups // threads)
        instructions = rounds * threads * size[0] * size[1] * before[2] * pixels * outputs * 1.2
        instructions += _LOAD * (tile * before[2]) + weights * 4
        useful = images * after[0] * after[1] * after[2] * size[0] * size[1] * before[2]
        registers = 40 + pixels * (outputs + 4) + outputs
        cost = instructions * -(-after[0] // band) / useful
        arguments = (images, band, pixels, outputs)
        blocks = -(-after[0] // band), images
        found.append(_with_waits(cost, Tile(arguments, threads, shared, blocks), registers))
    return _best(found)


def filter_gradient(before: Shape, size: tuple[int, int], after: Shape) -> Tile | None:
    """The tile of the gradient of a filter; None if no block can hold a row of the images."""
    inputs = 1 if before[2] == 1 else 4 if size[1] == 1 and before[2] % 4 == 0 else 2 if size[1] <= 3 else 1
    outputs = _outputs(after[2], (8, 4, 10, 6, 5, 2, 3, 1))
    across = -(-before[2] // inputs)
    width = after[1] + size[1] - 1
    found: list[tuple[float, Tile]] = []
    for slices in range(1, -(-after[2] // outputs) + 1):
        groups = -(-(-(-after[2] // outputs)) // slices)
        each = across * size[0] * groups
        for band, images in _shares(after[0]):
            threads = -(-each * images // 32) * 32
            if threads > _THREADS:
                continue
            tile = images * (band + size[0] - 1) * width * across * inputs
            gradient = images * band * after[1] * groups * outputs
            shared = 4 * (-(-tile // 4) * 4 + gradient)
            bands = -(-after[0] // band)
            instructions = threads * after[0] * after[1] * size[1] * inputs * outputs * 1.2
            instructions += _LOAD * bands * (tile + gradient)
            useful = images * after[0] * after[1] * after[2] * size[0] * size[1] * before[2]
            registers = 40 + size[1] * inputs * (outputs + 1) + outputs
            cut = Tile((images, band, inputs, outputs, groups * outputs), threads, shared, (slices, images))
            found.append(_with_waits(instructions * slices / useful, cut, registers))
    return _best(found)


def _outputs(channels: int, choices: tuple[int, ...]) -> int:
    """How many channels a thread takes: the first choice that leaves the fewest lanes idle."""
    return min(choices, key=lambda one: (-(-channels // one) * one, choices.index(one)))


def _shares(rows: int) -> Iterator[tuple[int, int]]:
    """Rows and images that a block may take."""
    for parts in range(1, rows + 1):
        band = -(-rows // parts)
        if parts == 1 or band != -(-rows // (parts - 1)):
            for images in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32):
                yield band, images


def _with_waits(cost: float, tile: Tile, registers: int) -> tuple[float, Tile]:
    """A tile with its cost, which is higher if a multiprocessor holds too few warps to hide their waits."""
    blocks = min(_OF_A_MULTIPROCESSOR // (tile.shared + 1024), 65_536 // (tile.threads * registers), 32)
    warps = max(blocks, 1) * tile.threads // 32
    return cost * max(1.0, _ENOUGH / warps) ** 0.7, tile


def _best(found: Sequence[tuple[float, Tile]]) -> Tile | None:
    """The cheapest tile, of those that every GPU can hold if there are any."""
    for limit in (_SHARED, _LARGEST_SHARED):
        within = [one for one in found if one[1].shared <= limit]
        if within:
            return min(within, key=lambda one: one[0])[1]
    return None
