"""Which modules, functions and methods of PyTorch are covered, and the operation that each becomes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from bench.training.arithmetic.builder import IMAGES, Builder, NotCovered
from bench.training.arithmetic.norms import BatchNorm, GroupNorm, LayerNorm
from bench.training.arithmetic.operations import (
    Activation,
    Addition,
    AveragePool,
    Concatenation,
    Convolution,
    Dropout,
    LogSoftmax,
    MaxPool,
    Operation,
    Reshape,
)
from bench.training.dropout import SeededDropout
from bench.training.randomness import dropout_stream


def _pair(value: Any) -> tuple[int, int]:
    height, width = value if isinstance(value, tuple | list) else (value, value)
    if isinstance(height, fx.Node) or isinstance(width, fx.Node):
        raise NotCovered("a size that forward computes")
    return int(height), int(width)


def _arguments(node: fx.Node, names: Sequence[str], defaults: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call after the first, by name."""
    return {**defaults, **dict(zip(names, node.args[1:], strict=False)), **node.kwargs}


def _conv(builder: Builder, node: fx.Node, module: Any) -> None:
    if module.padding_mode != "zeros":
        raise NotCovered(f"Conv2d with padding_mode {module.padding_mode}")
    name = str(node.target)
    size, dilation = _pair(module.kernel_size), _pair(module.dilation)
    padding = module.padding
    if padding == "valid":
        padding = (0, 0)
    elif padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, size, strict=True)]
        if any(one % 2 for one in total):
            raise NotCovered("Conv2d with padding that differs between its sides")
        padding = (total[0] // 2, total[1] // 2)
    bias = f"{name}.bias" if module.bias is not None else None
    builder.append(
        node,
        lambda inputs: Convolution(
            inputs, f"{name}.weight", bias, size, _pair(module.stride), _pair(padding), dilation, module.groups
        ),
    )


def _linear(builder: Builder, node: fx.Node, module: Any) -> None:
    name = str(node.target)
    bias = f"{name}.bias" if module.bias is not None else None
    if builder.tensors[node].dim() != 2:
        raise NotCovered("Linear on values that are not (N, features)")
    builder.append(node, lambda inputs: Convolution(inputs, f"{name}.weight", bias, (1, 1)))


def _batch_norm(builder: Builder, node: fx.Node, module: Any) -> None:
    if module.running_mean is None:
        raise NotCovered(f"{type(module).__name__} without running statistics")
    name = str(node.target)
    affine = module.weight is not None

    def make(inputs: tuple[int, ...]) -> Operation:
        return BatchNorm(
            inputs,
            builder.shapes[inputs[0]],
            f"{name}.weight" if affine else None,
            f"{name}.bias" if affine else None,
            f"{name}.running_mean",
            f"{name}.running_var",
            f"{name}.num_batches_tracked",
            module.momentum,
            module.eps,
        )

    builder.append(node, make)


def _group_norm(builder: Builder, node: fx.Node, module: Any) -> None:
    name, channels = str(node.target), module.num_channels
    weight = f"{name}.weight" if module.affine else None
    bias = f"{name}.bias" if module.affine else None
    builder.append(node, lambda inputs: GroupNorm(inputs, weight, bias, channels, module.num_groups, module.eps))


def _layer_norm(builder: Builder, node: fx.Node, module: Any) -> None:
    name = str(node.target)
    if tuple(module.normalized_shape) != tuple(builder.tensors[node].shape[1:]):
        raise NotCovered("LayerNorm over a part of an image")
    weight = f"{name}.weight" if module.weight is not None else None
    bias = f"{name}.bias" if module.bias is not None else None
    builder.append(node, lambda inputs: LayerNorm(inputs, weight, bias, builder.shapes[inputs[0]], module.eps))


def _activation(kind: str, slope: Callable[[Any], float] = lambda module: 0.0) -> Callable[..., None]:
    def rule(builder: Builder, node: fx.Node, module: Any) -> None:
        value = float(slope(module))
        builder.append(node, lambda inputs: Activation(inputs, kind, value))
        if getattr(module, "inplace", False):
            builder.in_place(node)

    return rule


def _activation_call(kind: str, in_place: bool = False) -> Callable[..., None]:
    def rule(builder: Builder, node: fx.Node) -> None:
        names = ("negative_slope", "inplace") if kind == "leaky" else ("inplace",)
        found = _arguments(node, names, {"negative_slope": 0.01, "inplace": False})
        slope = float(found["negative_slope"])
        builder.append(node, lambda inputs: Activation(inputs, kind, slope))
        if in_place or found["inplace"]:
            builder.in_place(node)

    return rule


def _dropout(builder: Builder, node: fx.Node, module: Any) -> None:
    if module.p == 0:
        builder.alias(node)
        return
    dropout: SeededDropout = module.forward
    shape = tuple(builder.tensors[node].shape[1:])
    stream = dropout_stream(dropout.layer, builder.calls[str(node.target)])
    builder.calls[str(node.target)] += 1
    builder.append(node, lambda inputs: Dropout(inputs, module.p, dropout.whole_channels, stream, shape))
    if module.inplace:
        builder.in_place(node)


def _max_pool(builder: Builder, node: fx.Node, found: dict[str, Any]) -> None:
    if found["ceil_mode"] or found["return_indices"]:
        raise NotCovered("max_pool2d with ceil_mode or return_indices")
    size = _pair(found["kernel_size"])
    stride = size if found["stride"] in (None, ()) else _pair(found["stride"])
    padding, dilation = _pair(found["padding"]), _pair(found["dilation"])
    inside, outside = builder.tensors[node.args[0]].shape[2:], builder.tensors[node].shape[2:]
    for axis in range(2):
        starts = range(-padding[axis], outside[axis] * stride[axis] - padding[axis], stride[axis])
        if any(not _positions(start, size[axis], dilation[axis], inside[axis]) for start in starts):
            raise NotCovered("max_pool2d with a window that holds no position of the image")
    builder.append(node, lambda inputs: MaxPool(inputs, size, stride, padding, dilation))


def _positions(start: int, size: int, dilation: int, inside: int) -> list[int]:
    """The positions of a window along one axis that are inside of the image."""
    return [one for one in range(start, start + size * dilation, dilation) if 0 <= one < inside]


_MAX_POOL: dict[str, Any] = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "return_indices": False}
_AVERAGE_POOL: dict[str, Any] = {
    "stride": None,
    "padding": 0,
    "ceil_mode": False,
    "count_include_pad": True,
    "divisor_override": None,
}


def _average_pool(builder: Builder, node: fx.Node, found: dict[str, Any]) -> None:
    if found["ceil_mode"] or found["divisor_override"] is not None:
        raise NotCovered("avg_pool2d with ceil_mode or divisor_override")
    size = _pair(found["kernel_size"])
    stride = size if found["stride"] in (None, ()) else _pair(found["stride"])
    padding = _pair(found["padding"])
    sides, counts = [], []
    for axis in range(2):
        inside, outside = builder.tensors[node.args[0]].shape[2 + axis], builder.tensors[node].shape[2 + axis]
        starts = [i * stride[axis] - padding[axis] for i in range(outside)]
        sides.append(tuple((max(one, 0), min(one + size[axis], inside)) for one in starts))
        ends = [min(one + size[axis], inside + padding[axis]) - one for one in starts]
        counts.append(ends if found["count_include_pad"] else [stop - start for start, stop in sides[axis]])
    divisors = tuple(tuple(rows * columns for columns in counts[1]) for rows in counts[0])
    builder.append(node, lambda inputs: AveragePool(inputs, sides[0], sides[1], divisors))


def _adaptive(builder: Builder, node: fx.Node, size: Any) -> None:
    sides = []
    before = builder.tensors[node.args[0]]
    if before.dim() != 4:
        raise NotCovered("adaptive_avg_pool2d of values that are not (N, C, H, W)")
    wanted = size if isinstance(size, tuple | list) else (size, size)
    for axis in range(2):
        inside = before.shape[2 + axis]
        outside = inside if wanted[axis] is None else int(wanted[axis])
        sides.append(tuple((i * inside // outside, -(-(i + 1) * inside // outside)) for i in range(outside)))
    divisors = tuple(tuple((b - a) * (d - c) for c, d in sides[1]) for a, b in sides[0])
    builder.append(node, lambda inputs: AveragePool(inputs, sides[0], sides[1], divisors))


def _mean(builder: Builder, node: fx.Node) -> None:
    found = _arguments(node, ("dim", "keepdim"), {"dim": None, "keepdim": False})
    axes = found["dim"] if isinstance(found["dim"], tuple | list) else (found["dim"],)
    if builder.tensors[node.args[0]].dim() != 4 or {axis % 4 for axis in axes if axis is not None} != {2, 3}:
        raise NotCovered("mean over other axes than rows and columns")
    height, width = builder.tensors[node.args[0]].shape[2:]
    builder.append(node, lambda inputs: AveragePool(inputs, ((0, height),), ((0, width),), ((height * width,),)))


def _reshape(builder: Builder, node: fx.Node, module: Any = None) -> None:
    source, target = builder.tensors[node.args[0]], builder.tensors[node]
    if source.shape == target.shape:
        builder.alias(node)
        return
    if target.shape[0] != IMAGES:
        raise NotCovered("a view that mixes images")
    builder.append(node, Reshape)


def _add(in_place: bool = False) -> Callable[..., None]:
    def rule(builder: Builder, node: fx.Node) -> None:
        if len(node.args) != 2 or node.kwargs or not all(isinstance(one, fx.Node) for one in node.args):
            raise NotCovered("an addition of something else than two values")
        shapes = [builder.tensors[one].shape for one in node.args]
        if shapes[0] != shapes[1]:
            raise NotCovered("an addition of values of different shapes")
        builder.append(node, Addition, *node.args)
        if in_place:
            builder.in_place(node)

    return rule


def _concatenate(builder: Builder, node: fx.Node) -> None:
    found = _arguments(node, ("dim",), {"dim": 0})
    axis = found.get("axis", found["dim"])
    sources: Any = node.args[0]
    if axis % builder.tensors[node].dim() != 1:
        raise NotCovered("a concatenation along another axis than the channels")
    widths = tuple(builder.tensors[one].shape[1] for one in sources)
    builder.append(node, lambda inputs: Concatenation(inputs, widths), *sources)


def _log_softmax(builder: Builder, node: fx.Node, axis: Any) -> None:
    tensor = builder.tensors[node]
    if axis is None or tensor.dim() != 2 or axis % 2 != 1:
        raise NotCovered("log_softmax over another axis than the scores")
    builder.append(node, LogSoftmax)


def _of(names: Sequence[str], defaults: dict[str, Any], rule: Callable[..., None]) -> tuple[Any, Any]:
    """A rule for a module with these attributes, and one for a call with these arguments."""

    def of_module(builder: Builder, node: fx.Node, module: Any) -> None:
        rule(builder, node, {**defaults, **{name: getattr(module, name) for name in names if hasattr(module, name)}})

    def of_call(builder: Builder, node: fx.Node) -> None:
        rule(builder, node, _arguments(node, names, defaults))

    return of_module, of_call


_max_pool_module, _max_pool_call = _of(("kernel_size", *_MAX_POOL), _MAX_POOL, _max_pool)
_average_pool_module, _average_pool_call = _of(("kernel_size", *_AVERAGE_POOL), _AVERAGE_POOL, _average_pool)

MODULES: dict[type, Callable[[Builder, fx.Node, Any], None]] = {
    nn.Conv2d: _conv,
    nn.Linear: _linear,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm1d: _batch_norm,
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
    nn.ReLU: _activation("relu"),
    nn.ReLU6: _activation("relu6"),
    nn.LeakyReLU: _activation("leaky", lambda module: module.negative_slope),
    SeededDropout: _dropout,
    nn.MaxPool2d: _max_pool_module,
    nn.AvgPool2d: _average_pool_module,
    nn.AdaptiveAvgPool2d: lambda builder, node, module: _adaptive(builder, node, module.output_size),
    nn.Flatten: _reshape,
    nn.Identity: lambda builder, node, module: builder.alias(node),
    nn.LogSoftmax: lambda builder, node, module: _log_softmax(builder, node, module.dim),
}
CALLS: dict[Any, Callable[[Builder, fx.Node], None]] = {
    F.relu: _activation_call("relu"),
    torch.relu: _activation_call("relu"),
    torch.relu_: _activation_call("relu", in_place=True),
    F.relu6: _activation_call("relu6"),
    F.leaky_relu: _activation_call("leaky"),
    "relu": _activation_call("relu"),
    "relu_": _activation_call("relu", in_place=True),
    F.max_pool2d: _max_pool_call,
    torch.max_pool2d: _max_pool_call,
    F.avg_pool2d: _average_pool_call,
    F.adaptive_avg_pool2d: lambda builder, node: _adaptive(builder, node, (*node.args[1:], *node.kwargs.values())[0]),
    torch.mean: _mean,
    "mean": _mean,
    torch.flatten: _reshape,
    "flatten": _reshape,
    "view": _reshape,
    "reshape": _reshape,
    torch.reshape: _reshape,
    "squeeze": _reshape,
    torch.squeeze: _reshape,
    "contiguous": lambda builder, node: builder.alias(node),
    operator.add: _add(),
    operator.iadd: _add(in_place=True),
    torch.add: _add(),
    "add": _add(),
    "add_": _add(in_place=True),
    torch.cat: _concatenate,
    F.log_softmax: lambda builder, node: _log_softmax(builder, node, _arguments(node, ("dim",), {"dim": None})["dim"]),
    torch.log_softmax: lambda builder, node: _log_softmax(
        builder, node, _arguments(node, ("dim",), {"dim": None})["dim"]
    ),
    "log_softmax": lambda builder, node: _log_softmax(builder, node, _arguments(node, ("dim",), {"dim": None})["dim"]),
}
