"""The structure of a network as values. `structure` finds them. A file beside the networks keeps them.

This module does not import torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.errors import UnusableInput
from bench.files import cause, replace
from bench.network.specification import Layer

ABOUT_SHAPES = ("shape", "size", "ndim", "dim", "ndimension", "numel", "nelement", "dtype", "device")
"""The attributes and methods of a tensor that give plain values about it, and compute nothing with its numbers."""

STORED = Path(__file__).parents[2] / "models" / "structure.json"
"""The file with the structures of the documented networks. `python -m bench.network.structure` writes it."""


@dataclass(frozen=True)
class Followed:
    """Whether a kind of layer follows every convolution, anywhere before the next convolution or linear layer.

    `convolutions` is the number of convolutions considered. A last convolution with no linear layer after it does not
    count, because its outputs are the scores of the classes (`excludes_classifier`). `without` has the positions of the
    convolutions that the layer does not follow. Positions count all convolutions from 1.
    """

    convolutions: int
    without: tuple[int, ...]
    excludes_classifier: bool

    @property
    def always(self) -> bool:
        """Whether there is a convolution, and the layer follows all of them."""
        return self.convolutions > 0 and not self.without


@dataclass(frozen=True)
class AveragePool:
    """The last average pool. It averages `seen` of the `cells` of a channel into `outputs` values."""

    seen: int
    cells: int
    outputs: int

    @property
    def is_global(self) -> bool:
        """Whether a single output averages all cells."""
        return self.seen == self.cells and self.outputs == 1

    def __str__(self) -> str:
        into = "" if self.outputs == 1 else f" in {self.outputs} parts"
        return f"{self.seen} of {self.cells} cells{into}"


@dataclass(frozen=True)
class FunctionCall:
    """An operation of the forward pass that is not a module. `after` is the number of layer table rows before it."""

    name: str
    after: int


@dataclass(frozen=True)
class Structure:
    """The structure of one network.

    `layers` has one row for every call of a module without children, in the order of the forward pass. `parameters`
    counts every trainable number once. `functions` is None where the forward pass cannot be traced. Functions are
    not in the counts of layers. `global_average_pooling` is None where there is no average pool. `multiply_accumulates`
    counts those of all convolutions and matrix products, also of functions, in the forward pass of one image.
    """

    parameters: int
    multiply_accumulates: int
    convolutions: int
    max_pools: int
    fully_connected_layers: int
    batch_norm_after_every_convolution: Followed
    dropout_after_every_convolution: Followed
    global_average_pooling: AveragePool | None
    layers: tuple[Layer, ...]
    functions: tuple[FunctionCall, ...] | None


def load(names: Collection[str] = (), path: Path = STORED) -> dict[str, Structure]:
    """Read the stored structures, by name of the network.

    Raises:
        UnusableInput: the file cannot be read, `store` did not write it, or it lacks one of `names`.
    """
    advice = "write it again with python -m bench.network.structure"
    try:
        stored = {name: from_json(content) for name, content in json.loads(path.read_text(encoding="utf-8")).items()}
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be read ({cause(error)}): {advice}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnusableInput(f"{path}: this is not a file of structures: {advice}") from error
    missing = [name for name in names if name not in stored]
    if missing:
        raise UnusableInput(f"{path}: the structures of {', '.join(missing)} are missing: {advice}")
    return stored


def store(structures: Mapping[str, Structure], path: Path = STORED) -> None:
    """Write structures as JSON, with one line for each layer. The same structures give the same bytes.

    Raises:
        OSError: the file cannot be written. Its old content is still there.
    """
    text = json.dumps({name: asdict(structure) for name, structure in structures.items()}, indent=2)
    # An object without objects in it, such as a layer or a pool, fits on one line.
    text = re.sub(r"\{[^{}]*\}", lambda found: json.dumps(json.loads(found.group())), text)
    replace(path, (text + "\n").encode())


def from_json(content: dict[str, Any]) -> Structure:
    """Return the structure that JSON describes.

    Raises:
        KeyError, TypeError or AttributeError: the content is not a structure.
    """
    values = dict(content)
    for kind in ("batch_norm_after_every_convolution", "dropout_after_every_convolution"):
        values[kind] = Followed(**{**content[kind], "without": tuple(content[kind]["without"])})
    pool, functions = content["global_average_pooling"], content["functions"]
    values["global_average_pooling"] = None if pool is None else AveragePool(**pool)
    values["functions"] = None if functions is None else tuple(FunctionCall(**call) for call in functions)
    values["layers"] = tuple(Layer(row["kind"], tuple(row["shape"]), row["parameters"]) for row in content["layers"])
    return Structure(**values)
