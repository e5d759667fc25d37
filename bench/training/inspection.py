"""The process that inspects the networks of files: `python -m bench.training.inspection`.

It reads pickled architectures from standard input. It inspects each of them in a child process, so a network that
crashes, never ends or prints does not disturb anything else. It writes JSON to standard output: for every network the
facts that it found, or `refused` with the reason.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import UnusableInput, one_line
from bench.network import structure
from bench.network.specification import Architecture
from bench.training import agreement, environment, golden, randomness
from bench.training.dropout import SeededDropout
from bench.training.native import NativeTrainer
from bench.training.recipe import learning_rates, transforms
from bench.wording import count

LIMIT = 60
"""The longest time to inspect one network, in seconds."""

IMAGES = 8
"""The number of images to try a network on. It is small, but enough for batch normalisation."""

Values = dict[str, Any]


def inspect(architecture: Architecture) -> Values:
    """Build a network, train it for one step on random images, and return the facts found.

    `structure` is a `Structure` of `structure_facts` as a dictionary. `gives_logits` says whether the scores are
    something other than log-probabilities. `unused` has the names of the parameters that no gradient reaches.

    Raises:
        UnusableInput: training the network is not a function of seed and step alone, or fails. The message says why.
    """
    settings = _settings()
    network, other = (_build(architecture, seed) for seed in (1, 2))
    if _settings() != settings:
        raise UnusableInput("its file changes settings of PyTorch: remove that code")
    parameters = dict(network.named_parameters())
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise UnusableInput("it has no parameters to train")
    if all(torch.equal(one, two) for one, two in zip(parameters.values(), other.parameters(), strict=True)):
        raise UnusableInput("its initial weights are the same for every seed: remove the code that seeds a generator")
    images = torch.rand(IMAGES, 1, 28, 28, generator=torch.Generator().manual_seed(1)) * 2 - 0.5
    _try("with a single image", lambda: _scores(network.eval(), images[:1]))
    evaluated = _try("in evaluation", lambda: _scores(network.eval(), images))
    if not torch.equal(evaluated, _scores(network, images)):
        reason = "in evaluation it gives different scores for the same images"
        raise UnusableInput(f"{reason}: turn off dropout and other randomness when self.training is false")
    before = _plain_attributes(network)
    trained = _try("in training", lambda: _scores(network.train(), images))
    changed = [name for name, value in _plain_attributes(network).items() if before.get(name) != value]
    if changed:
        problem = f"its forward pass changes {', '.join(changed)}, but a saved state does not contain that"
        raise UnusableInput(f"{problem}: use register_buffer, so that a run can be continued")
    unused = _unused(network, parameters, trained)
    _try_one_step(architecture)
    gives_logits = not all(_are_log_probabilities(scores) for scores in (evaluated, trained))
    as_trained = replace(architecture, gives_logits=gives_logits)
    return {
        "structure": asdict(_try("when its layers are examined", lambda: structure.examine(_build(architecture, 1)))),
        "gives_logits": gives_logits,
        "uncovered": _try("in exact arithmetic", lambda: agreement.obstacles(as_trained)),
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


def _build(architecture: Architecture, seed: int) -> nn.Module:
    network = _try("when it is built", lambda: randomness.build(architecture, seed))
    if not isinstance(network, nn.Module):
        raise UnusableInput(f"{architecture.class_name} is not a torch.nn.Module")
    return network


def _try(when: str, function: Any) -> Any:
    """Call a function that runs the network, and return its result. Refuse the network for any error."""
    try:
        return function()
    except UnusableInput:
        raise
    except BaseException as error:  # also SystemExit, because this is a user's code
        raise UnusableInput(f"it fails {when} ({type(error).__name__}: {one_line(error)})") from error


def _scores(network: nn.Module, images: Tensor) -> Tensor:
    """Return the scores of images (N, 1, 28, 28). Refuse scores that are not (N, 10) or not finite."""
    scores = network(images)
    if not isinstance(scores, Tensor):
        raise UnusableInput(f"it gives a {type(scores).__name__}, not a tensor of scores (N, 10)")
    if tuple(scores.shape) != (len(images), 10):
        shapes = f"scores {tuple(scores.shape)} for images {tuple(images.shape)}"
        raise UnusableInput(f"it gives {shapes}, not scores {(len(images), 10)}")
    if not scores.isfinite().all():
        raise UnusableInput("before any training, it gives scores that are not finite")
    return scores


def _are_log_probabilities(scores: Tensor) -> bool:
    sums = scores.detach().double().exp().sum(dim=1)
    return bool((sums - 1).abs().max() < 1e-4)


def _unused(network: nn.Module, parameters: dict[str, nn.Parameter], scores: Tensor) -> list[str]:
    """Return the trainable parameters that the scores do not depend on.

    Refuse a network whose scores depend on other tensors that need a gradient.
    """
    loss = F.nll_loss(scores.log_softmax(dim=1), torch.arange(len(scores)) % 10)
    if not loss.requires_grad:
        raise UnusableInput("no gradient reaches its parameters: look for no_grad or detach in its forward pass")
    known = {id(parameter) for parameter in parameters.values()}
    leaves = {id(leaf): leaf for leaf in _leaves(loss)}
    hidden = [tuple(leaf.shape) for key, leaf in leaves.items() if key not in known]
    if hidden:
        shapes = ", ".join(map(str, hidden[:3])) + (" …" if len(hidden) > 3 else "")
        advice = "use nn.ModuleList or nn.Parameter, not plain lists or tensors"
        tensors = f"{count(len(hidden), 'parameter tensor')} ({shapes})"
        raise UnusableInput(f"it hides {tensors} from the optimizer: {advice}")
    return [name for name, one in parameters.items() if one.requires_grad and id(one) not in leaves]


def _leaves(loss: Tensor) -> Iterator[Tensor]:
    """Yield the tensors that the gradient of a loss reaches."""
    waiting, seen = [loss.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            if hasattr(node, "variable"):
                yield node.variable
            waiting += [following for following, _ in node.next_functions]


def _try_one_step(architecture: Architecture) -> None:
    """Prepare training, and take one step with everything in the recipe."""
    recipe = architecture.recipe
    learning_rates(recipe, recipe.epochs)
    trainer = NativeTrainer(architecture, 1, "cpu")
    if recipe.dropout is not None and not any(isinstance(one, SeededDropout) for one in trainer.network.modules()):
        missing = "but the network has no nn.Dropout or nn.Dropout2d"
        raise UnusableInput(f"its recipe has dropout {recipe.dropout:g}, {missing}: remove dropout from RECIPE")
    images = torch.rand(IMAGES, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    if trainer.augmentation is not None:
        augmentation = trainer.augmentation
        images = _try("in its augmentation", lambda: augmentation(images))
    labels = torch.arange(IMAGES) % 10
    loss = _try("in a step of training", lambda: trainer.step(images, labels))
    if not loss.isfinite():
        raise UnusableInput(f"the loss of its first step is {float(loss)}, not a finite number")


def _plain_attributes(network: nn.Module) -> dict[str, str]:
    """Return the numbers, texts and tensors that are plain attributes of modules, by name."""
    return {
        f"{name}.{key}".lstrip("."): repr(value.tolist() if isinstance(value, Tensor) else value)
        for name, module in network.named_modules()
        for key, value in vars(module).items()
        if key != "training" and isinstance(value, int | float | str | Tensor)
    }


def _inspect_in_child(architecture: Architecture) -> Values:
    """Inspect a network in a child process, which may end in any way, and return the facts or the refusal."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT)
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        try:
            found = inspect(architecture)
        except UnusableInput as error:
            found = {"refused": str(error)}
        except BaseException as error:  # an error of this module or of the network
            found = {"refused": f"{type(error).__name__}: {one_line(error)}"}
        with os.fdopen(writing, "w") as pipe:
            json.dump(found, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    try:
        answer: Values = json.loads(text)
        return answer
    except ValueError:
        pass
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGALRM:
        return {"refused": f"building and trying it takes more than {LIMIT} seconds: remove the slow code"}
    how = f"with exit code {code}" if code >= 0 else f"by signal {-code}"
    return {"refused": f"it ends the process that builds it, {how}: remove the code that does this"}


def main() -> None:
    """Inspect every network from standard input."""
    architectures: list[Architecture] = pickle.load(sys.stdin.buffer)
    environment.configure("cpu")
    if any(one.recipe.augmentation for one in architectures):
        transforms()  # import them once, not in every child process
    golden.differing()  # compile or load the kernels once, and outside of the time limit
    json.dump([_inspect_in_child(architecture) for architecture in architectures], sys.stdout)


if __name__ == "__main__":
    main()
