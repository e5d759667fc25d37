"""Tests of `closure`: the user's own modules belong to a network, wherever they stand; installed ones do not."""

from __future__ import annotations

import ast

import pytest

from bench.errors import UnusableInput
from bench.network.source.closure import closure, definitions_at, place


def of(folder, main, module="", **files):
    """The own modules of a file. A file's name is its path with __ between folders, without the ending."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py".replace("/init.py", "/__init__.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    path = folder / f"{main}.py"
    tree = ast.parse(path.read_text())
    return closure(place(path, tree, module), tree.body)


def test_a_module_beside_the_file_belongs_to_it_and_so_does_what_that_imports(tmp_path):
    found = of(tmp_path, "net", net="from a import x", a="import b\nx = b.y", b="y = 1", c="z = 1")
    assert found == {"a": "import b\nx = b.y", "b": "y = 1"}


@pytest.mark.parametrize(
    "text",
    ["import a", "import a as b", "from a import x", "from a import *", "def f():\n    import a", "import os, a"],
)
def test_every_kind_of_import_counts(tmp_path, text):
    assert of(tmp_path, "net", net=text, a="x = 1") == {"a": "x = 1"}


def test_what_only_the_main_guard_imports_does_not_belong_to_it(tmp_path):
    assert of(tmp_path, "net", net="if __name__ == '__main__':\n    import a", a="x = 1") == {}


def test_the_standard_library_and_installed_packages_do_not_belong_to_it(tmp_path):
    files = {"random": "", "json__init": "", "torch": "", "pandas__io": "x = 1"}  # `pandas` is a plain folder here
    assert of(tmp_path, "net", net="import random, json, pandas.io, torch, nowhere", **files) == {}


def test_modules_named_like_those_of_this_project_are_the_users(tmp_path):
    files = {"models__parts": "p = 1", "bench": "b = 1"}
    assert of(tmp_path, "net", net="import bench\nfrom models.parts import p", **files) == {
        "models.parts": "p = 1",
        "bench": "b = 1",
    }


def test_a_file_in_a_folder_can_name_the_folder_and_what_is_beside_that(tmp_path):
    files = {"models__parts": "from utils import u\np = u", "utils": "u = 1"}
    found = of(tmp_path, "models/net", models__net="from models.parts import p", **files)
    assert found == {"models.parts": files["models__parts"], "utils": "u = 1"}


def test_relative_imports_find_the_package(tmp_path):
    files = {
        "p__q__net": "from .a import x\nfrom ..b import y\nfrom . import c\nfrom .. import d",
        "p__q__a": "x = 1",
        "p__b": "from .q.c import z\ny = z",
        "p__q__c": "z = 1",
        "p__init": "from .q.net import Net\nfrom .unused import other",
        "p__d__init": "from .e import f",
        "p__d__e": "f = 1",
        "p__unused": "other = 1",
    }
    found = of(tmp_path, "p/q/net", **files)
    assert sorted(found) == ["p", "p.b", "p.d", "p.d.e", "p.q.a", "p.q.c"]
    assert found["p"].strip() == ""
    assert found["p.d"] == files["p__d__init"]


def test_a_module_that_trains_is_reduced_to_what_is_wanted_of_it(tmp_path):
    acting = "import argparse\nW = 3\nV = 4\nargs = argparse.ArgumentParser().parse_args()\nL = args.lr\n"
    assert of(tmp_path, "net", net="from a import W", a=acting) == {"a": "\nW = 3\n\n\n\n"}
    assert of(tmp_path, "net", net="import a\nx = a.V") == {"a": "\n\nV = 4\n\n\n"}
    assert of(tmp_path, "net", net="import a\nx = a.V, a") == {"a": "import argparse\nW = 3\nV = 4\n\n\n"}
    assert of(tmp_path, "net", net="from a import W, V") == {"a": "\nW = 3\nV = 4\n\n\n"}
    assert of(tmp_path, "net", net="from a import W\nfrom b import x", b="from a import V\nx = V")["a"] == (
        "\nW = 3\nV = 4\n\n\n"
    )


def test_modules_that_import_each_other_are_no_problem(tmp_path):
    found = of(tmp_path, "net", net="import a", a="import b\nimport net", b="import a")
    assert found == {"a": "import b\nimport net", "b": "import a"}


def test_a_broken_module_is_named_if_it_is_needed(tmp_path):
    with pytest.raises(UnusableInput, match=r"a\.py:1: this is not valid Python"):
        of(tmp_path, "net", net="import a", a="(")


def test_an_installed_package_is_own_only_to_its_own_networks(tmp_path):
    files = {
        "site-packages__mine__nets__one": "from ..parts import p\nimport mine.more\nimport other, single",
        "site-packages__mine__parts": "p = 1",
        "site-packages__mine__more": "m = 1",
        "site-packages__other__init": "o = 1",
        "site-packages__single": "import other",
    }
    folder = tmp_path / "site-packages"
    found = of(tmp_path, "site-packages/mine/nets/one", "mine.nets.one", **files)
    assert found == {"mine.parts": "p = 1", "mine.more": "m = 1"}
    assert of(folder, "single", "single") == of(folder, "single") == {}


def test_a_base_class_is_known_through_every_module_that_passes_it_on(tmp_path):
    of(
        tmp_path,
        "net",
        net="from pack import Base\nclass Net(Base): pass",
        pack__init="from .inside import Base",
        pack__inside="import torch\nclass Base(torch.nn.Module): pass",
        loop="from loop import Base\nclass Net(Base): pass",
        stars="from all import Base\nclass Net(Base): pass",
        star="from all import *\nclass Block(Base): pass\nclass Net(Base): block = Block()",
        all__init="from .other import *\nfrom .base import *",
        all__other="from .base import Unknown",
        all__base="from pack.inside import Base",
        round="from round import *\nclass Net(Base): pass",
    )
    for name, networks in (("net", ["Net"]), ("loop", []), ("stars", ["Net"]), ("star", ["Net"]), ("round", [])):
        tree = ast.parse((tmp_path / f"{name}.py").read_text())
        where = place(tmp_path / f"{name}.py", tree)
        assert definitions_at(where, tree).networks() == networks


def test_modules_that_all_import_each_other_are_each_read_once(tmp_path):
    modules = [f"m{number}" for number in range(10)]  # there are a million ways through them
    stars = {one: "".join(f"from {other} import *\n" for other in modules if other != one) for one in modules}
    bases = {"m9": stars["m9"] + "import torch\nclass Base(torch.nn.Module): pass\n"}
    of(tmp_path, "net", net="from m0 import *\nclass Other(Nowhere): pass\nclass Net(Base): pass", **{**stars, **bases})
    tree = ast.parse((tmp_path / "net.py").read_text())
    assert definitions_at(place(tmp_path / "net.py", tree), tree).networks() == ["Net"]
