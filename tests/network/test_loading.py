"""Tests of `loading`: the modules of a network come as text and are its own, and a missing one harms only its users."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.errors import UnusableInput
from bench.network.loading import line_of, load, missing_in


def of(text, **modules):
    return load("network_test", "net", "net.py", {"net": text, **{k.replace("__", "."): v for k, v in modules.items()}})


def test_own_modules_are_found_by_every_kind_of_import():
    found = of(
        "import a\nimport p.q\nimport p.q as r\nfrom p import q\nfrom p.q import x as y\nfrom a import *\n"
        "def later():\n    from p.late import z\n    return z\n",
        a="star = 1",
        p="",
        p__q="from .late import z\nfrom . import late\nx = z + late.z",
        p__late="z = 2",
    )
    assert (found.a.star, found.star, found.p.q.x, found.y, found.later()) == (1, 1, 4, 4, 2)
    assert found.q is found.r is found.p.q


def test_own_modules_are_private(monkeypatch):
    import models

    found = of("import models, json\nfrom models import TABLE", models="TABLE = 5")
    assert found.TABLE == 5
    assert found.json is sys.modules["json"]
    assert sys.modules["models"] is models
    assert found.models is not models
    other = load("network_other", "net", "net.py", {"net": "from models import TABLE", "models": "TABLE = 6"})
    assert (other.TABLE, found.models.TABLE) == (6, 5)


def test_every_load_executes_the_files_anew():
    texts = {"a": "items = []"}
    of("from a import items\nitems.append(1)", **texts)
    assert of("from a import items\nitems.append(1)", **texts).items == [1]
    assert of("try:\n    import a\nexcept ImportError:\n    a = None").a is None


def test_a_file_can_be_imported_by_its_own_modules():
    found = load(
        "network_test",
        "p.net",
        "net.py",
        {"p.net": "from .a import x\ny = x", "p": "from .net import y", "p.a": "x = 1"},
    )
    assert found.y == 1


def test_a_module_that_is_missing_harms_only_what_uses_it():
    found = of("import nowhere.at_all as n\nfrom json import no_such_name\nimport nowhere\nx = 1\nclass A: y = 2\n")
    assert found.x == 1
    assert not hasattr(found.n, "__path__")
    said = "it needs the module nowhere, which is neither installed nor beside its file: install it, or put it there"
    for use in (lambda: found.n.x, lambda: found.nowhere(3), lambda: found.n[0], lambda: list(found.n)):
        with pytest.raises(UnusableInput) as error:
            use()
        assert str(error.value) == said
    with pytest.raises(UnusableInput, match=r"it needs an import that fails \(cannot import name 'no_such_name'"):
        found.no_such_name()
    with pytest.raises(UnusableInput, match="it needs the module nowhere"):
        of("import nowhere\nclass Net(nowhere.Base): pass").Net()
    with pytest.raises(UnusableInput, match="it needs the module nowhere"):
        of("from nowhere import Base\nclass Net(Base): pass").Net()
    with pytest.raises(UnusableInput, match=r"it needs the module p\.late, which"):
        of("from p.late import x\nx()\ny = 1\nz = x()", p__q="").z()


@pytest.mark.parametrize(
    "text",
    [
        "x = nowhere.summary(1, size=3)",
        "x, y = nowhere.profile(1)",
        "nowhere.init()\nx = nowhere.config\nx.rate = 5",
        "for x in nowhere.tqdm(range(3)): pass",
        "with nowhere.open() as x: pass",
        "x = 1\nif x: nowhere.log(); x = 2",
        "x = []\nx.append(nowhere.y)",
        "x = {}\nx['a'] = nowhere.y",
        "@nowhere.wrap\ndef x(): pass",
        "class x(nowhere.Base): pass\nclass y(x): pass",
        "x = nowhere.y\nx = x.z",
        "x = 8 - nowhere\n",
        "x = 8 % nowhere",
        "x = nowhere == 'bn'",
        "x = isinstance(1, nowhere)",
        "x = -nowhere if 8 < nowhere else len(nowhere)",
    ],
)
def test_a_statement_that_uses_a_missing_module_harms_only_what_uses_its_names(text):
    found = of(f"import nowhere\nkept = 1\n{text}\nclass Net: y = kept")
    assert found.Net.y == 1
    with pytest.raises(UnusableInput, match="it needs the module nowhere"):
        found.x()


def test_a_star_import_that_is_missing_harms_only_what_uses_names_that_nothing_else_binds():
    found = of(
        "from nowhere import *\nfrom a import *\nfrom nowhere import *\nx = star\ndef f(y): return late, len(y)",
        a="star = 1",
    )
    assert found.x == 1
    with pytest.raises(UnusableInput, match="it needs the module nowhere"):
        found.f("")[0].x  # noqa: B018
    assert not hasattr(found, "y")


def test_a_missing_value_that_other_code_complains_of_is_known():
    head = "import torch\nfrom nowhere import size\n"
    found = of(head + "def f(): return torch.empty((3, size))\ndef g(x=size): return torch.empty((3, x))")
    for use in (found.f, found.g):
        with pytest.raises(TypeError, match="_Absent") as error:
            use()
        assert missing_in(error.value).startswith("it needs the module nowhere")
    with pytest.raises(TypeError) as error:
        of(head + "def f(): return torch.empty((3, size)) if 0 else torch.empty('a')").f()
    assert missing_in(error.value) == ""
    text = "def f(x=1):\n    if x == 2: writer()\n    return torch.empty((3, size))"
    with pytest.raises(TypeError) as error:
        of(f"from tensorboard_of_nobody import writer\n{head}{text}").f()
    assert missing_in(error.value).startswith("it needs the module nowhere")


def test_a_name_that_an_own_module_lacks_is_said_without_private_names():
    for name, text, said in (
        ("net", "from . import table", "cannot import name 'table' from its folder"),
        ("p.net", "from . import table", "cannot import name 'table' from 'p'"),
        ("p.net", "from .a import table", "cannot import name 'table' from 'p.a'"),
    ):
        found = load("network_test", name, "net.py", {name: text, "p.a": "", "p": ""})
        with pytest.raises(UnusableInput) as error:
            found.table()
        assert str(error.value) == f"it needs an import that fails ({said}): correct it"


def test_an_import_in_a_try_fails_as_it_does_everywhere():
    assert of("try:\n    import nowhere\nexcept ImportError:\n    nowhere = 5").nowhere == 5


def test_an_import_from_the_future_can_come_late_as_in_a_notebook():
    assert of("x = 1\nfrom __future__ import annotations\ndef f(a: nowhere): return x").f(5) == 1


@pytest.mark.slow
def test_torchvision_is_imported_with_any_build_of_torch_but_only_by_a_file_that_imports_it():
    code = """
import sys
from bench.network.loading import line_of, load, missing_in
load("a", "net", "net.py", {"net": "import torch"})
print("torchvision" in sys.modules)
for text in ("from torchvision import datasets, transforms", "def f():\\n    import torchvision\\n    return 1\\nf()"):
    load("a", "net", "net.py", {"net": text})
    print("torchvision" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "False\nTrue\nTrue\n"), done.stderr


@pytest.mark.slow
def test_an_installed_package_can_import_torchvision_with_any_build_of_torch(tmp_path):
    (tmp_path / "metrics.py").write_text("import torchvision\nx = 5")
    code = f"""
import sys
sys.path.append({str(tmp_path)!r})
from bench.network.loading import load
print(load("a", "net", "net.py", {{"net": "from metrics import x"}}).x)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr


def test_a_file_that_ends_the_program_is_refused_with_its_line():
    argparse = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--width', required=True)\n"
    for text, line in (("import sys\nsys.exit(0)", 2), (argparse + "args = p.parse_args([])", 4)):
        with pytest.raises(
            UnusableInput, match=f"it ends the program in line {line} of net.py: remove that code, or give"
        ):
            of(text)


def test_the_last_line_of_the_network_that_an_error_goes_through_is_known():
    texts = ("import a\n\n\ndef f(x): a.g(x)", "import json\n\ndef g(x):\n    json.loads(x)")
    found = of(texts[0], a=texts[1])
    with pytest.raises(ValueError, match="Expecting") as error:
        found.f("{")
    assert line_of(error.value) == "line 4 of <a>"
    with pytest.raises(ZeroDivisionError) as error:
        load("network_test", "net", "S5.ipynb", {"net": "x = 1\ny = x / 0\n"})
    assert line_of(error.value) == "`y = x / 0` of S5.ipynb"
    with pytest.raises(AttributeError) as error:
        found.f.nothing  # noqa: B018
    assert line_of(error.value) == ""


def test_an_error_in_a_module_has_its_line():
    with pytest.raises(ZeroDivisionError) as error:
        of("import a", a="\n\n1 / 0")
    assert error.traceback[-1].lineno == 2
    assert str(error.traceback[-1].path) == "<a>"
