"""Tests of the modules in `models`: layers, order of operations, dropout and parameters are the documented ones."""

from __future__ import annotations

import ast
import inspect
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from bench.network.specification import Architecture, Layer
from models import ARCHITECTURES

NAMES = ("squeeze_fc", "expand_squeeze", "unpadded", "ten_twenty_thirty", "gap_head")

# Every operation in the order of the forward pass. Capitals are registered modules, small letters are functions.
# `p1` is a padding of 1; convolutions have a bias unless they say otherwise.
OPERATIONS = {
    "squeeze_fc": """
        Conv3 1>16 p1 no-bias, ReLU, BatchNorm 16
        Conv3 16>16 p1 no-bias, ReLU, BatchNorm 16
        Conv3 16>64 p1 no-bias, ReLU, BatchNorm 64
        MaxPool 2
        Conv1 64>8 no-bias, ReLU
        Conv3 8>16 no-bias, ReLU, BatchNorm 16, Dropout2d 0.1
        Conv3 16>16 no-bias, ReLU, BatchNorm 16
        Conv1 16>16 no-bias, ReLU
        Conv3 16>16 no-bias, ReLU, BatchNorm 16
        AvgPool 6, flatten, Linear 16>10, log_softmax
    """,
    "expand_squeeze": """
        Conv3 1>16 p1, BatchNorm 16, Dropout 0.05, relu
        Conv3 16>32 p1, BatchNorm 32, Dropout 0.05, relu
        Conv1 32>8, MaxPool 2, Dropout 0.05
        Conv3 8>16 p1, BatchNorm 16, Dropout 0.05, relu
        Conv3 16>16 p1, BatchNorm 16, MaxPool 2, Dropout 0.05, relu
        Conv3 16>16 p1, BatchNorm 16, Dropout 0.05, relu
        Conv3 16>16 p1, BatchNorm 16, MaxPool 2, Dropout 0.05, relu
        Conv3 16>16 p1, BatchNorm 16, AvgPool 2, Dropout 0.1, relu
        flatten, Linear 16>10, log_softmax
    """,
    "unpadded": """
        Conv3 1>12, relu, BatchNorm 12, Dropout 0.3
        Conv3 12>20, relu, BatchNorm 20, Dropout 0.1
        Conv1 20>10
        MaxPool 2
        Conv3 10>16, relu, BatchNorm 16, Dropout 0.1
        Conv3 16>16, relu, BatchNorm 16, Dropout 0.1
        Conv3 16>16, relu, BatchNorm 16, Dropout 0.1
        Conv3 16>16, relu, BatchNorm 16, Dropout 0.1
        Conv3 16>16, relu, BatchNorm 16, Dropout 0.1
        Conv2 16>10, flatten, log_softmax
    """,
    "ten_twenty_thirty": """
        Conv3 1>10 p1, BatchNorm 10, relu, Dropout2d 0.1
        Conv3 10>10 p1, BatchNorm 10, relu, Dropout2d 0.1
        MaxPool 2
        Conv3 10>20 p1, BatchNorm 20, relu, Dropout2d 0.1
        Conv3 20>20 p1, BatchNorm 20, relu, Dropout2d 0.1
        MaxPool 2
        Dropout2d 0.1
        Conv3 20>20, BatchNorm 20, relu
        Conv3 20>30, BatchNorm 30, relu
        Conv3 30>10, flatten, log_softmax
    """,
    "gap_head": """
        Conv3 1>16 p1, relu, BatchNorm 16, Dropout2d 0.1
        Conv3 16>32 p1, relu, BatchNorm 32, Dropout2d 0.1
        MaxPool 2
        Conv1 32>8
        Conv3 8>16 p1, relu, BatchNorm 16, Dropout2d 0.1
        Conv3 16>32 p1, relu, BatchNorm 32, Dropout2d 0.1
        MaxPool 2
        Conv1 32>16
        Conv3 16>32, relu, Dropout2d 0.1
        Conv3 32>10
        AvgPool 3, flatten, log_softmax
    """,
}

PARAMETERS = {
    "squeeze_fc": 18_650,
    "expand_squeeze": 15_938,
    "unpadded": 14_120,
    "ten_twenty_thirty": 18_430,
    "gap_head": 19_122,
}


@pytest.fixture(params=NAMES)
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return ARCHITECTURES[request.param]


def calls_of_leaves(network: nn.Module, images: Tensor) -> list[tuple[str, nn.Module, Tensor]]:
    """Name, module and output of every call of a module without children, in the order of execution."""
    calls: list[tuple[str, nn.Module, Tensor]] = []

    def watch(name: str, module: nn.Module) -> Any:
        return module.register_forward_hook(lambda module, _, output: calls.append((name, module, output)))

    handles = [watch(name, module) for name, module in leaves(network)]
    network(images)
    for handle in handles:
        handle.remove()
    return calls


def leaves(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((name, module) for name, module in network.named_modules() if not list(module.children()))


def operation(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    if node.op == "call_module":
        return registered(modules[str(node.target)])
    assert not node.kwargs.get("inplace"), node
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", repr(node.target))
    return str(name)


def registered(module: nn.Module) -> str:
    match module:
        case nn.Conv2d():
            assert (module.stride, module.dilation, module.groups) == ((1, 1), (1, 1), 1)
            assert module.padding_mode == "zeros"
            assert isinstance(module.padding, tuple)
            height, width = module.kernel_size
            above, beside = module.padding
            assert (height, above) == (width, beside)
            padding = f" p{above}" if above else ""
            bias = "" if module.bias is not None else " no-bias"
            return f"Conv{height} {module.in_channels}>{module.out_channels}{padding}{bias}"
        case nn.Linear():
            assert module.bias is not None
            return f"Linear {module.in_features}>{module.out_features}"
        case nn.BatchNorm2d():
            assert (module.eps, module.momentum, module.affine, module.track_running_stats) == (1e-5, 0.1, True, True)
            return f"BatchNorm {module.num_features}"
        case nn.MaxPool2d():
            assert module.stride == module.kernel_size
            assert (module.padding, module.dilation, module.ceil_mode) == (0, 1, False)
            return f"MaxPool {module.kernel_size}"
        case nn.AvgPool2d():
            assert module.stride == module.kernel_size
            assert (module.padding, module.ceil_mode, module.divisor_override) == (0, False, None)
            return f"AvgPool {module.kernel_size}"
        case nn.Dropout() | nn.Dropout2d():
            assert not module.inplace
            return f"{type(module).__name__} {module.p}"
        case nn.ReLU():
            assert not module.inplace
            return "ReLU"
    raise AssertionError(f"unexpected module {module}")


def test_the_networks_are_listed_in_document_order() -> None:
    assert tuple(ARCHITECTURES) == NAMES
    assert [architecture.name for architecture in ARCHITECTURES.values()] == list(NAMES)


def test_operations_are_the_documented_ones_in_order(architecture: Architecture) -> None:
    network = architecture.build()
    modules = dict(network.named_modules())
    graph = fx.symbolic_trace(network).graph
    actual = [operation(node, modules) for node in graph.nodes if node.op not in ("placeholder", "output")]
    expected = OPERATIONS[architecture.name].strip().replace("\n", ",").split(",")
    assert actual == [text.strip() for text in expected]


def test_operations_form_one_chain(architecture: Architecture) -> None:
    nodes = list(fx.symbolic_trace(architecture.build()).graph.nodes)
    for before, node in itertools.pairwise(nodes):
        assert node.all_input_nodes == [before]


@pytest.mark.parametrize("training", [False, True])
def test_layers_are_the_documented_ones_row_by_row(architecture: Architecture, training: bool) -> None:
    network = architecture.build().train(training)
    rows = [
        Layer(type(module).__name__, tuple(output.shape[1:]), sum(p.numel() for p in module.parameters()))
        for _, module, output in calls_of_leaves(network, torch.zeros(2, 1, 28, 28))
    ]
    assert rows == list(architecture.document.layers)


def test_parameters_add_up_to_the_documented_total(architecture: Architecture) -> None:
    total = sum(p.numel() for p in architecture.build().parameters() if p.requires_grad)
    assert total == PARAMETERS[architecture.name] == architecture.document.parameters


def test_modules_are_registered_in_layer_order_and_called_once_each(architecture: Architecture) -> None:
    network = architecture.build()
    called = [name for name, _, _ in calls_of_leaves(network, torch.zeros(2, 1, 28, 28))]
    assert called == [name for name, _ in leaves(network)]


def test_parameters_are_registered_in_layer_order(architecture: Architecture) -> None:
    network = architecture.build()
    in_layer_order = [
        f"{layer}.{parameter}"
        for layer, module, _ in calls_of_leaves(network, torch.zeros(2, 1, 28, 28))
        for parameter, _ in module.named_parameters()
    ]
    assert [name for name, _ in network.named_parameters()] == in_layer_order


@pytest.mark.parametrize("images", [1, 3])
def test_output_is_log_probabilities_of_ten_classes(architecture: Architecture, images: int) -> None:
    torch.manual_seed(0)
    network = architecture.build().eval()
    with torch.no_grad():
        output = network(torch.randn(images, 1, 28, 28))
    assert output.shape == (images, 10)
    assert output.dtype == torch.float32
    torch.testing.assert_close(output.exp().sum(dim=1), torch.ones(images))
    assert output.unique().numel() > 1


def test_every_parameter_receives_a_gradient(architecture: Architecture) -> None:
    torch.manual_seed(0)
    network = architecture.build()
    network(torch.randn(4, 1, 28, 28))[:, 0].sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_building_twice_gives_two_networks(architecture: Architecture) -> None:
    one, other = architecture.build(), architecture.build()
    assert type(one).__name__ == type(other).__name__
    assert {id(p) for p in one.parameters()}.isdisjoint(id(p) for p in other.parameters())


@pytest.mark.parametrize(("name", "side", "seen"), [("squeeze_fc", 8, 6), ("expand_squeeze", 3, 2), ("gap_head", 3, 3)])
def test_the_average_pool_sees_the_top_left_cells(name: str, side: int, seen: int) -> None:
    network = ARCHITECTURES[name].build()
    (pool,) = (module for module in network.modules() if isinstance(module, nn.AvgPool2d))
    cells = torch.zeros(1, 1, side, side, requires_grad=True)
    pool(cells).sum().backward()
    expected = torch.zeros(side, side)
    expected[:seen, :seen] = 1 / seen**2
    assert cells.grad is not None
    torch.testing.assert_close(cells.grad[0, 0], expected)


def test_a_network_file_imports_torch_and_nothing_else(architecture: Architecture) -> None:
    tree = ast.parse(Path(inspect.getfile(type(architecture.build()))).read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported == {"__future__", "torch"}


def test_importing_models_does_not_import_torch(root: Path) -> None:
    code = "import models, models.documents.survey, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
