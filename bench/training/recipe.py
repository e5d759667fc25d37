"""The parts of a recipe that a network file may add: the augmentation of each batch and the schedule of rates."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.optim import lr_scheduler

from bench.errors import UnusableInput, one_line
from bench.network import calls
from bench.network.specification import Recipe
from bench.training.data import MEAN, STANDARD_DEVIATION
from bench.training.vision import import_torchvision


class Augmentation:
    """Transforms of a batch, one draw for all its images, from the global generators as they are.

    `texts` are calls of `torchvision.transforms.v2`. They see images from 0, black, to 1.

    Raises:
        UnusableInput: there is no such transform, or it does not take these arguments.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._transforms = [_made(text) for text in texts]

    def __call__(self, images: Tensor) -> Tensor:
        """Normalised images (N, 1, 28, 28), transformed; the shape stays."""
        shape = images.shape
        with torch.no_grad():
            images = images * STANDARD_DEVIATION + MEAN
            for transform in self._transforms:
                images = transform(images)
            images = (images - MEAN) / STANDARD_DEVIATION
        if images.shape != shape or not images.is_floating_point():
            raise UnusableInput(f"the augmentation makes {tuple(images.shape)} of {tuple(shape)}: it must keep shapes")
        return images


def transforms() -> ModuleType:
    """The module `torchvision.transforms.v2`."""
    import_torchvision()
    return importlib.import_module("torchvision.transforms.v2")


def _made(text: str) -> Any:
    call = calls.parse(text)
    made = getattr(transforms(), call.name, None)
    if not (isinstance(made, type) and issubclass(made, torch.nn.Module)):
        raise UnusableInput(f"augmentation {text}: torchvision.transforms.v2 has no transform {call.name}")
    try:
        return made(*call.positional, **call.keywords)
    except Exception as error:  # whatever a transform finds wrong with its arguments
        raise UnusableInput(f"augmentation {text}: {one_line(error)}") from error


def learning_rates(recipe: Recipe, epochs: int) -> list[float]:
    """The learning rates of the epochs 1 to `epochs`, whatever has been trained of them; one rate an epoch.

    Raises:
        UnusableInput: there is no such scheduler, it needs more than its arguments, or it changes the momentum too.
    """
    if not recipe.schedule:
        return [recipe.learning_rate] * epochs
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=recipe.learning_rate, momentum=recipe.momentum)
    call = calls.parse(recipe.schedule)
    made = getattr(lr_scheduler, call.name, None)
    if not (isinstance(made, type) and issubclass(made, lr_scheduler.LRScheduler)):
        raise UnusableInput(f"schedule {recipe.schedule}: torch.optim.lr_scheduler has no scheduler {call.name}")
    rates = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that no step of the optimizer is taken, which is meant
            scheduler = made(optimizer, *call.positional, **call.keywords)
            for _ in range(epochs):
                (group,) = optimizer.param_groups
                rates.append(float(group["lr"]))
                if group["momentum"] != recipe.momentum:
                    raise ValueError("it changes the momentum too, which is not supported (cycle_momentum=False?)")
                if len(rates) < epochs:
                    scheduler.step()
    except Exception as error:  # whatever a scheduler finds wrong with its arguments
        raise UnusableInput(f"schedule {recipe.schedule}: {one_line(error)}") from error
    return rates
