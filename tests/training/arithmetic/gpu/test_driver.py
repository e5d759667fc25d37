"""Tests of `driver`: words become arguments, and what the driver of a GPU says becomes an error in words."""

from __future__ import annotations

import struct
from contextlib import nullcontext

import emulated_gpu
import numpy
import pytest

from bench.errors import UnusableInput
from bench.training.arithmetic.gpu import source
from bench.training.arithmetic.gpu.driver import Device, OutOfMemory, packed
from bench.training.arithmetic.gpu.plan import Launch

needs_compiler = pytest.mark.skipif(not emulated_gpu.is_here(), reason="g++ is missing, which stands for NVRTC")

SOURCE = """
extern "C" __global__ void reaches(float *to, Count most)
{
    if (thread() < most) room[thread()] = 1;
    __syncthreads();
    if (thread() == 0) to[0] = room[most - 1];
}
extern "C" __global__ void waits(float *to, Count most)
{
    if (thread() >= most) return;
    __syncthreads();
}
extern "C" __global__ void turns(float *to, Count waits)
{
    room[thread()] = thread();
    if (waits) __syncthreads();
    to[thread()] = room[blockDim.x - 1 - thread()];
}
"""


def test_words_are_addresses_integers_and_floats_of_eight_bytes():
    found = packed(("a", None, -3, 0.1), {"a": 2**40})
    assert found == struct.pack("<qqqd", 2**40, 0, -3, 0.1)


def test_a_machine_without_a_driver_says_so():
    with pytest.raises(UnusableInput) as caught:
        Device("libnothing.so.1")
    assert str(caught.value) == "this machine has no NVIDIA driver: choose another device"


@needs_compiler
def test_the_device_is_named_with_its_architecture():
    device = emulated_gpu.gpu().device
    assert (device.name, device.architecture) == ("emulated GPU", "sm_99")


@needs_compiler
@pytest.mark.parametrize("most", [32, 33])
def test_a_kernel_that_leaves_its_shared_memory_is_noticed(most):
    with raises_if(most != 32):
        launched("reaches", most)


@needs_compiler
@pytest.mark.parametrize("most", [64, 63])
def test_a_thread_that_ends_while_others_wait_for_it_is_noticed(most):
    with raises_if(most != 64):
        launched("waits", most)


@needs_compiler
@pytest.mark.parametrize("waits", [True, False])
def test_threads_that_do_not_wait_for_what_they_read_give_another_result_in_the_reverse_order(waits):
    first, second = (launched("turns", int(waits)) for _ in range(2))
    expected = numpy.arange(64)[::-1]
    assert [numpy.array_equal(one, expected) for one in (first, second)] == [waits, waits]
    assert numpy.array_equal(first, second, equal_nan=True) == waits


def launched(name, word):
    """What a kernel of 64 threads with 32 floats of shared memory, or 64, writes."""
    gpu = emulated_gpu.gpu()
    kernels = gpu.device.load(gpu.compiler(source.text((), {}) + SOURCE, ""), [name])
    address = gpu.device.allocate(4 * 64)
    shared = 4 * (32 if name == "reaches" else 64)
    gpu.device.launch(kernels, Launch(name, (1, 1), 64, shared, ("to", word)), {"to": address}, 1)
    found = gpu.device.read(address, numpy.empty(64, numpy.float32))
    gpu.device.free(address)
    return found


def raises_if(is_bad):
    said = "cuLaunchKernel: an illegal memory access was encountered, in the kernel (reaches|waits)"
    return pytest.raises(RuntimeError, match=said) if is_bad else nullcontext()


@needs_compiler
def test_after_launches_that_cannot_be_recorded_the_device_goes_on():
    def record():
        raise KeyError("no such buffer")

    with pytest.raises(KeyError):
        emulated_gpu.gpu().device.graph(record)
    assert numpy.array_equal(launched("turns", 1), numpy.arange(64)[::-1])


@needs_compiler
def test_memory_that_is_not_there_is_an_error_of_its_own():
    device = emulated_gpu.gpu().device
    with pytest.raises(OutOfMemory, match="the memory of the GPU is not enough"):
        device.allocate(1 << 41)
