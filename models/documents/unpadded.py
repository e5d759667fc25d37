"""What "Assignment 4" says about Unpadded."""

from __future__ import annotations

from bench.network.specification import Claim, Document, Layer, LoggedEpoch, Recipe

RECIPE = Recipe(learning_rate=0.07, batch_size=128, epochs=19)

DOCUMENT = Document(
    title="Assignment 4",
    repository="Abhinavl3v3l/EVA5",
    commit="4a2ed46",
    date="2020-08",
    parameters=14_120,
    layers=(
        Layer("Conv2d", (12, 26, 26), 120),
        Layer("BatchNorm2d", (12, 26, 26), 24),
        Layer("Dropout", (12, 26, 26), 0),
        Layer("Conv2d", (20, 24, 24), 2_180),
        Layer("BatchNorm2d", (20, 24, 24), 40),
        Layer("Dropout", (20, 24, 24), 0),
        Layer("Conv2d", (10, 24, 24), 210),
        Layer("MaxPool2d", (10, 12, 12), 0),
        Layer("Conv2d", (16, 10, 10), 1_456),
        Layer("BatchNorm2d", (16, 10, 10), 32),
        Layer("Dropout", (16, 10, 10), 0),
        Layer("Conv2d", (16, 8, 8), 2_320),
        Layer("BatchNorm2d", (16, 8, 8), 32),
        Layer("Dropout", (16, 8, 8), 0),
        Layer("Conv2d", (16, 6, 6), 2_320),
        Layer("BatchNorm2d", (16, 6, 6), 32),
        Layer("Dropout", (16, 6, 6), 0),
        Layer("Conv2d", (16, 4, 4), 2_320),
        Layer("BatchNorm2d", (16, 4, 4), 32),
        Layer("Dropout", (16, 4, 4), 0),
        Layer("Conv2d", (16, 2, 2), 2_320),
        Layer("BatchNorm2d", (16, 2, 2), 32),
        Layer("Dropout", (16, 2, 2), 0),
        Layer("Conv2d", (10, 1, 1), 650),
    ),
    layers_source="document",
    log=tuple(
        LoggedEpoch(epoch, correct, "document")
        for epoch, correct in enumerate(
            (9838, 9886, 9895, 9889, 9888, 9916, 9922, 9906, 9922, 9917)
            + (9927, 9930, 9930, 9941, 9931, 9942, 9942, 9937, 9951),
            start=1,
        )
    ),
    claims=(
        Claim("parameters", 14_120, "14,120 parameters", "document"),
        Claim("parameters_below", 20_000, "fewer than 20,000 parameters", "document"),
        Claim("reaches_target", 9940, "99.4 % validation accuracy (set as a target; epoch 14 is reported)", "document"),
        Claim(
            "epochs_below", 20, "the target in fewer than 20 epochs (set as a target; epoch 14 is reported)", "document"
        ),
        Claim("first_epoch", 14, "99.4 % reached in epoch 14", "document"),
        Claim("last", 9951, "99.51 % in the end", "document"),
        Claim("fully_connected_layers", 0, "no fully connected layer", "document"),
    ),
    recipe_sources=(
        ("learning_rate", "notebook"),
        ("batch_size", "document"),
        ("epochs", "document"),
        ("momentum", "notebook"),
    ),
    batches_per_second=36,
    remarks=(
        "The document gives no learning rate. The notebook has 0.07, seven times that of the other four networks.",
        "The document gives dropout as 0.1 to 0.3. The probability of each layer comes from the notebook.",
        "The prose has no ReLU after the fifth 3x3 convolution. The printed forward pass has one; it is used here.",
    ),
)
