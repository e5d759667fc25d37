"""Vector code that numba compiles, written with llvmlite's builder: what the micro-kernels in `tiles` consist of.

A lane of a vector is one output of its own: it sees its own chain of fused multiply-adds, in an order that the caller
lays down. So the width of the vectors and the processor change the speed and never a bit. numba neither reorders nor
contracts floating-point operations, and a fused one is written only where `llvm.fma` stands; a processor without such a
unit calls the C library's `fmaf` instead, which gives the same bits and is slow.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target

from bench.training.arithmetic.kernels.compiled import intrinsic

_FLOAT, _DOUBLE, INDEX = ir.FloatType(), ir.DoubleType(), ir.IntType(64)
_LINE = 16  # float32 values in a cache line


def _lanes() -> int:
    """The float32 values in a vector register of the processor that numba compiles for."""
    features = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
    if "+avx512f" in features:
        return 16
    return 8 if "+avx" in features else 4


LANES = _lanes()
REGISTERS = 16 if LANES == 8 else 32  # of AVX-512 and ARM64; SSE, which has 16, is slow in any case


class Emitter:
    """Writes the few kinds of instruction that the micro-kernels consist of."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.vector = ir.VectorType(_FLOAT, LANES)
        name = f"llvm.fma.v{LANES}f32"
        self._fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(self.vector, [self.vector] * 3), name
        )

    def at(self, pointer: Any, *offsets: Any) -> Any:
        """The pointer moved by the sum of the offsets, which count elements."""
        for offset in offsets:
            pointer = self.builder.gep(pointer, [offset])
        return pointer

    def load(self, pointer: Any) -> Any:
        return self.builder.load(self.builder.bitcast(pointer, self.vector.as_pointer()), align=4)

    def load_some(self, pointer: Any, mask: Any) -> Any:
        """The lanes that the mask has. Nothing else is read."""
        arguments = [self._start(pointer), ir.IntType(32)(4), mask, ir.Constant(self.vector, [0.0] * LANES)]
        return self._masked("load", self.vector, arguments)

    def store_some(self, vector: Any, pointer: Any, mask: Any) -> None:
        """Store the lanes that the mask has. Nothing else is written."""
        self._masked("store", ir.VoidType(), [vector, self._start(pointer), ir.IntType(32)(4), mask])

    def mask(self, count: Any) -> Any:
        """The first `count` lanes."""
        numbers = ir.VectorType(ir.IntType(32), LANES)
        first = self.splat(self.builder.trunc(count, ir.IntType(32)), numbers)
        return self.builder.icmp_unsigned("<", ir.Constant(numbers, list(range(LANES))), first)

    def splat(self, scalar: Any, kind: Any) -> Any:
        """A vector of this kind with the scalar in each lane."""
        single = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.IntType(32)(0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(single, ir.Constant(kind, ir.Undefined), lanes)

    def _start(self, pointer: Any) -> Any:
        return self.builder.bitcast(pointer, self.vector.as_pointer())

    def _masked(self, name: str, result: Any, arguments: list[Any]) -> Any:
        kind = ir.FunctionType(result, [one.type for one in arguments])
        name = f"llvm.masked.{name}.v{LANES}f32.p0"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)

    def store(self, vector: Any, pointer: Any) -> None:
        self.builder.store(vector, self.builder.bitcast(pointer, vector.type.as_pointer()), align=4)

    def part(self, vector: Any, first: int, count: int) -> Any:
        """`count` lanes of the vector, from lane `first` on."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(first, first + count)))
        return self.builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)

    def broadcast(self, pointer: Any) -> Any:
        return self.splat(self.builder.load(pointer, align=4), self.vector)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.call(self._fma, [a, b, c])

    def store_first(self, vector: Any, pointer: Any, count: Any) -> None:
        """Store the first `count` lanes, at least one, and write nothing behind them."""
        builder = self.builder
        with builder.if_else(builder.icmp_signed(">=", count, INDEX(LANES))) as (whole, less):
            with whole:
                self.store(vector, pointer)
            with less:
                self._store_halves(vector, pointer, count)

    def _store_halves(self, vector: Any, pointer: Any, count: Any) -> None:
        """Store fewer lanes than the vector has: each bit of their number says whether a piece of that size follows."""
        size = vector.type.count // 2
        if size == 0:
            return
        builder = self.builder
        low, high = self.part(vector, 0, size), self.part(vector, size, size)
        with builder.if_else(builder.icmp_signed("!=", builder.and_(count, INDEX(size)), INDEX(0))) as (yes, no):
            with yes:
                self.store(low, pointer)
                self._store_halves(high, self.at(pointer, INDEX(size)), count)
            with no:
                self._store_halves(low, pointer, count)

    def add_to_doubles(self, vector: Any, pointer: Any) -> None:
        doubles = ir.VectorType(_DOUBLE, LANES)
        pointer = self.builder.bitcast(pointer, doubles.as_pointer())
        total = self.builder.fadd(self.builder.load(pointer, align=8), self.builder.fpext(vector, doubles))
        self.builder.store(total, pointer, align=8)

    def prefetch(self, arrays: list[Any], first: Any, count: Any) -> None:
        """Ask for the cache lines of these values of each array; what lies behind its end does no harm."""
        address, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address, flag, flag, flag])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        steps = self.builder.sdiv(self.builder.add(count, INDEX(_LINE - 1)), INDEX(_LINE))
        with cgutils.for_range(self.builder, steps) as line:
            for array in arrays:
                pointer = self.at(array, first, self.builder.mul(line.index, INDEX(_LINE)))
                pointer = self.builder.bitcast(pointer, address)
                self.builder.call(function, [pointer, flag(0), flag(2), flag(1)])  # to read; second-level cache; data

    def numbers(self, first: Any, last: Any, count: int) -> list[Any]:
        """`count` numbers from `first` on, none above `last`."""
        numbers = [self.builder.add(first, INDEX(row)) for row in range(count)]
        return [self.builder.select(self.builder.icmp_signed("<", n, last), n, last) for n in numbers]

    def zeros(self, count: int) -> list[Any]:
        """Variables for vectors, zero at first; LLVM keeps them in registers."""
        zero = ir.Constant(self.vector, [0.0] * LANES)
        return [cgutils.alloca_once_value(self.builder, zero) for _ in range(count)]

    def multiply_add(self, sums: list[Any], scalars: list[Any], vectors: list[Any]) -> None:
        """One step of a tile: each sum takes in the product of its scalar and its vector."""
        loaded = [self.load(vector) for vector in vectors]
        for row, scalar in enumerate(scalars):
            factor = self.broadcast(scalar)
            for column, vector in enumerate(loaded):
                variable = sums[row * len(loaded) + column]
                self.builder.store(self.fma(factor, vector, self.builder.load(variable)), variable)


def pointers(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """The arguments, with the address of its first element in the place of each array."""
    return [
        context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
        for kind, value in zip(signature.args, args, strict=True)
    ]


@intrinsic
def copy(typingctx: Any, target: Any, written: Any, source: Any, read: Any, count: Any) -> Any:
    """Copy `count` values from source[read] on to target[written] and behind."""
    signature = types.void(target, types.int64, source, types.int64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target, written, source, read, count = pointers(context, builder, signature, args)
        cgutils.raw_memcpy(builder, builder.gep(target, [written]), builder.gep(source, [read]), count, 4, align=4)
        return context.get_dummy_value()

    return signature, generate
