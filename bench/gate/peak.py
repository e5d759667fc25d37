"""The peak of a core: the speed of a loop of fused multiply-adds that reads and writes registers alone."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from bench.training.arithmetic.kernels.compiled import compiled
from bench.training.arithmetic.kernels.vectors import LANES

CHAINS = 12 if LANES == 8 else 28
"""Chains of fused multiply-adds that run side by side: enough to hide the latency, and each has a register.

AVX has 16 registers. AVX-512 and ARM64 have 32.
"""

STEPS = 100_000
"""Steps of one run, which takes a few milliseconds."""


def peak(seconds: float) -> float:
    """Return the fused multiply-adds of this core in a second of processor time: the median of runs for so long."""
    values = numpy.full(CHAINS * LANES, 1e-3, numpy.float32)
    chains(values, 1)
    found: list[float] = []
    until = time.perf_counter() + seconds
    while not found or time.perf_counter() < until:
        started = time.thread_time()
        chains(values, STEPS)
        found.append(CHAINS * LANES * STEPS / (time.thread_time() - started))
    return median(found)


@compiled
def chains(values: NDArray[numpy.float32], steps: int) -> None:
    """Add the square of each of the first LANES values `steps` times to each row of `values` (CHAINS * LANES)."""
    _spin(values, steps)


def _chains(typingctx: Any, values: Any, steps: Any) -> Any:
    signature = types.void(values, types.int64)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = context.make_array(signature.args[0])(context, builder, args[0]).data
        vector = ir.VectorType(ir.FloatType(), LANES)
        kind = ir.FunctionType(vector, [vector] * 3)
        fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")
        places = [
            builder.bitcast(builder.gep(first, [ir.IntType(64)(LANES * chain)]), vector.as_pointer())
            for chain in range(CHAINS)
        ]
        factor = builder.load(places[0], align=4)
        # LLVM keeps these variables in registers.
        sums = [cgutils.alloca_once_value(builder, builder.load(place, align=4)) for place in places]
        with cgutils.for_range(builder, args[1]):
            for variable in sums:
                builder.store(builder.call(fma, [factor, factor, builder.load(variable)]), variable)
        for variable, place in zip(sums, places, strict=True):
            builder.store(builder.load(variable), place, align=4)
        return context.get_dummy_value()

    return signature, generate


_spin: Any = intrinsic(_chains)
