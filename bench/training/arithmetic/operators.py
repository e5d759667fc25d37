"""The operators that PyTorch runs for a network, beside those that its graph shows.

The graph stands for every step, so a network must not do anything that is not in it: change its weights, read a number
from a buffer, compute in another precision, or change a gradient. Such a thing may have no effect at first. But it is
always an operator, and all operators of a pass are recorded.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from bench.training.arithmetic.builder import IMAGES

_READS = (Tensor.__array__, Tensor.__dlpack__, Tensor.data_ptr, Tensor.numpy, Tensor.tolist, Tensor.untyped_storage)
"""Ways to the numbers of a tensor that no operator takes part in."""


def unseen(network: nn.Module, graph: fx.GraphModule) -> tuple[str, ...]:
    """Return the operators that a pass of a network in training or evaluation runs, and its graph does not.

    Both passes change the buffers of the network, and a user's network may change more.
    """
    found: dict[str, None] = {}
    for mode in (True, False):
        network.train(mode)
        ours, theirs = _recorded(graph, mode), _recorded(network, mode)
        if ours != theirs:
            others = (Counter(theirs) - Counter(ours)) or (Counter(ours) - Counter(theirs))
            found |= dict.fromkeys(sorted(others) or ["the same ones in another order"])
    return tuple(found)


def _recorded(module: nn.Module, with_gradients: bool) -> list[str]:
    """The names of the operators of a pass of a few images, and of the pass back through it."""
    images = torch.rand(IMAGES, 1, 28, 28, generator=torch.Generator().manual_seed(6))
    names: list[str] = []
    with torch.set_grad_enabled(with_gradients), _Recorder(names), _Reads(names):
        scores = module(images)
        if scores.requires_grad:
            trainable = [one for one in module.parameters() if one.requires_grad]
            torch.autograd.grad(scores.sum(), trainable, allow_unused=True)
    return names


class _Recorder(TorchDispatchMode):
    def __init__(self, names: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._names = names

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._names.append(func.overloadpacket.__name__.rstrip("_"))  # torch.fx takes x += y for an addition
        return func(*args, **(kwargs or {}))


class _Reads(TorchFunctionMode):
    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self._names = names

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _READS:
            self._names.append(func.__name__)
        return func(*args, **(kwargs or {}))
