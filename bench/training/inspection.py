"""The process that inspects the networks of files: `python -m bench.training.inspection`.

It reads pickled architectures from standard input. It inspects each of them in a child process, so a network that
crashes, never ends or prints does not disturb anything else. It writes JSON to standard output: for every network the
facts that it found, or `refused` with the reason.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from dataclasses import asdict, replace
from functools import partial

import torch
from torch import Tensor, nn

from bench.errors import UnusableInput
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
from bench.training.trial.passes import (
    SHAPE,
    are_log_probabilities,
    attempt,
    build,
    evaluated_scores,
    moved_scores,
    probable_mistakes,
    require_methods,
    scores_of,
    unused_parameters,
)
from bench.training.trial.settings import Settings

_LOADING = 3
"""Loading the kernels of a small network from the disk takes fewer seconds. Compiling them takes more."""

IMAGES = 8
"""The number of images to try a network on. It is small, but enough for batch normalisation."""

_NOT_OF_THE_SEED = (
    "its first weights or scores are not the same each time for the same seed: "
    "draw by the global generators of torch, random or numpy, which the harness seeds"
)


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
    network, other = (build(architecture, seed) for seed in (1, 2))
    settings.require()
    require_methods(network)
    parameters = dict(network.named_parameters())
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise UnusableInput("it has no parameters to train")
    if all(torch.equal(one, two) for one, two in zip(parameters.values(), other.parameters(), strict=True)):
        raise UnusableInput("its initial weights are the same for every seed: remove the code that seeds a generator")
    images = torch.rand(IMAGES, 1, 28, 28, generator=torch.Generator().manual_seed(1)) * 2 - 0.5
    evaluated = evaluated_scores(network, images)
    if not torch.equal(evaluated, scores_of(network, images)):
        reason = "in evaluation it gives different scores for the same images"
        advice = "turn off dropout, other randomness and changes of its state when self.training is false"
        raise UnusableInput(f"{reason}: {advice}")
    trained = attempt("in training", lambda: scores_of(network.train(), images), SHAPE)
    unused = unused_parameters(parameters, trained)
    kept = attempt("in a step of training", lambda: _kept_between_passes(network, images))
    if kept:
        problem = f"its forward pass changes {', '.join(kept[:3])}, but a saved state does not contain that"
        raise UnusableInput(f"{problem}: use register_buffer, so that a run can be continued")
    _try_one_step(architecture)
    fingerprint = again.fingerprint(architecture)
    if again.fingerprint(architecture) != fingerprint:
        raise UnusableInput(_NOT_OF_THE_SEED)
    attempt("with other weights", lambda: _refuse_kept_weights(network, build(architecture, 1), other, images))
    moved = attempt("with other weights", lambda: moved_scores(other, images))
    gives_logits = not all(are_log_probabilities(scores) for scores in (evaluated, trained, moved))
    structure_found = attempt("in evaluation of two images of zeros", lambda: examine(build(architecture, 1)))
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
        "remarks": probable_mistakes(evaluated.detach().double()) if gives_logits else [],
    }


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
        images = attempt("in its augmentation", lambda: augmentation(images))
    labels = torch.arange(IMAGES) % 10
    _refuse_dropout_on_the_way_back(trainer, images)
    loss = attempt("in a step of training", lambda: trainer.step(images, labels))
    if not loss.isfinite():
        raise UnusableInput(f"the loss of its first step is {float(loss)}, not a finite number")
    if 1 in (recipe.batch_size, TRAINING_IMAGES % recipe.batch_size):
        advice = f": choose another batch_size than {recipe.batch_size} in RECIPE"
        attempt("in a batch of one image, the last of an epoch", lambda: trainer.step(images[:1], labels[:1]), advice)


def _refuse_dropout_on_the_way_back(trainer: NativeTrainer, images: Tensor) -> None:
    """Refuse a network that computes a dropout again in the backward pass, because the mask is drawn anew there."""
    scores = attempt("in a step of training", lambda: trainer.network(images.clone()))
    before = trainer.clock.calls.total()
    attempt("in a step of training", lambda: scores.sum().backward())
    if trainer.clock.calls.total() != before:
        problem = "it computes a dropout again in the backward pass, where it has another mask"
        raise UnusableInput(f"{problem}: remove torch.utils.checkpoint around it")


def _kept_between_passes(network: nn.Module, images: Tensor) -> list[str]:
    """Return what a step and an evaluation leave behind, if it is not the same after the same ones again.

    A network may keep an activation for others to look at. But it must not count, or collect values.
    """
    state, found = copied(network.state_dict()), list[dict[str, str]]()
    for _ in range(2):
        network.load_state_dict(state)
        network.zero_grad()
        with randomness.generators_restored():
            randomness.seed_generators(1, Purpose.NETWORK, 0)
            scores_of(network.train(), images).sum().backward()
            scores_of(network.eval(), images)
        found.append(remembered(network))
    return [name for name in found[1] if found[0].get(name) != found[1][name]]


def _refuse_kept_weights(used: nn.Module, fresh: nn.Module, other: nn.Module, images: Tensor) -> None:
    """Refuse a network that keeps what it made in its first pass. A run that is continued would not know it.

    A network that was used before must compute the same as a fresh one when both get the weights of another one. Both
    see a batch of training first, because a network can make a value for evaluation anew after each training.
    """
    moving = {name: one.detach() for name, one in other.named_parameters(remove_duplicate=False) if one.requires_grad}
    state = copied(used.state_dict()) | moving
    scores = []
    for network in (used, fresh):
        network.train().load_state_dict(state)
        with torch.no_grad(), randomness.generators_restored():
            randomness.seed_generators(1, Purpose.NETWORK, 0)
            network(images.clone())
            scores.append(content(network.eval()(images.clone())))
    if scores[0] != scores[1]:
        problem = "it keeps values that it made in its first pass, but a saved state does not contain them"
        raise UnusableInput(f"{problem}: compute them in each forward pass, or use register_buffer")


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

    middle, straight = attempt("in an epoch of three steps", states)
    (resumed,) = attempt("when it continues from a saved state", lambda: states(middle))
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
