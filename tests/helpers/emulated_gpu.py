"""A GPU that this processor stands for: g++ compiles the kernels behind `host.h`, and `driver.cpp` runs them."""

from __future__ import annotations

import ctypes
import hashlib
import platform
import shutil
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path

from bench.training.arithmetic.gpu import source
from bench.training.arithmetic.gpu.driver import Device
from bench.training.arithmetic.gpu.runs import GPU

_HERE = Path(__file__).resolve().parent.parent / "gpu"
_FUSED = ["-mfma"] if platform.machine() in ("x86_64", "AMD64") else []
_COMPILING = threading.Lock()
# A GPU cannot read four values at once from an address between them. The host could, so it has to look.
_ALIGNED = ["-fsanitize=alignment", "-fsanitize-undefined-trap-on-error"]
_OPTIONS = [*_FUSED, *_ALIGNED, "-ffp-contract=off", "-std=c++17", "-shared", "-fPIC", "-Wno-unknown-pragmas"]


def is_here() -> bool:
    """Whether this machine has the compiler."""
    return shutil.which("g++") is not None


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="emulated-gpu-")


def compiled(text: str, architecture: str = "") -> bytes:
    """Compile a source of kernels, once for each text; the module is the path of a library."""
    entries = "".join(f"ENTRY({name})\n" for name in source.kernels(text))
    return str(_library(f'#include "host.h"\n{text}\n{entries}', "-O1")).encode() + b"\0"


def gpu() -> GPU:
    """The emulated GPU with its compiler."""
    return GPU(Device(str(_driver())), compiled)


def limit_memory(size: int) -> None:
    """Let the GPU have so many bytes."""
    ctypes.CDLL(str(_driver())).emulated_capacity(ctypes.c_size_t(size))


def memory_in_use() -> int:
    """The bytes that are allocated."""
    counted = ctypes.CDLL(str(_driver())).emulated_memory
    counted.restype = ctypes.c_size_t
    return int(counted())


def _driver() -> Path:
    return _library((_HERE / "driver.cpp").read_text(encoding="utf-8"), "-O1")


def _library(text: str, *options: str) -> Path:
    with _COMPILING:
        return _compiled_library(text, *options)


@cache
def _compiled_library(text: str, *options: str) -> Path:
    folder = Path(_folder().name)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.so"
    included = folder / "include"
    included.mkdir(exist_ok=True)
    for name, content in (*source.headers().items(), ("host.h", (_HERE / "host.h").read_text(encoding="utf-8"))):
        (included / name).write_text(content, encoding="utf-8")
    code = path.with_suffix(".cpp")
    code.write_text(text, encoding="utf-8")
    subprocess.run(["g++", *options, *_OPTIONS, f"-I{included}", str(code), "-o", str(path)], check=True)
    return path
