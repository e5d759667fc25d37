"""Whole runs by an ordinary loop: PyTorch's operators, random numbers and order, torchvision's data.

    python tests/benchmarks/ordinary.py NETWORK SEED

prints the correct test images after every epoch, on one thread. It uses nothing of the harness except the modules of
the networks and the import of torchvision. It draws other random numbers, so a seed gives another run than the recorded
one. If both programs train the same network, their runs look like siblings. See docs/checked.md.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F

from bench.network.vision import import_torchvision
from models import ARCHITECTURES

ARCHIVES = Path(__file__).parents[2] / "data" / "MNIST" / "raw"


def images_and_labels(folder: str, train: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Images `(N, 1, 28, 28)`, normalised, and labels `(N,)`, as torchvision's data set and transforms give them."""
    torchvision = import_torchvision()
    transforms = torchvision.transforms
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    items = list(torchvision.datasets.MNIST(folder, train=train, transform=transform, download=True))
    return torch.stack([image for image, _ in items]), torch.tensor([label for _, label in items])


def main(name: str, seed: int) -> None:
    """Train one run and print it."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "MNIST", "raw")
        raw.mkdir(parents=True)
        for archive in ARCHIVES.glob("*.gz"):
            (raw / archive.name).symlink_to(archive)
        train_images, train_labels = images_and_labels(folder, True)
        test_images, test_labels = images_and_labels(folder, False)
    recipe = ARCHITECTURES[name].recipe
    network = ARCHITECTURES[name].build()
    optimizer = torch.optim.SGD(network.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum)
    for epoch in range(1, recipe.epochs + 1):
        network.train()
        for batch in torch.randperm(len(train_images)).split(recipe.batch_size):
            optimizer.zero_grad()
            F.nll_loss(network(train_images[batch]), train_labels[batch]).backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            correct = sum(
                int((network(images).argmax(1) == labels).sum())
                for images, labels in zip(test_images.split(1000), test_labels.split(1000), strict=True)
            )
        print(epoch, correct, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
