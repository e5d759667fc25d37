"""Tests of `structure` and `structure_facts`: the facts about a network, measured and stored."""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import UnusableInput
from bench.network.specification import Layer
from bench.network.structure import examine
from bench.network.structure_facts import STORED, AveragePool, Followed, FunctionCall, Structure, load, store
from models import ARCHITECTURES


def conv(channels: int = 4, inputs: int = 4) -> nn.Conv2d:
    return nn.Conv2d(inputs, channels, 3, padding=1)


def chain(*modules: nn.Module) -> nn.Sequential:
    """A network that begins with a convolution of the image to four channels."""
    return nn.Sequential(conv(4, 1), *modules)


@pytest.fixture(scope="module")
def structures() -> dict[str, Structure]:
    return {name: examine(architecture.build()) for name, architecture in ARCHITECTURES.items()}


def test_the_stored_structures_are_those_of_the_networks(structures: dict[str, Structure], tmp_path: Path) -> None:
    assert load(ARCHITECTURES) == structures
    store(structures, tmp_path / "structure.json")
    assert (tmp_path / "structure.json").read_bytes() == STORED.read_bytes()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_layers_and_parameters_are_the_documented_ones(structures: dict[str, Structure], name: str) -> None:
    document = ARCHITECTURES[name].document
    assert structures[name].layers == document.layers
    assert structures[name].parameters == document.parameters


@pytest.mark.parametrize(
    ("name", "convolutions", "max_pools", "linear", "without_norm", "without_dropout", "pool"),
    [
        ("squeeze_fc", 8, 1, 1, (4, 7), (1, 2, 3, 4, 6, 7, 8), "36 of 64 cells"),
        ("expand_squeeze", 8, 3, 1, (3,), (), "4 of 9 cells"),
        ("unpadded", 9, 1, 0, (3,), (3,), "None"),
        ("ten_twenty_thirty", 7, 2, 0, (), (5, 6), "None"),
        ("gap_head", 8, 2, 0, (3, 6, 7), (3, 6), "9 of 9 cells"),
    ],
)
def test_facts_of_the_five_networks(
    structures: dict[str, Structure],
    name: str,
    convolutions: int,
    max_pools: int,
    linear: int,
    without_norm: tuple[int, ...],
    without_dropout: tuple[int, ...],
    pool: str,
) -> None:
    found = structures[name]
    assert (found.convolutions, found.max_pools, found.fully_connected_layers) == (convolutions, max_pools, linear)
    assert found.batch_norm_after_every_convolution.without == without_norm
    assert found.dropout_after_every_convolution.without == without_dropout
    assert str(found.global_average_pooling) == pool


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_multiply_accumulates_are_weights_times_positions(structures: dict[str, Structure], name: str) -> None:
    """The same count by hand: a layer uses every weight, but no bias, once at every position of its output."""
    modules = [module for module in ARCHITECTURES[name].build().modules() if not list(module.children())]
    expected = 0
    for module, layer in zip(modules, structures[name].layers, strict=True):
        if isinstance(module, nn.Conv2d | nn.Linear):
            positions = layer.shape[1] * layer.shape[2] if isinstance(module, nn.Conv2d) else 1
            expected += module.weight.numel() * positions
    assert structures[name].multiply_accumulates == expected > 1_000_000


def test_multiply_accumulates_of_grouped_and_strided_convolutions() -> None:
    network = chain(nn.Conv2d(4, 8, 3, stride=2, groups=2), nn.Flatten(), nn.Linear(8 * 13 * 13, 10))
    assert examine(network).multiply_accumulates == 28 * 28 * 4 * 9 + 13 * 13 * 8 * 2 * 9 + 8 * 13 * 13 * 10


@pytest.mark.parametrize(
    ("modules", "followed"),
    [
        ([nn.BatchNorm2d(4), conv(), nn.BatchNorm2d(4), conv()], Followed(2, (), excludes_classifier=True)),
        ([nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(4), conv()], Followed(1, (), excludes_classifier=True)),
        ([conv(), nn.BatchNorm2d(4), conv()], Followed(2, (1,), excludes_classifier=True)),
        ([nn.BatchNorm2d(4), conv(), conv(), conv()], Followed(3, (2, 3), excludes_classifier=True)),
        ([nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(3136, 10)], Followed(1, (), excludes_classifier=False)),
        ([nn.Flatten(), nn.Linear(3136, 8), nn.BatchNorm1d(8)], Followed(1, (1,), excludes_classifier=False)),
        ([], Followed(0, (), excludes_classifier=True)),
    ],
    ids=["each", "behind a pool", "the second only", "the first only", "before linear", "behind linear", "classifier"],
)
def test_a_layer_follows_a_convolution_if_it_comes_before_the_next_layer_with_weights(
    modules: list[nn.Module], followed: Followed
) -> None:
    found = examine(chain(*modules))
    assert found.batch_norm_after_every_convolution == followed
    assert found.dropout_after_every_convolution.without == tuple(range(1, followed.convolutions + 1))


def test_a_network_without_convolutions_has_nothing_after_every_convolution() -> None:
    found = examine(nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Dropout(0.5)))
    assert found.dropout_after_every_convolution == Followed(0, (), excludes_classifier=False)
    assert not found.dropout_after_every_convolution.always


def test_a_network_without_convolution_and_linear_layer_has_a_structure() -> None:
    class Scales(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(784, 10))
            self.norm = nn.BatchNorm1d(10)

        def forward(self, images: Tensor) -> Tensor:
            scores: Tensor = self.norm(images.flatten(1) @ self.weight)
            return scores

    found = examine(Scales())
    assert found.batch_norm_after_every_convolution == Followed(0, (), excludes_classifier=False)
    assert (found.parameters, found.multiply_accumulates) == (7840 + 20, 7840)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_network_whose_weights_are_computed_has_a_structure() -> None:
    """PyTorch cannot copy such a network."""
    network = chain(nn.utils.weight_norm(conv()))
    assert [layer.kind for layer in examine(network).layers].count("Conv2d") == 2


def test_a_network_that_squeezes_its_values_has_a_structure() -> None:
    """With a single image, `squeeze` would remove the batch too."""

    class Squeezes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 10, 28)
            self.scores = nn.Linear(10, 10)

        def forward(self, images: Tensor) -> Tensor:
            return self.scores(self.conv(images).squeeze()).log_softmax(1)  # type: ignore[no-any-return]

    found = examine(Squeezes())
    assert [layer.shape for layer in found.layers] == [(10, 1, 1), (10,)]
    assert found.multiply_accumulates == 7840 + 100


@pytest.mark.parametrize(
    ("dropout", "counts"), [(nn.Dropout(0.1), True), (nn.Dropout2d(0.1), True), (nn.Dropout(0.0), False)]
)
def test_dropout_of_any_kind_counts_if_it_drops_anything(dropout: nn.Module, counts: bool) -> None:
    assert examine(chain(dropout, conv())).dropout_after_every_convolution.always is counts


@pytest.mark.parametrize(
    ("pool", "expected", "is_global"),
    [
        (nn.AvgPool2d(28), AveragePool(784, 784, 1), True),
        (nn.AdaptiveAvgPool2d(1), AveragePool(784, 784, 1), True),
        (nn.AvgPool2d(27), AveragePool(27 * 27, 784, 1), False),
        (nn.AvgPool2d(14), AveragePool(784, 784, 4), False),
        (nn.MaxPool2d(28), None, False),
    ],
    ids=["average", "adaptive", "one row and column short", "four parts", "maximum"],
)
def test_average_pooling_is_global_if_one_output_sees_every_cell(
    pool: nn.Module, expected: AveragePool | None, is_global: bool
) -> None:
    found = examine(chain(pool)).global_average_pooling
    assert found == expected
    assert (found is not None and found.is_global) is is_global


def test_the_last_average_pool_decides() -> None:
    assert examine(chain(nn.AvgPool2d(4), nn.AvgPool2d(7))).global_average_pooling == AveragePool(49, 49, 1)


class Reused(nn.Module):
    """A network that calls its layers in another order than it registers them, and one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.middle = conv()
        self.first = conv(4, 1)
        self.middle.weight.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool(F.relu(self.first(images)))
        x = self.pool(self.middle(self.middle(x)))
        return F.log_softmax(x.flatten(1), dim=1)


def test_layers_are_calls_in_the_order_of_the_forward_pass() -> None:
    found = examine(Reused())
    assert found.layers == (
        Layer("Conv2d", (4, 28, 28), 40),
        Layer("MaxPool2d", (4, 14, 14), 0),
        Layer("Conv2d", (4, 14, 14), 4),
        Layer("Conv2d", (4, 14, 14), 4),
        Layer("MaxPool2d", (4, 7, 7), 0),
    )
    assert (found.convolutions, found.max_pools) == (3, 2)


def test_parameters_count_what_is_trained_once() -> None:
    assert examine(Reused()).parameters == 40 + 4


def test_functions_stand_where_they_are_called() -> None:
    calls = (FunctionCall("relu", 1), FunctionCall("flatten", 5), FunctionCall("log_softmax", 5))
    assert examine(Reused()).functions == calls


class Branching(nn.Module):
    """A network that cannot be traced, as its forward pass depends on the values."""

    def __init__(self) -> None:
        super().__init__()
        self.first = conv(10, 1)

    def forward(self, images: Tensor) -> Tensor:
        x: Tensor = self.first(images)
        return F.relu(x) if x.sum() > 0 else x


def test_functions_are_unknown_where_the_forward_pass_cannot_be_traced() -> None:
    found = examine(Branching())
    assert found.functions is None
    assert found.layers == (Layer("Conv2d", (10, 28, 28), 100),)


class Doubling(nn.Module):
    """A user's own layer."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x


def test_an_own_layer_is_one_layer_without_its_functions() -> None:
    found = examine(chain(Doubling()))
    assert found.layers[1] == Layer("Doubling", (4, 28, 28), 0)
    assert found.functions == ()


def test_functions_are_unknown_where_tracing_sees_other_layers() -> None:
    assert examine(Doubling()).functions is None


def test_examining_leaves_the_network_as_it_is() -> None:
    network = chain(nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    before = copy.deepcopy(network.state_dict())
    examine(network)
    assert all(module.training for module in network.modules())
    assert all(not module._forward_hooks for module in network.modules())
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name])


@pytest.mark.parametrize("modules", [[conv()], [nn.AvgPool2d(2), conv()]], ids=["without a pool", "with one"])
def test_what_is_stored_is_read_back(modules: list[nn.Module], tmp_path: Path) -> None:
    written = {"one": examine(chain(*modules)), "other": dataclasses.replace(examine(Branching()), parameters=7)}
    store(written, tmp_path / "structure.json")
    assert load(["one"], tmp_path / "structure.json") == written


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        ("", "this is not a file of structures"),
        ("[]", "this is not a file of structures"),
        ('{"one": 1}', "this is not a file of structures"),
        ('{"one": {"parameters": 1}}', "this is not a file of structures"),
        ("{}", "the structures of one, other are missing"),
    ],
)
def test_an_unusable_file_is_a_line_with_advice(content: str | None, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "structure.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UnusableInput, match=problem) as raised:
        load(["one", "other"], path)
    message = str(raised.value)
    assert str(path) in message
    assert "python -m bench.network.structure" in message
    assert "\n" not in message


def test_the_facts_are_read_without_torch(root: Path) -> None:
    code = (
        "import sys; from bench.evidence import verdicts; from bench.evidence.comparison import compare; "
        "from bench.network import structure_facts; from bench.report import show; structure_facts.load(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


class Weights(nn.Module):
    """A network without layers: its weights are parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(784, 10))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weights


def test_a_network_without_layers_has_a_structure() -> None:
    found = examine(Weights())
    assert (found.parameters, found.convolutions, found.multiply_accumulates) == (7_840, 0, 7_840)


class AboutSizes(nn.Module):
    """A network that computes with the sizes of its images, and has a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = Turn()
        self.scores = nn.Linear(784, 10)

    def forward(self, images: Tensor) -> Tensor:
        half = self.turn(images).shape[2] // 2
        return self.scores(images.view(images.size(0), half * 2 * images.shape[-1]).mT.mT)


class Turn(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flip(3)


def test_functions_that_only_compute_sizes_are_not_shown() -> None:
    found = examine(AboutSizes())
    assert [layer.kind for layer in found.layers] == ["Turn", "Linear"]
    assert found.functions == (FunctionCall("view", 1), FunctionCall("mT", 1), FunctionCall("mT", 1))


def test_a_scripted_network_is_one_layer() -> None:
    found = examine(torch.jit.script(chain(nn.Flatten(), nn.Linear(4 * 784, 10))))
    assert found.layers == (Layer("RecursiveScriptModule", (10,), 40 + 31_370),)
