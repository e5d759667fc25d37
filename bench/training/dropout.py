"""Dropout whose masks are a pure function of (seed, step, layer, call of it in the step), in place of PyTorch's."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.errors import UnusableInput
from bench.training import randomness


@dataclass
class Clock:
    """Count the steps of a run since its start, over all epochs, and the calls of each dropout layer in a step."""

    step: int = 0
    calls: Counter[int] = field(default_factory=Counter)

    def begin(self, step: int) -> None:
        """Begin a step."""
        self.step = step
        self.calls.clear()


class SeededDropout:
    """The forward pass of a dropout of values (N, C, H, W) or of whole channels, in place of PyTorch's.

    Every call in a step has a mask of its own. The module stays what it is: its probability, its mode and `inplace`
    hold, and so do its hooks and all references to it. `twins` has it and its copies at the other places where it was
    registered.
    """

    def __init__(
        self, module: nn.Dropout | nn.Dropout2d, twins: list[nn.Module], seed: int, layer: int, clock: Clock
    ) -> None:
        self.module = module
        self.twins = twins
        self.whole_channels = _WHOLE_CHANNELS[type(module).forward]
        self.seed = seed
        self.layer = layer
        self.clock = clock

    def __call__(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that PyTorch gives it
        """Multiply the values by the mask of this call in training. Return them unchanged in evaluation.

        Raises:
            ValueError: the probability is not from 0 to 1.
            UnusableInput: the module is registered twice, and its code has changed it at one place only.
        """
        if len({(one.p, one.training, one.inplace) for one in self.twins}) > 1:
            raise UnusableInput(
                "it has one dropout in two places, and changes its probability or mode: "
                "give each place a dropout of its own"
            )
        probability = self.module.p
        if not 0 <= probability <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {probability}")
        if not self.module.training or probability == 0:
            return input
        shape = tuple(input.shape)
        if self.whole_channels:
            shape = (*shape[:2], *(1 for _ in shape[2:]))
        mask = torch.from_numpy(self._next_mask(shape, probability))
        if input.dim() == 4 and input.is_contiguous(memory_format=torch.channels_last):
            mask = mask.contiguous(memory_format=torch.channels_last)
        mask = mask.to(input.device)
        return input.mul_(mask) if self.module.inplace else input * mask

    def _next_mask(self, shape: tuple[int, ...], probability: float) -> NDArray[numpy.float32]:
        """Return the mask of this call in logical order, and count the call."""
        stream = randomness.dropout_stream(self.layer, self.clock.calls[self.layer])
        self.clock.calls[self.layer] += 1
        return randomness.dropout_mask(self.seed, self.clock.step, stream, shape, probability)


_WHOLE_CHANNELS: dict[Callable[..., Tensor], bool] = {nn.Dropout.forward: False, nn.Dropout2d.forward: True}
"""PyTorch's own forward passes, which `seed_dropout` replaces, and whether they drop whole channels."""


def seeded(module: nn.Module) -> SeededDropout | None:
    """Return the forward pass that `seed_dropout` has given to a module, if any."""
    forward = vars(module).get("forward")
    return forward if isinstance(forward, SeededDropout) else None


def seed_dropout(network: nn.Module, seed: int, clock: Clock, probability: float | None = None) -> None:
    """Give each Dropout and Dropout2d a seeded forward pass. Number these layers in their order of registration.

    A module that is registered twice becomes two layers. A module with a forward pass of its own keeps it, because it
    is the author's; it draws from the generators that are seeded for each step.
    If `probability` is given, it replaces the probability of every Dropout and Dropout2d.
    """
    layer, seen = 0, dict[nn.Module, list[nn.Module]]()
    for parent in list(network.modules()):
        for name, child in list(parent._modules.items()):  # named_children() leaves out what is registered twice
            if not isinstance(child, nn.Dropout | nn.Dropout2d):
                continue
            if probability is not None:
                child.p = probability
            if type(child).forward not in _WHOLE_CHANNELS or (child not in seen and "forward" in vars(child)):
                continue
            twins = seen.setdefault(child, [])
            if twins:
                child = parent._modules[name] = copy.copy(child)
            twins.append(child)
            child.forward = SeededDropout(child, twins, seed, layer, clock)  # type: ignore[method-assign]
            layer += 1
