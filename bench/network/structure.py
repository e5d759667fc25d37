"""Find the structure of a network from its modules and from a few images that run through them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.flop_counter import FlopCounterMode

from bench.network.specification import Layer
from bench.network.structure_facts import ABOUT_SHAPES, AveragePool, Followed, FunctionCall, Structure, store

_IMAGES = 2  # a batch of one image is special to some networks, for example if they call `squeeze`


@dataclass(frozen=True)
class _ModuleCall:
    """One call of a module without children. The first dimension of the shapes is the batch."""

    module: nn.Module
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


def examine(network: nn.Module) -> Structure:
    """Return the structure of a network that takes images (N, 1, 28, 28). The network itself does not change."""
    modes = {module: module.training for module in network.modules()}
    try:
        return _examine(network.eval())
    finally:
        for module, training in modes.items():
            module.training = training


def _examine(network: nn.Module) -> Structure:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        calls = _module_calls(network)
    modules = [call.module for call in calls]
    layers = tuple(_layer(call) for call in calls)
    return Structure(
        parameters=_count_trainable(network),
        multiply_accumulates=counter.get_total_flops() // (2 * _IMAGES),  # a multiplication and an addition are two
        convolutions=sum(isinstance(module, _ConvNd) for module in modules),
        max_pools=sum(isinstance(module, nn.MaxPool2d | nn.AdaptiveMaxPool2d) for module in modules),
        fully_connected_layers=sum(isinstance(module, nn.Linear) for module in modules),
        batch_norm_after_every_convolution=_followed(modules, [isinstance(module, _BatchNorm) for module in modules]),
        dropout_after_every_convolution=_followed(modules, [_is_active_dropout(module) for module in modules]),
        global_average_pooling=_last_average_pool(calls),
        layers=layers,
        functions=_functions(network, len(layers)),
    )


def _module_calls(network: nn.Module) -> list[_ModuleCall]:
    calls: list[_ModuleCall] = []

    def record(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        calls.append(_ModuleCall(module, _shape(inputs), _shape(output)))

    images = torch.zeros(_IMAGES, 1, 28, 28)
    if isinstance(network, torch.jit.ScriptModule):  # it has no hooks: it is one layer
        return [_ModuleCall(network, _shape(images), _shape(network(images)))]
    leaves = [module for module in network.modules() if not list(module.children())]
    handles = [one.register_forward_hook(record) for one in leaves if not isinstance(one, torch.jit.ScriptModule)]
    network(images)
    for handle in handles:
        handle.remove()
    return calls


def _shape(values: Any) -> tuple[int, ...]:
    """Return the shape of a tensor, or of the first of several tensors."""
    if isinstance(values, Tensor):
        return tuple(values.shape)
    return _shape(values[0]) if isinstance(values, tuple | list) and values else ()


def _layer(call: _ModuleCall) -> Layer:
    return Layer(type(call.module).__name__, call.output_shape[1:], _count_trainable(call.module))


def _count_trainable(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _is_active_dropout(module: nn.Module) -> bool:
    return isinstance(module, _DropoutNd) and module.p > 0


def _followed(modules: Sequence[nn.Module], wanted: Sequence[bool]) -> Followed:
    """Find the convolutions that have a wanted module before the next convolution or linear layer."""
    weighted = [i for i, module in enumerate(modules) if isinstance(module, _ConvNd | nn.Linear)]
    ends = dict(itertools.pairwise([*weighted, len(modules)]))
    convolutions = [i for i in weighted if isinstance(modules[i], _ConvNd)]
    is_classifier = bool(convolutions) and convolutions[-1] == weighted[-1]
    considered = convolutions[:-1] if is_classifier else convolutions
    without = tuple(position for position, i in enumerate(considered, start=1) if not any(wanted[i : ends[i]]))
    return Followed(len(considered), without, is_classifier)


def _last_average_pool(calls: Sequence[_ModuleCall]) -> AveragePool | None:
    kinds = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
    pools = [call for call in calls if isinstance(call.module, kinds) and len(call.input_shape) == 4]
    if not pools:
        return None
    side, output_side = pools[-1].input_shape[-2:], pools[-1].output_shape[-2:]
    cells = torch.zeros(1, 1, *side, requires_grad=True)
    pools[-1].module(cells).sum().backward()
    assert cells.grad is not None
    return AveragePool(int(cells.grad.count_nonzero()), cells.numel(), output_side[0] * output_side[1])


class _Tracer(fx.Tracer):
    """A tracer that does not look into modules without children, because each of them is a layer of the table."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not list(m.children()) or super().is_leaf_module(m, module_qualified_name)


def _functions(network: nn.Module, layers: int) -> tuple[FunctionCall, ...] | None:
    """Return the calls of the forward pass that are not modules, and compute more than sizes.

    Return None if the pass cannot be traced, or if the trace has another number of layers.
    """
    try:
        nodes = _Tracer().trace(network).nodes
    except Exception:  # the network's code can fail in any way when it runs on proxies instead of tensors
        return None
    calls, seen = [], 0
    about_shapes = set[fx.Node]()
    for node in nodes:
        if node.op == "call_module":
            seen += 1
        elif node.op in ("call_function", "call_method"):
            name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
            name = str(node.args[1]) if node.target is getattr else name
            if name in ABOUT_SHAPES or (node.all_input_nodes and about_shapes.issuperset(node.all_input_nodes)):
                about_shapes.add(node)
            else:
                calls.append(FunctionCall(name, seen))
    return tuple(calls) if seen == layers else None


def main() -> None:
    """Write the structures of the documented networks."""
    from models import ARCHITECTURES

    store({name: examine(architecture.build()) for name, architecture in ARCHITECTURES.items()})


if __name__ == "__main__":
    main()
