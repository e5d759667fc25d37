"""From a module of PyTorch to a program of operations, or to what stands in the way.

The module is traced by `torch.fx` in training and in evaluation; shapes come from one pass of a few images. A statement
that changes a value in place, like `self.relu(x)` with `inplace=True`, changes it for everything after it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from bench.network.structure_facts import ABOUT_SHAPES
from bench.training import randomness
from bench.training.arithmetic.builder import IMAGES, Builder, NotCovered
from bench.training.arithmetic.coverage import CALLS, MODULES
from bench.training.arithmetic.operations import LogSoftmax
from bench.training.arithmetic.program import Program
from bench.training.dropout import SeededDropout, seeded


def trace(network: nn.Module) -> Program:
    """The program of a network whose dropouts are seeded ones; it maps images (N, 1, 28, 28) to log-probabilities.

    Raises:
        NotCovered: the network cannot be traced, or has operations that the exact arithmetic does not have; one a line.
    """
    _refuse_hooks(network)
    _refuse_shared_memory(network)
    with randomness.ONE_THREAD:
        graph = graph_of(network)
        _, *others = (node for node in graph.graph.nodes if node.op == "placeholder")
        if others:
            raise NotCovered(f"a second argument of forward ({others[0]})")
        tensors = _shapes(graph, network)
    builder = Builder(dict(network.named_modules()))
    _take_all(builder, graph, tensors)
    if builder.missing:
        raise NotCovered("\n".join(dict.fromkeys(builder.missing)))
    return builder.program()


_LAYERS = {F.dropout: "nn.Dropout", F.dropout2d: "nn.Dropout2d"}
"""Functions that draw where the arithmetic does not see it, and the layers that it covers instead."""


class _Tracer(fx.Tracer):
    """A tracer that does not look into dropouts, because they draw their masks while they run.

    A graph does not show where gradients are turned off, so the tracer refuses that.
    """

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return seeded(m) is not None or super().is_leaf_module(m, module_qualified_name)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        if not torch.is_grad_enabled():
            raise NotCovered("a part of forward without gradients")
        return super().create_node(*args, **kwargs)


def graph_of(network: nn.Module) -> fx.GraphModule:
    """The network as a graph that stands for each of its passes.

    Raises:
        NotCovered: the network cannot be traced, or its passes differ.
    """
    was_training, graphs = network.training, []
    with torch.enable_grad(), randomness.generators_restored():
        before = randomness.generator_states()
        try:
            for mode in (True, False):
                graphs.append(fx.GraphModule(network, _Tracer().trace(network.train(mode))))
        except NotCovered:
            raise
        except Exception as error:
            # Tracing runs any code with stand-ins for tensors, and that code may fail in any way.
            raise NotCovered(f"a forward pass that torch.fx cannot trace ({type(error).__name__})") from error
        finally:
            network.train(was_training)
        if randomness.generator_states() != before:
            raise NotCovered("a forward pass that draws random numbers by itself")
    if graphs[0].code != graphs[1].code:
        targets = {node.target for graph in graphs for node in graph.graph.nodes}
        for function, layer in _LAYERS.items():
            if function in targets:
                raise NotCovered(f"F.{function.__name__} ({layer} is covered)")
        raise NotCovered("a forward pass that differs between training and evaluation")
    return graphs[0]


def _shapes(graph: fx.GraphModule, network: nn.Module) -> dict[fx.Node, Any]:
    """What each node gives for a few images, as tensors and plain values."""
    found: dict[fx.Node, Any] = {}

    class Noting(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            found[n] = super().run_node(n)
            return found[n]

    was_training = network.training
    try:
        with torch.no_grad(), randomness.generators_restored():
            network.train(False)  # the graph has the same layers
            Noting(graph).run(torch.zeros(IMAGES, 1, 28, 28))
    except Exception as error:  # for example an assertion about the images
        raise NotCovered(f"a forward pass that fails for images of zeros ({type(error).__name__})") from error
    finally:
        network.train(was_training)
    return found


def _take_all(builder: Builder, graph: fx.GraphModule, tensors: dict[fx.Node, Any]) -> None:
    """Give the builder every node of a graph."""
    builder.tensors = tensors
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            builder.values[node] = 0
            builder.shapes.append((28, 28, 1))
        elif node.op == "output":
            found = builder.value(node.args[0])
            if found is not None:
                builder.output = found
                last = builder.operations[found - 1] if found else None
                if not isinstance(last, LogSoftmax):
                    builder.missing.append("a network that does not end in log_softmax")
        elif node.op != "get_attr" or isinstance(builder.tensors.get(node), Tensor):
            _take(builder, node)


_PLAIN = {getattr, torch._assert, *ABOUT_SHAPES}


def _is_about_shapes(builder: Builder, node: fx.Node) -> bool:
    """Whether a node gives plain values, such as sizes, and does nothing else."""
    is_operator = getattr(node.target, "__module__", "") == "_operator"
    return not isinstance(builder.tensors.get(node), Tensor) and (is_operator or node.target in _PLAIN)


def _take(builder: Builder, node: fx.Node) -> None:
    """Let the rule of a node append its operation, or note what is not covered."""
    try:
        if node.op.startswith("call") and not node.args:
            raise NotCovered(f"a call that names its input ({node.name})")
        if node.op == "call_module":
            module = builder.modules[str(node.target)]
            _refuse_own_methods(str(node.target), module)
            rule = MODULES.get(SeededDropout if seeded(module) else type(module))
            if rule is None:
                raise NotCovered(type(module).__name__)
            _check(builder, str(node.target), module)
            rule(builder, node, module)
        elif _is_about_shapes(builder, node):
            return
        elif node.op in ("call_function", "call_method"):
            rule_of_call = CALLS.get(node.target)
            if rule_of_call is None:
                name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "?")
                raise NotCovered(str(name))
            rule_of_call(builder, node)
        else:
            raise NotCovered(f"a parameter or buffer that forward uses directly ({node.target})")
    except NotCovered as error:
        builder.missing.append(str(error))
    if node not in builder.values:
        builder.unknown.add(node)  # its users are not reported, because it already is


def _refuse_hooks(network: nn.Module) -> None:
    """Raise NotCovered for hooks. A graph shows none of a gradient, and none of a layer that it does not look into."""
    found = []
    for name, module in network.named_modules():
        hooks: list[Any] = [
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        ]
        for one in module.parameters(recurse=False):
            hooks += [one._backward_hooks, getattr(one, "_post_accumulate_grad_hooks", None)]
        if any(hooks):
            found.append(f"a hook on {name or 'the network'}")
    if found:
        raise NotCovered("\n".join(found))


def _refuse_shared_memory(network: nn.Module) -> None:
    """Raise NotCovered for weights or statistics that share memory. A change of one of them changes the other too."""
    owners: dict[int, str] = {}
    for prefix, module in network.named_modules():
        for key, one in (*module._parameters.items(), *module._buffers.items()):
            if one is None:
                continue
            name = f"{prefix}.{key}".lstrip(".")
            first = owners.setdefault(one.untyped_storage().data_ptr(), name)
            if name != first and one.numel():
                raise NotCovered(f"{first} and {name}, which share memory")


def _refuse_own_methods(name: str, module: nn.Module) -> None:
    """Raise NotCovered for a layer that is an exception in its class."""
    for key in vars(module):
        if callable(getattr(type(module), key, None)) and not (key == "forward" and seeded(module)):
            raise NotCovered(f"another {key} of {name}")


def _check(builder: Builder, name: str, module: nn.Module) -> None:
    """Raise NotCovered for weights or statistics that are used twice."""
    if name in builder.used:
        raise NotCovered(f"a layer with weights or statistics that is used twice ({name})")
    if [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
        builder.used.add(name)
