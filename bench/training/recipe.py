"""Two optional parts of a recipe: the augmentation of each batch and the schedule of learning rates."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from bench.errors import UnusableInput, one_line
from bench.network import calls
from bench.network.specification import Recipe
from bench.network.vision import import_torchvision
from bench.training.data import MEAN, STANDARD_DEVIATION


class Augmentation:
    """Transforms of a batch. They draw once for all its images, from the global generators.

    `texts` are calls of `torchvision.transforms.v2`. The transforms get images from 0 (black) to 1.

    Raises:
        UnusableInput: a transform does not exist, or it does not accept the arguments.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._transforms = [_build_transform(text) for text in texts]

    def __call__(self, images: Tensor) -> Tensor:
        """Transform normalised images (N, 1, 28, 28). The shape must stay the same."""
        shape = images.shape
        with torch.no_grad():
            images = images * STANDARD_DEVIATION + MEAN
            for transform in self._transforms:
                images = transform(images)
            images = (images - MEAN) / STANDARD_DEVIATION
        if images.shape != shape or not images.is_floating_point():
            shapes = f"{tuple(shape)} to {tuple(images.shape)}"
            raise UnusableInput(f"the augmentation changes the images from {shapes}: it must keep their shape")
        return images


def transforms() -> ModuleType:
    """Import the module `torchvision.transforms.v2`."""
    import_torchvision()
    return importlib.import_module("torchvision.transforms.v2")


def _build_transform(text: str) -> Any:
    call = calls.parse(text)
    if call.name == "Normalize":
        problem = f"RECIPE has augmentation {text!r}: the harness normalises training and test images itself"
        raise UnusableInput(f"{problem}: remove it")
    kind = getattr(transforms(), call.name, None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise _unknown("augmentation", text, "torchvision.transforms.v2", transforms(), nn.Module)
    try:
        return kind(*call.positional, **call.keywords)
    except Exception as error:  # a transform can raise any error for wrong arguments
        raise UnusableInput(f"RECIPE has augmentation {text!r}: {one_line(error)}: correct its arguments") from error


def learning_rates(recipe: Recipe, epochs: int) -> list[float]:
    """Return the learning rate of each epoch from 1 to `epochs`, even if some of them are already trained.

    Raises:
        UnusableInput: the scheduler does not exist, it does not work with these arguments alone, or it also changes the
            momentum.
    """
    if not recipe.schedule:
        return [recipe.learning_rate] * epochs
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=recipe.learning_rate, momentum=recipe.momentum)
    call = calls.parse(recipe.schedule)
    kind = getattr(lr_scheduler, call.name, None)
    if not (isinstance(kind, type) and issubclass(kind, lr_scheduler.LRScheduler)):
        raise _unknown("schedule", recipe.schedule, "torch.optim.lr_scheduler", lr_scheduler, lr_scheduler.LRScheduler)
    problem = f"RECIPE has schedule {recipe.schedule!r}"
    if kind is lr_scheduler.ReduceLROnPlateau:
        raise UnusableInput(f"{problem}: it depends on the loss: choose a schedule that depends on the epoch alone")
    rates = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the scheduler warns because the optimizer takes no steps here
            scheduler = kind(optimizer, *call.positional, **call.keywords)
            for _ in range(epochs):
                (group,) = optimizer.param_groups
                rates.append(float(group["lr"]))
                if group["momentum"] != recipe.momentum:
                    reason = "it also changes the momentum, which must stay constant: add cycle_momentum=False"
                    raise UnusableInput(f"{problem}: {reason}")
                if len(rates) < epochs:
                    scheduler.step()
    except UnusableInput:
        raise
    except Exception as error:  # a scheduler can raise any error for wrong arguments
        raise UnusableInput(f"{problem}: {one_line(error)}: correct its arguments") from error
    return rates


def _unknown(key: str, text: str, place: str, module: ModuleType, base: type) -> UnusableInput:
    """Return the error for a call in RECIPE of a class that a module of PyTorch does not have."""
    name = calls.parse(text).name
    names = [one for one, value in vars(module).items() if isinstance(value, type) and issubclass(value, base)]
    close = get_close_matches(name, names, n=1)
    advice = f"write {close[0]}" if close else "choose one of its classes"
    return UnusableInput(f"RECIPE has {key} {text!r}: {place} has no {name}: {advice}")
