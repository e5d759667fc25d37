"""The memory of the runs of a program on a GPU: buffers by name, and tables of structures that all runs share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.training import randomness
from bench.training.arithmetic.gpu.parts import Part
from bench.training.arithmetic.norms import GroupNorm, LayerNorm
from bench.training.arithmetic.operations import Convolution, LogSoftmax, MaxPool

Word = str | int | float | None
"""Eight bytes of an argument of a kernel. Text is the name of a buffer, and stands for its address."""

_NUMBERS = 5  # as in chain.cuh
_FILTER, _BIAS, _GIVEN, _WIDE = range(4)  # as in step.cuh


@dataclass(frozen=True)
class Buffer:
    """The bytes of a run: a fixed number, one for each image of a batch in training, and for each of any batch."""

    fixed: int = 0
    trained: int = 0
    seen: int = 0


def buffers(found: tuple[Part, ...], shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, Buffer]]:
    """The memory of a run, by name."""
    for name in ("seeds", "losses", "test losses", "correct"):
        yield name, Buffer(8)
    columns = [part.before[1] * part.before[2] for part in found if part.norm is not None]
    yield "sums", Buffer(seen=8 * max(columns, default=0))
    for name, shape in shapes.items():
        for kind in ("parameter", "velocity"):
            yield f"{kind} {name}", Buffer(4 * math.prod(shape))
    for number, part in enumerate(found, start=1):
        values, operation = math.prod(part.after), part.operation
        if not isinstance(operation, LogSoftmax):
            yield f"value {number}", Buffer(seen=4 * values)
            yield f"gradient {number}", Buffer(trained=4 * values)
        if isinstance(operation, MaxPool):
            yield f"chosen {number}", Buffer(trained=values)
        if isinstance(operation, GroupNorm | LayerNorm):
            size = 8 if isinstance(operation, GroupNorm) else 4
            for name in operation.parameters:
                yield f"parts of {name}", Buffer(trained=size * math.prod(shapes[name]))
        if isinstance(operation, Convolution):
            weights = 4 * math.prod(shapes[operation.weight])
            yield f"packed {operation.weight}", Buffer(weights)
            yield f"flipped {operation.weight}", Buffer(weights)
            yield f"filter parts {number}", Buffer(trained=weights)
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


def dropouts(found: tuple[Part, ...]) -> Iterator[tuple[Word, ...]]:
    """The structures `Dropped` of random.cuh."""
    for number, part in enumerate(found, start=1):
        if part.dropout is not None:
            threshold = randomness.keep_threshold(part.dropout.probability)
            yield f"mask {number}", part.dropout.layer, _drawn(part), threshold


def parameters(
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
        if isinstance(operation, GroupNorm | LayerNorm):
            kind, width = (_WIDE, 0) if isinstance(operation, GroupNorm) else (_BIAS, 1)
            for name in operation.parameters:
                made = kind, math.prod(shapes[name]), 0, 0, 0, width, int(name in trainable)
                yield (*given(name), None, None, f"parts of {name}", *made)
        for name in norm.parameters if norm is not None else ():
            made = _GIVEN, part.before[2], 0, 0, 0, 0, int(name in trainable)
            yield (*given(name), None, None, f"gradient of {name}", *made)


def integer(word: Word) -> int:
    """A word of a table that is a number."""
    assert isinstance(word, int)
    return word
