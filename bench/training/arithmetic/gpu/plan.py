"""The plan of a step and of an evaluation on a GPU: kernels with their grids, and the memory that they use.

A plan is made of a program alone. It holds for every number of runs and images, and knows no device.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.errors import UnusableInput
from bench.training import randomness
from bench.training.arithmetic.gpu import source, tiles
from bench.training.arithmetic.gpu.parts import Part, parts
from bench.training.arithmetic.gpu.tiles import Tile
from bench.training.arithmetic.operations import Convolution, LogSoftmax, MaxPool
from bench.training.arithmetic.program import Program
from bench.training.arithmetic.state import Mode

Word = str | int | float | None
"""Eight bytes of an argument of a kernel. Text is the name of a buffer, and stands for its address."""

CLOCK = struct.Struct("<qqdd")
"""Steps so far, first image of the next batch, momentum and rate, as in common.cuh."""

_NUMBERS, _TOGETHER, _CHUNK = 5, 8, 100  # as in chain.cuh, normalisation.cuh and loss.cuh
_FILTER, _BIAS, _GIVEN = range(3)  # as in step.cuh
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
class Buffer:
    """The bytes of a run: a fixed number, one for each image of a batch in training, and for each of any batch."""

    fixed: int = 0
    trained: int = 0
    seen: int = 0


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
            words = -(-images * max(_integer(one[2]) for one in dropouts) // 16)
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
        return Launch("evaluated", (1, 1), _THREADS, 16 * -(-count // _CHUNK), arguments)

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
        if number == 1:
            return
        is_stored = isinstance(operation, LogSoftmax | Convolution)
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
    table = tuple(_parameters(found, shapes, trainable))
    tables = {"parameters": table, "dropouts": tuple(_dropouts(found))}
    buffers = dict(_buffers(found, shapes))
    longest = max(_integer(one[6]) for one in table)
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


def _buffers(found: tuple[Part, ...], shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, Buffer]]:
    """The memory of a run, by name."""
    for name in ("seeds", "losses", "test losses", "correct"):
        yield name, Buffer(8)
    columns = [part.before[1] * part.before[2] for part in found if part.norm is not None]
    yield "sums", Buffer(seen=8 * max(columns, default=0))
    for name, shape in shapes.items():
        for kind in ("parameter", "velocity", *(("packed", "flipped") if len(shape) > 1 else ())):
            yield f"{kind} {name}", Buffer(4 * math.prod(shape))
    for number, part in enumerate(found, start=1):
        values, operation = math.prod(part.after), part.operation
        if not isinstance(operation, LogSoftmax):
            yield f"value {number}", Buffer(seen=4 * values)
            yield f"gradient {number}", Buffer(trained=4 * values)
        if isinstance(operation, MaxPool):
            yield f"chosen {number}", Buffer(trained=values)
        if isinstance(operation, Convolution):
            yield f"filter parts {number}", Buffer(trained=4 * math.prod(shapes[operation.weight]))
            if operation.bias is not None:
                yield f"bias sums {number}", Buffer(trained=4 * part.after[1] * part.after[2])
        if part.dropout is not None:
            yield f"mask {number}", Buffer(2, trained=-(-_drawn(part) // 8))
        if part.norm is not None:
            channels = part.before[2]
            yield f"numbers {number}", Buffer(4 * _NUMBERS * channels)
            yield f"wide {number}", Buffer(16 * channels)
            yield f"buffer {part.norm.mean}", Buffer(4 * channels)
            yield f"buffer {part.norm.variance}", Buffer(4 * channels)
            for parameter in part.norm.parameters:
                yield f"gradient of {parameter}", Buffer(4 * channels)


def _drawn(part: Part) -> int:
    """How many values or channels of an image a dropout draws for."""
    assert part.dropout is not None
    return part.dropout.shape[0] if part.dropout.whole_channels else math.prod(part.dropout.shape)


def _dropouts(found: tuple[Part, ...]) -> Iterator[tuple[Word, ...]]:
    """The structures `Dropped` of random.cuh."""
    for number, part in enumerate(found, start=1):
        if part.dropout is not None:
            threshold = randomness.keep_threshold(part.dropout.probability)
            yield f"mask {number}", part.dropout.layer, _drawn(part), threshold


def _parameters(
    found: tuple[Part, ...], shapes: Mapping[str, tuple[int, ...]], trainable: frozenset[str]
) -> Iterator[tuple[Word, ...]]:
    """The structures `Parameter` of step.cuh."""

    def given(name: str) -> tuple[Word, ...]:
        return f"parameter {name}", f"velocity {name}"

    for number, part in enumerate(found, start=1):
        operation, norm = part.operation, part.norm
        if isinstance(operation, Convolution):
            outputs, inputs = shapes[operation.weight][:2]
            taps, trains = operation.size[0] * operation.size[1], int(operation.weight in trainable)
            copies = f"packed {operation.weight}", f"flipped {operation.weight}" if number > 1 else None
            made = _FILTER, outputs * inputs * taps, outputs, inputs, taps, 0, trains
            yield (*given(operation.weight), *copies, f"filter parts {number}", *made)
            if operation.bias is not None:
                made = _BIAS, outputs, outputs, 0, 0, part.after[1], int(operation.bias in trainable)
                yield (*given(operation.bias), None, None, f"bias sums {number}", *made)
        for name in (norm.weight, norm.bias) if norm is not None else ():
            if name is not None:
                made = _GIVEN, part.before[2], 0, 0, 0, 0, int(name in trainable)
                yield (*given(name), None, None, f"gradient of {name}", *made)


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


def _launch(
    kernel: str, tile: Tile | None, images: int, results: int, arguments: tuple[Word | tuple[Word, ...], ...]
) -> Launch:
    """A kernel of a convolution. Without a tile, a thread takes a result."""
    if tile is None:
        return Launch(kernel, _over(results), _THREADS, 0, arguments)
    return Launch(kernel, (tile.blocks[0], -(-images // tile.blocks[1])), tile.threads, tile.shared, arguments)


def _integer(word: Word) -> int:
    assert isinstance(word, int)
    return word
