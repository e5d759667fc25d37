"""The training loop of the documents' notebooks, for comparison: a data loader, transforms, PyTorch's defaults."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F

from bench.network.specification import Architecture
from bench.network.vision import import_torchvision
from bench.training.data import MD5, MEAN, STANDARD_DEVIATION, raw_folder


def steps(architecture: Architecture, root: Path) -> Iterator[int]:
    """Train as the notebooks do, epoch after epoch. Yield the number of images of every step."""
    transforms = import_torchvision().transforms
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STANDARD_DEVIATION,))])
    recipe = architecture.recipe
    torch.manual_seed(1)
    network = architecture.build()
    optimizer = torch.optim.SGD(network.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum)
    # torchvision unpacks beside the archives and trusts files that are already unpacked there, so use a new folder.
    with tempfile.TemporaryDirectory(prefix="bench-mnist-") as folder:
        links = raw_folder(Path(folder))
        links.mkdir(parents=True)
        for name in MD5:
            (links / name).symlink_to((raw_folder(root) / name).resolve())
        train_set = import_torchvision().datasets.MNIST(folder, train=True, transform=transform, download=True)
    loader = torch.utils.data.DataLoader(train_set, batch_size=recipe.batch_size, shuffle=True, num_workers=1)
    network.train()
    for images, labels in itertools.chain.from_iterable(itertools.repeat(loader)):
        optimizer.zero_grad()
        loss = F.nll_loss(network(images), labels)
        loss.backward()
        optimizer.step()
        yield len(labels)
