"""Keep settings of the process as they are, whatever the code of a user sets while it is executed."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from typing import Any

_PRECISIONS = tuple(
    f"backends.{owner}fp32_precision"
    for owner in (
        *("", "cuda.matmul.", "cudnn.", "cudnn.conv.", "cudnn.rnn."),
        *("mkldnn.", "mkldnn.conv.", "mkldnn.matmul.", "mkldnn.rnn."),
    )
)
"""Settings of new releases of PyTorch. To set one of the old releases sets some of these too."""

_FLAGS = (
    *("backends.cudnn.enabled", "backends.cudnn.benchmark", "backends.cudnn.deterministic"),
    *("backends.cudnn.allow_tf32", "backends.cuda.matmul.allow_tf32", "backends.mkldnn.enabled"),
)
"""Flags of PyTorch that change the bits of a run, but not what the network means."""


@contextmanager
def settings_restored() -> Iterator[None]:
    """Restore the threads, the determinism and the precision of PyTorch, errors of numpy, and variables, on exit.

    They belong to the environment of a run, which is known before its network is built.
    """
    settings = _settings()
    before = {name: get() for name, (get, _) in settings.items()}
    try:
        yield
    finally:
        for name, (get, restore) in settings.items():
            if _is_other(get, before[name]):
                restore(before[name])


def _settings() -> Mapping[str, tuple[Callable[[], Any], Callable[[Any], object]]]:
    """Return how to read and how to set each setting."""
    torch, numpy = importlib.import_module("torch"), importlib.import_module("numpy")

    def flag(name: str) -> tuple[Callable[[], Any], Callable[[Any], object]]:
        *parents, last = name.split(".")
        owner = reduce(getattr, parents, torch)
        return lambda: getattr(owner, last), lambda value: setattr(owner, last, value)

    def set_determinism(value: tuple[bool, bool]) -> None:
        torch.use_deterministic_algorithms(value[0], warn_only=value[1])

    def determinism() -> tuple[bool, bool]:
        return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()

    def set_variables(value: dict[str, str]) -> None:
        os.environ.clear()
        os.environ.update(value)

    return {
        "threads": (torch.get_num_threads, torch.set_num_threads),
        "determinism": (determinism, set_determinism),
        "precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        **{name: flag(name) for name in _FLAGS},
        "errors of numpy": (numpy.geterr, lambda value: numpy.seterr(**value)),
        "variables": (lambda: dict(os.environ), set_variables),
        **{name: flag(name) for name in _PRECISIONS if _has(torch, name)},
    }


def _is_other(get: Callable[[], Any], before: Any) -> bool:
    try:
        return bool(get() != before)
    except RuntimeError:  # PyTorch does not read a setting of old releases if one of new releases contradicts it
        return True


def _has(owner: Any, name: str) -> bool:
    try:
        reduce(getattr, name.split("."), owner)
    except AttributeError:
        return False
    return True
