"""The operators that the first weights of a network come from, and whether every machine computes them alike.

A weight is drawn, moved, and changed value by value. Other operators, such as a decomposition of a matrix or a
logarithm, round as the libraries of a machine do. Values that no weight comes from do not count.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.network.specification import Architecture
from bench.training import randomness

_NAMES = """
    empty empty_like empty_strided new_empty new_empty_strided zeros zeros_like new_zeros ones ones_like new_ones
    full full_like new_full arange eye scalar_tensor lift_fresh lift_fresh_copy
    uniform rand rand_like random randint randint_like randperm
    alias detach clone copy _to_copy set resize fill zero view _unsafe_view reshape _reshape_alias as_strided expand
    t transpose permute slice select unsqueeze squeeze split split_with_sizes chunk unbind unfold diagonal
    cat stack index index_put index_select index_fill index_copy gather scatter masked_fill masked_scatter where
    flip roll repeat tril triu diag
    neg abs sign sqrt mul div clamp clamp_min clamp_max minimum maximum any all
    eq ne lt le gt ge logical_and logical_or logical_not bitwise_and bitwise_or bitwise_not
"""
_ALIKE = frozenset(_NAMES.split())
"""Operators that move values, draw them evenly, or round each result once. The golden digests cover the draws."""

_WHOLE = frozenset({"uniform", "random", "fill", "zero", "copy", "normal"})
"""Operators that leave nothing of the values that they replace."""

_DRAWN_ALIKE = "a160df0c"
"""The digest of values of a normal distribution, as PyTorch draws them on a processor with AVX2 or AVX-512."""


def unlike(architecture: Architecture) -> tuple[str, ...]:
    """Return the operators behind the first weights and buffers that other machines may compute otherwise."""
    with _Origins() as origins:
        network: nn.Module = randomness.build(architecture, 1)
    tensors = (*network.parameters(), *network.buffers())
    return tuple(sorted({name for one in tensors for name in origins.of(one)}))


@cache
def draws_normal_values_alike() -> bool:
    """Whether a normal distribution has the bits here that exact arithmetic takes for granted."""
    with randomness.generators_restored():
        torch.manual_seed(1)
        drawn = [torch.empty(count).normal_(0.1, 0.3) for count in (5, 16, 100)]
    return hashlib.sha256(torch.cat(drawn).numpy().tobytes()).hexdigest()[:8] == _DRAWN_ALIKE


class _Origins(TorchDispatchMode):
    """Notes the operators that the values of each memory come from, other than those that compute alike."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._found: dict[int, tuple[frozenset[str], Tensor]] = {}  # with the tensor, so that its memory stays its own

    def of(self, tensor: Tensor) -> frozenset[str]:
        return self._found.get(_memory(tensor), (frozenset[str](),))[0]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__.rstrip("_")
        inputs = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        outputs = [one for one in tree_leaves(result) if isinstance(one, Tensor)]
        if "batch_norm" in name and any(one is True for one in args):
            outputs += inputs  # in training it moves the running statistics
        replaced = outputs[0] if name in _WHOLE and _is_whole(outputs[0]) else None
        origins = frozenset().union(*(self.of(one) for one in inputs if one is not replaced))
        if not _is_alike(name, args, kwargs):
            origins |= {name}
        for one in outputs:
            if origins or one is replaced:
                self._found[_memory(one)] = origins, one
        return result


def _is_alike(name: str, args: Any, kwargs: Any) -> bool:
    if name in ("add", "sub"):
        return bool((kwargs or {}).get("alpha", 1) == 1)
    return name in _ALIKE or (name in ("normal", "randn", "randn_like") and draws_normal_values_alike())


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _is_whole(tensor: Tensor) -> bool:
    return tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()
