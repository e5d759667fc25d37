"""Tests of `settings`: what a file sets for the whole process while it is executed is restored."""

from __future__ import annotations

import os
import sys
from functools import reduce

import numpy
import pytest
import torch
from own_networks import HEAD, changed, write

from bench.errors import UnusableInput
from bench.network.network_file import read

SETTINGS = {
    "torch.backends.cudnn.deterministic = not torch.backends.cudnn.deterministic": "torch.backends.cudnn.deterministic",
    "torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark": "torch.backends.cudnn.benchmark",
    "torch.backends.cudnn.enabled = False": "torch.backends.cudnn.enabled",
    "torch.backends.cudnn.allow_tf32 = False": "torch.backends.cudnn.allow_tf32",
    "torch.backends.cuda.matmul.allow_tf32 = True": "torch.backends.cuda.matmul.allow_tf32",
    "torch.backends.mkldnn.enabled = False": "torch.backends.mkldnn.enabled",
    "torch.set_num_threads(3)": "torch.get_num_threads",
    "torch.use_deterministic_algorithms(True, warn_only=True)": "torch.are_deterministic_algorithms_enabled",
    "torch.set_float32_matmul_precision('medium')": "torch.get_float32_matmul_precision",
    **{
        f"torch.backends.{name} = '{value}'": f"torch.backends.{name}"
        for name, value in {
            "fp32_precision": "tf32",
            "cuda.matmul.fp32_precision": "tf32",
            "cudnn.fp32_precision": "tf32",
            "cudnn.conv.fp32_precision": "ieee",
            "mkldnn.fp32_precision": "bf16",
            "mkldnn.matmul.fp32_precision": "bf16",
        }.items()
        if hasattr(torch.backends, "fp32_precision")
    },
    "numpy.seterr(all='raise')": "numpy.geterr",
    "os.environ['CUBLAS_WORKSPACE_CONFIG'] = ':16:8'": "os.environ.copy",
    "del os.environ['PATH']": "os.environ.copy",
}


def value(name):
    """The value of a setting, or what its function returns."""
    first, *rest = name.split(".")
    found = reduce(getattr, rest, {"torch": torch, "numpy": numpy, "os": os}[first])
    return found() if callable(found) else found


@pytest.mark.parametrize("statement", SETTINGS)
@pytest.mark.parametrize("place", ["when it is imported", "when it is built", "before it fails"])
def test_a_setting_lasts_only_while_the_network_is_built(tmp_path, statement, place):
    before = value(SETTINGS[statement])
    seen = f"self.seen = {SETTINGS[statement]}" + ("()" if callable(eval(SETTINGS[statement])) else "")
    inside = f"super().__init__(); {seen}"
    if place == "when it is built":
        inside = f"super().__init__(); setting(); {seen}"
    elif place == "before it fails":
        inside = "super().__init__(); setting(); 1 / 0"
    own = changed("super().__init__()", inside).removeprefix(HEAD)
    at_once = "x = setting()" if place == "when it is imported" else ""
    source = f"import os\nimport numpy\n{HEAD}\ndef setting():\n    {statement}\n\n{at_once}\n\n{own}"
    one = read(write(tmp_path, net=source)[0])
    if place == "before it fails":
        with pytest.raises(ZeroDivisionError):
            one.build()
    else:
        assert one.build().seen != before
    assert value(SETTINGS[statement]) == before


def test_a_folder_that_a_file_adds_to_the_path_is_not_searched(tmp_path):
    (tmp_path / "above").mkdir()
    write(tmp_path / "above", hidden="WIDTH = 10\n")
    source = f"import sys\nsys.path.insert(0, {str(tmp_path / 'above')!r})\nfrom hidden import WIDTH\n"
    one = read(write(tmp_path, net=source + changed("784, 10", "784, WIDTH + 0"))[0])
    with pytest.raises(UnusableInput, match="it needs the module hidden, which is neither installed nor beside"):
        one.build()
    assert str(tmp_path / "above") not in sys.path
