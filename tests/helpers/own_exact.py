"""Small networks for the tests of the exact arithmetic."""

from __future__ import annotations

import random
from typing import Any

import numpy
import torch
from own_networks import HEAD
from torch import Tensor, nn

from bench.network.specification import Architecture, Recipe
from bench.training.arithmetic.engine import Engine
from bench.training.arithmetic.merging import merged
from bench.training.arithmetic.state import State
from bench.training.arithmetic.trace import trace
from bench.training.dropout import Clock, seed_dropout

RECIPE = Recipe(learning_rate=0.05, batch_size=16, epochs=2)


def architecture(layers: str, forward: str, recipe: Recipe = RECIPE, name: str = "small") -> Architecture:
    """A network of `layers`, which are statements of its initialisation, and the statements of its forward pass.

    The value x of `forward` is first the result (N, 4, 8, 8) of a convolution. A linear layer makes the scores from its
    last value.
    """
    lines = [
        "class Net(nn.Module):",
        "    def __init__(self):",
        "        super().__init__()",
        "        self.first = nn.Conv2d(1, 4, 7, stride=3)",
        *(f"        {line}" for line in layers.splitlines()),
        "        with torch.no_grad():",
        "            shape = self.eval().body(torch.eye(8).repeat(2, 4, 1, 1)).shape",
        "        self.train()",
        "        self.last = nn.Linear(shape[1:].numel(), 10)",
        "",
        "    def body(self, x):",
        *(f"        {line}" for line in forward.splitlines()),
        "        return x",
        "",
        "    def forward(self, x):",
        "        return F.log_softmax(self.last(self.body(self.first(x)).flatten(1)), 1)",
    ]
    return Architecture(name, HEAD + "\n" + "\n".join(lines) + "\n", "Net", recipe)


def engine(network: nn.Module, merging: bool = True, seed: int = 1) -> Engine:
    """An engine that trains a network, whose dropouts it replaces."""
    seed_dropout(network, seed, Clock())
    parameters = dict(network.named_parameters())
    state = State(
        {name: one.detach().numpy() for name, one in parameters.items()},
        {name: one.numpy() for name, one in network.named_buffers()},
        frozenset(name for name, one in parameters.items() if one.requires_grad),
        seed,
    )
    program = trace(network)
    return Engine(merged(program) if merging else program, state)


def batch(count: int, seed: int = 0) -> tuple[Any, Any]:
    """Random images (count, 28, 28, 1) and labels."""
    generator = numpy.random.default_rng(seed)
    images = generator.standard_normal((count, 28, 28, 1)).astype(numpy.float32)
    return images, generator.integers(10, size=count)


def bits(subject: Engine) -> dict[str, bytes]:
    """All that training changes, to the bit."""
    state = subject.state
    kinds = {"weight": state.parameters, "velocity": state.velocities, "buffer": state.buffers}
    return {f"{kind} {name}": one.tobytes() for kind, values in kinds.items() for name, one in sorted(values.items())}


class Random(nn.Module):
    """A random graph of operations: the results of most of them have several users."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.plan: list[tuple[str, list[int]]] = []
        widths = [3]
        self.layers = nn.ModuleDict()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first = nn.Conv2d(1, 3, 7, stride=4)
            for number in range(draw.randint(5, 12)):
                kind = draw.choice(["conv", "norm", "norm", "relu", "relu", "drop", "add", "cat", "pool", "group"])
                sources = [draw.choice([len(widths) - 1, draw.randrange(len(widths))])]
                width = widths[sources[0]]
                if kind == "add":
                    sources.append(draw.choice([i for i, one in enumerate(widths) if one == width]))
                elif kind == "cat":
                    sources.append(draw.randrange(len(widths)))
                layer = {
                    "conv": lambda w: nn.Conv2d(w, 3, 3, padding=1),
                    "norm": lambda w: nn.BatchNorm2d(w),
                    "relu": lambda w: nn.ReLU(),
                    "drop": lambda w: draw.choice([nn.Dropout, nn.Dropout2d])(0.3),
                    "pool": lambda w: draw.choice([nn.MaxPool2d, nn.AvgPool2d])(3, 1, 1),
                    "group": lambda w: nn.GroupNorm(1, w),
                }.get(kind)
                if layer is not None:
                    self.layers[str(number)] = layer(width)
                self.plan.append((kind, sources))
                widths.append({"conv": 3, "cat": sum(widths[one] for one in sources)}.get(kind, width))
            for one in self.modules():
                if isinstance(one, nn.BatchNorm2d):
                    nn.init.normal_(one.weight)
                    nn.init.normal_(one.bias)
            self.last = nn.Linear(36 * (widths[-1] + widths[-2]), 10)

    def forward(self, images: Tensor) -> Tensor:
        values = [self.first(images)]
        for number, (kind, sources) in enumerate(self.plan):
            inputs = [values[one] for one in sources]
            if kind == "add":
                values.append(inputs[0] + inputs[1])
            elif kind == "cat":
                values.append(torch.cat(inputs, 1))
            else:
                values.append(self.layers[str(number)](inputs[0]))
        return self.last(torch.cat(values[-2:], 1).flatten(1)).log_softmax(1)
