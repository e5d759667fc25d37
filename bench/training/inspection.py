"""The process that looks at networks of files: `python -m bench.training.inspection`.

It reads architectures on its standard input.

Each is looked at in a process of its own: one that crashes, never ends or prints takes nothing else down. The answer,
on standard output, is JSON: for every network what was found, or `refused` with the reason.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import UnusableInput, one_line
from bench.network import structure
from bench.network.specification import Architecture
from bench.training import environment, loop, randomness
from bench.training.dropout import SeededDropout
from bench.training.recipe import learning_rates, transforms

LIMIT = 60
"""Seconds that looking at one network may take."""

IMAGES = 8
"""Images that a network is tried on: few, and enough for batch normalisation."""

Values = dict[str, Any]


def inspect(architecture: Architecture) -> Values:
    """What a network is and does, found by building it and taking one step of training on random images.

    `structure` is that of `structure_facts`, `gives_logits` whether its scores are no log-probabilities, `unused`
    the names of parameters that no gradient reaches.

    Raises:
        UnusableInput: it cannot be trained as a function of seed and step alone; the message says why.
    """
    settings = _settings()
    network, other = (_built(architecture, seed) for seed in (1, 2))
    if _settings() != settings:
        raise UnusableInput("its file changes settings of PyTorch: take that out of it")
    parameters = dict(network.named_parameters())
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise UnusableInput("it has no parameters to train")
    if all(torch.equal(one, two) for one, two in zip(parameters.values(), other.parameters(), strict=True)):
        raise UnusableInput("its first weights are the same for every seed: take out what seeds a generator")
    images = torch.rand(IMAGES, 1, 28, 28, generator=torch.Generator().manual_seed(1)) * 2 - 0.5
    _try("with a single image", lambda: _scores(network.eval(), images[:1]))
    evaluated = _try("in evaluation", lambda: _scores(network.eval(), images))
    if not torch.equal(evaluated, _scores(network, images)):
        reason = "it gives other scores for the same images in evaluation"
        raise UnusableInput(f"{reason}: a dropout that asks not whether it is training?")
    before = _plain_values(network)
    trained = _try("in training", lambda: _scores(network.train(), images))
    changed = [name for name, value in _plain_values(network).items() if before.get(name) != value]
    if changed:
        advice = "use register_buffer, so that a run can be continued"
        raise UnusableInput(f"its forward pass changes {', '.join(changed)}, which no saved state holds: {advice}")
    unused = _unused(network, parameters, trained)
    _rehearse(architecture)
    return {
        "structure": asdict(_try("its layers", lambda: structure.examine(_built(architecture, 1)))),
        "gives_logits": not all(_are_log_probabilities(scores) for scores in (evaluated, trained)),
        "unused": unused,
    }


def _settings() -> tuple[object, ...]:
    return (
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
        torch.backends.mkldnn.enabled,
    )


def _built(architecture: Architecture, seed: int) -> nn.Module:
    network = _try("when it is built", lambda: randomness.build(architecture, seed))
    if not isinstance(network, nn.Module):
        raise UnusableInput(f"{architecture.class_name} is no torch.nn.Module")
    return network


def _try(when: str, function: Any) -> Any:
    """What a function of the network gives; whatever it raises is why the network is refused."""
    try:
        return function()
    except UnusableInput:
        raise
    except BaseException as error:  # SystemExit too: the code is anybody's
        raise UnusableInput(f"fails {when} ({type(error).__name__}: {one_line(error)})") from error


def _scores(network: nn.Module, images: Tensor) -> Tensor:
    """The scores of images (N, 1, 28, 28), which must be (N, 10) and finite."""
    scores = network(images)
    if not isinstance(scores, Tensor):
        raise UnusableInput(f"gives a {type(scores).__name__}, not a tensor of scores (N, 10)")
    if tuple(scores.shape) != (len(images), 10):
        raise UnusableInput(f"gives {tuple(scores.shape)} for images {tuple(images.shape)}, not {(len(images), 10)}")
    if not scores.isfinite().all():
        raise UnusableInput("gives scores that are not finite, before any training")
    return scores


def _are_log_probabilities(scores: Tensor) -> bool:
    sums = scores.detach().double().exp().sum(dim=1)
    return bool((sums - 1).abs().max() < 1e-4)


def _unused(network: nn.Module, parameters: dict[str, nn.Parameter], scores: Tensor) -> list[str]:
    """The trainable parameters that scores do not depend on; all that they do depend on must be among them."""
    loss = F.nll_loss(scores.log_softmax(dim=1), torch.arange(len(scores)) % 10)
    if not loss.requires_grad:
        raise UnusableInput("no gradient reaches its parameters: no_grad or detach in its forward pass?")
    known = {id(parameter) for parameter in parameters.values()}
    leaves = {id(leaf): leaf for leaf in _leaves(loss)}
    hidden = [tuple(leaf.shape) for key, leaf in leaves.items() if key not in known]
    if hidden:
        shapes = ", ".join(map(str, hidden[:3])) + (" …" if len(hidden) > 3 else "")
        advice = "use nn.ModuleList or nn.Parameter, not plain lists or tensors"
        raise UnusableInput(f"hides {len(hidden)} tensors of parameters ({shapes}) from the optimizer: {advice}")
    return [name for name, one in parameters.items() if one.requires_grad and id(one) not in leaves]


def _leaves(loss: Tensor) -> Iterator[Tensor]:
    """The tensors that a gradient would arrive at."""
    waiting, seen = [loss.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            if hasattr(node, "variable"):
                yield node.variable
            waiting += [following for following, _ in node.next_functions]


def _rehearse(architecture: Architecture) -> None:
    """Prepare training, and take a step of it with all that the recipe has."""
    recipe = architecture.recipe
    learning_rates(recipe, recipe.epochs)
    trainee = loop.prepare(architecture, 1, "cpu", fused=False)
    if recipe.dropout is not None and not any(isinstance(one, SeededDropout) for one in trainee.network.modules()):
        raise UnusableInput(f"its recipe has dropout {recipe.dropout:g}, but it has no nn.Dropout or nn.Dropout2d")
    images = torch.rand(IMAGES, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    if trainee.augmentation is not None:
        images = _try("in its augmentation", lambda: trainee.augmentation(images))
    labels = torch.arange(IMAGES) % 10
    loss = _try("in a step of training", lambda: loop.step(trainee.forward, trainee.optimizer, images, labels))
    if not loss.isfinite():
        raise UnusableInput(f"the loss of its first step is {float(loss)}")


def _plain_values(network: nn.Module) -> dict[str, str]:
    """Numbers, texts and tensors that modules have beside parameters and buffers, by name."""
    return {
        f"{name}.{key}".lstrip("."): repr(value.tolist() if isinstance(value, Tensor) else value)
        for name, module in network.named_modules()
        for key, value in vars(module).items()
        if key != "training" and isinstance(value, int | float | str | Tensor)
    }


def _answer(architecture: Architecture) -> Values:
    """What is found of a network by a process that does nothing else and may end in any way."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nowhere, number)
        try:
            found = inspect(architecture)
        except UnusableInput as error:
            found = {"refused": str(error)}
        except BaseException as error:  # ours or the network's
            found = {"refused": f"{type(error).__name__}: {one_line(error)}"}
        with os.fdopen(writing, "w") as pipe:
            json.dump(found, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    try:
        answer: Values = json.loads(said)
        return answer
    except ValueError:
        pass
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGALRM:
        return {"refused": f"is not done after {LIMIT} seconds: what it does when it is imported must not go on"}
    how = f"with code {code}" if code >= 0 else f"by signal {-code}"
    return {"refused": f"ends the process that builds it, {how}"}


def main() -> None:
    """Look at every network that is asked for."""
    architectures: list[Architecture] = pickle.load(sys.stdin.buffer)
    environment.configure("cpu")
    if any(one.recipe.augmentation for one in architectures):
        transforms()  # once, not in every process below
    json.dump([_answer(architecture) for architecture in architectures], sys.stdout)


if __name__ == "__main__":
    main()
