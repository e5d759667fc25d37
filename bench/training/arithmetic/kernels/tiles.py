"""The two micro-kernels of a convolution.

A tile is a block of outputs whose chains run side by side in registers: some rows, of a few vectors each. Every step
reads a scalar a row and the vectors, and multiplies each with each. Literals say how many rows and vectors, so that
each choice is code of its own. No choice changes a bit: a chain knows nothing of the ones beside it.
"""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types

from bench.training.arithmetic.kernels.compiled import intrinsic
from bench.training.arithmetic.kernels.vectors import INDEX, LANES, Emitter, pointers


@intrinsic
def forward_tile(
    typingctx: Any,
    rows: Any,
    vectors: Any,
    x: Any,
    places: Any,
    first: Any,
    last: Any,
    runs: Any,
    run_count: Any,
    run_length: Any,
    weights: Any,
    first_weight: Any,
    has_bias: Any,
    bias: Any,
    y: Any,
    channels: Any,
    column: Any,
    next_x: Any,
    next_start: Any,
    next_count: Any,
) -> Any:
    """Compute `rows` pixels of the output from pixel `first` on, each for `vectors` * LANES channels from `column` on.

    Pixel p sums, over the runs i and the values k < run_length, x[places[p] + runs[i] + k] times a row of the weights,
    one row after the other from first_weight on. Then it adds the bias and stores what is below `channels` at
    y[p * channels + column].
    A pixel behind `last` is `last` once more. The tile asks the memory for the next_count values of next_x from
    next_start on, which are needed later.
    """
    row_count, vector_count = rows.literal_value, vectors.literal_value
    i = types.int64
    signature = types.void(rows, vectors, x, places, i, i, runs, i, i, weights, i, i, bias, y, i, i, next_x, i, i)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (_, _, x, places, first, last, runs, run_count, run_length,
         weights, first_weight, has_bias, bias, y, channels, column,
         next_x, next_start, next_count) = pointers(context, builder, signature, args)  # fmt: skip
        emit = Emitter(builder)
        offsets = [INDEX(LANES * vector) for vector in range(vector_count)]
        emit.prefetch([next_x], next_start, next_count)
        pixels = emit.numbers(first, last, row_count)
        inputs = [emit.at(x, builder.load(emit.at(places, pixel))) for pixel in pixels]
        sums = emit.zeros(row_count * vector_count)
        weight = cgutils.alloca_once_value(builder, emit.at(weights, first_weight))
        with cgutils.for_range(builder, run_count) as run:
            start = builder.load(emit.at(runs, run.index))
            with cgutils.for_range(builder, builder.add(start, run_length), start=start) as step:
                row = builder.load(weight)
                scalars = [emit.at(pixel, step.index) for pixel in inputs]
                emit.multiply_add(sums, scalars, [emit.at(row, offset) for offset in offsets])
                builder.store(emit.at(row, INDEX(LANES * vector_count)), weight)
        with builder.if_then(builder.icmp_signed("!=", has_bias, INDEX(0))):
            added = [emit.load(emit.at(bias, column, offset)) for offset in offsets]
            for number, variable in enumerate(sums):
                builder.store(builder.fadd(builder.load(variable), added[number % vector_count]), variable)
        for number, variable in enumerate(sums):
            offset = builder.add(column, offsets[number % vector_count])
            pixel = emit.at(y, builder.mul(pixels[number // vector_count], channels))
            emit.store_first(builder.load(variable), emit.at(pixel, offset), builder.sub(channels, offset))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def filter_tile(
    typingctx: Any,
    groups: Any,
    values: Any,
    vectors: Any,
    x: Any,
    x_start: Any,
    dy: Any,
    dy_start: Any,
    runs: Any,
    run: Any,
    first: Any,
    column: Any,
    geometry: Any,
    total: Any,
    next_x: Any,
    next_dy: Any,
    next_start: Any,
    next_row: Any,
) -> Any:
    """Add one image's part to some rows of a filter's gradient, for `vectors` * LANES channels from `column` on.

    geometry: height, width, x_row, x_step, dy_step, run_count, run_length, columns. The rows belong to `values` values,
    from number `first` on, of each of `groups` runs, from number `run` on. A row sums, over the height x width pixels
    in order, its value of x times the vectors of dy; from a pixel to the next, x moves on by x_step and dy by dy_step,
    and x_row is from a row of pixels to the next. The sum is added, as float64, to row run * run_length + value of the
    total, from `column` on. The tile reads all its values, also those behind the end of a run, and all the vectors of
    dy; it drops what lies behind the last value and the last run. With each row of pixels it asks the memory for
    next_row values of next_x and next_dy, from next_start on, which are needed for the next image.
    """
    group_count, value_count, vector_count = groups.literal_value, values.literal_value, vectors.literal_value
    i = types.int64
    signature = types.void(
        groups, values, vectors, x, i, dy, i, runs, i, i, i, types.UniTuple(i, 8), total, next_x, next_dy, i, i
    )

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (_, _, _, x, x_start, dy, dy_start, runs, run, first, column, geometry, total,
         next_x, next_dy, next_start, next_row) = pointers(context, builder, signature, args)  # fmt: skip
        height, width, x_row, x_step, dy_step, run_count, run_length, columns = cgutils.unpack_tuple(builder, geometry)
        emit = Emitter(builder)
        offsets = [INDEX(LANES * vector) for vector in range(vector_count)]
        numbers = emit.numbers(run, builder.sub(run_count, INDEX(1)), group_count)
        inputs = [emit.at(x, x_start, first, builder.load(emit.at(runs, number))) for number in numbers]
        sums = emit.zeros(group_count * value_count * vector_count)
        gradient = cgutils.alloca_once_value(builder, emit.at(dy, dy_start, column))
        with cgutils.for_range(builder, height) as row:
            emit.prefetch([next_x, next_dy], builder.add(next_start, builder.mul(row.index, next_row)), next_row)
            moved = builder.mul(row.index, x_row)
            places = [cgutils.alloca_once_value(builder, emit.at(pointer, moved)) for pointer in inputs]
            with cgutils.for_range(builder, width):
                starts = [builder.load(place) for place in places]
                pointer = builder.load(gradient)
                scalars = [emit.at(start, INDEX(value)) for start in starts for value in range(value_count)]
                emit.multiply_add(sums, scalars, [emit.at(pointer, offset) for offset in offsets])
                builder.store(emit.at(pointer, dy_step), gradient)
                for start, place in zip(starts, places, strict=True):
                    builder.store(emit.at(start, x_step), place)
        for number, variable in enumerate(sums):
            tap, vector = divmod(number, vector_count)
            group = builder.add(run, INDEX(tap // value_count))
            value = builder.add(first, INDEX(tap % value_count))
            exists = builder.and_(
                builder.icmp_signed("<", group, run_count), builder.icmp_signed("<", value, run_length)
            )
            with builder.if_then(exists):
                row = builder.add(builder.mul(group, run_length), value)
                target = emit.at(total, builder.mul(row, columns), column, offsets[vector])
                emit.add_to_doubles(builder.load(variable), target)
        return context.get_dummy_value()

    return signature, generate
