"""The memory of a network that a saved state does not contain: all Python values that its code can reach.

These are attributes, global names, attributes of classes and functions, closures, default values, and what these hold:
containers, arrays, iterators, generators, objects of its own classes. Modules that are not the network's own are none
of its memory.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable
from types import FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any

import numpy
import torch
from torch import Tensor, nn

_OWN = "network_"
"""The names of a network's own modules begin with this; see `Architecture.package`."""

_REGISTERED = ("_buffers", "_modules", "_parameters", "training")
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))


def remembered(network: nn.Module) -> dict[str, str]:
    """Return a digest of the memory of a network by the name that its author gave to each part of it.

    Two digests are equal if the values are. What cannot be looked into counts as its text.
    """
    walk = _Walk(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # to look into an iterator is deprecated
        walk.network(network)
    return {name: hashlib.sha256("\n".join(texts).encode()).hexdigest() for name, texts in walk.texts.items()}


class _Walk:
    def __init__(self, network: nn.Module) -> None:
        self.texts: dict[str, list[str]] = defaultdict(list)
        saved = network.state_dict(keep_vars=True).values()
        self._saved = {id(one) for one in saved if isinstance(one, Tensor)}
        self._modules = {id(one) for one in network.modules()}
        self._seen: dict[int, tuple[str, Any]] = {}  # with the objects, so that no other one gets their number

    def network(self, network: nn.Module) -> None:
        for prefix, module in network.named_modules():
            for key, value in vars(module).items():
                if key not in _REGISTERED:
                    self.take(f"{prefix}.{key}".lstrip("."), value)
            for registry in (module._parameters, module._buffers):
                for key, tensor in registry.items():
                    self.take(f"{prefix}.{key}".lstrip("."), tensor)
            self.take(type(module).__qualname__, type(module))

    def take(self, name: str, value: Any) -> None:
        """Add all that a value holds to the texts of a name. Values with a name of their own get that one."""
        texts = self.texts[name]
        texts.append(type(value).__qualname__)
        if isinstance(value, _PLAIN):
            texts.append(repr(value))
        elif id(value) in self._seen:
            texts.append(f"again {self._seen[id(value)][0]}")
        else:
            self._seen[id(value)] = f"{name} {len(texts)}", value
            self._look_into(name, value)

    def _look_into(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            if id(value) not in self._saved:
                self.texts[name].append(_digest(value))
            self._take_items(name, vars(value))
        elif isinstance(value, numpy.ndarray) and not value.dtype.hasobject:
            self.texts[name].append(f"{value.shape} {value.dtype} {hashlib.sha256(value.tobytes()).hexdigest()}")
        elif isinstance(value, torch.Generator):
            self.texts[name].append(_digest(value.get_state()))
        elif isinstance(value, nn.Module):
            if id(value) not in self._modules:
                self._take_items(name, vars(value))
        elif isinstance(value, type):
            if value.__module__.startswith(_OWN):
                self._take_named(f"{value.__qualname__}.", vars(value))
                self._take_all(name, value.__bases__)
        elif isinstance(value, ModuleType):
            if value.__name__.startswith(_OWN):
                self._take_named(f"{value.__name__.partition('.')[2]}.", vars(value))
        elif isinstance(value, FunctionType):
            self._take_function(name, value)
        elif isinstance(value, GeneratorType):
            frame = value.gi_frame
            self._take_all(name, (frame.f_lasti, frame.f_locals) if frame else ())
        elif isinstance(value, set | frozenset):
            self.texts[name] += sorted(map(_text, value))
        elif isinstance(value, MethodType):
            self._take_all(name, (value.__func__, value.__self__))
        elif isinstance(value, property | staticmethod | classmethod):
            parts = ("fget", "fset", "__func__")
            self._take_all(name, [getattr(value, part) for part in parts if hasattr(value, part)])
        elif type(value) in (list, tuple):
            self._take_all(name, value)
        elif type(value) is dict:
            self._take_items(name, value)
        else:
            self._take_object(name, value)

    def _take_function(self, name: str, function: FunctionType) -> None:
        if not str(function.__globals__.get("__name__")).startswith(_OWN):
            return
        for key, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                self.take(key, cell.cell_contents)
            except ValueError:  # the cell is empty
                continue
        self._take_all(name, (function.__defaults__, function.__kwdefaults__))
        self._take_named(f"{function.__qualname__}.", vars(function))
        if id(function.__globals__) not in self._seen:
            self._seen[id(function.__globals__)] = name, function.__globals__
            self._take_named("", function.__globals__)

    def _take_object(self, name: str, value: Any) -> None:
        """Take the parts of which a copy would be made."""
        try:
            parts = value.__reduce_ex__(4)
        except Exception:  # it cannot be copied
            self.texts[name].append(_text(value))
            self._take_items(name, getattr(value, "__dict__", {}))
            return
        if isinstance(parts, str):
            self.texts[name].append(parts)
            return
        self._take_all(name, parts[:3])
        for items in parts[3:]:
            self._take_all(name, items or ())

    def _take_all(self, name: str, values: Iterable[Any]) -> None:
        for value in list(values):
            self.take(name, value)

    def _take_items(self, name: str, values: Any) -> None:
        for key, value in list(values.items()):
            self.take(name, key)
            self.take(name, value)

    def _take_named(self, prefix: str, values: Any) -> None:
        for key, value in list(values.items()):
            if not (key.startswith("__") and key.endswith("__")):
                self.take(f"{prefix}{key}", value)


def _text(value: Any) -> str:
    return re.sub(r"0x[0-9a-fA-F]+", "", repr(value))  # without addresses


def content(tensor: Tensor) -> bytes:
    """Return the values of a tensor of any type in their logical order."""
    try:
        return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    except RuntimeError:  # it is sparse or has no values
        return repr(tensor).encode()


def _digest(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {tensor.dtype} {hashlib.sha256(content(tensor)).hexdigest()}"
