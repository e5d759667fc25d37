"""The learning rate of every epoch, by a scheduler of PyTorch."""

from __future__ import annotations

import warnings

import torch
from torch.optim import lr_scheduler

from bench.errors import UnusableInput, one_line
from bench.network import calls
from bench.network.specification import Recipe


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
