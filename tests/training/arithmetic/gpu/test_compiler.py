"""Tests of `compiler`: NVRTC compiles the kernels of every documented network for the GPUs of three generations.

It needs no GPU, but the extra `cuda`: `tox -e nvrtc`.
"""

from __future__ import annotations

import pytest

from bench.errors import UnusableInput
from bench.network.specification import Architecture
from bench.training import exact
from bench.training.arithmetic.gpu import compiler
from bench.training.arithmetic.gpu.plan import plan
from models import ARCHITECTURES

OWN = Architecture(
    "own",
    """
import torch
def make():
    nn = torch.nn
    layers = nn.Conv2d(1, 8, 3, 2), nn.Dropout2d(0.1), nn.Conv2d(8, 8, 3, groups=4, dilation=2), nn.AvgPool2d(2)
    layers += nn.GroupNorm(2, 8), nn.LayerNorm((8, 4, 4))
    return nn.Sequential(*layers, nn.ReLU6(), nn.Flatten(), nn.Linear(128, 600), nn.Linear(600, 600), nn.LogSoftmax(1))
""",
    "make",
    ARCHITECTURES["unpadded"].recipe,
)
"""What the documented networks do not have."""


def source_of(architecture):
    network, state = exact.begin(architecture, 1)
    shapes = {key: one.shape for key, one in state.parameters.items()}
    return plan(exact.program_of(architecture, network), shapes, state.trainable).source


@pytest.mark.nvrtc
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("name", [*ARCHITECTURES, "own"])
def test_nvrtc_compiles_every_kernel(name, architecture):
    found = source_of(OWN if name == "own" else ARCHITECTURES[name])
    assert compiler.compiled(found, architecture).startswith(b"\x7fELF")


@pytest.mark.nvrtc
def test_a_source_that_is_wrong_is_said_with_the_words_of_the_compiler():
    with pytest.raises(UnusableInput, match=r"NVRTC does not compile the kernels for sm_90: network.cu\(1\): error"):
        compiler.compiled("this is no C++", "sm_90")


def test_what_would_change_bits_is_off():
    assert {"-fmad=false", "-ftz=false", "-prec-div=true", "-prec-sqrt=true"} <= set(compiler.OPTIONS)


def test_a_machine_without_nvrtc_says_what_to_install(monkeypatch):
    monkeypatch.setattr(compiler, "_of_packages", lambda: ())
    monkeypatch.setattr(compiler, "_NAMES", ("libnothing.so.1",))
    compiler._library.cache_clear()
    with pytest.raises(UnusableInput) as caught:
        compiler.compiled("", "sm_90")
    assert str(caught.value) == ("NVRTC is missing, which compiles the kernels for a GPU: pip install 'bench994[cuda]'")
    compiler._library.cache_clear()
