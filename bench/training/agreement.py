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

from bench.network.specification import Architecture
from bench.training.exact import ExactTrainer, uncovered
from bench.training.native import NativeTrainer

Array = NDArray[Any]

_BATCHES = (16, 16, 5)
_PART, _NOISE = 0.02, 1e-3
"""How far two gradients may be apart: a part of their norm; below the noise, a part of the largest norm, all agree.

Losses and scores are compared closely. Gradients are not continuous: where a value is zero up to rounding, a ReLU
passes its gradient in one arithmetic and not in the other, which changes all gradients before it. So a gradient counts
as another one only if it is so in most steps.
"""


def obstacles(architecture: Architecture) -> tuple[str, ...]:
    """Return what keeps the exact arithmetic from training a network; nothing if it can.

    These are operations that it lacks, or results that differ from PyTorch's by more than rounding.
    """
    reasons = uncovered(architecture)
    return reasons or tuple(dict.fromkeys(_differences(architecture)))


def _differences(architecture: Architecture) -> Iterator[str]:
    exact, native = ExactTrainer(architecture, 1), NativeTrainer(architecture, 1, "cpu")
    native.network.double()  # in float32, PyTorch's own rounding can change a gradient by some percent
    generator = torch.Generator().manual_seed(3)
    state, recipe = exact.engine.state, architecture.recipe
    apart: Counter[str] = Counter()
    for step, count in enumerate(_BATCHES):
        images = torch.rand(count, 1, 28, 28, generator=generator) * 3 - 0.4
        labels = torch.randint(10, (count,), generator=generator)
        native.network.load_state_dict(exact.network.state_dict())  # so that rounding does not add up
        native.network.train()
        state.step = native.clock.step = step
        loss = F.nll_loss(native.network(images.double()), labels)
        native.optimizer.zero_grad()
        loss.backward()
        found = exact.engine.step(
            images.permute(0, 2, 3, 1).contiguous().numpy(), labels.numpy(), recipe.momentum, recipe.learning_rate
        )
        if not _is_close(found / count, float(loss.detach()), 1e-4):
            yield f"another loss than PyTorch's ({found / count:.6g} instead of {float(loss.detach()):.6g})"
        apart.update(_apart(state.gradients, dict(native.network.named_parameters())))
        for name, buffer in native.network.named_buffers():
            if not numpy.allclose(state.buffers[name], buffer.numpy(), rtol=1e-3, atol=1e-5):
                yield f"another {name} than PyTorch's"
        native.network.load_state_dict(exact.network.state_dict())
        with torch.no_grad():
            expected = native.network.eval()(images.double())
        scores = exact.engine.scores(images.permute(0, 2, 3, 1).contiguous().numpy())
        if not numpy.allclose(scores, expected.numpy(), rtol=1e-3, atol=1e-4):
            yield "another output in evaluation than PyTorch's"
    yield from (f"another gradient of {name} than PyTorch's" for name, steps in apart.items() if steps > 1)


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


def _is_close(one: float, other: float, part: float) -> bool:
    return abs(one - other) <= part * max(abs(other), 1.0)
