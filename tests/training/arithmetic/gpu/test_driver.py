"""Tests of `driver`: words become arguments, and what the driver of a GPU says becomes an error in words."""

from __future__ import annotations

import struct

import emulated_gpu
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
    gpu = emulated_gpu.gpu()
    kernels = gpu.device.load(gpu.compiler(source.text((), {}) + SOURCE, ""), ["reaches"])
    address = gpu.device.allocate(4)
    launch = Launch("reaches", (1, 1), 64, 4 * 32, ("to", most))
    if most == 32:
        gpu.device.launch(kernels, launch, {"to": address}, 1)
    else:
        with pytest.raises(RuntimeError, match="cuLaunchKernel: an illegal memory access was encountered"):
            gpu.device.launch(kernels, launch, {"to": address}, 1)
    gpu.device.free(address)


@needs_compiler
def test_memory_that_is_not_there_is_an_error_of_its_own():
    device = emulated_gpu.gpu().device
    with pytest.raises(OutOfMemory, match="the memory of the GPU is not enough"):
        device.allocate(1 << 41)
