"""The source of the kernels of a program: the templates of `sources/`, with the sizes of each part as constants."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources

import numpy

from bench.training import randomness
from bench.training.arithmetic.gpu.parts import Part
from bench.training.arithmetic.gpu.tiles import Tile
from bench.training.arithmetic.norms import BatchNorm, GroupNorm, LayerNorm
from bench.training.arithmetic.operations import (
    Activation,
    AveragePool,
    Convolution,
    Dropout,
    LogSoftmax,
    MaxPool,
    Operation,
    Reshape,
)


def headers() -> dict[str, str]:
    """The files that the source of every program includes, by name."""
    folder = resources.files("bench.training.arithmetic.gpu") / "sources"
    return {one.name: one.read_text(encoding="utf-8") for one in folder.iterdir() if one.name.endswith(".cuh")}


def kernels(text: str) -> list[str]:
    """The names of the kernels in the source of a program and in its headers."""
    whole = "\n".join([*headers().values(), text])
    return re.findall(r'extern "C" __global__ void (?:__launch_bounds__\(\d+\) )?(\w+)\(', whole)


def suffix(part: Part, training: bool) -> str:
    """What the name of a kernel of a part ends in: without dropout some are others."""
    return "" if training or part.dropout is None else "_without_dropout"


def text(parts: Iterable[Part], tiles: Mapping[str, Tile]) -> str:
    """The source of the kernels of all parts; `tiles` are those of each kernel that has one."""
    lines = [f'#include "{name}"' for name in sorted(headers())]
    for number, part in enumerate(parts, start=1):
        lines += ["", *_part(number, part, tiles)]
    return "\n".join(lines) + "\n"


def _part(number: int, part: Part, tiles: Mapping[str, Tile]) -> Iterator[str]:
    """The kernels of a part: forward in training and in evaluation, and backward."""
    if isinstance(part.operation, AveragePool):
        yield from _windows(number, part.operation)
    for training in (True, False):
        if training or part.dropout is not None:
            yield f"typedef {_input(number, part, training)} In{number}{suffix(part, training)};"
            yield from _forward(number, part, suffix(part, training), tiles)
    yield from _backward(number, part, tiles)


def _input(number: int, part: Part, training: bool) -> str:
    chain = ", ".join(_single(one) for one in part.chain if training or not isinstance(one, Dropout))
    return f"{'Pixels' if number == 1 else 'Stored'}<{_numbers(part.before)}, Chain<{chain}>>"


def _single(operation: Operation) -> str:
    """The operation on single values, as chain.cuh has it."""
    if isinstance(operation, BatchNorm):
        return "Norm"
    if isinstance(operation, Dropout):
        kind = "DropChannels" if operation.whole_channels else "DropValues"
        return f"{kind}<{_bits(float(randomness.kept_factor(operation.probability)))}>"
    assert isinstance(operation, Activation)
    if operation.kind == "leaky":
        return f"LeakyRelu<{_bits(operation.slope)}>"
    return {"relu": "Relu", "relu6": "Relu6"}[operation.kind]


def _bits(value: float) -> str:
    return f"{int(numpy.array(value, numpy.float32).view(numpy.uint32)):#x}u"


def _numbers(values: Iterable[int]) -> str:
    return ", ".join(map(str, values))


def _filter(operation: Convolution, outputs: int, flipped: bool = False) -> str:
    rows, columns = operation.padding
    if flipped:
        rows, columns = operation.size[0] - 1 - rows, operation.size[1] - 1 - columns
    return f"Filter<{_numbers((*operation.size, rows, columns, outputs))}>"


def _forward(number: int, part: Part, ending: str, tiles: Mapping[str, Tile]) -> Iterator[str]:
    operation, name, read = part.operation, f"{number}{ending}", f"In{number}{ending}"
    if part.norm is not None:
        arguments = "Input in, const float *centre, float *sums, Count images"
        yield _kernel(f"moments_{name}", arguments, f"moments<{read}>(in, centre, sums, images)")
    if isinstance(operation, Convolution):
        tile = tiles.get(f"convolve_{number}")
        if tile is None:
            what = f"convolve_any<{read}, {_axes(part)}, {part.after[2]}>"
        else:
            what = f"convolve<{read}, {_filter(operation, part.after[2])}, Tile<{_numbers(tile.arguments)}>>"
        arguments = "Input in, const float *filter, const float *bias, float *y, Count images"
        yield _kernel(f"convolve_{name}", arguments, f"{what}(in, filter, bias, y, images)", tile)
    elif isinstance(operation, GroupNorm | LayerNorm):
        arguments = "Input in, const float *weight, const float *bias, double epsilon, float *y, Count images"
        call = f"{_of_an_image(operation, read)}(in, weight, bias, epsilon, y, images)"
        yield _kernel(f"normalise_{name}", arguments, call)
    elif isinstance(operation, MaxPool):
        arguments = "Input in, float *y, unsigned char *chosen, Count images"
        yield _kernel(f"pool_{name}", arguments, f"max_pool<{read}, {_of_max_pool(part)}>(in, y, chosen, images)")
    elif isinstance(operation, AveragePool):
        call = f"average_pool<{read}, Windows{number}>(in, y, images)"
        yield _kernel(f"pool_{name}", "Input in, float *y, Count images", call)
    elif isinstance(operation, Reshape):
        call = f"reshape<{read}, {_numbers(part.after[:2])}>(in, y, images)"
        yield _kernel(f"pool_{name}", "Input in, float *y, Count images", call)
    else:
        arguments = (
            "Input in, const unsigned char *labels, const Clock *clock, Count count, unsigned char *digits, "
            "double *each, Count images"
        )
        yield _kernel(f"predict_{name}", arguments, f"predict<{read}>(in, labels, clock, count, digits, each, images)")


def _backward(number: int, part: Part, tiles: Mapping[str, Tile]) -> Iterator[str]:
    operation, read = part.operation, f"In{number}"
    if isinstance(operation, LogSoftmax):
        arguments = (
            "Input in, const unsigned char *labels, const int *order, const Clock *clock, Count count, float *dx, "
            "double *losses, Count images"
        )
        yield _kernel("loss_of_batch", arguments, f"loss<{read}>(in, labels, order, clock, count, dx, losses, images)")
    if isinstance(operation, Convolution):
        yield from _gradients(number, part, tiles)
    if isinstance(operation, GroupNorm | LayerNorm):
        parts = "double" if isinstance(operation, GroupNorm) else "float"
        arguments = "Input in, const float *dy, const float *weight, double epsilon, float *dx"
        what = _of_an_image(operation, read, "_gradient")
        yield _kernel(
            f"normalise_gradient_{number}",
            f"{arguments}, {parts} *weights, {parts} *biases, Count images",
            f"{what}(in, dy, weight, epsilon, dx, weights, biases, images)",
        )
    if number == 1:
        return
    given, source = "const float *dy", "InMemory{dy}"
    if isinstance(operation, MaxPool):
        given, source = f"{given}, const unsigned char *chosen", f"OfMaxPool<{_of_max_pool(part)}>{{dy, chosen}}"
    elif isinstance(operation, AveragePool):
        source = f"OfAveragePool<Windows{number}>{{dy}}"
    elif isinstance(operation, Reshape):
        source = f"OfReshape<{_numbers(part.after[:2])}>{{dy}}"
    kind = source.partition("{")[0]
    if part.norm is not None:
        call = f"gradient_sums<{read}, {kind}>(in, {source}, sums, images)"
        yield _kernel(f"gradient_sums_{number}", f"Input in, {given}, float *sums, Count images", call)
    for has_bias in (False, True):
        call = f"pass_back<{read}, {kind}, {str(has_bias).lower()}>(in, {source}, dx, sums, images)"
        name = f"pass_back_{number}{'_with_bias' if has_bias else ''}"
        yield _kernel(name, f"Input in, {given}, float *dx, float *sums, Count images", call)


def _gradients(number: int, part: Part, tiles: Mapping[str, Tile]) -> Iterator[str]:
    """The kernels for the gradients of the filter and of the input of a convolution."""
    operation, read, stored = part.operation, f"In{number}", f"Stored<{_numbers(part.after)}, Chain<>>"
    assert isinstance(operation, Convolution)
    name, arguments = f"filter_gradient_{number}", "Input in, const float *dy, float *parts, Count images"
    tile = tiles.get(name)
    if tile is None:
        what = f"filter_gradient_any<{read}, {_axes(part)}, {part.after[2]}>"
    else:
        filters = f"{_filter(operation, part.after[2])}, FilterTile<{_numbers(tile.arguments)}>"
        what = f"filter_gradient<{read}, {filters}>"
    yield _kernel(name, arguments, f"{what}(in, dy, parts, images)", tile)
    if number == 1:
        return
    name, arguments = f"input_gradient_{number}", "Input in, const float *filter, float *dx, Count images"
    tile = tiles.get(name)
    if tile is None:
        what = f"input_gradient_any<{stored}, {_axes(part)}, {_numbers(part.before)}>"
        yield _kernel(name, arguments, f"{what}(in, filter, dx, images)")
    else:
        what = f"{stored}, {_filter(operation, part.before[2], flipped=True)}, Tile<{_numbers(tile.arguments)}>"
        yield _kernel(name, arguments, f"convolve<{what}>(in, filter, nullptr, dx, images)", tile)


def _of_an_image(operation: GroupNorm | LayerNorm, read: str, ending: str = "") -> str:
    """The function of image_normalisation.cuh for an operation."""
    if isinstance(operation, GroupNorm):
        return f"group_norm{ending}<{read}, {operation.groups}>"
    return f"layer_norm{ending}<{read}>"


def _axes(part: Part) -> str:
    """The axes of any convolution and the channels of a group, as any_convolution.cuh has them."""
    operation = part.operation
    assert isinstance(operation, Convolution)
    numbers = operation.size, operation.stride, operation.padding, operation.dilation, part.before[:2], part.after[:2]
    axes = (f"Axis<{_numbers(axis)}>" for axis in zip(*numbers, strict=True))
    return f"{', '.join(axes)}, {part.before[2] // operation.groups}"


def _kernel(name: str, arguments: str, call: str, tile: Tile | None = None) -> str:
    bounds = f"__launch_bounds__({tile.threads}) " if tile is not None else ""
    return f'extern "C" __global__ void {bounds}{name}({arguments})\n{{\n    {call};\n}}'


def _of_max_pool(part: Part) -> str:
    operation = part.operation
    assert isinstance(operation, MaxPool)
    axes = zip(operation.size, operation.stride, operation.padding, operation.dilation, part.after[:2], strict=True)
    return ", ".join(f"Windows<{_numbers(axis)}>" for axis in axes)


def _windows(number: int, operation: AveragePool) -> Iterator[str]:
    """The windows of an average pool as a structure of its own."""
    for name, sides in (("rows", operation.rows), ("columns", operation.columns)):
        ends = _numbers(end for side in sides for end in side)
        yield f"__constant__ int {name}_{number}[] = {{{ends}}};"
    divisors = _numbers(one for row in operation.divisors for one in row)
    yield f"__constant__ int divisors_{number}[] = {{{divisors}}};"
    yield f"struct Windows{number} {{"
    yield f"    static constexpr int rows = {len(operation.rows)}, columns = {len(operation.columns)};"
    yield f"    static __device__ int row(int end) {{ return rows_{number}[end]; }}"
    yield f"    static __device__ int column(int end) {{ return columns_{number}[end]; }}"
    yield f"    static __device__ float divisor(int i, int j) {{ return divisors_{number}[i * columns + j]; }}"
    yield "};"
