"""The process that inspects the networks of files: `python -m bench.training.inspection`.

It reads pickled architectures from standard input. It inspects each of them in a child process, so a network that
crashes, never ends or prints does not disturb anything else. It writes JSON to standard output: for every network the
facts that it found, or `refused` with the reason.
"""

from __future__ import annotations

import json
import pickle
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bench.errors import UnusableInput, one_line
from bench.network.loading import line_of
from bench.network.opened import reading_refused
from bench.network.specification import TRAINING_IMAGES, Architecture
from bench.network.structure import examine
from bench.training import agreement, environment, golden, loop, randomness, together
from bench.training.data import Dataset
from bench.training.native import NativeTrainer, copied
from bench.training.randomness import Purpose
from bench.training.recipe import learning_rates, transforms
from bench.training.trial import again
from bench.training.trial.child import Values, in_child
from bench.training.trial.memory import content, remembered
from bench.training.trial.settings import Settings
from bench.wording import count

_LOADING = 3
"""Loading the kernels of a small network from the disk takes fewer seconds. Compiling them takes more."""

IMAGES = 8
"""The number of images to try a network on. It is small, but enough for batch normalisation."""

_NOT_OF_THE_SEED = (
    "its first weights or scores are not the same each time for the same seed: "
    "draw by the global generators of torch, random or numpy, which the harness seeds"
)
_SHAPE = ": images here are (N, 1, 28, 28)"
_ABOUT_SHAPES = re.compile(r"shape|size|channel|dimension|axes|axis|unpack|elements")


def inspect(architecture: Architecture) -> Values:
    """Build a network, train it for a few steps on random images, and return the facts found.

    `structure` is a `Structure` of `structure_facts` as a dictionary. `gives_logits` says whether the scores are
    something other than log-probabilities. `unused` has the names of the parameters that no gradient reaches.
    `remarks` has a sentence about each thing that is probably a mistake. `fingerprint` must be the same in another
    process.

    Raises:
        UnusableInput: training the network is not a function of seed and step alone, or fails. The message says why.
    """
    settings = Settings()
    network, other = (_build(architecture, seed) for seed in (1, 2))
    settings.require()
    _require_methods(network)
    parameters = dict(network.named_parameters())
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise UnusableInput("it has no parameters to train")
    if all(torch.equal(one, two) for one, two in zip(parameters.values(), other.parameters(), strict=True)):
        raise UnusableInput("its initial weights are the same for every seed: remove the code that seeds a generator")
    images = torch.rand(IMAGES, 1, 28, 28, generator=torch.Generator().manual_seed(1)) * 2 - 0.5
    evaluated = _try("in evaluation", lambda: _scores(network.eval(), images.clone()), _SHAPE)
    if not torch.equal(evaluated, _scores(network, images.clone())):  # it may change them in place
        reason = "in evaluation it gives different scores for the same images"
        advice = "turn off dropout, other randomness and changes of its state when self.training is false"
        raise UnusableInput(f"{reason}: {advice}")
    trained = _try("in training", lambda: _scores(network.train(), images.clone()), _SHAPE)
    unused = _unused(network, parameters, trained)
    kept = _try("in a step of training", lambda: _kept_between_passes(network, images))
    if kept:
        problem = f"its forward pass changes {', '.join(kept[:3])}, but a saved state does not contain that"
        raise UnusableInput(f"{problem}: use register_buffer, so that a run can be continued")
    _try_one_step(architecture)
    fingerprint = again.fingerprint(architecture)
    if again.fingerprint(architecture) != fingerprint:
        raise UnusableInput(_NOT_OF_THE_SEED)
    moved = _try("with other weights", lambda: _moved_scores(other, images))
    gives_logits = not all(_are_log_probabilities(scores) for scores in (evaluated, trained, moved))
    structure_found = _try("in evaluation of two images of zeros", lambda: examine(_build(architecture, 1)))
    as_trained = replace(architecture, gives_logits=gives_logits)
    _try_to_continue(as_trained)
    settings.require()
    return {
        "structure": asdict(structure_found),
        "gives_logits": gives_logits,
        "uncovered": (obstacles := agreement.obstacles(as_trained)),
        "uncovered_on_gpu": () if obstacles else together.uncovered(as_trained),
        "fingerprint": fingerprint,
        "unused": unused,
        "remarks": _remarks(evaluated.detach().double()) if gives_logits else [],
    }


def _build(architecture: Architecture, seed: int) -> nn.Module:
    network = _try("when it is built", lambda: randomness.build(architecture, seed))
    if not isinstance(network, nn.Module):
        raise UnusableInput(f"{architecture.class_name} is not a torch.nn.Module")
    lazy = dict.fromkeys(name.rpartition(".")[0] for name, one in network.named_parameters() if is_lazy(one))
    if lazy:
        raise UnusableInput(f"its forward pass does not use the lazy layer {', '.join(lazy)}: remove it")
    return network


def _require_methods(network: nn.Module) -> None:
    """Refuse a network that replaces methods of PyTorch by others with another effect on how it is trained.

    Raises:
        UnusableInput: the network is not evaluated, trained as a whole, or saved as PyTorch does it.
    """
    if network.eval.__func__ is not nn.Module.eval:  # type: ignore[attr-defined]
        advice = "write it into train(self, mode), whose mode is then False"
        raise UnusableInput(f"it has its own method eval, which is not called: {advice}")
    registered = {id(one) for module in network.modules() for one in module._parameters.values() if one is not None}
    if {id(one) for one in _try("when its parameters are listed", lambda: list(network.parameters()))} != registered:
        advice = "remove this method, and use requires_grad_(False) for what must not be trained"
        raise UnusableInput(f"its own method parameters does not give all of its parameters: {advice}")
    extra = [name for name, one in network.state_dict().items() if not isinstance(one, Tensor)]
    if extra:
        raise UnusableInput(f"its saved state has {', '.join(extra[:3])}, not only tensors: use register_buffer")


def _try(when: str, function: Any, advice: str = "") -> Any:
    """Call a function that runs the network, and return its result. Refuse the network for any error."""
    try:
        return function()
    except UnusableInput:
        raise
    except BaseException as error:  # also SystemExit, because this is a user's code
        where = f"in {line}: " if (line := line_of(error)) else ""
        said = one_line(error)
        if "CUDA" in said or "NVIDIA" in said:
            advice = ': remove .cuda() and .to("cuda"), because the harness moves the network to its device'
        elif isinstance(error, EOFError):
            advice = ": write the value into the file, because nobody can answer input() in a run"
        elif advice == _SHAPE and not _ABOUT_SHAPES.search(said):
            advice = ""
        raise UnusableInput(f"it fails {when} ({where}{type(error).__name__}: {said}){advice}") from error


def _scores(network: nn.Module, images: Tensor) -> Tensor:
    """Return the scores of images (N, 1, 28, 28). Refuse scores that are not (N, 10) or not finite."""
    scores = network(images.clone())  # it can change its input in place
    if not isinstance(scores, Tensor):
        raise UnusableInput(
            f"it gives a {type(scores).__name__}, not a tensor of scores (N, 10): return the scores alone"
        )
    if tuple(scores.shape) != (len(images), 10):
        shapes = f"scores {tuple(scores.shape)} for images {tuple(images.shape)}"
        raise UnusableInput(f"it gives {shapes}, not scores {(len(images), 10)}")
    if not scores.isfinite().all():
        reason = "before any training, it gives scores that are not finite"
        raise UnusableInput(f"{reason}: look for a logarithm, a root or a division in its forward pass")
    return scores


def _moved_scores(network: nn.Module, images: Tensor) -> Tensor:
    """Return the scores of images (N, 1, 28, 28) with other weights. First weights can be special, such as zeros."""
    with torch.no_grad():
        for one in network.parameters():
            one.add_(0.01)
        moved: Tensor = network.eval()(images.clone())
    return moved


def _are_log_probabilities(scores: Tensor) -> bool:
    sums = scores.detach().double().exp().sum(dim=1)
    return bool((sums - 1).abs().max() < 1e-4)


def _remarks(scores: Tensor) -> list[str]:
    """Return what is strange about scores (N, 10) that are not log-probabilities."""
    if bool(((scores >= 0) & ((scores.sum(1, keepdim=True) - 1).abs() < 1e-4)).all()):
        return ["the scores are probabilities, and their log-softmax learns slowly: return scores without a softmax"]
    over_images = ((one.sum(0) - 1).abs().max() < 1e-4 for one in (scores, scores.exp()))
    if any(over_images):
        return ["the scores of each digit sum to 1 over the images: apply softmax or log_softmax to dimension 1, not 0"]
    return []


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
    has_dropout = any(isinstance(one, nn.Dropout | nn.Dropout2d) for one in trainer.network.modules())
    if recipe.dropout is not None and not has_dropout:
        missing = "but the network has no nn.Dropout or nn.Dropout2d"
        raise UnusableInput(f"RECIPE has dropout {recipe.dropout:g}, {missing}: remove it")
    images = torch.rand(IMAGES, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    if trainer.augmentation is not None:
        augmentation = trainer.augmentation
        images = _try("in its augmentation", lambda: augmentation(images))
    labels = torch.arange(IMAGES) % 10
    _refuse_dropout_on_the_way_back(trainer, images)
    loss = _try("in a step of training", lambda: trainer.step(images, labels))
    if not loss.isfinite():
        raise UnusableInput(f"the loss of its first step is {float(loss)}, not a finite number")
    if 1 in (recipe.batch_size, TRAINING_IMAGES % recipe.batch_size):
        advice = f": choose another batch_size than {recipe.batch_size} in RECIPE"
        _try("in a batch of one image, the last of an epoch", lambda: trainer.step(images[:1], labels[:1]), advice)


def _refuse_dropout_on_the_way_back(trainer: NativeTrainer, images: Tensor) -> None:
    """Refuse a network that computes a dropout again in the backward pass, because the mask is drawn anew there."""
    scores = _try("in a step of training", lambda: trainer.network(images.clone()))
    before = trainer.clock.calls.total()
    _try("in a step of training", lambda: scores.sum().backward())
    if trainer.clock.calls.total() != before:
        problem = "it computes a dropout again in the backward pass, where it has another mask"
        raise UnusableInput(f"{problem}: remove torch.utils.checkpoint around it")


def _kept_between_passes(network: nn.Module, images: Tensor) -> list[str]:
    """Return what a step and an evaluation leave behind, if it is not the same after the same ones again.

    A network may keep an activation for others to look at. But it must not count, or collect values.
    """
    state, given, found = copied(network.state_dict()), images.clone(), list[dict[str, str]]()
    for _ in range(2):
        network.load_state_dict(state)
        network.zero_grad()
        with randomness.generators_restored():
            randomness.seed_generators(1, Purpose.NETWORK, 0)
            _scores(network.train(), given.copy_(images)).sum().backward()
            _scores(network.eval(), given.copy_(images))
        found.append(remembered(network))
    return [name for name in found[1] if found[0].get(name) != found[1][name]]


def _try_to_continue(architecture: Architecture) -> None:
    """Train three steps, save the state, load it into a new network and train three more. Six in a row are the same.

    The number is odd, so that something that goes to and fro is not back where it was.

    Raises:
        UnusableInput: they are not.
    """
    generator = torch.Generator().manual_seed(5)
    images, labels = torch.rand(3 * IMAGES, 1, 28, 28, generator=generator), torch.arange(3 * IMAGES) % 10
    few = Dataset(images, labels, images[:IMAGES], labels[:IMAGES])
    recipe = replace(architecture.recipe, batch_size=IMAGES, learning_rate=1e-3, schedule="")

    def states(start: loop.State | None = None) -> list[loop.State]:
        return list(loop.train(replace(architecture, recipe=recipe), 1, "cpu", few, 2, start, "native"))

    middle, straight = _try("in an epoch of three steps", states)
    (resumed,) = _try("when it continues from a saved state", lambda: states(middle))
    if _numbers(straight) != _numbers(resumed):
        problem = "a run that continues from a saved state gives other numbers than one without a break"
        raise UnusableInput(f"{problem}: do not keep values in lists, dictionaries or globals; use register_buffer")


def _numbers(state: loop.State) -> tuple[object, ...]:
    """Return what must be the same to the bit: losses, predictions, weights, buffers and momentum."""
    last = state.history[-1]
    parameters = (one["momentum_buffer"] for one in state.optimizer["state"].values())
    tensors = [*state.network.values(), *parameters, state.predictions]
    return (
        last.train_loss,
        last.test_loss,
        *(None if one is None else content(one) for one in tensors),
    )


def _inspect(architecture: Architecture) -> Values:
    """Inspect a network, and refuse it if it reads a file meanwhile."""
    with reading_refused(architecture.package):
        return inspect(architecture)


def main() -> None:
    """Inspect every network from standard input."""
    architectures: list[Architecture] = pickle.load(sys.stdin.buffer)
    environment.configure("cpu")
    process = again.Process()
    if any(one.recipe.augmentation for one in architectures):
        transforms()  # import them once, not in every child process
    begun = time.perf_counter()
    golden.differing(("ten_twenty_thirty",))  # load the kernels once, and outside of the time limit
    if time.perf_counter() - begun > _LOADING:
        golden.differing()  # they have to be compiled
    found = [in_child(partial(_inspect, architecture)) for architecture in architectures]
    accepted = [number for number, one in enumerate(found) if "refused" not in one]
    fingerprints = process.fingerprints([architectures[number] for number in accepted])
    for number, fingerprint in zip(accepted, fingerprints, strict=True):
        if found[number]["fingerprint"] != fingerprint:
            found[number] = {"refused": _NOT_OF_THE_SEED}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
