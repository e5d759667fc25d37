"""How functions are compiled, and the operations that Python has no word for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numba.extending
from llvmlite import ir
from numba.core import types


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function that writes code of LLVM. `numba.extending.intrinsic` has no types."""
    marked: Callable[..., Any] = numba.extending.intrinsic(prefer_literal=True)(function)
    return marked


def _cache_of_this_code() -> str:
    """The folder for what numba compiles: one for each version of the kernels.

    numba looks only at the file of a function itself. But much of its code is inlined from other files of this folder,
    so a cache without the version would go on with old code after a change of those.
    """
    folder = Path(__file__).parent
    sources = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))).hexdigest()[:16]
    return str(Path(_settings.CACHE_DIR or folder / "__pycache__") / sources)


_settings: Any = numba.config
_settings.CACHE_DIR = _cache_of_this_code()


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function with numba, which then neither reorders nor contracts arithmetic; keep the result on disk."""
    try:
        result: Callable[..., Any] = numba.njit(cache=True, error_model="numpy", nogil=True)(function)
    except RuntimeError:  # there is no folder to keep it in, so each process compiles it anew
        result = numba.njit(error_model="numpy", nogil=True)(function)
    return result


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c of three float32, rounded once."""
    signature = types.float32(types.float32, types.float32, types.float32)
    return signature, lambda context, builder, signature, args: builder.fma(*args)


@intrinsic
def fma64(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c of three float64, rounded once."""
    signature = types.float64(types.float64, types.float64, types.float64)
    return signature, lambda context, builder, signature, args: builder.fma(*args)


@intrinsic
def bits(typingctx: Any, value: Any) -> Any:
    """The bits of a float64 as int64."""
    return types.int64(types.float64), lambda context, builder, signature, args: builder.bitcast(
        args[0], ir.IntType(64)
    )


@intrinsic
def from_bits(typingctx: Any, value: Any) -> Any:
    """The float64 that has these bits."""
    return types.float64(types.int64), lambda context, builder, signature, args: builder.bitcast(
        args[0], ir.DoubleType()
    )
