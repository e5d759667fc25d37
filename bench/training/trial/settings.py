"""What a network must leave as it is, because all code of its process computes by it: PyTorch and its settings."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module
from torch.optim import optimizer

from bench.errors import UnusableInput

torch.optim.SGD([torch.zeros(1)])  # the first optimizer imports more of PyTorch, which replaces functions

_WITHOUT_EFFECT = "torch.compile"
"""Lightning replaces it when it is imported. A run trains a compiled part as it is written."""

_CLASSES = [one for one in vars(nn).values() if isinstance(one, type)]


class Settings:
    """The settings and the code of PyTorch at one time."""

    def __init__(self) -> None:
        self._settings = _settings()
        self._code = _code()

    def require(self) -> None:
        """Check that all is as it was.

        Raises:
            UnusableInput: a network has changed something.
        """
        found = _settings()
        changed = [name for name, value in self._settings.items() if value != found[name]]
        if changed:
            raise UnusableInput(f"its file changes settings of PyTorch ({', '.join(changed)}): remove that code")
        new = {name: value for name, value in _code().items() if name in self._code or not name.startswith("torch.")}
        changed = [name for name, value in new.items() if value is not self._code.get(name)]
        if changed:
            found_in = f"its file, or a package that it imports, changes PyTorch itself ({', '.join(changed[:3])})"
            raise UnusableInput(f"{found_in}: remove that code")


def _settings() -> dict[str, object]:
    return {
        "the number of threads": torch.get_num_threads(),
        "the default device": torch.get_default_device(),
        "the default type of numbers": torch.get_default_dtype(),
        "whether gradients are computed": torch.is_grad_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "the precision of matrix products": torch.get_float32_matmul_precision(),
        "whether oneDNN is used": torch.backends.mkldnn.enabled,
        "whether numbers near zero become zero": bool(torch.full((), 1e-40) * 1 == 0),
        "hooks of all modules": _global(module),
        "hooks of all optimizers": _global(optimizer),
    }


def _global(place: ModuleType) -> list[str]:
    """The hooks that a module of PyTorch calls for all objects, by the names of their collections."""
    return [
        key for key, value in vars(place).items() if key.startswith("_global_") and isinstance(value, dict) and value
    ]


def _code() -> dict[str, Any]:
    """The functions and classes that a network calls, by name. Modules get more of them when they are first used."""
    places: tuple[Any, ...] = (torch, F, nn, nn.init, Tensor, *_CLASSES)
    return {
        f"{one.__name__}.{key}": value
        for one in places
        for key, value in vars(one).items()
        if callable(value)
        and (not key.startswith("__") or key == "__call__")  # torch.compile replaces other ones
        and f"{one.__name__}.{key}" != _WITHOUT_EFFECT
    }
