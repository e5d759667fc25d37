"""Tests of `origins`: first weights are traced back to the operators that rounded them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from own_exact import architecture

from bench.training import agreement
from bench.training.trial import origins
from models import ARCHITECTURES

WEIGHT = "self.first.weight"
ALIKE = {
    "PyTorch's own": "pass",
    "evenly": f"nn.init.xavier_uniform_({WEIGHT})\nnn.init.constant_(self.first.bias, 0.1)",
    "an identity": f"nn.init.dirac_({WEIGHT})",
    "scaled": f"{WEIGHT}.data *= 0.5\n{WEIGHT}.data[0] -= 0.25",
    "drawn anew afterwards": f"nn.init.orthogonal_({WEIGHT})\nnn.init.kaiming_uniform_({WEIGHT})",
    "beside a logarithm": "torch.ones(3).log()",
    "lazy": "self.a = nn.LazyConv2d(3, 3)",
}
UNLIKE = {
    "orthogonal": (f"nn.init.orthogonal_({WEIGHT})", "linalg_qr"),
    "a decomposition": (f"{WEIGHT}.data[0, 0] = torch.linalg.svd({WEIGHT}.data[0, 0])[0]", "_linalg_svd"),
    "normalised": (f"{WEIGHT}.data /= {WEIGHT}.data.norm()", "linalg_vector_norm"),
    "a logarithm": (f"{WEIGHT}.data.log_()", "log"),
    "a part": (f"{WEIGHT}.data.exp_()\n{WEIGHT}.data[0].zero_()", "exp"),
    "another parameter": (f"{WEIGHT}.data.exp_()\nself.a = nn.Parameter({WEIGHT}.data[0].clone())", "exp"),
    "a product and a sum": (f"{WEIGHT}.data.add_({WEIGHT}.data, alpha=0.3)", "add"),
    "statistics": ("self.a = nn.BatchNorm2d(4)\nself.a(torch.rand(3, 4, 5, 5))", "native_batch_norm"),
}


@pytest.mark.parametrize("case", ALIKE)
def test_weights_that_are_drawn_and_moved_are_alike_everywhere(case):
    assert origins.unlike(architecture(ALIKE[case], "x = self.a(x)" if case == "lazy" else "pass")) == ()


@pytest.mark.parametrize("case", UNLIKE)
def test_operators_that_round_as_a_library_does_are_named(case):
    layers, name = UNLIKE[case]
    one = architecture(layers, "pass")
    assert name in origins.unlike(one)
    reasons = agreement.obstacles(one)
    assert f"first weights from {name}, which rounds differently elsewhere" in reasons


@pytest.mark.parametrize("documented", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_the_documented_networks_are_drawn_alike(documented):
    assert origins.unlike(documented) == ()


def test_normal_draws_are_another_machines_where_pytorch_has_no_avx2(root):
    code = "from bench.training.trial import origins; print(origins.draws_normal_values_alike())"
    variables = {**os.environ, "ATEN_CPU_CAPABILITY": "default", "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("alike", "named"), [(True, ()), (False, ("normal",))])
def test_normal_draws_are_named_where_they_are_another_machines(alike, named, monkeypatch):
    monkeypatch.setattr(origins, "draws_normal_values_alike", lambda: alike)
    assert origins.unlike(architecture(f"nn.init.kaiming_normal_({WEIGHT})", "pass")) == named
