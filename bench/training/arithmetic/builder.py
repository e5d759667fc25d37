"""Collects the operations of a program while the nodes of a graph are taken in order."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import fx, nn

from bench.training.arithmetic.operations import Operation
from bench.training.arithmetic.program import Program, Shape

IMAGES = 3
"""The images of the pass that gives the shapes of all values."""


class NotCovered(Exception):
    """The exact arithmetic does not have an operation of the network; the message names it."""


@dataclass
class Builder:
    """Takes the nodes of a graph in order, and appends operations; `calls` counts those of each dropout so far."""

    modules: dict[str, nn.Module]
    shapes: list[Shape] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    values: dict[fx.Node, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unknown: set[fx.Node] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    tensors: dict[Any, Any] = field(default_factory=dict)
    output: int = 0

    def program(self) -> Program:
        """What the output depends on, numbered anew."""
        needed, waiting = {0}, [self.output]
        while waiting:
            value = waiting.pop()
            if value not in needed:
                needed.add(value)
                waiting += self.operations[value - 1].inputs
        order = sorted(needed)
        number = {value: i for i, value in enumerate(order)}
        operations = [
            replace(one, inputs=tuple(number[value] for value in one.inputs))
            for one in (self.operations[value - 1] for value in order[1:])
        ]
        return Program(tuple(self.shapes[value] for value in order), tuple(operations))

    def value(self, node: Any) -> int | None:
        """The number of the value that a node stands for; None, which is noted, if it has none."""
        found = self.values.get(node) if isinstance(node, fx.Node) else None
        if found is None and node not in self.unknown:
            self.missing.append(f"{node}, which does not come from the images")
        return found

    def append(self, node: fx.Node, make: Callable[[tuple[int, ...]], Operation], *sources: Any) -> None:
        """Append an operation on the values of some nodes; `node` stands for its result."""
        inputs = [self.value(source) for source in (sources or (node.args[0],))]
        if None in inputs:
            return
        tensor = self.tensors[node]
        shape = tuple(tensor.shape)
        if shape[0] != IMAGES or len(shape) not in (2, 4):
            raise NotCovered(f"values of the shape (N, {', '.join(map(str, shape[1:]))}) in {node.name}")
        self.operations.append(make(tuple(value for value in inputs if value is not None)))
        self.shapes.append((shape[2], shape[3], shape[1]) if len(shape) == 4 else (1, 1, shape[1]))
        self.values[node] = len(self.operations)

    def alias(self, node: fx.Node) -> None:
        """`node` is the value of its first argument."""
        found = self.value(node.args[0])
        if found is not None:
            self.values[node] = found

    def in_place(self, node: fx.Node) -> None:
        """What changed a value in place changed it for every later user.

        Raises:
            NotCovered: it also changed another value, which has the same memory and is used later.
        """
        source = node.args[0]
        if isinstance(source, fx.Node) and node in self.values:
            old = self.values[source]
            later = set(itertools.dropwhile(lambda one: one is not node, node.graph.nodes))
            for other, value in self.values.items():
                if value not in (old, self.values[node]) and self._share(source, other) and later & other.users.keys():
                    raise NotCovered(f"a change in place of values that have two shapes ({node.name})")
            for other in [one for one, value in self.values.items() if value == old]:
                self.values[other] = self.values[node]

    def _share(self, *nodes: fx.Node) -> bool:
        """Whether the values of nodes have the same memory."""
        return len({self.tensors[one].untyped_storage().data_ptr() for one in nodes}) == 1
