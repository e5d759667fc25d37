"""A network of a user's own file: what is read of it without running it, and how networks are found by words."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from own_networks import DRAWS, HEAD, PLAIN, changed, write

from bench.cli import networks
from bench.errors import UnusableInput
from bench.network import calls
from bench.network.network_file import DEFAULT_RECIPE, read
from bench.network.specification import Recipe, Target
from models import ARCHITECTURES


def of(folder: Path, source: str):
    """The network of a file with a source."""
    return read(write(folder, net=source)[0])


def test_a_file_without_values_has_the_defaults(tmp_path):
    one = of(tmp_path, PLAIN)
    assert (one.name, one.class_name, one.document) == ("net", "Net", None)
    assert one.recipe == Recipe(learning_rate=0.01, batch_size=128, epochs=19, momentum=0.9)
    assert one.target == Target(9940, 10_000)
    assert [(claim.kind, claim.value, claim.text) for claim in one.claims] == [
        ("reaches_target", 9940, "9940 of 10,000 within 19 epochs")
    ]


def test_values_beside_the_network_are_its_recipe_target_and_claims(tmp_path):
    values = (
        'RECIPE = {"learning_rate": 1, "epochs": 3, "schedule": "StepLR( step_size = 6 )"}\n'
        'TARGET: int = 9900\nCLAIM = {"best": 9951, "epochs_below": 20}\n'
    )
    one = of(tmp_path, values + PLAIN)
    assert one.recipe == replace(DEFAULT_RECIPE, learning_rate=1.0, epochs=3, schedule="StepLR(step_size=6)")
    assert one.target == Target(9900)
    assert [claim.text for claim in one.claims] == [
        "9951 of 10,000 in the best epoch",
        "9900 of 10,000 in fewer than 20 epochs",
    ]


def test_a_file_is_read_without_running_it(tmp_path):
    code = "import sys; from pathlib import Path; from bench.network_file import read; read(Path(sys.argv[1]));"
    (path,) = write(tmp_path, net='raise SystemExit("it ran")\n' + DRAWS)
    command = [sys.executable, "-c", code + "sys.exit('torch' in sys.modules)", str(path)]
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("RECIPE = 5", ":1: RECIPE is no dictionary: what it may have is learning_rate, momentum, "),
        ('RECIPE = {"lr": 0.1}', ":1: RECIPE has 'lr': what it may have is learning_rate, "),
        ('RECIPE = {"epochs": 2 * 5}', ":1: RECIPE is not written out: give plain numbers, text and lists"),
        ("RECIPE = dict(epochs=3)", ":1: RECIPE is not written out"),
        ('RECIPE = {"epochs": 0}', ":1: RECIPE has epochs 0: give a whole number from 1"),
        ('RECIPE = {"epochs": True}', ":1: RECIPE has epochs True: give"),
        ('RECIPE = {"epochs": 3.0}', ":1: RECIPE has epochs 3.0: give"),
        ('RECIPE = {"learning_rate": 0}', "RECIPE has learning_rate 0: give a number above 0"),
        ('RECIPE = {"learning_rate": 1e999}', "RECIPE has learning_rate inf: give"),
        ('RECIPE = {"momentum": 1}', "RECIPE has momentum 1: give a number from 0 and below 1"),
        ('RECIPE = {"batch_size": 60001}', "RECIPE has batch_size 60001: give a whole number from 1 to 60000"),
        ('RECIPE = {"dropout": "much"}', "RECIPE has dropout 'much': give"),
        ('RECIPE = {"schedule": "StepLR"}', "RECIPE has schedule 'StepLR': give text like 'StepLR(step_size=6"),
        ('RECIPE = {"schedule": 5}', "RECIPE has schedule 5: give text"),
        ('RECIPE = {"augmentation": ["os.system(1)"]}', "RECIPE has augmentation ['os.system(1)']: give text like"),
        ('RECIPE = {"augmentation": "Lambda(lambda x: x)"}', "RECIPE has augmentation 'Lambda(lambda x: x)': give"),
        ('"""Text."""\n\nTARGET = 10001', ":3: TARGET is 10001: give a whole number of test images, 1 to 10000"),
        ("CLAIM = 9951", ":1: CLAIM is no dictionary: what it may have is parameters, "),
        ('CLAIM = {"convolutions": 5}', ":1: CLAIM has 'convolutions': what it may have is"),
        ('CLAIM = {"best": 99.5}', ":1: CLAIM has best 99.5: give a whole number from 1"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_line(tmp_path, values, said):
    with pytest.raises(UnusableInput, match=r"^\S+net\.py") as error:
        of(tmp_path, f"{values}\n{PLAIN}")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "defines no network: it needs one class derived from torch.nn.Module"),
        (HEAD + "class Net:\n    pass\n", "defines no network"),
        (HEAD + "class Error(ValueError):\n    pass\n", "defines no network"),
        (
            PLAIN + "\n\nclass Other(Net):\n    pass\n\n\nclass Third(nn.Linear):\n    pass\n",
            "2 networks, Other and Third",
        ),
        (
            changed("class Net", "class A(nn.Linear):\n    pass\n\n\nclass Net"),
            "2 networks, A and Net: leave one in it",
        ),
        ("class Net(:\n", ":1: not Python (invalid syntax): mend it"),
        ("\0", "not Python ("),
    ],
)
def test_a_file_without_just_one_network_is_refused(tmp_path, source, said):
    with pytest.raises(UnusableInput, match=re.escape(said)):
        of(tmp_path, source)


@pytest.mark.parametrize(
    ("head", "base"),
    [
        ("from torch import nn", "nn.Module"),
        ("import torch", "torch.nn.Module"),
        ("import torch.nn as net", "net.Module"),
        ("from torch.nn import Module as M", "M"),
        ("from torch.nn import *", "Module"),
        ("from torch import nn\n\n\nclass Base(nn.Module):\n    pass\n", "Base"),
    ],
)
def test_a_network_is_known_however_torch_is_imported(tmp_path, head, base):
    assert of(tmp_path, f"{head}\n\n\nclass Net({base}):\n    pass\n").class_name == "Net"


def test_classes_that_a_network_uses_are_its_blocks(tmp_path):
    blocks = "class Block(nn.Module):\n    pass\n\n\ndef two():\n    return Block(), Block()\n\n\n"
    source = changed("class Net", blocks + "class Net")
    assert of(tmp_path, changed("super().__init__()", "super().__init__()\n        two()", source)).class_name == "Net"


def test_neither_claim_nor_target_nor_a_default_written_out_changes_the_digest(tmp_path):
    plain = of(tmp_path, PLAIN).digest
    assert of(tmp_path, 'CLAIM = {"best": 9951}\nTARGET = 9900\nRECIPE = {"epochs": 19}\n' + PLAIN).digest == plain
    assert of(tmp_path, 'RECIPE = {"epochs": 20}\n' + PLAIN).digest != plain
    assert of(tmp_path, changed("784, 10", "784, 10, False")).digest != plain


@pytest.mark.parametrize("name", ["a,b", "-net", "net ", "two  spaces", "n" * 101])
def test_a_file_whose_name_is_no_name_is_refused(tmp_path, name):
    (path,) = write(tmp_path, **{name: PLAIN})
    with pytest.raises(UnusableInput, match=r"no name for a network: rename the file"):
        read(path)


def test_a_call_is_read_and_never_evaluated():
    call = calls.parse(" RandomAffine(7, translate=(0.1, -0.1), fill=None) ")
    assert (call.name, call.positional, call.keywords) == (
        "RandomAffine",
        (7,),
        {"translate": (0.1, -0.1), "fill": None},
    )
    for text in (
        "",
        "f",
        "f(x)",
        "f(g())",
        "a.f()",
        "_f()",
        "f(**{'a': 1})",
        "f(); g()",
        "f() + 1",
        "f(*[1])",
        "lambda: 1",
    ):
        with pytest.raises(ValueError, match="is not a call with plain arguments"):
            calls.parse(text)


# Words


def found(*words):
    return networks.find(words, networks.known())


def test_names_files_and_folders_go_together_and_count_once(tmp_path, root):
    write(tmp_path, b=PLAIN, a=DRAWS, _helper="x = 1")
    words = ["gap_head", str(tmp_path / "b.py"), str(tmp_path), str(root / "models" / "gap_head.py")]
    assert [one.name for one in found(*words)] == ["gap_head", "b", "a"]


def test_the_documented_networks_go_through_the_same_door(root):
    chosen = {one.name: one for one in found(str(root / "models"))}
    assert chosen == dict(sorted(ARCHITECTURES.items()))
    for name, one in ARCHITECTURES.items():
        file = root / "models" / f"{name}.py"
        assert read(file, one.recipe, one.document) == one


def test_two_networks_of_one_name_are_refused(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, net=PLAIN)
    with pytest.raises(UnusableInput, match=r"two/net\.py: \S*one/net\.py is named net too: rename one of them"):
        found(str(tmp_path / "one"), str(tmp_path / "two"))


def test_a_file_with_the_name_of_a_documented_network_is_refused(tmp_path):
    (path,) = write(tmp_path, gap_head=PLAIN)
    with pytest.raises(UnusableInput, match=r"gap_head\.py is named gap_head too: rename one of them"):
        found(str(path))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nowhere.py", "nowhere.py: cannot be read (No such file or directory): name a Python file, or a folder"),
        ("empty", "empty: no Python file in this folder that does not begin with _"),
        ("resnet", "resnet: no such network; there are squeeze_fc, expand_squeeze, "),
    ],
)
def test_words_that_mean_no_network_are_refused(tmp_path, monkeypatch, word, said):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    with pytest.raises(UnusableInput, match=re.escape(said)):
        found(word)


def test_every_file_of_a_folder_that_cannot_be_used_gets_its_line(tmp_path, capsys):
    write(tmp_path, a="", b=PLAIN, c="(", d="")
    with pytest.raises(UnusableInput, match=r"d\.py: defines no network"):
        found(str(tmp_path))
    said = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1].rpartition("/")[2] for line in said] == ["a.py", "c.py:1"]


def registered(monkeypatch, **values):
    points = [EntryPoint(name, value, networks.GROUP) for name, value in values.items()]
    monkeypatch.setattr(networks, "entry_points", lambda group: points if group == "bench.networks" else [])


def test_installed_packages_register_networks_by_entry_points(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (path,) = write(tmp_path, module_of_a_package=PLAIN)
    registered(monkeypatch, fine="module_of_a_package")
    assert list(networks.known()) == [*ARCHITECTURES, "fine"]
    assert found("fine") == found(str(path)) == [networks.known()["fine"]]
    assert networks.known()["fine"].digest == read(path).digest


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("gone", "no_such_module", "entry point gone of bench.networks: no_such_module is no Python file"),
        ("gone", "no_such_package.module", "entry point gone of bench.networks: no_such_package.module is not to be"),
        ("gap_head", "this", "entry point gap_head of bench.networks: there is a network of that name already"),
    ],
)
def test_an_entry_point_that_cannot_be_used_is_named(monkeypatch, name, value, said):
    registered(monkeypatch, **{name: value})
    with pytest.raises(UnusableInput, match=re.escape(said)):
        networks.known()
