"""Tests of `specification`: the digest changes with the network and its recipe, and with nothing else."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.network.specification import VARIED, Architecture, Recipe, Target
from models import ARCHITECTURES

NETWORK = '''"""A network."""

import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    """Its docstring."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 10, 3)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        """What forward does."""
        x = self.dropout(F.relu(self.conv(x)))
        return F.log_softmax(x.amax((2, 3)), dim=1)
'''
RECIPE = Recipe(learning_rate=0.01, batch_size=128, epochs=19)

DigestOf = Callable[..., str]


@pytest.fixture
def digest_of() -> DigestOf:
    """The digest of a network file with the given source. The source is never executed."""

    def digest(source: str = NETWORK, recipe: Recipe = RECIPE, class_name: str = "Net") -> str:
        return Architecture("network", source, class_name, recipe, ARCHITECTURES["unpadded"].document).digest

    return digest


def changed(old: str, new: str) -> str:
    assert NETWORK.count(old) == 1, old
    return NETWORK.replace(old, new)


def test_every_network_has_the_target_of_the_documents() -> None:
    assert {architecture.target for architecture in ARCHITECTURES.values()} == {Target(9940, 10_000)}


def test_digest_is_eight_hex_digits_and_differs_between_networks() -> None:
    digests = [architecture.digest for architecture in ARCHITECTURES.values()]
    assert all(re.fullmatch("[0-9a-f]{8}", digest) for digest in digests)
    assert len(set(digests)) == len(ARCHITECTURES)


def test_the_digests_of_the_documented_networks_never_change() -> None:
    assert {name: architecture.digest for name, architecture in ARCHITECTURES.items()} == {
        "squeeze_fc": "ec7b23ec",
        "expand_squeeze": "386c9ad0",
        "unpadded": "0a011c29",
        "ten_twenty_thirty": "a3e48760",
        "gap_head": "4715eedb",
    }


def test_digest_is_the_same_on_every_version_of_python(digest_of: DigestOf) -> None:
    assert digest_of() == "e184eea3"


def test_digest_is_the_same_every_time(digest_of: DigestOf) -> None:
    assert digest_of() == digest_of()


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(changed('"""A network."""\n', ""), id="no docstring of the module"),
        pytest.param(changed('"""Its docstring."""', '"""Another docstring."""'), id="docstring of the class"),
        pytest.param(changed('        """What forward does."""\n', ""), id="no docstring of a method"),
        pytest.param(changed("0.1)", "0.1)  # of each cell"), id="comment"),
        pytest.param(
            changed("nn.Conv2d(1, 10, 3)", "nn.Conv2d(\n            1,\n            10,\n            3,\n        )"),
            id="layout",
        ),
        pytest.param(NETWORK.replace("\n\n", "\n\n\n\n"), id="blank lines"),
        pytest.param(changed("0.1", "0.10"), id="spelling of a number"),
    ],
)
def test_digest_ignores_what_is_not_code(digest_of: DigestOf, source: str) -> None:
    assert source != NETWORK
    assert digest_of(source) == digest_of(NETWORK)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(changed("0.1", "0.2"), id="probability"),
        pytest.param(changed("F.relu", "F.gelu"), id="function"),
        pytest.param(changed("nn.Dropout(", "nn.Dropout2d("), id="module"),
        pytest.param(changed("self.dropout(F.relu(self.conv(x)))", "F.relu(self.dropout(self.conv(x)))"), id="order"),
        pytest.param(changed("10, 3)", "10, 3, bias=False)"), id="argument"),
        pytest.param(changed("dim=1", "dim=0"), id="value of an argument"),
        pytest.param(changed("1, 10, 3", "1, 10, 5"), id="kernel"),
    ],
)
def test_digest_changes_with_the_code(digest_of: DigestOf, source: str) -> None:
    assert digest_of(source) != digest_of(NETWORK)


@pytest.mark.parametrize(
    "recipe",
    [
        dataclasses.replace(RECIPE, learning_rate=0.02),
        dataclasses.replace(RECIPE, batch_size=64),
        dataclasses.replace(RECIPE, epochs=20),
        dataclasses.replace(RECIPE, momentum=0.8),
        dataclasses.replace(RECIPE, dropout=0.0),
        dataclasses.replace(RECIPE, augmentation=("RandomRotation(degrees=7)",)),
        dataclasses.replace(RECIPE, schedule="StepLR(step_size=6)"),
        dataclasses.replace(RECIPE, vary="order"),
    ],
    ids=["learning rate", "batch size", "epochs", "momentum", "dropout", "augmentation", "schedule", "vary"],
)
def test_digest_changes_with_the_recipe(digest_of: DigestOf, recipe: Recipe) -> None:
    assert digest_of(recipe=recipe) != digest_of(recipe=RECIPE)


def test_every_kind_that_varies_is_a_recipe_of_its_own_and_is_found_by_its_digest() -> None:
    ordinary = ARCHITECTURES["gap_head"]
    varied = [ordinary.varied(vary) for vary in VARIED]
    assert len({ordinary.digest, *(one.digest for one in varied)}) == 4
    assert [ordinary.with_digest(one.digest) for one in (ordinary, *varied)] == [ordinary, *varied]
    assert ordinary.with_digest("00000000") is None
    assert varied[0].varied("").digest == ordinary.digest


def test_digest_changes_with_the_class(digest_of: DigestOf) -> None:
    assert digest_of(class_name="Net") != digest_of(class_name="OtherNet")


def test_digest_does_not_depend_on_the_claims() -> None:
    architecture = ARCHITECTURES["gap_head"]
    document = dataclasses.replace(architecture.document, claims=(), remarks=())
    assert dataclasses.replace(architecture, document=document).digest == architecture.digest


def test_digest_neither_needs_nor_depends_on_torch(root: Path) -> None:
    code = (
        "import sys; from models import ARCHITECTURES; "
        "print(*(a.digest for a in ARCHITECTURES.values())); sys.exit('torch' in sys.modules)"
    )
    without = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert without.returncode == 0, without.stderr

    for architecture in ARCHITECTURES.values():
        architecture.build()
    assert "torch" in sys.modules
    fresh = [dataclasses.replace(architecture).digest for architecture in ARCHITECTURES.values()]
    assert without.stdout.split() == fresh
