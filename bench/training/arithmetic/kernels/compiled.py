"""How functions are compiled, and the operations that Python has no word for."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numba.extending
from llvmlite import ir
from numba.core import caching, types
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from bench import files

_CHECKSUM_BYTES = 32


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function that writes code of LLVM. `numba.extending.intrinsic` has no types."""
    marked: Callable[..., Any] = numba.extending.intrinsic(prefer_literal=True)(function)
    return marked


def _version() -> str:
    """Return a digest of everything that compiled code depends on, except its own function and the processor.

    The code of one function is inlined into functions of other files. So the digest covers all files of this folder.
    """
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {sys.implementation.cache_tag}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


_VERSION = _version()


def _folders() -> list[Path]:
    """Return the folders that can keep compiled code, the best first. Each has the version in its name."""
    settings: Any = numba.config
    own = Path(settings.CACHE_DIR or Path(__file__).parent / "__pycache__")
    # The method of Path would raise an error where there is no home.
    of_user = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111
    return [own / _VERSION, *([of_user / "bench994" / _VERSION] if of_user.is_absolute() else [])]


class _Cache(caching.FunctionCache):
    """Keeps the compiled code of one function, a file for each signature.

    numba's own cache raises an error when one of its files is damaged or cannot be written, and two processes that
    compile at the same time can mix up their files. Here each signature of each function has its own file. The
    function is compiled anew if this file is missing or damaged. If the file cannot be written, nothing is kept.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._py_func, self._name = function, repr(function)  # the superclass reads them
        self._cache_path = str(_folders()[0])

    def _file_name(self, signature: Any, codegen: Any) -> str:
        place = self._py_func.__module__, self._py_func.__qualname__
        key = repr((place, self._index_key(signature, codegen)))  # type: ignore[no-untyped-call]
        return f"{self._py_func.__name__}-{hashlib.sha256(key.encode()).hexdigest()[:24]}"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the code that is kept for a signature, or None."""
        target_context.refresh()
        name = self._file_name(sig, target_context.codegen())
        for folder in _folders():
            with contextlib.suppress(Exception):  # whatever is wrong with the file, the function can be compiled
                content = (folder / name).read_bytes()
                checksum, payload = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
                if hashlib.sha256(payload).digest() == checksum:
                    return CompileResult._rebuild(target_context, *pickle.loads(payload))
        return None

    def save_overload(self, sig: Any, cres: Any) -> None:
        """Keep the code of a signature in the first folder that can be written."""
        if cres.library.has_dynamic_globals or cres.lifted:
            return  # it contains addresses of this process
        payload = dumps(cres._reduce())
        for folder in _folders():
            with contextlib.suppress(OSError):
                if _version() == _VERSION:  # otherwise the files have changed since this process read them
                    name = self._file_name(sig, cres.codegen)
                    files.replace(folder / name, hashlib.sha256(payload).digest() + payload)
                return


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function with numba, which then neither reorders nor contracts arithmetic; keep the result on disk."""
    result: Any = numba.njit(error_model="numpy", nogil=True)(function)
    result._cache = _Cache(function)
    return result  # type: ignore[no-any-return]


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
