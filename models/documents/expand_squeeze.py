"""What "Assignment 3b" says about ExpandSqueeze."""

from __future__ import annotations

from bench.network.specification import Claim, Document, Layer, LoggedEpoch, Recipe

RECIPE = Recipe(learning_rate=0.01, batch_size=128, epochs=19)

DOCUMENT = Document(
    title="Assignment 3b",
    repository="nitingarg2015/EVA8",
    commit="d7daf00",
    date="2023-01",
    parameters=15_938,
    layers=(
        Layer("Conv2d", (16, 28, 28), 160),
        Layer("BatchNorm2d", (16, 28, 28), 32),
        Layer("Dropout", (16, 28, 28), 0),
        Layer("Conv2d", (32, 28, 28), 4_640),
        Layer("BatchNorm2d", (32, 28, 28), 64),
        Layer("Dropout", (32, 28, 28), 0),
        Layer("Conv2d", (8, 28, 28), 264),
        Layer("MaxPool2d", (8, 14, 14), 0),
        Layer("Dropout", (8, 14, 14), 0),
        Layer("Conv2d", (16, 14, 14), 1_168),
        Layer("BatchNorm2d", (16, 14, 14), 32),
        Layer("Dropout", (16, 14, 14), 0),
        Layer("Conv2d", (16, 14, 14), 2_320),
        Layer("BatchNorm2d", (16, 14, 14), 32),
        Layer("MaxPool2d", (16, 7, 7), 0),
        Layer("Dropout", (16, 7, 7), 0),
        Layer("Conv2d", (16, 7, 7), 2_320),
        Layer("BatchNorm2d", (16, 7, 7), 32),
        Layer("Dropout", (16, 7, 7), 0),
        Layer("Conv2d", (16, 7, 7), 2_320),
        Layer("BatchNorm2d", (16, 7, 7), 32),
        Layer("MaxPool2d", (16, 3, 3), 0),
        Layer("Dropout", (16, 3, 3), 0),
        Layer("Conv2d", (16, 3, 3), 2_320),
        Layer("BatchNorm2d", (16, 3, 3), 32),
        Layer("AvgPool2d", (16, 1, 1), 0),
        Layer("Dropout", (16, 1, 1), 0),
        Layer("Linear", (10,), 170),
    ),
    layers_source="notebook",
    log=tuple(
        LoggedEpoch(epoch, correct, "document")
        for epoch, correct in enumerate(
            (9808, 9878, 9891, 9906, 9919, 9911, 9926, 9916, 9939, 9912)
            + (9925, 9946, 9937, 9941, 9929, 9950, 9949, 9943, 9941),
            start=1,
        )
    ),
    claims=(
        Claim("parameters", 15_938, "15,938 parameters", "document"),
        Claim("parameters_below", 20_000, "fewer than 20,000 parameters", "document"),
        Claim("reaches_target", 9940, "99.4 % test accuracy", "document"),
        Claim(
            "epochs_below", 20, "the target in fewer than 20 epochs (set as a target; epoch 9 is reported)", "document"
        ),
        Claim(
            "first_epoch",
            9,
            "99.4 % reached in epoch 9",
            "document",
            "epoch 9 has 9939, which rounds to 99.4 % but is below it; the first at or above 9940 is epoch 12",
        ),
        Claim("sustained", 4, "more than 99.4 % in each of the last four epochs", "document"),
        Claim("last", 9941, "9941 of 10,000 images in the end", "document"),
        Claim("convolutions", 8, "eight convolutions", "document"),
        Claim("fully_connected_layers", 1, "one fully connected layer", "document"),
        Claim("max_pools", 3, "three max-pools", "document"),
        Claim(
            "batch_norm_after_every_convolution",
            1,
            "batch norm after every convolution",
            "document",
            "the notebook's table has none after the third convolution",
        ),
        Claim("dropout_after_every_convolution", 1, "dropout after every convolution", "document"),
        Claim(
            "global_average_pooling",
            1,
            "global average pooling before the fully connected layer",
            "document",
            "the kernel of 2 given in the notebook averages the top-left 2x2 of 3x3 cells, 4 of 9",
        ),
    ),
    recipe_sources=(
        ("learning_rate", "document"),
        ("batch_size", "document"),
        ("epochs", "document"),
        ("momentum", "notebook"),
    ),
    batches_per_second=28,
    remarks=(
        "The text says 20 epochs, but the log and the notebook have 19. The recipe follows the log.",
        "The author's rerun with the same network, recipe and seed: 9940 first in epoch 13, best 9948, last 9935.",
        "The layer table is a picture in the document. The layers, their order and the dropout come from the notebook.",
        "Dropout follows all eight convolutions, in four cases after a pool. The third convolution also has no ReLU.",
    ),
)
