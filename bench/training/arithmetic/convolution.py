"""A convolution that takes Winograd's way where that is shorter, and computes no gradient that is zero by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from bench.training.arithmetic import winograd
from bench.training.arithmetic.normalisation import channels_last

# What it costs to take a value into a tile or out of it, in multiply-accumulates of a product of matrices: chosen so
# that of the layers of the five networks those are taken that gained on a server processor with AVX-512. The rule
# looks at shapes alone, so that no two runs ever differ in it.
_TRANSFORM = 20
_LANES = 16  # channels are worked on in multiples of that
_BLOCK = 200  # tiles that are worked on together, so that they stay in the cache


def small_padding(convolution: nn.Conv2d) -> int | None:
    """The zeros on every side of one that can take Winograd's way, 3 x 3 and of stride 1; None for every other."""
    facts = (convolution.kernel_size, convolution.stride, convolution.dilation)
    is_small = facts == ((3, 3), (1, 1), (1, 1)) and convolution.groups == 1 and convolution.padding_mode == "zeros"
    return {(0, 0): 0, (1, 1): 1, (2, 2): 2}.get(convolution.padding) if is_small else None  # type: ignore[arg-type]


class Convolution(nn.Module):
    """The same as a `nn.Conv2d`, whose parameters it uses.

    `bias_is_absorbed` says that a batch normalisation follows at once: it takes the mean off again, so that the bias
    changes nothing in training, its gradient is zero, and computing it would give the sum of its rounding errors.
    """

    def __init__(self, convolution: nn.Conv2d, bias_is_absorbed: bool) -> None:
        super().__init__()
        self.convolution = convolution
        self.bias_is_absorbed = bias_is_absorbed
        self.padding = small_padding(convolution)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to the shape that the convolution gives."""
        weight, bias = self.convolution.weight, self.convolution.bias
        if bias is not None and self.bias_is_absorbed:
            bias = bias.detach()
        result: Tensor
        if self.padding is None or not pays(tuple(images.shape), len(weight), self.padding):
            result = self.convolution._conv_forward(images, weight, bias)
        else:
            images = images.contiguous(memory_format=torch.channels_last)
            result = _Winograd.apply(images, weight, bias, self.padding)  # type: ignore[no-untyped-call]
        return result


def pays(shape: tuple[int, ...], outs: int, padding: int) -> bool:
    """Whether Winograd's way is the shorter for images of a shape (N, C, H, W) and `outs` channels of the result."""
    _, ins, height, width = shape
    rows, columns = height + 2 * padding - 2, width + 2 * padding - 2
    if rows < 1 or columns < 1:
        return False
    whole_ins, whole_outs = -(-ins // _LANES) * _LANES, -(-outs // _LANES) * _LANES
    tiles = winograd.tiles_along(rows) * winograd.tiles_along(columns)
    products = ins * whole_outs
    return 9 * rows * columns * products > 36 * tiles * (products + _TRANSFORM * (whole_ins + whole_outs))


class _Winograd(torch.autograd.Function):
    """The convolution and its gradients, some images at a time."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.padding = padding
        x, filters = channels_last(images), winograd.filter_to_tiles(weight.detach().numpy())
        count, height, width, _ = x.shape
        y = torch.empty(count, height + 2 * padding - 2, width + 2 * padding - 2, len(weight))
        addend = numpy.zeros(len(weight), numpy.float32) if bias is None else bias.detach().numpy()
        tiles = winograd.tiles_along(y.shape[1]) * winograd.tiles_along(y.shape[2])
        for some, inputs, results in _blocks(count, tiles, *filters.shape[1:]):
            winograd.images_to_tiles(x[some], padding, inputs)
            numpy.matmul(inputs, filters, out=results)
            winograd.tiles_to_images(results, addend, y[some].numpy())
        return y.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        images, weight = ctx.saved_tensors
        x, dy = channels_last(images), channels_last(gradients[0])
        filters = winograd.filter_to_tiles(weight.detach().numpy())
        transposed = numpy.ascontiguousarray(filters.transpose(0, 2, 1))
        dx = torch.empty(x.shape) if ctx.needs_input_grad[0] else None
        tiles = winograd.tiles_along(dy.shape[1]) * winograd.tiles_along(dy.shape[2])
        total, part = numpy.zeros(filters.shape, numpy.float32), numpy.empty(filters.shape, numpy.float32)
        for some, inputs, results in _blocks(len(x), tiles, *filters.shape[1:]):
            winograd.images_to_tiles(x[some], ctx.padding, inputs)
            winograd.gradient_to_tiles(dy[some], results)
            total += numpy.matmul(inputs.transpose(0, 2, 1), results, out=part)
            if dx is not None:
                numpy.matmul(results, transposed, out=inputs)
                winograd.tiles_to_gradient(inputs, ctx.padding, dx[some].numpy())
        d_weight = torch.from_numpy(winograd.filter_gradient_from_tiles(total))
        d_bias = gradients[0].sum(dim=(0, 2, 3)) if ctx.needs_input_grad[2] else None
        return dx.permute(0, 3, 1, 2) if dx is not None else None, d_weight, d_bias, None


def _blocks(count: int, tiles: int, ins: int, outs: int) -> Iterator[tuple[slice, Any, Any]]:
    """Consecutive images in groups of about `_BLOCK` tiles, with room for the tiles of both sides.

    `tiles` is how many an image has.
    """
    size = min(max(1, _BLOCK // tiles), count)
    inputs, results = (torch.empty(36, size * tiles, channels).numpy() for channels in (ins, outs))
    for start in range(0, count, size):
        held = min(size, count - start)
        if held < size:
            inputs, results = (torch.empty(36, held * tiles, channels).numpy() for channels in (ins, outs))
        yield slice(start, start + held), inputs, results
