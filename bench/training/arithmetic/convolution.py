"""Convolutions as the operations of a network see them: any size, stride, padding, dilation and number of groups.

Arrays are contiguous float32 in channels-last order, filters are (channels out, channels in, rows, columns).
`direct` has the fast code, `grouped` plain loops for what is rare; both give the bits of `docs/arithmetic.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from bench.training.arithmetic.kernels import direct, grouped, packing

Array = NDArray[Any]
Pair = tuple[int, int]
_NOTHING: Array = packing.aligned(0)


@dataclass(frozen=True)
class Geometry:
    """What a convolution is but for its numbers; the pairs are (rows, columns)."""

    size: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    @property
    def is_plain(self) -> bool:
        """Whether every output sees a window without gaps, one pixel further each."""
        return self.stride == self.dilation == (1, 1) and self.groups == 1


@dataclass(frozen=True)
class Packed:
    """A filter as the kernels read it, forward and backward, and its bias, which is empty if there is none."""

    weight: Array
    forward: Array
    backward: Array
    bias: Array


def room(weight: Array, has_bias: bool) -> Packed:
    """Memory for a filter (channels out, channels in of a group, rows, columns) in all its forms."""
    outputs, inputs, *size = weight.shape
    return Packed(
        weight,
        packing.room_for_filter(outputs, inputs, *size),
        packing.room_for_filter(inputs, outputs, *size),
        packing.room_for_bias(outputs) if has_bias else _NOTHING,
    )


def pack(packed: Packed, bias: Array | None) -> None:
    """Write the weights as they are now into their other forms."""
    packing.pack(packed.weight, packed.forward)
    packing.pack_flipped(packed.weight, packed.backward)
    if bias is not None:
        packed.bias[: len(bias)] = bias


def zeros(weight: Array) -> Array:
    """Zeros to add the gradient of a filter up in: float64 (rows * columns * channels in, channels out filled up)."""
    outputs, inputs, height, width = weight.shape
    return numpy.zeros((height * width * inputs, packing.filled_up(outputs)))


def forward(x: Array, packed: Packed, geometry: Geometry, y: Array, ahead: Array = _NOTHING) -> None:
    """Write the convolution of x into y, and ask the memory for `ahead`, a flat array that is needed next."""
    if geometry.is_plain:
        direct.forward(x, packed.forward, packed.bias, geometry.size, geometry.padding, y, ahead)
    else:
        bias = packed.bias[: y.shape[3]]
        grouped.forward(
            x, packed.weight, bias, geometry.padding, geometry.stride, geometry.dilation, geometry.groups, y
        )


def input_gradient(dy: Array, packed: Packed, geometry: Geometry, dx: Array, ahead: Array = _NOTHING) -> None:
    """Write the gradient of the input into dx; `ahead` is that of `forward`."""
    if geometry.is_plain:
        padding = (geometry.size[0] - 1 - geometry.padding[0], geometry.size[1] - 1 - geometry.padding[1])
        direct.forward(dy, packed.backward, _NOTHING, geometry.size, padding, dx, ahead)
    else:
        grouped.input_gradient(
            dy, packed.weight, geometry.padding, geometry.stride, geometry.dilation, geometry.groups, dx
        )


def add_filter_gradient(
    x: Array, dy: Array, geometry: Geometry, total: Array, ahead: Array = _NOTHING, ahead_too: Array = _NOTHING
) -> None:
    """Add the gradient of the filter to `total`, image by image; `ahead` is that of `forward`, for two arrays."""
    if geometry.is_plain:
        direct.add_filter_gradient(x, dy, geometry.size, geometry.padding, total, ahead, ahead_too)
    else:
        grouped.add_filter_gradient(
            x, dy, geometry.size, geometry.padding, geometry.stride, geometry.dilation, geometry.groups, total
        )


def unpack(total: Array, outputs: int, inputs: int, geometry: Geometry) -> Array:
    """The gradient of the filter from its sums, rounded to float32."""
    weight = numpy.empty((outputs, inputs, *geometry.size), numpy.float32)
    packing.unpack_gradient(total, weight)
    return weight
