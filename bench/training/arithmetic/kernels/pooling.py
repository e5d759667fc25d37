"""Max-pooling and average pooling of a chunk of images (images, height, width, channels), with their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from bench.training.arithmetic.kernels.compiled import compiled, intrinsic
from bench.training.arithmetic.kernels.vectors import INDEX, LANES, Emitter, pointers


@compiled
def _window(index: int, size: int, kernel: int, stride: int, padding: int, dilation: int) -> Any:
    """The positions of a window that are inside of the image: the first one, and how many."""
    start = index * stride - padding
    stop = min(start + (kernel - 1) * dilation + 1, size)
    if start < 0:
        start += (-start + dilation - 1) // dilation * dilation
    return start, (stop - start + dilation - 1) // dilation


def _largest(emit: Emitter, x: Any, window: Any, mask: Any) -> tuple[Any, Any]:
    """Variables with the largest value of a window and with its place, in each lane; see `_store_largest`."""
    builder, numbers = emit.builder, ir.VectorType(ir.IntType(32), LANES)
    best = cgutils.alloca_once_value(builder, emit.load_some(x, mask))
    chosen = cgutils.alloca_once_value(builder, ir.Constant(numbers, [0] * LANES))

    def take(pointer: Any, place: Any) -> None:
        value, old = emit.load_some(pointer, mask), builder.load(best)
        is_better = builder.or_(builder.fcmp_ordered(">", value, old), builder.fcmp_unordered("uno", value, value))
        builder.store(builder.select(is_better, value, old), best)
        builder.store(builder.select(is_better, emit.splat(place, numbers), builder.load(chosen)), chosen)

    _for_places(emit, x, window, take)
    return best, chosen


def _for_places(emit: Emitter, pointer: Any, window: Any, use: Callable[[Any, Any], None]) -> None:
    """Write code that uses the pointer at each place of a window, row by row, and the number of the place.

    A loop for each, or one piece of code after the other where the numbers of rows and columns are literals.
    """
    rows, columns, row_step, column_step = window
    builder = emit.builder
    if isinstance(rows, int):
        for place in range(rows * columns):
            row, column = (INDEX(index) for index in divmod(place, columns))
            use(emit.at(pointer, builder.mul(row, row_step), builder.mul(column, column_step)), ir.IntType(32)(place))
        return
    with cgutils.for_range(builder, rows) as row:
        start = emit.at(pointer, builder.mul(row.index, row_step))
        with cgutils.for_range(builder, columns) as column:
            place = builder.add(builder.mul(row.index, columns), column.index)
            use(emit.at(start, builder.mul(column.index, column_step)), builder.trunc(place, ir.IntType(32)))


def _literal(kind: Any, value: Any) -> Any:
    return getattr(kind, "literal_value", value)


@intrinsic
def _store_largest(
    typingctx: Any, rows: Any, columns: Any, x: Any, x_start: Any, steps: Any, count: Any, y: Any, y_start: Any
) -> Any:
    """Write the largest of the values of a window, for `count` channels.

    rows, columns: the size of the window, in literals if it is the same everywhere; x_start: its first value; steps:
    how far the value of the next row is in x, and that of the next column.
    """
    i = types.int64
    signature = types.void(rows, columns, x, i, types.UniTuple(i, 2), i, y, i)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        height, width, x, x_start, steps, count, y, y_start = pointers(context, builder, signature, args)
        emit = Emitter(builder)
        mask = emit.mask(count)
        window = (_literal(rows, height), _literal(columns, width), *cgutils.unpack_tuple(builder, steps))
        best, _ = _largest(emit, emit.at(x, x_start), window, mask)
        emit.store_some(builder.load(best), emit.at(y, y_start), mask)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _give_to_largest(
    typingctx: Any, rows: Any, columns: Any, x: Any, x_start: Any, steps: Any, count: Any, dy: Any, dy_start: Any,
    overlap: Any, dx: Any,
) -> Any:  # fmt: skip
    """Add the gradient of a window to that of its largest value, for `count` channels; see `_store_largest`.

    overlap: a literal; without it the values of dx are zeros that no other window adds to.
    """
    i = types.int64
    signature = types.void(rows, columns, x, i, types.UniTuple(i, 2), i, dy, i, overlap, dx)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        height, width, x, x_start, steps, count, dy, dy_start, _, dx = pointers(context, builder, signature, args)
        emit = Emitter(builder)
        mask = emit.mask(count)
        window = (_literal(rows, height), _literal(columns, width), *cgutils.unpack_tuple(builder, steps))
        _, chosen = _largest(emit, emit.at(x, x_start), window, mask)
        gradient, place_of_best = emit.load_some(emit.at(dy, dy_start), mask), builder.load(chosen)
        zeros = ir.Constant(emit.vector, [0.0] * LANES)

        def give(pointer: Any, place: Any) -> None:
            old = emit.load_some(pointer, mask) if overlap.literal_value else zeros
            is_best = builder.icmp_signed("==", emit.splat(place, place_of_best.type), place_of_best)
            emit.store_some(builder.select(is_best, builder.fadd(old, gradient), old), pointer, mask)

        _for_places(emit, emit.at(dx, x_start), window, give)
        return context.get_dummy_value()

    return signature, generate


@compiled
def max_pool(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, y: Any) -> None:
    """y (images, rows, columns, channels) is the largest value of each window; the pairs are (rows, columns)."""
    images, height, width, channels = x.shape
    source, target, written = x.reshape(-1), y.reshape(-1), 0
    steps = (dilation[0] * width * channels, dilation[1] * channels)
    is_two_by_two = kernel == (2, 2) and padding == (0, 0)
    for n in range(images):
        for i in range(y.shape[1]):
            row, rows = _window(i, height, kernel[0], stride[0], padding[0], dilation[0])
            for j in range(y.shape[2]):
                column, columns = _window(j, width, kernel[1], stride[1], padding[1], dilation[1])
                start = ((n * height + row) * width + column) * channels
                for c in range(0, channels, LANES):
                    if is_two_by_two:
                        _store_largest(2, 2, source, start + c, steps, channels - c, target, written + c)
                    else:
                        _store_largest(rows, columns, source, start + c, steps, channels - c, target, written + c)
                written += channels


@compiled
def max_pool_gradient(x: Any, dy: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, dx: Any) -> None:
    """Give each gradient to the value that its window chose."""
    images, height, width, channels = x.shape
    values, source, target, read = x.reshape(-1), dy.reshape(-1), dx.reshape(-1), 0
    steps = (dilation[0] * width * channels, dilation[1] * channels)
    is_two_by_two = kernel == (2, 2) and padding == (0, 0) and dilation == (1, 1) and min(stride) >= 2
    target[:] = 0
    for n in range(images):
        for i in range(dy.shape[1]):
            row, rows = _window(i, height, kernel[0], stride[0], padding[0], dilation[0])
            for j in range(dy.shape[2]):
                column, columns = _window(j, width, kernel[1], stride[1], padding[1], dilation[1])
                start = ((n * height + row) * width + column) * channels
                for c in range(0, channels, LANES):
                    some = channels - c
                    if is_two_by_two:
                        _give_to_largest(2, 2, values, start + c, steps, some, source, read + c, 0, target)
                    else:
                        _give_to_largest(rows, columns, values, start + c, steps, some, source, read + c, 1, target)
                read += channels


@compiled
def average_pool(x: Any, rows: Any, columns: Any, divisors: Any, y: Any) -> None:
    """y is the sum of each window, divided. rows (rows, 2) and columns (columns, 2) have starts and stops."""
    channels = x.shape[3]
    for n in range(x.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                y[n, i, j] = 0
                for h in range(rows[i, 0], rows[i, 1]):
                    for w in range(columns[j, 0], columns[j, 1]):
                        for c in range(channels):
                            y[n, i, j, c] += x[n, h, w, c]
                for c in range(channels):
                    y[n, i, j, c] /= divisors[i, j]


@compiled
def average_pool_gradient(dy: Any, rows: Any, columns: Any, divisors: Any, dx: Any) -> None:
    """Give each value of a window its part of the gradient."""
    channels = dy.shape[3]
    dx[:] = 0
    for n in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for h in range(rows[i, 0], rows[i, 1]):
                    for w in range(columns[j, 0], columns[j, 1]):
                        for c in range(channels):
                            dx[n, h, w, c] += dy[n, i, j, c] / divisors[i, j]
