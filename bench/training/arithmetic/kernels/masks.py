"""Masks of a dropout of single values: the words of Philox, and which values they keep.

`docs/arithmetic.md` defines both. `bench.training.randomness` draws the same words with numpy, one after the other.
Here each block of four words has a lane of a vector.
"""

from __future__ import annotations

from typing import Any

import numpy
from llvmlite import ir
from numba.core import types

from bench.training.arithmetic.kernels.compiled import compiled, intrinsic
from bench.training.arithmetic.kernels.vectors import pointers

_SIDE = 16  # a square of values is transposed at once
ROOM = 16  # what a mask needs behind its end

_LOW, _HALF, _ONE = numpy.uint64(0xFFFFFFFF), numpy.uint64(32), numpy.uint64(1)
# The two factors of a round of Philox4x64, and what is added to the two halves of its key after each round.
_FACTOR, _OTHER_FACTOR = numpy.uint64(0xD2E7470EE14C6C93), numpy.uint64(0xCA5A826395121157)
_STEP, _OTHER_STEP = numpy.uint64(0x9E3779B97F4A7C15), numpy.uint64(0xBB67AE8584CAA73B)


@compiled
def _product(a: Any, b: Any) -> Any:
    """The high and the low 64 bits of a product, from products of 32 bits, which vectors have."""
    a_low, a_high, b_low, b_high = a & _LOW, a >> _HALF, b & _LOW, b >> _HALF
    low = a_low * b_low
    middle = a_high * b_low + (low >> _HALF)
    other = a_low * b_high + (middle & _LOW)
    return a_high * b_high + (middle >> _HALF) + (other >> _HALF), (other << _HALF) | (low & _LOW)


@compiled
def _two_rounds(a: Any, b: Any, c: Any, d: Any, key: Any, other_key: Any) -> Any:
    high, low = _product(_FACTOR, a)
    other_high, other_low = _product(_OTHER_FACTOR, c)
    a, b, c, d = other_high ^ b ^ key, other_low, high ^ d ^ other_key, low
    high, low = _product(_FACTOR, a)
    other_high, other_low = _product(_OTHER_FACTOR, c)
    return other_high ^ b ^ (key + _STEP), other_low, high ^ d ^ (other_key + _OTHER_STEP), low


@compiled
def words(seed: Any, purpose: Any, step: Any, layer: Any, first: Any, blocks: Any, result: Any) -> None:
    """Write blocks of four words of the stream (seed, purpose, step, layer), from number `first` on; all are uint64.

    blocks: memory for the same words, (4, blocks); result: (4 * blocks,).
    """
    two, four, six, eight = _ONE + _ONE, _ONE << numpy.uint64(2), numpy.uint64(6), numpy.uint64(8)
    for i in range(blocks.shape[1]):  # without an inner loop, so that the compiler uses vectors
        a, b, c, d = first + numpy.uint64(i), step, layer, numpy.uint64(0)
        a, b, c, d = _two_rounds(a, b, c, d, seed, purpose)
        a, b, c, d = _two_rounds(a, b, c, d, seed + two * _STEP, purpose + two * _OTHER_STEP)
        a, b, c, d = _two_rounds(a, b, c, d, seed + four * _STEP, purpose + four * _OTHER_STEP)
        a, b, c, d = _two_rounds(a, b, c, d, seed + six * _STEP, purpose + six * _OTHER_STEP)
        a, b, c, d = _two_rounds(a, b, c, d, seed + eight * _STEP, purpose + eight * _OTHER_STEP)
        blocks[0, i], blocks[1, i], blocks[2, i], blocks[3, i] = a, b, c, d
    for i in range(blocks.shape[1]):
        for word in range(4):
            result[4 * i + word] = blocks[word, i]


@intrinsic
def _keep_square(
    typingctx: Any, halves: Any, read: Any, row: Any, largest: Any, mask: Any, written: Any, step: Any
) -> Any:
    """Compare a square of 16-bit words with the largest one that keeps a value, and write it transposed, as 0 and 1.

    The rows begin at halves[read] and lie `row` apart; the columns begin at mask[written] and lie `step` apart.
    """
    i = types.int64
    signature = types.void(halves, i, i, types.uint16, mask, i, i)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        halves, read, row, largest, mask, written, step = pointers(context, builder, signature, args)
        words, values = ir.VectorType(ir.IntType(16), _SIDE), ir.VectorType(ir.IntType(8), _SIDE)
        index = ir.VectorType(ir.IntType(32), _SIDE)
        single = builder.insert_element(ir.Constant(words, ir.Undefined), largest, ir.IntType(32)(0))
        bound = builder.shuffle_vector(single, single, ir.Constant(index, [0] * _SIDE))
        rows, pointer = [], builder.gep(halves, [read])
        for _ in range(_SIDE):
            found = builder.load(builder.bitcast(pointer, words.as_pointer()), align=2)
            rows.append(builder.zext(builder.icmp_unsigned("<=", found, bound), values))
            pointer = builder.gep(pointer, [row])
        middle = _SIDE // 2
        low = ir.Constant(index, [place for i in range(middle) for place in (i, i + _SIDE)])
        high = ir.Constant(index, [place for i in range(middle, _SIDE) for place in (i, i + _SIDE)])
        for _ in range(_SIDE.bit_length() - 1):  # to interleave both halves again and again transposes a square
            pairs = [(rows[i], rows[i + middle]) for i in range(middle)]
            rows = [builder.shuffle_vector(*pair, order) for pair in pairs for order in (low, high)]
        pointer = builder.gep(mask, [written])
        for column in rows:
            builder.store(column, builder.bitcast(pointer, values.as_pointer()), align=1)
            pointer = builder.gep(pointer, [step])
        return context.get_dummy_value()

    return signature, generate


@compiled
def _starts(size: int) -> Any:
    """Where the squares begin that cover `size` values; the last one may overlap the one before."""
    starts = numpy.arange(0, size, _SIDE)
    starts[-1] = max(0, size - _SIDE)
    return starts


@compiled
def keep(
    seed: Any, purpose: Any, step: Any, layer: Any, threshold: int, images: int, channels: int, pixels: int, mask: Any
) -> None:
    """Write the mask, uint8: 1 where the 16-bit word of a value is below the threshold, which is up to 65536.

    The words belong to (images, channels, pixels), in this order; the mask has (images, pixels, channels) in one
    dimension, and ROOM for more behind them.
    """
    if threshold == 0:
        mask[:] = 0
        return
    size = channels * pixels
    largest = numpy.uint16(threshold - 1)
    blocks = numpy.empty((4, (size + 15) // 16 + 1), numpy.uint64)
    drawn = numpy.zeros(
        4 * blocks.shape[1] + _SIDE * (pixels + 1), numpy.uint64
    )  # squares read behind the last channel
    halves = drawn.view(numpy.uint16)
    rows, columns = _starts(channels), _starts(pixels)
    for n in range(images):
        first = n * size // 16
        words(seed, purpose, step, layer, numpy.uint64(first + 1), blocks, drawn)
        offset = n * size - first * 16
        if pixels < _SIDE:
            for p in range(pixels):
                for c in range(channels):
                    mask[n * size + p * channels + c] = halves[offset + c * pixels + p] <= largest
            continue
        for p in columns:
            for c in rows:
                # Where there are fewer channels than a square has, a store writes into the next pixels, which follow.
                _keep_square(
                    halves, offset + c * pixels + p, pixels, largest, mask, n * size + p * channels + c, channels
                )
