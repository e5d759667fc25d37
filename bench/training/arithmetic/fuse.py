"""A network's forward and backward pass with fewer trips to memory, for one core of a CPU.

The network is traced; batch normalisation is merged with the ReLU before or after it and with the dropout and the
2 x 2 max-pool behind it, see `passes`; convolutions of 3 x 3 go Winograd's way where it is shorter, see
`convolution`. Everything else stays the operator it was. What is computed is the same function, rounded
elsewhere; `bench.training.loop` without this module is the reference it is tested against.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from bench.training import randomness
from bench.training.arithmetic.convolution import Convolution
from bench.training.arithmetic.passes import MaxPool, Normalise
from bench.training.dropout import SeededDropout

_RELUS = (F.relu, torch.relu, "relu")


def fuse(network: nn.Module) -> nn.Module:
    """The network with its passes merged, sharing its parameters and buffers; itself if it cannot be traced.

    Its dropouts must have been replaced by seeded ones.
    """
    traced = _traced(network)
    if traced is None:
        return network
    graph, modules = traced.graph, dict(traced.named_modules())
    for number, node in enumerate(list(graph.nodes)):
        module = modules.get(node.target) if node.op == "call_module" else None
        if isinstance(module, nn.Conv2d) and _is_bare(module, nn.Conv2d):
            following = _only_user(node)
            follower = modules.get(str(following.target)) if following and following.op == "call_module" else None
            absorbed = isinstance(follower, nn.BatchNorm2d) and _is_plain(follower)
            _replace(traced, node, node.args[0], node, Convolution(module, absorbed), f"convolution_{number}")
    graph.eliminate_dead_code()
    for number, node in enumerate(list(graph.nodes)):
        module = modules.get(node.target) if node.op == "call_module" else None
        if isinstance(module, nn.BatchNorm2d) and _is_plain(module):
            before = _single_user_relu(node.args[0], modules)
            dropout, relu_after, pools, last = None, False, False, node
            while not pools and (following := _only_user(last)) is not None:
                follower = modules.get(following.target) if following.op == "call_module" else None
                if dropout is None and isinstance(follower, SeededDropout):
                    dropout = follower
                elif not relu_after and _is_relu(following, modules):
                    relu_after = True
                elif _is_two_by_two(follower) and (dropout is None or dropout.whole_channels):
                    pools = True
                else:
                    break
                last = following
            source = before.args[0] if before is not None else node.args[0]
            merged = Normalise(module, before is not None, relu_after, dropout, pools)
            _replace(traced, last, source, node, merged, f"fused_{number}")
    graph.eliminate_dead_code()
    for number, node in enumerate(list(graph.nodes)):
        if node.op == "call_module" and _is_two_by_two(modules.get(node.target)):
            _replace(traced, node, node.args[0], node, MaxPool(), f"pool_{number}")
    graph.eliminate_dead_code()
    graph.lint()
    traced.recompile()
    return traced


def _traced(network: nn.Module) -> fx.GraphModule | None:
    """The network as a graph; None if there is none that stands for every one of its passes.

    A trace keeps what it saw: one branch of what asks whether the network is training, one draw of a generator.
    """
    was_training, graphs = network.training, []
    with randomness.generators_restored():
        before = randomness.generator_states()
        try:
            for mode in (True, False):
                graphs.append(fx.GraphModule(network, _Tracer().trace(network.train(mode))))
        except Exception:  # tracing runs any code with stand-ins for tensors, and that code may fail in any way
            return None
        finally:
            network.train(was_training)
        drew = randomness.generator_states() != before
    return None if drew or graphs[0].code != graphs[1].code else graphs[0]


class _Tracer(fx.Tracer):
    """A tracer that looks into no dropout: its masks are drawn while it runs."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, SeededDropout) or super().is_leaf_module(m, module_qualified_name)


def _replace(traced: fx.GraphModule, last: fx.Node, source: Any, place: fx.Node, module: nn.Module, name: str) -> None:
    """Put a module that takes `source` where `place` stands; whoever used `last` uses its result."""
    traced.add_submodule(name, module)
    with traced.graph.inserting_before(place):
        merged = traced.graph.call_module(name, (source,))
    last.replace_all_uses_with(merged)


def _only_user(node: fx.Node) -> fx.Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].args and users[0].args[0] is node else None


def _single_user_relu(node: Any, modules: dict[str, nn.Module]) -> fx.Node | None:
    if not isinstance(node, fx.Node) or not _is_relu(node, modules) or len(node.users) != 1:
        return None
    # One that works in place changes what its input is to everybody else.
    return node if len(node.all_input_nodes[0].users) == 1 or not _is_in_place(node, modules) else None


def _is_in_place(relu: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if relu.op == "call_module":
        return bool(getattr(modules.get(str(relu.target)), "inplace", False))
    return len(relu.args) > 1 or bool(relu.kwargs.get("inplace", False))


def _is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return isinstance(modules.get(str(node.target)), nn.ReLU)
    return node.op in ("call_function", "call_method") and node.target in _RELUS


def _is_plain(norm: nn.BatchNorm2d) -> bool:
    return norm.affine and norm.track_running_stats and norm.momentum is not None and _is_bare(norm, nn.BatchNorm2d)


def _is_bare(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a module does what its class does and no more: a reparametrised weight is another class or a hook."""
    return type(module) is kind and not module._forward_hooks and not module._forward_pre_hooks


def _is_two_by_two(pool: nn.Module | None) -> bool:
    if not isinstance(pool, nn.MaxPool2d):
        return False

    def pair(value: Any) -> tuple[Any, ...]:
        return value if isinstance(value, tuple) else (value, value)

    sizes = (pair(pool.kernel_size), pair(pool.stride), pair(pool.padding), pair(pool.dilation))
    return sizes == ((2, 2), (2, 2), (0, 0), (1, 1)) and not pool.ceil_mode and not pool.return_indices
