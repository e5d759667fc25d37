"""What is trained and what was claimed of it, as frozen values. Nothing here imports torch."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

Source = Literal["document", "notebook"]
"""Where a fact was read: printed in the public document, or in its author's public notebook."""

ClaimKind = Literal[
    "parameters",
    "parameters_below",
    "reaches_target",
    "epochs_below",
    "first_epoch",
    "best",
    "last",
    "sustained",
    "batch_norm_after_every_convolution",
    "dropout_after_every_convolution",
    "global_average_pooling",
    "fully_connected_layers",
    "convolutions",
    "max_pools",
]
"""What a claim is about. The statistical kinds are decided by the record, the others by the module itself."""


@dataclass(frozen=True)
class Target:
    """An accuracy to reach, as a count of correctly classified test images."""

    correct: int = 9940
    total: int = 10_000

    def reached(self, correct: int, total: int) -> bool:
        """Whether `correct` of `total` images is at or above the target, in integers: 9939 of 10,000 is not."""
        return correct * self.total >= self.correct * total


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: plain SGD on the mean negative log-likelihood of a batch."""

    learning_rate: float
    batch_size: int
    epochs: int
    momentum: float = 0.9


@dataclass(frozen=True)
class Layer:
    """One row of a layer table: the kind of module, its output shape without the batch, its parameters."""

    kind: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class LoggedEpoch:
    """One epoch of a documented training log: images classified correctly, of 10,000, and where that is printed."""

    epoch: int
    correct: int
    source: Source


@dataclass(frozen=True)
class Claim:
    """One statement of a document that can be true or false.

    `value` is the number claimed (an epoch, a count of images or parameters, a number of layers); it is 1 for
    the kinds that are simply true or false. `contradiction` says what the document's own log or table shows
    against the claim, and is empty where it agrees.
    """

    kind: ClaimKind
    value: int
    text: str
    source: Source
    contradiction: str = ""


@dataclass(frozen=True)
class Document:
    """A public document about one network, and its author's notebook.

    `recipe_sources` names, for each field of the recipe, where it was read. `batches_per_second` is the speed of the
    progress bar printed in the document, on a cloud GPU of unknown model.
    """

    title: str
    repository: str
    commit: str
    date: str
    parameters: int
    layers: tuple[Layer, ...]
    layers_source: Source
    log: tuple[LoggedEpoch, ...]
    claims: tuple[Claim, ...]
    recipe_sources: tuple[tuple[str, Source], ...]
    batches_per_second: int
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Architecture:
    """One network: its name, the module that builds it, how it is trained and what its document says.

    `factory` is ``"package.module:Class"``. The module is imported when the network is built, not before.
    """

    name: str
    factory: str
    recipe: Recipe
    document: Document
    target: Target = field(default_factory=Target)

    def build(self) -> nn.Module:
        """A new network: float32 images (N, 1, 28, 28) to log-probabilities (N, 10)."""
        module_name, class_name = self.factory.split(":")
        network: nn.Module = getattr(importlib.import_module(module_name), class_name)()
        return network

    @cached_property
    def digest(self) -> str:
        """Eight hex digits over the network's code and its recipe.

        Comments, docstrings and layout do not count: the code is read as a syntax tree, without importing it.
        """
        recipe = json.dumps(asdict(self.recipe), sort_keys=True)
        content = "\n".join([self.factory.split(":")[1], _canonical_source(self._source_file()), recipe])
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    def _source_file(self) -> Path:
        found = importlib.util.find_spec(self.factory.split(":")[0])
        if found is None or found.origin is None:
            raise ModuleNotFoundError(self.factory)
        return Path(found.origin)


def _canonical_source(path: Path) -> str:
    return "".join(_canonical(ast.parse(path.read_text(encoding="utf-8"))))


def _canonical(node: Any) -> Iterator[str]:
    """A syntax tree as text that no version of Python writes otherwise.

    `ast.dump` changed its treatment of empty fields in Python 3.13, and new fields appear with new versions; leaving
    out whatever is empty gives the same text for the same program on all of them.
    """
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in ast.iter_fields(node):
            if (
                name == "body"
                and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
                and _is_docstring(value[:1])
            ):
                value = value[1:]
            if value not in (None, []) and name not in ("ctx", "kind", "type_comment"):
                yield f" {name}="
                yield from _canonical(value)
        yield ")"
    elif isinstance(node, list):
        for item in node:
            yield from _canonical(item)
    else:
        yield repr(node)


def _is_docstring(body: list[ast.stmt]) -> bool:
    return (
        bool(body)
        and isinstance(body[0], ast.Expr)
        and isinstance(body[0].value, ast.Constant)
        and isinstance(body[0].value.value, str)
    )
