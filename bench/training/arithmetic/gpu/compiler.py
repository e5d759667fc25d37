"""NVRTC, NVIDIA's compiler at run time, through ctypes.

PyTorch's builds for CUDA bring it, and so does the package nvidia-cuda-nvrtc, which needs no driver.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterator
from ctypes import byref, c_char_p, c_int, c_size_t, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from bench.errors import UnusableInput
from bench.training.arithmetic.gpu import source

OPTIONS = ("-fmad=false", "-ftz=false", "-prec-div=true", "-prec-sqrt=true", "-std=c++17")
"""Without them the compiler would fuse a product and a sum, lose subnormal numbers, or divide approximately."""

_NAMES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")


def compiled(text: str, architecture: str) -> bytes:
    """Compile the source of a program for an architecture, such as sm_90, to a module that the driver can load.

    Raises:
        UnusableInput: NVRTC is missing, or does not know the architecture.
    """
    library, program, headers = _library(), c_void_p(), source.headers()
    contents = (c_char_p * len(headers))(*(one.encode() for one in headers.values()))
    names = (c_char_p * len(headers))(*(one.encode() for one in headers))
    made = library.nvrtcCreateProgram(
        byref(program), c_char_p(text.encode()), c_char_p(b"network.cu"), c_int(len(headers)), contents, names
    )
    chosen = [one.encode() for one in (f"-arch={architecture}", *OPTIONS)]
    error = made or library.nvrtcCompileProgram(program, c_int(len(chosen)), (c_char_p * len(chosen))(*chosen))
    if error:
        log = _text(library, program, "ProgramLog").decode(errors="replace").strip()
        library.nvrtcGetErrorString.restype = c_char_p
        problem = log or library.nvrtcGetErrorString(c_int(error)).decode()
        raise UnusableInput(f"NVRTC does not compile the kernels for {architecture}: {problem}")
    module = _text(library, program, "CUBIN")
    library.nvrtcDestroyProgram(byref(program))
    return module


def _text(library: Any, program: c_void_p, what: str) -> bytes:
    """The log or the result of a compilation."""
    size = c_size_t()
    library[f"nvrtcGet{what}Size"](program, byref(size))
    found = ctypes.create_string_buffer(size.value)
    library[f"nvrtcGet{what}"](program, found)
    return found.raw


@cache
def _library() -> Any:
    for path in (*_of_packages(), *_NAMES):
        try:
            for builtins in sorted(path.parent.glob("libnvrtc-builtins.so.*")) if isinstance(path, Path) else ():
                ctypes.CDLL(str(builtins))  # some releases look for it in the system's folders only
            return ctypes.CDLL(str(path))
        except OSError:
            continue
    raise UnusableInput("NVRTC is missing, which compiles the kernels for a GPU: pip install 'bench994[cuda]'")


def _of_packages() -> Iterator[Path]:
    """The libraries of installed packages: PyTorch's CUDA, or nvidia-cuda-nvrtc."""
    found = importlib.util.find_spec("nvidia")
    for folder in found.submodule_search_locations or () if found is not None else ():
        for name in _NAMES:
            yield from sorted(Path(folder).glob(f"*/lib/{name}"))
