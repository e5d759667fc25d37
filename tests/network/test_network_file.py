"""Tests of `network_file`: it reads a network from a user's own file without running the file."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from own_networks import DRAWS, HEAD, PLAIN, changed, write
from students import ARGUMENTS, BESIDE, BLOCKS, SEVERAL, notebook

from bench.errors import UnusableInput
from bench.network.network_file import read
from bench.network.specification import Recipe, Target
from bench.network.values import DEFAULT_RECIPE


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
        'TARGET: int = 9900\nCLAIM = {"best": 9951, "epochs_below": 20, "sustained": 1}\n'
    )
    one = of(tmp_path, values + PLAIN)
    assert one.recipe == replace(DEFAULT_RECIPE, learning_rate=1.0, epochs=3, schedule="StepLR(step_size=6)")
    assert one.target == Target(9900)
    assert [claim.text for claim in one.claims] == [
        "9951 of 10,000 in the best epoch",
        "9900 of 10,000 in fewer than 20 epochs",
        "more than 9900 of 10,000 in the last epoch",
    ]


def test_a_file_is_read_without_running_it(tmp_path):
    code = "import sys; from pathlib import Path; from bench.network.network_file import read; read(Path(sys.argv[1]));"
    (path,) = write(tmp_path, net='raise SystemExit("it ran")\n' + DRAWS)
    command = [sys.executable, "-c", code + "sys.exit('torch' in sys.modules)", str(path)]
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("RECIPE = 5", ":1: RECIPE is not a dictionary: give one with keys from learning_rate, momentum, "),
        ('RECIPE = {"lr": 0.1}', ":1: RECIPE has the unknown key 'lr': use keys from learning_rate, "),
        (
            'RECIPE = {"epochs": 2 * 5}',
            ":1: RECIPE contains an expression: write plain numbers, text and lists instead",
        ),
        ("RECIPE = dict(epochs=3)", ":1: RECIPE contains an expression"),
        ('RECIPE = {"epochs": 0}', ":1: RECIPE has epochs 0: give a whole number from 1"),
        ('RECIPE = {"epochs": True}', ":1: RECIPE has epochs True: give"),
        ('RECIPE = {"epochs": 3.0}', ":1: RECIPE has epochs 3.0: give"),
        ('RECIPE = {"learning_rate": 0}', "RECIPE has learning_rate 0: give a number above 0"),
        ('RECIPE = {"learning_rate": 1e999}', "RECIPE has learning_rate inf: give"),
        ('RECIPE = {"learning_rate": 1e25}', "RECIPE has learning_rate 1e+25: give a number above 0 and at most 1e18"),
        ('RECIPE = {"momentum": 1}', "RECIPE has momentum 1: give a number of at least 0 and below 1"),
        ('RECIPE = {"batch_size": 60001}', "RECIPE has batch_size 60001: give a whole number from 1 to 60000"),
        ('RECIPE = {"dropout": "much"}', "RECIPE has dropout 'much': give"),
        ('RECIPE = {"schedule": "StepLR"}', "RECIPE has schedule 'StepLR': give text like 'StepLR(step_size=6"),
        ('RECIPE = {"schedule": 5}', "RECIPE has schedule 5: give text"),
        ('RECIPE = {"augmentation": ["os.system(1)"]}', "RECIPE has augmentation ['os.system(1)']: give text like"),
        ('RECIPE = {"augmentation": "Lambda(lambda x: x)"}', "RECIPE has augmentation 'Lambda(lambda x: x)': give"),
        ('"""Text."""\n\nTARGET = 10001', ":3: TARGET is 10001: give a whole number of test images, 1 to 10000"),
        ("CLAIM = 9951", ":1: CLAIM is not a dictionary: give one with keys from parameters, "),
        ('CLAIM = {"convolutions": 5}', ":1: CLAIM has the unknown key 'convolutions': use keys from"),
        ('CLAIM = {"best": 99.5}', "give a whole number of test images, 1 to 10000, such as 9950 for 99.5 %"),
        ('CLAIM = {"best": 10001}', "CLAIM has best 10001: give a whole number of test images, 1 to 10000"),
        ('CLAIM = {"last": "99.51%"}', "give a whole number of test images, 1 to 10000, such as 9951 for 99.51 %"),
        ('CLAIM = {"epochs_below": 1}', ":1: CLAIM has epochs_below 1: give a whole number from 2 to 999999999"),
        ('CLAIM = {"first_epoch": 0}', ":1: CLAIM has first_epoch 0: give a whole number from 1 to 999999999"),
        ("TARGET = 0.994", "give a whole number of test images, 1 to 10000, such as 9940 for 99.4 %"),
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
            "2 networks, A and Net: name one of them, for example: python -m bench show ",
        ),
        ("class Net(:\n", ":1: this is not valid Python (invalid syntax): correct the file"),
        ("\0", "net.py: is no text, such as a saved model: name the Python file that defines the network"),
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
def test_a_network_is_recognised_however_torch_is_imported(tmp_path, head, base):
    assert of(tmp_path, f"{head}\n\n\nclass Net({base}):\n    pass\n").class_name == "Net"


def test_a_class_that_the_network_uses_is_no_second_network(tmp_path):
    blocks = "class Block(nn.Module):\n    pass\n\n\ndef two():\n    return Block(), Block()\n\n\n"
    source = changed("class Net", blocks + "class Net")
    assert of(tmp_path, changed("super().__init__()", "super().__init__()\n        two()", source)).class_name == "Net"


def test_a_file_that_only_defines_and_has_one_network_is_its_source_as_a_whole(tmp_path):
    source = "import os\nx = 5\nprint(x)\n" + PLAIN
    one = of(tmp_path, source)
    assert (one.source, one.taken, one.modules, one.call) == (source, "", (), "Net")
    (path,) = write(tmp_path, net=source)
    assert read(path, member="Net") == one


def test_of_a_file_that_trains_only_the_network_and_what_it_needs_count(tmp_path):
    one = of(tmp_path, f"{PLAIN}\nimport wandb\nwandb.init()\nRECIPE = {{'epochs': 3}}\nfor _ in range(9): train()\n")
    assert one.taken == "only Net is used; left out: wandb.init(…) and a loop"
    assert one.recipe.epochs == 3
    assert one.digest == of(tmp_path, f"RECIPE = {{'epochs': 3}}\n{PLAIN}\ntrain()").digest
    assert one.digest != of(tmp_path, changed("784, 10", "784, 10, False", f"{PLAIN}\ntrain()")).digest


def test_a_class_that_is_defined_twice_is_its_last_definition_and_a_line_says_so(tmp_path):
    (path,) = write(tmp_path, net=f"{changed('784, 10', '784, 9')}\n\n{PLAIN}\ntorch.manual_seed(1)\n")
    assert read(path).taken == "only Net is used, the last of 2 definitions; left out: torch.manual_seed(…)"
    assert "784, 9" not in read(path).source


def test_a_variable_that_is_made_by_a_call_is_a_network_too(tmp_path):
    text = (
        f"{PLAIN}\nfirst = Net()\nsecond = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).to('cpu')\nfirst.train()\n"
    )
    (path,) = write(tmp_path, net=text)
    found = [read(path, member=name) for name in ("first", "second")]
    assert [(one.name, one.taken) for one in found] == [
        ("net.first", "only Net and first are used; left out: first.train(…)"),
        ("net.second", "only second is used; left out: first.train(…)"),
    ]
    weights = [one.build_as_written().state_dict().keys() for one in (*found, found[1])]
    assert [*map(list, weights)] == [["scores.weight", "scores.bias"], *[["1.weight", "1.bias"]] * 2]
    assert found[1].build_as_written() is not found[1].build_as_written()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "model = Net()\nmodel = model.to('cpu')\nmodel.train()\nsize = sum(p.sum() for p in Net().parameters())\n",
            "",
        ),
        ("model = Net()\nmodel.scores = nn.Identity()\n", "net.py:{line} changes model after it is made"),
        ("model = Net().to('cpu')\nmodel.apply(print)\n", "net.py:{line} changes model after it is made"),
        ("model = Net().apply(print)\n", "model is more than Net"),
        ("model = nn.Sequential(nn.BatchNorm2d(1), Net())\n", "model is more than Net"),
    ],
)
def test_a_network_that_the_file_changes_after_it_is_made_is_named(tmp_path, script, said):
    text = f"{PLAIN}\n{script}"
    (path,) = write(tmp_path, net=text)
    taken = read(path).taken
    assert said.format(line=text.count("\n")) in taken
    assert taken.endswith(f", which is not used: to train it, name {path}::model") == bool(said)
    assert "which is not used" not in read(path, member="model").taken


def test_a_function_that_changes_the_class_it_gets_belongs_to_the_network(tmp_path):
    script = "\n\ndef widen(cls):\n    cls.width = 8\n\n\nwiden(Net)\ntrain(Net)\n"
    (path,) = write(tmp_path, net=f"{PLAIN}{script}")
    one = read(path)
    assert one.source.rstrip().endswith("widen(Net)")
    assert one.taken == "only Net and widen are used; left out: train(…)"


def test_a_change_of_another_network_of_the_file_changes_nothing(tmp_path):
    def digests(source):
        (path,) = write(tmp_path, nets=source)
        return [read(path, member=name).digest for name in ("Net1", "Net2", "Net3")]

    before, after = digests(SEVERAL), digests(changed("6, 5, 2", "6, 5, 2, bias=False", SEVERAL))
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]


def test_arguments_are_part_of_name_and_digest(tmp_path):
    (path,) = write(tmp_path, net=ARGUMENTS)
    words = ['Net(norm="bn", dropout=0.05)', "Net(dropout=0.050, norm='bn')", "Net('bn', 0.05)", "Net('gn', 0.05)"]
    found = [read(path, member=word) for word in words]
    assert [one.name for one in found] == [
        "net.Net(dropout=0.05 norm=bn)",
        "net.Net(dropout=0.05 norm=bn)",
        "net.Net(bn 0.05)",
        "net.Net(gn 0.05)",
    ]
    assert len({one.digest for one in found}) == 3
    assert found[0].digest == found[1].digest


@pytest.mark.parametrize(
    ("member", "name"),
    [
        ("Net([8, 16], 'a/b')", "net.Net(8-16 a-b)"),
        ("Net({'a': (1, -2)}, x=None)", "net.Net(a-1--2 x=None)"),
        ("Net(True, 1e-05)", "net.Net(True 1e-05)"),
    ],
)
def test_every_argument_has_a_word_that_fits_into_a_name(tmp_path, member, name):
    (path,) = write(tmp_path, net=ARGUMENTS)
    assert read(path, member=member).name == name


def test_a_name_that_its_arguments_make_too_long_is_refused(tmp_path):
    (path,) = write(tmp_path, net=ARGUMENTS)
    with pytest.raises(UnusableInput, match="is too long to be the name of a network: write a function in the file"):
        read(path, member=f"Net('{'x' * 100}', 1)")


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_every_module_of_the_closure_is_in_the_digest(tmp_path, name):
    sources = {"a": "import b\nWIDTH = b.WIDTH\n", "b": "WIDTH = 10\n", "c": "from a import WIDTH\n"}

    def digest(**changes):
        path, *_ = write(tmp_path, net="import c\n" + changed("784, 10", "784, c.WIDTH"), **{**sources, **changes})
        return read(path).digest

    assert digest(**{name: sources[name] + "MORE = 1\n"}) != digest()


def test_a_module_beside_the_file_is_in_the_digest_but_not_its_comments_and_not_what_nobody_imports(tmp_path):
    def digest(blocks):
        path, *_ = write(tmp_path, net=BESIDE, blocks=blocks, utils="WIDTH = 9\n", others=blocks)
        return read(path).digest

    before = digest(BLOCKS)
    assert digest(BLOCKS + "# the end\n") == before
    assert digest(changed("stride=2", "stride=3", BLOCKS)) != before
    (tmp_path / "others.py").write_text("(")
    assert read(tmp_path / "net.py").digest != before


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("from config import lr\n\n\ndef train():\n    return lr\n", []),
        ("from config import lr\n\n\nclass Trainer:\n    def run(self):\n        return lr\n", []),
        ("from config import lr\n\nrate = 2 * lr\n", ["config"]),
        ("import config\n\nprint(config.lr)\n", ["config"]),
        ("from config import lr\n\n\ndef twice():\n    return 2 * lr\n\n\nrate = twice()\n", ["config"]),
        ("try:\n    from config import lr\nexcept ImportError:\n    lr = 1\n", ["config"]),
    ],
)
def test_a_module_that_the_file_uses_when_it_is_imported_belongs_to_the_network(tmp_path, text, modules):
    path, _ = write(tmp_path, net=text + PLAIN, config="lr = 5\n")
    one = read(path)
    assert [name for name, _ in one.modules] == modules
    assert one.source == text + PLAIN
    one.build_as_written()


def test_a_network_is_the_same_from_every_folder_and_whatever_its_folder_is_called(tmp_path, monkeypatch):
    found = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        write(folder, net=BESIDE, blocks=BLOCKS, utils="WIDTH = 9\n")
        monkeypatch.chdir(folder)
        found += [read(Path("net.py")), read(folder / "net.py"), read(Path("..", name, "net.py"))]
    assert len({one.digest for one in found}) == 1
    assert all(dict(one.modules) == {"blocks": BLOCKS, "utils": "WIDTH = 9\n"} for one in found)


def test_code_that_is_nested_too_deeply_is_refused_in_a_line(tmp_path):
    with pytest.raises(UnusableInput, match=r"net\.py: its code is nested too deeply"):
        of(tmp_path, f"{PLAIN}\nx = {'+'.join('1' * 2_000)}\n")


def test_reading_a_file_warns_of_nothing(tmp_path):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        of(tmp_path, "PATTERN = '\\d'\n" + PLAIN)
    assert said == []


def test_a_value_in_a_notebook_is_named_with_its_cell(tmp_path):
    path = tmp_path / "S5.ipynb"
    path.write_text(notebook("# Title", PLAIN, "TARGET = 'all'"))
    with pytest.raises(UnusableInput, match=r"S5\.ipynb, cell 3: TARGET is 'all'"):
        read(path)


def test_neither_claim_nor_target_nor_a_default_written_out_changes_the_digest(tmp_path):
    plain = of(tmp_path, PLAIN).digest
    assert of(tmp_path, 'CLAIM = {"best": 9951}\nTARGET = 9900\nRECIPE = {"epochs": 19}\n' + PLAIN).digest == plain
    assert of(tmp_path, 'RECIPE = {"epochs": 20}\n' + PLAIN).digest != plain
    assert of(tmp_path, changed("784, 10", "784, 10, False")).digest != plain


@pytest.mark.parametrize("name", ["a,b", "-net", "net ", "two  spaces", "n" * 101])
def test_a_file_whose_name_is_no_name_is_refused(tmp_path, name):
    (path,) = write(tmp_path, **{name: PLAIN})
    with pytest.raises(UnusableInput, match=r"cannot be the name of a network: rename it to"):
        read(path)
