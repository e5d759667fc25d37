"""A network's forward and backward pass with fewer trips to memory, for one core of a CPU.

The network is traced; batch normalisation is merged with the ReLU before or after it and the dropout behind it, and
2 x 2 max-pools are replaced. Everything else stays the operator it was. What is computed is the same function, rounded
elsewhere; `bench.training` without this module is the reference it is tested against.
"""

from __future__ import annotations

from typing import Any

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from bench import kernels, randomness
from bench.dropout import SeededDropout

_RELUS = (F.relu, torch.relu, "relu")


def fuse(network: nn.Module) -> nn.Module:
    """The network with its passes merged, sharing its parameters and buffers; itself if it cannot be traced.

    Its dropouts must have been replaced by seeded ones.
    """
    try:
        traced = fx.GraphModule(network, _Tracer().trace(network))
    except Exception:  # tracing runs any code with stand-ins for tensors, and that code may fail in any way
        return network
    graph, modules = traced.graph, dict(traced.named_modules())
    for number, node in enumerate(list(graph.nodes)):
        module = modules.get(node.target) if node.op == "call_module" else None
        if isinstance(module, nn.MaxPool2d) and _is_two_by_two(module):
            _replace(traced, node, node.args[0], node, MaxPool(), f"fused_{number}")
        elif isinstance(module, nn.BatchNorm2d) and _is_plain(module):
            before = _single_user_relu(node.args[0], modules)
            dropout, relu_after, last = None, False, node
            while (following := _only_user(last)) is not None:
                follower = modules.get(following.target) if following.op == "call_module" else None
                if dropout is None and isinstance(follower, SeededDropout):
                    dropout = follower
                elif not relu_after and _is_relu(following, modules):
                    relu_after = True
                else:
                    break
                last = following
            source = before.args[0] if before is not None else node.args[0]
            merged = Normalise(module, before is not None, relu_after, dropout)
            _replace(traced, last, source, node, merged, f"fused_{number}")
    graph.eliminate_dead_code()
    graph.lint()
    traced.recompile()
    return traced


class _Tracer(fx.Tracer):
    """A tracer that looks into no dropout: its masks are drawn while it runs."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, SeededDropout) or super().is_leaf_module(m, module_qualified_name)


class Normalise(nn.Module):
    """dropout(relu(batch_norm(relu(values)))), each ReLU and the dropout only where the network has them."""

    def __init__(
        self, norm: nn.BatchNorm2d, relu_before: bool, relu_after: bool, dropout: SeededDropout | None
    ) -> None:
        super().__init__()
        self.norm = norm
        self.relu_before, self.relu_after = relu_before, relu_after
        self.dropout = dropout

    def forward(self, values: Tensor) -> Tensor:
        """Values (N, C, H, W) to the same shape, both in channels-last order."""
        if self.training:
            result: Tensor = _Normalise.apply(values, self.norm.weight, self.norm.bias, self)  # type: ignore[no-untyped-call]
            return result
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        inverse = torch.rsqrt(norm.running_var.double() + norm.eps)
        x, pixels = _rows(values)
        y = torch.empty_like(values, memory_format=torch.channels_last)
        scale = (norm.weight.double() * inverse).float()
        shift = (norm.bias.double() - norm.running_mean.double() * scale.double()).float()
        passes = kernels.normalisation(self.relu_before, self.relu_after, "nothing")
        passes.apply(x, _columns(scale, pixels), _columns(shift, pixels), _NO_MASK, _ONE, _rows(y)[0])
        return y

    @property
    def dropping(self) -> kernels.Dropping:
        """What the dropout drops."""
        if self.dropout is None or self.dropout.probability == 0:
            return "nothing"
        return "channels" if self.dropout.whole_channels else "values"

    def mask(self, shape: tuple[int, ...], pixels: int) -> tuple[Any, Any]:
        """The mask of this step for `bench.kernels`, and the factor of a kept value."""
        dropout = self.dropout
        images, channels, height, width = shape
        if dropout is None or self.dropping == "nothing":
            return _NO_MASK, _ONE
        if dropout.whole_channels:
            return numpy.tile(dropout.mask((images, channels)), (1, pixels)), _ONE
        words = randomness.half_words(
            dropout.seed, dropout.clock.step, dropout.layer, images * channels * height * width
        )
        mask = numpy.empty((images, height * width, channels), numpy.uint8)
        threshold = numpy.uint32(randomness.keep_threshold(dropout.probability))
        kernels.keep(words.reshape(images, channels, height * width), threshold, mask)
        kept = randomness.kept_factor(dropout.probability)
        return mask.reshape(images, -1, channels * pixels), kept


_NO_MASK = numpy.zeros((1, 1), numpy.float32)
_ONE = numpy.float32(1)


class _Normalise(torch.autograd.Function):
    """The training pass of `Normalise`, and its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor, module: Normalise) -> Tensor:
        values = values.contiguous(memory_format=torch.channels_last)
        norm = module.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        assert norm.momentum is not None
        channels, count = values.shape[1], values.numel() // values.shape[1]
        x, pixels = _rows(values)
        passes = kernels.normalisation(module.relu_before, module.relu_after, module.dropping)
        # Sums around a point near the mean keep their digits; after a ReLU, 0 is near enough, and exact if all are 0.
        centre = torch.zeros_like(norm.running_mean) if module.relu_before else norm.running_mean.clone()
        sums = numpy.zeros((2, x.shape[2]))
        passes.sums(x, _columns(centre, pixels), sums[0], sums[1])
        first, second = sums.reshape(2, pixels, channels).sum(axis=1) / count
        mean = centre.double().numpy() + first
        variance = numpy.maximum(second - first * first, 0)
        inverse = 1 / numpy.sqrt(variance + norm.eps)
        with torch.no_grad():
            unbiased = variance * (count / (count - 1))
            norm.running_mean.lerp_(torch.from_numpy(mean).float(), norm.momentum)
            norm.running_var.lerp_(torch.from_numpy(unbiased).float(), norm.momentum)
            norm.num_batches_tracked.add_(1)
        scale = weight.detach().double().numpy() * inverse
        shift = bias.detach().double().numpy() - mean * scale
        mask, kept = module.mask(tuple(values.shape), pixels)
        y = torch.empty_like(values, memory_format=torch.channels_last)
        per_channel = [_columns(one, pixels) for one in (scale, shift, mean)]
        passes.apply(x, *per_channel[:2], mask, kept, _rows(y)[0])
        ctx.save_for_backward(values)
        ctx.passes, ctx.mask, ctx.kept = passes, mask, kept
        ctx.per_channel, ctx.scale, ctx.inverse, ctx.mean = per_channel, scale, inverse, mean
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (values,) = ctx.saved_tensors
        channels, count = values.shape[1], values.numel() // values.shape[1]
        x, pixels = _rows(values)
        dy, _ = _rows(gradients[0].contiguous(memory_format=torch.channels_last))
        sums = numpy.zeros((2, x.shape[2]))
        ctx.passes.gradient_sums(x, dy, *ctx.per_channel, ctx.mask, ctx.kept, sums[0], sums[1])
        bias_gradient, products = sums.reshape(2, pixels, channels).sum(axis=1)
        weight_gradient = products * ctx.inverse
        slope = -ctx.scale * ctx.inverse * weight_gradient / count
        offset = -ctx.scale * bias_gradient / count
        dx = torch.empty_like(values, memory_format=torch.channels_last)
        more = _columns(slope, pixels), _columns(offset, pixels)
        ctx.passes.gradient(x, dy, *ctx.per_channel, *more, ctx.mask, ctx.kept, _rows(dx)[0])
        return dx, torch.from_numpy(weight_gradient).float(), torch.from_numpy(bias_gradient).float(), None


class MaxPool(nn.Module):
    """The largest of every 2 x 2 pixels; of equal ones the first, as PyTorch has it."""

    def forward(self, values: Tensor) -> Tensor:
        """Values (N, C, H, W) to (N, C, H / 2, W / 2), rounded down, both in channels-last order."""
        result: Tensor = _MaxPool.apply(values)  # type: ignore[no-untyped-call]
        return result


class _MaxPool(torch.autograd.Function):
    """The pass of `MaxPool`, and its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        images, channels, height, width = values.shape
        y = values.new_empty((images, height // 2, width // 2, channels))
        choice = torch.empty_like(y, dtype=torch.uint8)
        kernels.max_pool(_last(values), y.numpy(), choice.numpy())
        ctx.save_for_backward(choice)
        ctx.size = height, width
        return y.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (choice,) = ctx.saved_tensors
        images, _, _, channels = choice.shape
        dx = gradients[0].new_empty((images, *ctx.size, channels))
        kernels.max_pool_gradient(_last(gradients[0]), choice.numpy(), dx.numpy())
        return dx.permute(0, 3, 1, 2)


def _last(values: Tensor) -> Any:
    """(N, C, H, W) as a numpy array (N, H, W, C) over the same memory where the order allows."""
    return values.detach().permute(0, 2, 3, 1).contiguous().numpy()


def _rows(values: Tensor) -> tuple[Any, int]:
    """(N, C, H, W) as an array (N, rows, columns) over the same memory, and the pixels in a row: 16 at the most."""
    images, channels, height, width = values.shape
    pixels = max(count for count in range(1, 17) if height * width % count == 0)
    flat = values.detach().permute(0, 2, 3, 1)
    return flat.reshape(images, -1, channels * pixels).numpy(), pixels


def _columns(per_channel: Any, pixels: int) -> Any:
    """One float32 value a channel, repeated along a row."""
    return numpy.tile(numpy.asarray(per_channel, dtype=numpy.float32), pixels)


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
    return node if isinstance(node, fx.Node) and _is_relu(node, modules) and len(node.users) == 1 else None


def _is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return isinstance(modules.get(str(node.target)), nn.ReLU)
    return node.op in ("call_function", "call_method") and node.target in _RELUS


def _is_plain(norm: nn.BatchNorm2d) -> bool:
    return norm.affine and norm.track_running_stats and norm.momentum is not None


def _is_two_by_two(pool: nn.MaxPool2d) -> bool:
    def pair(value: Any) -> tuple[Any, ...]:
        return value if isinstance(value, tuple) else (value, value)

    sizes = (pair(pool.kernel_size), pair(pool.stride), pair(pool.padding), pair(pool.dilation))
    return sizes == ((2, 2), (2, 2), (0, 0), (1, 1)) and not pool.ceil_mode and not pool.return_indices
