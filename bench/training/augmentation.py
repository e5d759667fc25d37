"""The augmentation of a recipe: transforms of torchvision on whole batches."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from bench.errors import UnusableInput, one_line
from bench.network import calls
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
