"""The plan of a step and of an evaluation on a GPU: kernels with their grids and arguments.

A plan is made of a program alone. It holds for every number of runs and images, and knows no device.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.errors import UnusableInput
from bench.training.arithmetic.engine import LOSS_CHUNK
from bench.training.arithmetic.gpu import memory, source, tiles
from bench.training.arithmetic.gpu.memory import Buffer, Word, integer
from bench.training.arithmetic.gpu.parts import Part, parts
from bench.training.arithmetic.gpu.tiles import Tile
from bench.training.arithmetic.norms import GroupNorm, LayerNorm
from bench.training.arithmetic.operations import Convolution, LogSoftmax, MaxPool
from bench.training.arithmetic.program import Program
from bench.training.arithmetic.state import Mode

CLOCK = struct.Struct("<qqdd")
"""Steps so far, first image of the next batch, momentum and rate, as in common.cuh."""

_TOGETHER = 8  # as in normalisation.cuh
_THREADS = 128  # of a block that has no tile


@dataclass(frozen=True)
class Launch:
    """A kernel and its grid (x, y); the runs are its third axis. An argument is a word, or a structure of words."""

    kernel: str
    grid: tuple[int, int]
    threads: int
    shared: int
    arguments: tuple[Word | tuple[Word, ...], ...]


@dataclass(frozen=True)
class Plan:
    """The kernels of a program, the buffers that every run has, and tables of structures that all runs share.

    `longest` is the number of values of the largest parameter.
    """

    parts: tuple[Part, ...]
    tiles: Mapping[str, Tile]
    source: str
    buffers: Mapping[str, Buffer]
    tables: Mapping[str, tuple[tuple[Word, ...], ...]]
    longest: int

    def begin(self) -> Launch:
        """What makes the copies of the filters, after the parameters were written."""
        grid = -(-self.longest // _THREADS), len(self.tables["parameters"])
        return Launch("pack_filters", grid, _THREADS, 0, ("parameters",))

    def step(self, images: int, count: int) -> Iterator[Launch]:
        """A step of training on the next images, of `count` in the data set.

        Raises:
            UnusableInput: a batch normalisation has one value a channel.
        """
        dropouts = self.tables["dropouts"]
        if dropouts:
            words = -(-images * max(integer(one[2]) for one in dropouts) // 16)
            arguments = ("dropouts", "seeds", "clock", images)
            yield Launch("masks", (-(-words // _THREADS), len(dropouts)), _THREADS, 0, arguments)
        for number, part in enumerate(self.parts, start=1):
            if part.norm is not None:
                yield from self._statistics(number, part, images, count, "training")
            if not isinstance(part.operation, LogSoftmax):
                yield self._forward(number, part, images, count, "training")
        for number, part in reversed(list(enumerate(self.parts, start=1))):
            yield from self._backward(number, part, images, count)
        grid = -(-self.longest // _THREADS), len(self.tables["parameters"])
        yield Launch("descend", grid, _THREADS, 0, ("parameters", "clock", images))
        yield Launch("tick", (1, 1), 1, 0, ("clock", images))

    def evaluation(self, images: int, count: int, mode: Mode) -> Iterator[Launch]:
        """The digits and losses of the next test images, of `count`; `mode` as in `Engine.scores`."""
        for number, part in enumerate(self.parts, start=1):
            if part.norm is not None and mode == "batch statistics":
                yield from self._statistics(number, part, images, count, mode)
            yield self._forward(number, part, images, count, mode)
        yield Launch("tick", (1, 1), 1, 0, ("test clock", images))

    def running_statistics(self) -> Iterator[Launch]:
        """What an evaluation needs of the running statistics."""
        for number, part in enumerate(self.parts, start=1):
            if part.norm is not None:
                grid = -(-part.before[2] // _THREADS), 1
                yield Launch("running_statistics", grid, _THREADS, 0, (_norm(number, part),))

    def evaluated(self, count: int) -> Launch:
        """The sum of the losses of all test images, and how many digits are right."""
        arguments = ("digits", "test labels", "each", count, "test losses", "correct")
        return Launch("evaluated", (1, 1), _THREADS, 16 * -(-count // LOSS_CHUNK), arguments)

    def _input(self, number: int, part: Part, count: int, mode: Mode) -> tuple[Word, ...]:
        """The structure `Input` of chain.cuh."""
        numbers = f"numbers {number}" if part.norm is not None else None
        mask = f"mask {number}" if part.dropout is not None and mode == "training" else None
        if number > 1:
            return f"value {number - 1}", numbers, mask, None, None, 0
        if mode == "training":
            return "images", numbers, mask, "order", "clock", count
        return "test images", numbers, mask, None, "test clock", count

    def _statistics(self, number: int, part: Part, images: int, count: int, mode: Mode) -> Iterator[Launch]:
        norm = part.norm
        assert norm is not None
        height, width, channels = part.before
        if images * height * width < 2:
            raise UnusableInput("batch normalisation needs more than one value a channel: use larger batches")
        name = f"moments_{number}{source.suffix(part, mode == 'training')}"
        arguments = self._input(number, part, count, mode), f"buffer {norm.mean}", "sums", images
        yield Launch(name, _over(images * width * channels), _THREADS, 0, arguments)
        yield _over_channels("statistics", part, (_norm(number, part), "sums", images, int(mode == "training")))

    def _forward(self, number: int, part: Part, images: int, count: int, mode: Mode) -> Launch:
        operation, read = part.operation, self._input(number, part, count, mode)
        ending, y = f"{number}{source.suffix(part, mode == 'training')}", f"value {number}"
        if isinstance(operation, Convolution):
            arguments = read, f"packed {operation.weight}", _parameter(operation.bias), y, images
            results = images * math.prod(part.after)
            return _launch(f"convolve_{ending}", self.tiles.get(f"convolve_{number}"), images, results, arguments)
        if isinstance(operation, GroupNorm | LayerNorm):
            parameters = _parameter(operation.weight), _parameter(operation.bias)
            return _image_by_image(
                f"normalise_{ending}", part, images, (read, *parameters, operation.epsilon, y, images)
            )
        if isinstance(operation, LogSoftmax):
            return Launch(
                f"predict_{ending}",
                _over(images),
                _THREADS,
                0,
                (read, "test labels", "test clock", count, "digits", "each", images),
            )
        chosen = (f"chosen {number}" if mode == "training" else None,) if isinstance(operation, MaxPool) else ()
        return Launch(f"pool_{ending}", _over(images * math.prod(part.after)), _THREADS, 0, (read, y, *chosen, images))

    def _backward(self, number: int, part: Part, images: int, count: int) -> Iterator[Launch]:
        operation, read = part.operation, self._input(number, part, count, "training")
        dy, dx = f"gradient {number}", f"gradient {number - 1}"
        if isinstance(operation, LogSoftmax):
            arguments = (read, "labels", "order", "clock", count, dx, "losses", images)
            yield Launch("loss_of_batch", (1, 1), _THREADS, 8 * images, arguments)
        elif isinstance(operation, Convolution):
            name, parts = f"filter_gradient_{number}", f"filter parts {number}"
            weights = images * self.buffers[parts].trained // 4
            yield _launch(name, self.tiles.get(name), images, weights, (read, dy, parts, images))
            if number > 1:
                name, stored = f"input_gradient_{number}", (dy, None, None, None, None, 0)
                tile, values = self.tiles.get(name), images * math.prod(part.before)
                copy = f"{'packed' if tile is None else 'flipped'} {operation.weight}"
                yield _launch(name, tile, images, values, (stored, copy, dx, images))
        elif isinstance(operation, GroupNorm | LayerNorm):
            weight, made = _parameter(operation.weight), dx if number > 1 else None
            ours = tuple(name and f"parts of {name}" for name in (operation.weight, operation.bias))
            words = read, dy, weight, operation.epsilon, made, *ours, images
            yield _image_by_image(f"normalise_gradient_{number}", part, images, words)
        if number == 1:
            return
        is_stored = isinstance(operation, Convolution | GroupNorm | LayerNorm | LogSoftmax)
        given = (dx,) if is_stored else (dy, f"chosen {number}") if isinstance(operation, MaxPool) else (dy,)
        columns = _over(images * part.before[1] * part.before[2])
        if part.norm is not None:
            yield Launch(f"gradient_sums_{number}", columns, _THREADS, 0, (read, *given, "sums", images))
            gradients = tuple(name and f"gradient of {name}" for name in (part.norm.weight, part.norm.bias))
            yield _over_channels("gradient_statistics", part, (_norm(number, part), "sums", *gradients, images))
        maker = self.parts[number - 2].operation
        has_bias = isinstance(maker, Convolution) and maker.bias is not None
        if part.chain or has_bias or not is_stored:
            name = f"pass_back_{number}{'_with_bias' if has_bias else ''}"
            sums = f"bias sums {number - 1}" if has_bias else None
            yield Launch(name, columns, _THREADS, 0, (read, *given, dx, sums, images))


def plan(program: Program, shapes: Mapping[str, tuple[int, ...]], trainable: frozenset[str]) -> Plan:
    """The plan of a program whose parameters have these shapes.

    Raises:
        NotOnGPU: the kernels do not have an operation of the program.
    """
    found = parts(program)
    cuts: dict[str, Tile] = {}
    for number, part in enumerate(found, start=1):
        if isinstance(part.operation, Convolution):
            cuts.update(_cut(number, part))
    table = tuple(memory.parameters(found, shapes, trainable))
    tables = {"parameters": table, "dropouts": tuple(memory.dropouts(found))}
    buffers = dict(memory.buffers(found, shapes))
    longest = max(integer(one[6]) for one in table)
    return Plan(found, cuts, source.text(found, cuts), buffers, tables, longest)


def _cut(number: int, part: Part) -> dict[str, Tile]:
    """The tiles of the kernels of a convolution; those that have none compute each result by itself."""
    operation = part.operation
    assert isinstance(operation, Convolution)
    if operation.stride != (1, 1) or operation.dilation != (1, 1) or operation.groups != 1:
        return {}
    size = operation.size
    made = {
        f"convolve_{number}": tiles.convolution(part.before, size, part.after),
        f"filter_gradient_{number}": tiles.filter_gradient(part.before, size, part.after),
    }
    if number > 1:
        made[f"input_gradient_{number}"] = tiles.convolution(part.after, size, part.before)
    return {name: tile for name, tile in made.items() if tile is not None}


def _norm(number: int, part: Part) -> tuple[Word, ...]:
    """The structure `BatchNorm` of normalisation.cuh."""
    norm = part.norm
    assert norm is not None
    assert norm.momentum is not None
    moved = f"buffer {norm.mean}", f"buffer {norm.variance}"
    numbers = float(norm.momentum), float(norm.epsilon)
    return (
        _parameter(norm.weight),
        _parameter(norm.bias),
        *moved,
        f"numbers {number}",
        f"wide {number}",
        *numbers,
        *part.before,
    )


def _parameter(name: str | None) -> str | None:
    return None if name is None else f"parameter {name}"


def _over(count: int) -> tuple[int, int]:
    """The grid of a kernel whose threads take a value each."""
    return -(-count // _THREADS), 1


def _over_channels(kernel: str, part: Part, arguments: tuple[Word | tuple[Word, ...], ...]) -> Launch:
    """A kernel of normalisation.cuh that ends sums over channels."""
    _, width, channels = part.before
    threads = min(max(2 * width * _TOGETHER, 32), 512)
    return Launch(kernel, (-(-channels // _TOGETHER), 1), threads, 16 * width * _TOGETHER, arguments)


def _image_by_image(kernel: str, part: Part, images: int, arguments: tuple[Word | tuple[Word, ...], ...]) -> Launch:
    """A kernel of image_normalisation.cuh, whose blocks take an image each."""
    _, width, channels = part.before
    groups = part.operation.groups if isinstance(part.operation, GroupNorm) else 1
    return Launch(kernel, (images, 1), _THREADS, 32 * groups + 8 * width * channels, arguments)


def _launch(
    kernel: str, tile: Tile | None, images: int, results: int, arguments: tuple[Word | tuple[Word, ...], ...]
) -> Launch:
    """A kernel of a convolution. Without a tile, a thread takes a result."""
    if tile is None:
        return Launch(kernel, _over(results), _THREADS, 0, arguments)
    return Launch(kernel, (tile.blocks[0], -(-images // tile.blocks[1])), tile.threads, tile.shared, arguments)
