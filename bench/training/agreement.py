"""Whether the exact arithmetic trains the network of the file: a few steps by it, and by PyTorch's in float64.

A traced network can be another one than its author wrote, for example if a statement of its forward pass has an effect
that a trace does not show. So no network is trained in exact arithmetic before this comparison.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bench.errors import UnusableInput, one_line
from bench.network.specification import Architecture
from bench.training import golden, randomness
from bench.training.arithmetic.operators import unseen
from bench.training.arithmetic.trace import graph_of
from bench.training.dropout import Clock, seed_dropout
from bench.training.exact import ExactTrainer, uncovered
from bench.training.trial.origins import unlike

Array = NDArray[Any]

_BATCHES = (16, 16, 5)
_PART, _NOISE = 0.02, 1e-3
"""How far two gradients may be apart: a part of their norm; below the noise, a part of the largest norm, all agree.

Losses and scores are compared closely. Gradients are not continuous: where a value is zero up to rounding, a ReLU
passes its gradient in one arithmetic and not in the other, which changes all gradients before it. So a gradient counts
as another one only if it is so in most steps.
"""

_FAR = 5
"""The factor of weights as they may be later, when values are large."""


def obstacles(architecture: Architecture) -> tuple[str, ...]:
    """Return what keeps the exact arithmetic from training a network; nothing if it can.

    These are operations that it lacks, first weights that other machines compute otherwise, operators of PyTorch that a
    trace does not show, or results that differ from PyTorch's by more than rounding.
    """
    try:
        origins = tuple(
            f"first weights from {name}, which rounds differently elsewhere" for name in unlike(architecture)
        )
        return (
            uncovered(architecture)
            or origins
            or _unseen(architecture)
            or tuple(dict.fromkeys(_differences(architecture)))
        )
    except Exception as error:  # the network's code can fail in any way, for example for values in float64
        return (f"a step that fails ({type(error).__name__}: {one_line(error)})",)


def require(architecture: Architecture) -> None:
    """Check that this machine trains a network in exact arithmetic as every other machine does.

    Raises:
        UnusableInput: it computes other bits for a documented network, or another network than PyTorch trains here.
    """
    golden.require(architecture)
    require_network(architecture)


def require_network(architecture: Architecture) -> None:
    """Check that a network of a user is the same in exact arithmetic and in the PyTorch that is here.

    Raises:
        UnusableInput: it is not.
    """
    reasons = obstacles(architecture) if architecture.document is None else ()
    if reasons:
        problem = f"{architecture.name} has no exact arithmetic here: {'; '.join(reasons)}"
        raise UnusableInput(f"{problem}: use the release of PyTorch with which it was planned, or --arithmetic native")


def _unseen(architecture: Architecture) -> tuple[str, ...]:
    with randomness.generators_restored():
        network = randomness.build(architecture, 1)
        seed_dropout(network, 1, Clock(), architecture.recipe.dropout)
        names = unseen(network, graph_of(network))
    return (f"operators that torch.fx does not show ({', '.join(names)})",) if names else ()


def _differences(architecture: Architecture) -> Iterator[str]:
    exact, clock = ExactTrainer(architecture, 1), Clock()
    state, recipe = exact.engine.state, architecture.recipe
    native = randomness.build(architecture, 1).double()  # in float32, rounding can change a gradient by some percent
    seed_dropout(native, 1, clock, recipe.dropout)
    generator = torch.Generator().manual_seed(3)
    apart: Counter[str] = Counter()
    for step, count in enumerate(_BATCHES):
        images = torch.rand(count, 1, 28, 28, generator=generator) * 3 - 0.4
        labels = torch.randint(10, (count,), generator=generator)
        native.load_state_dict(exact.network.state_dict())  # so that rounding does not add up
        state.step = step
        clock.begin(step)
        loss = F.nll_loss(native.train()(images.double()), labels)
        native.zero_grad()
        loss.backward()
        found = exact.engine.step(
            images.permute(0, 2, 3, 1).contiguous().numpy(), labels.numpy(), recipe.momentum, recipe.learning_rate
        )
        expected = float(loss.detach())
        if not abs(found / count - expected) <= 1e-4 * max(abs(expected), 1.0):  # NaN is not close
            yield f"another loss than PyTorch's ({found / count:.6g} instead of {expected:.6g})"
        apart.update(_apart(state.gradients, dict(native.named_parameters())))
        for name, buffer in native.named_buffers():
            if not numpy.allclose(state.buffers[name], buffer.numpy(), rtol=1e-3, atol=1e-5):
                yield f"another {name} than PyTorch's"
        native.load_state_dict(exact.network.state_dict())
        with torch.no_grad():
            expected = native.eval()(images.double())
        scores = exact.engine.scores(images.permute(0, 2, 3, 1).contiguous().numpy())
        if not numpy.allclose(scores, expected.numpy(), rtol=1e-3, atol=1e-4):
            yield "another output in evaluation than PyTorch's"
    yield from (f"another gradient of {name} than PyTorch's" for name, steps in apart.items() if steps > 1)
    for values in state.parameters.values():
        values *= _FAR
    native.load_state_dict(exact.network.state_dict())
    with torch.no_grad():
        expected = native.eval()(images.double())
    scores = exact.engine.scores(images.permute(0, 2, 3, 1).contiguous().numpy())
    if not numpy.allclose(scores, expected.numpy(), rtol=1e-3, atol=1e-4 * max(1.0, float(expected.abs().max()))):
        yield "another output than PyTorch's with large weights"


def _apart(found: Mapping[str, Array], parameters: Mapping[str, Tensor]) -> Iterator[str]:
    """The parameters whose gradients are not close."""
    expected = {name: one.grad.numpy() for name, one in parameters.items() if one.grad is not None}
    norms = {name: float(numpy.linalg.norm(one)) for name, one in expected.items()}
    limit = _NOISE * max(norms.values(), default=0.0)
    for name in sorted(found.keys() | expected.keys()):
        if name not in found or name not in expected:
            yield name
            continue
        distance = float(numpy.linalg.norm(found[name] - expected[name]))
        if not distance <= _PART * norms[name] + limit:  # NaN is not close
            yield name
