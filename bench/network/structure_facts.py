"""What a network is made of, as values: decided by `structure`, kept beside the networks, read without torch."""

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

STORED = Path(__file__).parents[2] / "models" / "structure.json"
"""The structures of the documented networks, as `python -m bench.network.structure` writes them."""


@dataclass(frozen=True)
class Followed:
    """Whether a kind of layer stands after every convolution, anywhere before the next convolution or linear layer.

    `convolutions` is the number asked about. It leaves out a last convolution with no linear layer behind it: its
    outputs are the scores of the classes (`excludes_classifier`). `without` has the positions, among all convolutions
    from 1, of those that are not followed.
    """

    convolutions: int
    without: tuple[int, ...]
    excludes_classifier: bool

    @property
    def always(self) -> bool:
        """Whether there is a convolution, and none goes without."""
        return self.convolutions > 0 and not self.without


@dataclass(frozen=True)
class AveragePool:
    """The last average pool: how many of a channel's `cells` it averages, and into how many outputs."""

    seen: int
    cells: int
    outputs: int

    @property
    def is_global(self) -> bool:
        """Whether one output averages every cell."""
        return self.seen == self.cells and self.outputs == 1

    def __str__(self) -> str:
        into = "" if self.outputs == 1 else f" in {self.outputs} parts"
        return f"{self.seen} of {self.cells} cells{into}"


@dataclass(frozen=True)
class FunctionCall:
    """An operation of the forward pass that is no module, `after` so many rows of the layer table."""

    name: str
    after: int


@dataclass(frozen=True)
class Structure:
    """One network. `layers` are its modules without children, in the order of the forward pass, a row for every call.

    `parameters` counts every trainable number once. `functions` are None where the forward pass cannot be traced; they
    are no part of the other fields. `global_average_pooling` is None where there is no average pool.
    `multiply_accumulates` are those of the convolutions and linear layers, forward, for one image.
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
    """The stored structures by network.

    Raises:
        UnusableInput: the file cannot be read, is not what `store` writes, or lacks one of `names`.
    """
    advice = "write it anew with python -m bench.network.structure"
    try:
        stored = {name: from_json(content) for name, content in json.loads(path.read_text(encoding="utf-8")).items()}
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be read ({cause(error)}): {advice}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnusableInput(f"{path}: holds no structures: {advice}") from error
    missing = [name for name in names if name not in stored]
    if missing:
        raise UnusableInput(f"{path}: lacks {', '.join(missing)}: {advice}")
    return stored


def store(structures: Mapping[str, Structure], path: Path = STORED) -> None:
    """Write structures as JSON, a line a layer; the same structures give the same bytes.

    Raises:
        OSError: nothing has changed.
    """
    text = json.dumps({name: asdict(structure) for name, structure in structures.items()}, indent=2)
    # Objects without objects in them (a layer, a pool) fit on one line each.
    text = re.sub(r"\{[^{}]*\}", lambda found: json.dumps(json.loads(found.group())), text)
    replace(path, (text + "\n").encode())


def from_json(content: dict[str, Any]) -> Structure:
    """The structure that was written as JSON.

    Raises:
        KeyError, TypeError or AttributeError: it is none.
    """
    values = dict(content)
    for kind in ("batch_norm_after_every_convolution", "dropout_after_every_convolution"):
        values[kind] = Followed(**{**content[kind], "without": tuple(content[kind]["without"])})
    pool, functions = content["global_average_pooling"], content["functions"]
    values["global_average_pooling"] = None if pool is None else AveragePool(**pool)
    values["functions"] = None if functions is None else tuple(FunctionCall(**call) for call in functions)
    values["layers"] = tuple(Layer(row["kind"], tuple(row["shape"]), row["parameters"]) for row in content["layers"])
    return Structure(**values)
