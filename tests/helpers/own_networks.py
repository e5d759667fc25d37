"""Network files as users might write them."""

from __future__ import annotations

from pathlib import Path

HEAD = "import torch\nimport torch.nn.functional as F\nfrom torch import nn\n\n"

PLAIN = (
    HEAD
    + """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scores = nn.Linear(784, 10)

    def forward(self, x):
        return self.scores(x.flatten(1))
"""
)

DRAWS = (
    HEAD
    + """
RECIPE = {
    "learning_rate": 0.05,
    "batch_size": 64,
    "epochs": 4,
    "dropout": 0.2,
    "augmentation": ["RandomAffine(degrees=10, translate=(0.1, 0.1))", "RandomErasing()"],
    "schedule": "MultiStepLR(milestones=[1, 2], gamma=0.5)",
}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 5, stride=2)
        self.norm = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.1)
        self.scores = nn.Linear(6 * 144, 10)

    def forward(self, x):
        x = self.dropout(F.relu(self.norm(self.conv(x))))
        if self.training:
            x = x + 0.1 * torch.randn_like(x)
        return self.scores(F.dropout(x.flatten(1), 0.2, self.training))
"""
)


def changed(old: str, new: str, source: str = PLAIN) -> str:
    """A source with one part of it replaced."""
    assert source.count(old) == 1, old
    return source.replace(old, new)


def write(folder: Path, **sources: str) -> list[Path]:
    """A file for each source, under its name."""
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    return [folder / f"{name}.py" for name in sources]


def generated(number: int) -> str:
    """One of many networks. Width, depth, kind of pool, dropout, recipe and scores vary with the number."""
    width, blocks = 4 + number, 1 + number % 3
    layers = [f"nn.Conv2d(1, {width}, 3, stride=2)", "nn.ReLU(inplace=True)"]
    for _ in range(blocks):
        layers += [f"nn.Conv2d({width}, {width}, 3, padding=1, bias={bool(number % 2)})", f"nn.BatchNorm2d({width})"]
        layers += ["nn.ReLU()", f"nn.Dropout{'2d' if number % 2 else ''}(0.{number})"]
    layers += [f"nn.{'Max' if number % 4 else 'Avg'}Pool2d(2)", "nn.Flatten()", f"nn.Linear({width} * 36, 10)"]
    layers += ["nn.LogSoftmax(1)"] if number % 2 else []
    recipe = f'{{"batch_size": {32 + number}, "epochs": 2'
    recipe += ', "schedule": "ExponentialLR(gamma=0.5)"' if number % 3 == 0 else ""
    recipe += f', "augmentation": "RandomRotation(degrees={number + 1})"' if number % 3 == 1 else ""
    body = ", ".join(layers)
    return (
        f"{HEAD}RECIPE = {recipe}}}\n\n\nclass Net{number}(nn.Sequential):\n"
        f"    def __init__(self):\n        super().__init__({body})\n"
    )
