"""What "Session 4 Assignment" says about SqueezeFC."""

from __future__ import annotations

from bench.network.specification import Claim, Document, Layer, LoggedEpoch, Recipe

RECIPE = Recipe(learning_rate=0.01, batch_size=128, epochs=19)

DOCUMENT = Document(
    title="Session 4 Assignment",
    repository="vivekmse0205/EVA6",
    commit="d4fb05f",
    date="2021-05",
    parameters=18_650,
    layers=(
        Layer("Conv2d", (16, 28, 28), 144),
        Layer("ReLU", (16, 28, 28), 0),
        Layer("BatchNorm2d", (16, 28, 28), 32),
        Layer("Conv2d", (16, 28, 28), 2_304),
        Layer("ReLU", (16, 28, 28), 0),
        Layer("BatchNorm2d", (16, 28, 28), 32),
        Layer("Conv2d", (64, 28, 28), 9_216),
        Layer("ReLU", (64, 28, 28), 0),
        Layer("BatchNorm2d", (64, 28, 28), 128),
        Layer("MaxPool2d", (64, 14, 14), 0),
        Layer("Conv2d", (8, 14, 14), 512),
        Layer("ReLU", (8, 14, 14), 0),
        Layer("Conv2d", (16, 12, 12), 1_152),
        Layer("ReLU", (16, 12, 12), 0),
        Layer("BatchNorm2d", (16, 12, 12), 32),
        Layer("Dropout2d", (16, 12, 12), 0),
        Layer("Conv2d", (16, 10, 10), 2_304),
        Layer("ReLU", (16, 10, 10), 0),
        Layer("BatchNorm2d", (16, 10, 10), 32),
        Layer("Conv2d", (16, 10, 10), 256),
        Layer("ReLU", (16, 10, 10), 0),
        Layer("Conv2d", (16, 8, 8), 2_304),
        Layer("ReLU", (16, 8, 8), 0),
        Layer("BatchNorm2d", (16, 8, 8), 32),
        Layer("AvgPool2d", (16, 1, 1), 0),
        Layer("Linear", (10,), 170),
    ),
    layers_source="document",
    log=tuple(
        LoggedEpoch(epoch, correct, "document" if 10 <= epoch <= 15 else "notebook")
        for epoch, correct in enumerate(
            (9699, 9838, 9855, 9863, 9869, 9890, 9879, 9901, 9899, 9902)
            + (9904, 9915, 9916, 9882, 9921, 9912, 9899, 9921, 9922),
            start=1,
        )
    ),
    claims=(
        Claim("parameters", 18_650, "18,650 parameters", "document"),
        Claim("parameters_below", 20_000, "fewer than 20,000 parameters", "document"),
        Claim(
            "reaches_target",
            9940,
            "99.4 % validation accuracy (set as a target; no result is given)",
            "document",
            "its 6 printed epochs have at most 9921, the notebook's 19 at most 9922; the log is of an earlier network",
        ),
        Claim(
            "epochs_below",
            20,
            "the target in fewer than 20 epochs (set as a target; no result is given)",
            "document",
            "the log, of an earlier network, ends after 19 epochs without reaching the target",
        ),
        Claim("fully_connected_layers", 1, "one fully connected layer (set as a requirement)", "document"),
        Claim(
            "global_average_pooling",
            1,
            "global average pooling (set as a requirement)",
            "document",
            "the kernel of 6 given in the notebook averages the top-left 6x6 of 8x8 cells, 36 of 64",
        ),
    ),
    recipe_sources=(
        ("learning_rate", "document"),
        ("batch_size", "document"),
        ("epochs", "notebook"),
        ("momentum", "notebook"),
    ),
    batches_per_second=39,
    is_log_of_this_network=False,
    remarks=(
        "The document names epoch 19 as optimal and leaves its result empty.",
        "Epoch 19 is the best epoch in the notebook's log. It has 9922, and that is below the target.",
        "The log belongs to an earlier network: in the notebook, training ran before the printed network was defined.",
        "The document prints the log of epochs 10 to 15 only; the other epochs were read in the notebook.",
        "The dropout probability and the kernel of the average pool were read in the notebook.",
    ),
)
