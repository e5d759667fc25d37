"""Tests of `network_file`: it reads a network from a user's own file without running the file."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from own_networks import DRAWS, HEAD, PLAIN, changed, write

from bench.errors import UnusableInput
from bench.network.network_file import DEFAULT_RECIPE, read
from bench.network.specification import Recipe, Target


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
            "2 networks, A and Net: keep only one in the file",
        ),
        ("class Net(:\n", ":1: this is not valid Python (invalid syntax): correct the file"),
        ("\0", "this is not valid Python ("),
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
