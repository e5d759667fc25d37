"""What stands between two convolutions as one module, whose passes are those of `normalisation` and `pooling`."""

from __future__ import annotations

from typing import Any

import numpy
import torch
from torch import Tensor, nn

from bench.training import randomness
from bench.training.arithmetic import normalisation, pooling
from bench.training.dropout import SeededDropout


class Normalise(nn.Module):
    """max_pool(dropout(relu(batch_norm(relu(values))))), all but the normalisation only where the network has them.

    With a max-pool, the dropout must be one of whole channels.
    """

    def __init__(
        self,
        norm: nn.BatchNorm2d,
        relu_before: bool,
        relu_after: bool,
        dropout: SeededDropout | None,
        pools: bool = False,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.relu_before, self.relu_after = relu_before, relu_after
        self.dropout = dropout
        self.pools = pools

    def forward(self, values: Tensor) -> Tensor:
        """Values (N, C, H, W) to the same shape, or with a max-pool to half of H and W; in channels-last order."""
        values = values.contiguous(memory_format=torch.channels_last)
        if self.training:
            function = _NormaliseAndPool if self.pools else _Normalise
            result: Tensor = function.apply(values, self.norm.weight, self.norm.bias, self)  # type: ignore[no-untyped-call]
            return result
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        inverse = torch.rsqrt(norm.running_var.double() + norm.eps)
        scale = norm.weight.double() * inverse
        shift = norm.bias.double() - norm.running_mean.double() * scale
        if self.pools:
            return _pooled(values, self, scale.float().numpy(), shift.float().numpy(), _no_mask(values))[0]
        x, pixels = _rows(values)
        y = torch.empty_like(values, memory_format=torch.channels_last)
        passes = normalisation.normalisation(self.relu_before, self.relu_after, "nothing")
        passes.apply(x, _columns(scale, pixels), _columns(shift, pixels), _NO_MASK, _ONE, _rows(y)[0])
        return y

    @property
    def dropping(self) -> normalisation.Dropping:
        """What the dropout drops."""
        if self.dropout is None or self.dropout.probability == 0:
            return "nothing"
        return "channels" if self.dropout.whole_channels else "values"

    def mask(self, shape: tuple[int, ...], pixels: int) -> tuple[Any, Any]:
        """The mask of this step for `normalisation`, and the factor of a kept value."""
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
        normalisation.keep(words.reshape(images, channels, height * width), threshold, mask)
        kept = randomness.kept_factor(dropout.probability)
        return mask.reshape(images, -1, channels * pixels), kept


_NO_MASK = numpy.zeros((1, 1), numpy.float32)
_ONE = numpy.float32(1)


class _Normalise(torch.autograd.Function):
    """The training pass of `Normalise` without a max-pool, and its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor, module: Normalise) -> Tensor:
        x, pixels = _rows(values)
        ctx.passes = normalisation.normalisation(module.relu_before, module.relu_after, module.dropping)
        ctx.moment, ctx.columns = _moments(x, pixels, weight, bias, module)
        ctx.mask = module.mask(tuple(values.shape), pixels)
        y = torch.empty_like(values, memory_format=torch.channels_last)
        ctx.passes.apply(x, ctx.columns[0], ctx.columns[1], *ctx.mask, _rows(y)[0])
        ctx.save_for_backward(values)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (values,) = ctx.saved_tensors
        x, _ = _rows(values)
        dy, _ = _rows(gradients[0].contiguous(memory_format=torch.channels_last))
        sums = numpy.zeros((2, x.shape[2]))
        ctx.passes.gradient_sums(x, dy, *ctx.columns, *ctx.mask, sums[0], sums[1])
        more, parameters = _slopes(sums, ctx.moment, x.size)
        dx = torch.empty_like(values, memory_format=torch.channels_last)
        ctx.passes.gradient(x, dy, *ctx.columns, *more, *ctx.mask, _rows(dx)[0])
        return dx, parameters[0], parameters[1], None


class _NormaliseAndPool(torch.autograd.Function):
    """The training pass of `Normalise` with a max-pool, and its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor, module: Normalise) -> Tensor:
        ctx.moment, columns = _moments(*_rows(values), weight, bias, module)
        ctx.channels = columns[:, : values.shape[1]]
        drops = module.dropping == "channels"
        ctx.mask = module.mask(tuple(values.shape), 1)[0] if drops else _no_mask(values)
        y, chosen, choice = _pooled(values, module, ctx.channels[0], ctx.channels[1], ctx.mask)
        ctx.save_for_backward(values, chosen, choice)
        ctx.passes = pooling.pooled_normalisation(module.relu_before, module.relu_after)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        values, chosen, choice = ctx.saved_tensors
        x, dy = normalisation.channels_last(values), normalisation.channels_last(gradients[0])
        sums = numpy.zeros((2, x.shape[3]))
        ctx.passes.gradient_sums(chosen.numpy(), dy, *ctx.channels, ctx.mask, sums[0], sums[1])
        more, parameters = _slopes(sums, ctx.moment, x.size)
        dx = torch.empty(x.shape)
        ctx.passes.gradient(x, dy, chosen.numpy(), choice.numpy(), *ctx.channels, *more, ctx.mask, dx.numpy())
        return dx.permute(0, 3, 1, 2), parameters[0], parameters[1], None


def _moments(x: Any, pixels: int, weight: Tensor, bias: Tensor, module: Normalise) -> tuple[Any, Any]:
    """What `normalisation.moments` writes for one batch; the running statistics are moved on."""
    norm = module.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    channels, columns = len(weight), x.shape[2]
    running_mean, running_var = norm.running_mean.numpy(), norm.running_var.numpy()
    # Sums around a point near the mean keep their digits; after a ReLU, 0 is near enough, and exact if all are 0.
    centre = numpy.zeros(columns, numpy.float32) if module.relu_before else numpy.tile(running_mean, pixels)
    sums, moment = numpy.zeros((2, columns)), numpy.empty((4, channels))
    repeated = numpy.empty((3, columns), numpy.float32)
    normalisation.normalisation(module.relu_before, False, "nothing").sums(x, centre, sums[0], sums[1])
    parameters = weight.detach().numpy(), bias.detach().numpy()
    count = x.size // channels
    normalisation.moments(
        sums, centre, *parameters, running_mean, running_var, norm.momentum, norm.eps, count, moment, repeated
    )
    norm.num_batches_tracked.add_(1)
    return moment, repeated


def _slopes(sums: Any, moment: Any, size: int) -> tuple[Any, Tensor]:
    """Slope and offset along a row, and the gradients of weight and bias (2, channels); `size` counts all values."""
    channels = moment.shape[1]
    columns = numpy.empty((2, sums.shape[1]), numpy.float32)
    parameters = torch.empty(2, channels)
    normalisation.slopes(sums, moment, size // channels, columns, parameters.numpy())
    return columns, parameters


def _pooled(values: Tensor, module: Normalise, scale: Any, shift: Any, mask: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The result (N, C, H / 2, W / 2), and in channels-last order what the gradient needs of it."""
    images, channels, height, width = values.shape
    y = torch.empty(images, height // 2, width // 2, channels)
    chosen, choice = torch.empty_like(y), torch.empty(y.shape, dtype=torch.uint8)
    passes = pooling.pooled_normalisation(module.relu_before, module.relu_after)
    passes.apply(normalisation.channels_last(values), scale, shift, mask, y.numpy(), chosen.numpy(), choice.numpy())
    return y.permute(0, 3, 1, 2), chosen, choice


def _no_mask(values: Tensor) -> Any:
    return numpy.ones(tuple(values.shape[:2]), numpy.float32)


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
        pooling.max_pool(normalisation.channels_last(values), y.numpy(), choice.numpy())
        ctx.save_for_backward(choice)
        ctx.size = height, width
        return y.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (choice,) = ctx.saved_tensors
        images, _, _, channels = choice.shape
        dx = gradients[0].new_empty((images, *ctx.size, channels))
        pooling.max_pool_gradient(normalisation.channels_last(gradients[0]), choice.numpy(), dx.numpy())
        return dx.permute(0, 3, 1, 2)


def _rows(values: Tensor) -> tuple[Any, int]:
    """(N, C, H, W) as an array (N, rows, columns) over the same memory, and the pixels in a row: 16 at the most."""
    images, channels, height, width = values.shape
    pixels = max(count for count in range(1, 17) if height * width % count == 0)
    flat = values.detach().permute(0, 2, 3, 1)
    return flat.reshape(images, -1, channels * pixels).numpy(), pixels


def _columns(per_channel: Any, pixels: int) -> Any:
    """One float32 value a channel, repeated along a row."""
    return numpy.tile(numpy.asarray(per_channel, dtype=numpy.float32), pixels)
