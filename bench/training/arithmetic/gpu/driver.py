"""A GPU through NVIDIA's driver: memory, kernels, and graphs of launches.

The functions are those of libcuda.so, which comes with the driver. To call them by ctypes needs no package at all, and
a test can put another library in their place.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterable, Mapping
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from typing import Any

import numpy
from numpy.typing import NDArray

from bench.errors import UnusableInput
from bench.training.arithmetic.gpu.memory import Word
from bench.training.arithmetic.gpu.plan import Launch

Array = NDArray[Any]
Compiler = Callable[[str, str], bytes]
"""From a source and an architecture, such as sm_90, to a module that the driver can load."""

_OUT_OF_MEMORY = 2
_MAJOR, _MINOR = 75, 76  # attributes of a device: its compute capability
_SHARED, _REGISTERS = 8, 4  # attributes of a kernel: the shared memory that it may take, the registers of a thread
_ALWAYS_ALLOWED = 48 * 1024  # bytes of shared memory that any kernel may take
_WAITS_FOR_NO_OTHER = 1  # a stream that does not wait for what others in this process do
_OF_THIS_THREAD = 1  # while launches are recorded, other threads may go on


class OutOfMemory(MemoryError):
    """The memory of the GPU is not enough."""


class Device:
    """The first GPU of this machine, as the driver shows it to this process. All work is done in one stream."""

    def __init__(self, library: str = "libcuda.so.1") -> None:
        """Take the GPU.

        Raises:
            UnusableInput: there is no driver, or no GPU.
        """
        try:
            self._driver = ctypes.CDLL(library)
        except OSError as error:
            raise UnusableInput("this machine has no NVIDIA driver: choose another device") from error
        device, context, stream, count = c_int(), c_void_p(), c_void_p(), c_int()
        try:
            self._call("cuInit", c_uint(0))
            self._call("cuDeviceGetCount", byref(count))
            self._call("cuDeviceGet", byref(device), c_int(0))
        except RuntimeError as error:
            raise UnusableInput(f"this machine has no NVIDIA GPU that can be used ({error})") from error
        self._call("cuDevicePrimaryCtxRetain", byref(context), device)
        self._call("cuCtxSetCurrent", context)
        self._call("cuStreamCreate", byref(stream), c_uint(_WAITS_FOR_NO_OTHER))
        self._stream = stream
        self._allowed: dict[int | None, int] = {}  # the shared memory that a kernel may take, by its handle
        name = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", name, c_int(len(name)), device)
        self.name = name.value.decode()
        numbers = c_int(), c_int()
        for number, attribute in zip(numbers, (_MAJOR, _MINOR), strict=True):
            self._call("cuDeviceGetAttribute", byref(number), c_int(attribute), device)
        self.architecture = f"sm_{numbers[0].value}{numbers[1].value}"

    def _call(self, name: str, *arguments: Any) -> None:
        error = self._driver[name](*arguments)
        if error == _OUT_OF_MEMORY:
            raise OutOfMemory("the memory of the GPU is not enough")
        if error:
            text = c_char_p()
            self._driver.cuGetErrorString(c_int(error), byref(text))
            raise RuntimeError(f"{name}: {(text.value or b'unknown error').decode()}")

    def allocate(self, size: int) -> int:
        """Allocate so many bytes, and return their address.

        Raises:
            OutOfMemory: there are not so many.
        """
        address = c_ulonglong()
        self._call("cuMemAlloc_v2", byref(address), c_size_t(max(size, 1)))
        return address.value

    def free(self, address: int) -> None:
        """Give memory back."""
        self._call("cuMemFree_v2", c_ulonglong(address))

    def write(self, address: int, values: Array) -> None:
        """Copy an array to the GPU, after everything that was launched before."""
        values = numpy.ascontiguousarray(values)
        places = c_ulonglong(address), c_void_p(values.ctypes.data)
        self._call("cuMemcpyHtoDAsync_v2", *places, c_size_t(values.nbytes), self._stream)
        self.wait()

    def read(self, address: int, values: Array) -> Array:
        """Copy from the GPU into a contiguous array, after everything that was launched before, and return it."""
        places = c_void_p(values.ctypes.data), c_ulonglong(address)
        self._call("cuMemcpyDtoHAsync_v2", *places, c_size_t(values.nbytes), self._stream)
        self.wait()
        return values

    def load(self, module: bytes, names: Iterable[str]) -> dict[str, c_void_p]:
        """Load the kernels of a module by their names."""
        loaded, kernels, found = c_void_p(), {}, c_int()
        self._call("cuModuleLoadData", byref(loaded), c_char_p(module))
        for name in names:
            kernels[name] = c_void_p()
            self._call("cuModuleGetFunction", byref(kernels[name]), loaded, c_char_p(name.encode()))
            # The driver loads a kernel when it is first needed, but it cannot do so while launches are recorded.
            self._call("cuFuncGetAttribute", byref(found), c_int(_REGISTERS), kernels[name])
        return kernels

    def launch(self, kernels: Mapping[str, c_void_p], what: Launch, addresses: Mapping[str, int], runs: int) -> None:
        """Launch a kernel for so many runs. `addresses` are those of the buffers that its arguments name."""
        kernel = kernels[what.kernel]
        words = [one if isinstance(one, tuple) else (one,) for one in what.arguments]
        values = [ctypes.create_string_buffer(packed(one, addresses), 8 * len(one)) for one in words]
        pointers = (c_void_p * len(values))(*(ctypes.addressof(one) for one in values))
        if what.shared > self._allowed.get(kernel.value, _ALWAYS_ALLOWED):  # never less than a recorded launch takes
            self._call("cuFuncSetAttribute", kernel, c_int(_SHARED), c_int(what.shared))
            self._allowed[kernel.value] = what.shared
        grid = (c_uint(one) for one in (*what.grid, runs))
        block = c_uint(what.threads), c_uint(1), c_uint(1), c_uint(what.shared)
        try:
            self._call("cuLaunchKernel", kernel, *grid, *block, self._stream, pointers, None)
        except RuntimeError as error:
            raise RuntimeError(f"{error}, in the kernel {what.kernel}") from error

    def graph(self, record: Callable[[], None]) -> Callable[[], None]:
        """Record the launches of a function, without running them, and return what runs them all at once."""
        graph, executable = c_void_p(), c_void_p()
        self._call("cuStreamBeginCapture_v2", self._stream, c_int(_OF_THIS_THREAD))
        try:
            record()
        except BaseException:
            self._driver.cuStreamEndCapture(self._stream, byref(graph))  # while it records, a stream does nothing else
            raise
        self._call("cuStreamEndCapture", self._stream, byref(graph))
        self._call("cuGraphInstantiateWithFlags", byref(executable), graph, c_ulonglong(0))
        self._call("cuGraphDestroy", graph)
        return lambda: self._call("cuGraphLaunch", executable, self._stream)

    def wait(self) -> None:
        """Wait until everything that was launched is done."""
        self._call("cuStreamSynchronize", self._stream)


def packed(words: Iterable[Word], addresses: Mapping[str, int]) -> bytes:
    """The bytes of a structure of words."""
    parts = []
    for word in words:
        value = addresses[word] if isinstance(word, str) else 0 if word is None else word
        parts.append(struct.pack("<d" if isinstance(value, float) else "<q", value))
    return b"".join(parts)
