"""Tests of `packages`: the versions of what a network imports are a part of it."""

from __future__ import annotations

import ast
from importlib import metadata

import pytest
from own_networks import PLAIN, write

from bench.network.network_file import read
from bench.network.source import packages


def never(module):
    return False


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import torch, numpy, math, os.path", ()),
        ("from torchvision.models import ResNet\nimport pandas as pd", ("pandas", "torchvision")),
        ("from pandas import *\nfrom . import pandas\nfrom .pandas import x", ("pandas",)),
        ("import no_such_package", ()),
    ],
)
def test_installed_packages_are_named_with_their_versions(code, names):
    expected = tuple(f"{name} {metadata.version(name).partition('+')[0]}" for name in names)
    assert packages.versions([ast.parse(code)], never) == expected


def test_a_module_of_the_user_is_no_package():
    assert packages.versions([ast.parse("import pandas")], lambda module: module == "pandas") == ()


def test_another_version_of_what_a_network_imports_makes_another_network(tmp_path, monkeypatch):
    unused = f"from torchvision import transforms\n{PLAIN}"
    used = PLAIN.replace("class Net", "import torchvision\n\n\nclass Net").replace(
        "x.flatten(1)", "torchvision.ops.Permute([0, 1, 2, 3])(x).flatten(1)"
    )
    paths = write(tmp_path, plain=PLAIN, unused=unused, used=used)

    def digests():
        return [read(path).digest for path in paths]

    before = digests()
    assert [bool(read(path).packages) for path in paths] == [False, False, True]
    monkeypatch.setattr(metadata, "version", lambda name: "99.0")
    assert [one == other for one, other in zip(before, digests(), strict=True)] == [True, True, False]
