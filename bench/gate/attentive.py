"""The training loop of an attentive user of PyTorch, for comparison: tensors in memory, channels last.

The arithmetic and the random numbers are PyTorch's own, and the network is as written.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from bench.network.specification import Architecture
from bench.training import data


def steps(architecture: Architecture, root: Path) -> Iterator[int]:
    """Train epoch after epoch. Yield the number of images of every step."""
    dataset, recipe = data.load(root), architecture.recipe
    torch.manual_seed(1)
    network: nn.Module = architecture.build()
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(network.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum)
    network.train()
    while True:
        for indices in torch.randperm(len(dataset.train_labels)).split(recipe.batch_size):
            images = dataset.train_images[indices].to(memory_format=torch.channels_last)
            optimizer.zero_grad()
            loss = F.nll_loss(network(images), dataset.train_labels[indices])
            loss.backward()
            optimizer.step()
            yield len(indices)
