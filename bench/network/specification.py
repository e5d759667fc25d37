"""Networks, recipes, documents and claims as frozen dataclasses. This module does not import torch."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from bench.errors import UnusableInput
from bench.network import calls, loading
from bench.network.opened import reading_refused
from bench.network.settings import settings_restored
from bench.network.source.canonical import canonical, canonical_network, changed_values

if TYPE_CHECKING:
    from torch import nn

Source = Literal["document", "notebook", "file", "option"]
"""Where a fact was read: printed in the public document, in its author's public notebook, in the network's file, or in
an option of the command line."""

Device = Literal["cpu", "cuda", "mps"]
"""A kind of device that can train."""

DEVICES: tuple[str, ...] = get_args(Device)

LOGGED = "log"
"""What stands for the device of runs that another program trained. Only the log of such runs is known."""

Arithmetic = Literal["exact", "native"]
"""How a run is computed: with the same bits on every machine, or by PyTorch's operators."""

Vary = Literal["", "weights", "order", "dropout"]
"""The kind of random numbers that alone follows the seed. Ordinary runs have none: all kinds follow it."""

VARIED: Mapping[Vary, str] = {
    "weights": "the first weights",
    "order": "the order of the images",
    "dropout": "dropout",
}
"""Each kind in words."""

ClaimKind = Literal[
    "parameters",
    "parameters_below",
    "reaches_target",
    "epochs_below",
    "first_epoch",
    "best",
    "last",
    "sustained",
    "batch_norm_after_every_convolution",
    "dropout_after_every_convolution",
    "global_average_pooling",
    "fully_connected_layers",
    "convolutions",
    "max_pools",
]
"""What a claim is about. The record decides claims of the statistical kinds. The module itself decides the others."""


TRAINING_IMAGES, TEST_IMAGES = 60_000, 10_000
"""The numbers of training and test images in MNIST."""

RECIPE_BOUNDS: Mapping[str, tuple[float, float]] = {
    "learning_rate": (math.ulp(0.0), 1e18),
    "momentum": (0.0, math.nextafter(1.0, 0.0)),
    "batch_size": (1, TRAINING_IMAGES),
    "epochs": (1, 10_000),
    "dropout": (0.0, math.nextafter(1.0, 0.0)),
}
"""The smallest and the largest value of each number of a recipe, in a network's file and beside a record."""

COLLAPSE = 50
"""The value of `largest_fall` for up to 10,000 test images."""


def largest_fall(total: int) -> int:
    """An epoch has collapsed if it has more than this many images, of `total`, fewer than the best epoch before it."""
    return max(COLLAPSE, total // 200)


@dataclass(frozen=True)
class Target:
    """An accuracy to reach, as a count of correctly classified test images. 9940 of 10,000 reach it, 9939 do not."""

    correct: int = 9940
    total: int = TEST_IMAGES


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: SGD with momentum on the mean negative log-likelihood of a batch.

    `dropout` replaces the probability of every dropout layer. `augmentation` has calls of `torchvision.transforms.v2`,
    which are applied in this order to each batch. `schedule` is a call of `torch.optim.lr_scheduler` without its
    optimizer. The scheduler takes one step an epoch. Both are text that `calls` can parse. `vary` belongs to the runs
    and not to the network: it is an option of the command line.
    """

    learning_rate: float
    batch_size: int
    epochs: int
    momentum: float = 0.9
    dropout: float | None = None
    augmentation: tuple[str, ...] = ()
    schedule: str = ""
    vary: Vary = ""

    @property
    def facts(self) -> dict[str, Any]:
        """The fields by name, without dropout, augmentation, schedule and vary where the recipe does not use them."""
        optional = ("dropout", "augmentation", "schedule", "vary")
        unused = {name for name in optional if getattr(self, name) in (None, (), "")}
        return {name: value for name, value in asdict(self).items() if name not in unused}


@dataclass(frozen=True)
class Layer:
    """One row of a layer table: the kind of module, its output shape without the batch, its number of parameters."""

    kind: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class LoggedEpoch:
    """One epoch of a documented log: the correctly classified images of 10,000, and where that number is printed."""

    epoch: int
    correct: int
    source: Source


@dataclass(frozen=True)
class Claim:
    """One statement of a document that can be true or false.

    `value` is the claimed number: an epoch, a count of images or parameters, or a number of layers. It is 1 for the
    kinds that are simply true or false. `contradiction` says what the document's own log or table shows against the
    claim. It is empty where they agree.
    """

    kind: ClaimKind
    value: int
    text: str
    source: Source
    contradiction: str = ""


@dataclass(frozen=True)
class Document:
    """A public document about one network, and its author's notebook.

    `recipe_sources` says for each field of the recipe where it was read. `batches_per_second` is the speed that the
    printed progress bar shows, on a cloud GPU of unknown model. `is_log_of_this_network` is False if the author trained
    an earlier network than the one that is described.
    """

    title: str
    repository: str
    commit: str
    date: str
    parameters: int
    layers: tuple[Layer, ...]
    layers_source: Source
    log: tuple[LoggedEpoch, ...]
    claims: tuple[Claim, ...]
    recipe_sources: tuple[tuple[str, Source], ...]
    batches_per_second: int
    remarks: tuple[str, ...] = ()
    is_log_of_this_network: bool = True


@dataclass(frozen=True)
class Architecture:
    """One network: its name, the source text of its file, its class in that file, its recipe and the claims about it.

    `class_name` can also be a function that makes the network, or a variable that is one. `arguments` has the text of
    its arguments, such as `norm='bn'`. `modules` has the user's own modules that the file imports, by full name, with
    their sources; `module` is the full name of the file among them. These texts are enough to build the network on any
    machine that has its `packages`: installed ones, with their versions.

    `document` is what a public document says about the network, if there is one. The claims of other networks are in
    `own_claims`. `gives_logits` says that the scores are not log-probabilities yet. `uncovered` names what keeps the
    exact arithmetic from training it, and `uncovered_on_gpu` what its kernels for a GPU lack besides. `path` is the
    path of the file, and `taken` says which part of it the source is, both for messages. The source is empty for a
    network of which only the log is known.
    """

    name: str
    source: str
    class_name: str
    recipe: Recipe
    document: Document | None = None
    target: Target = field(default_factory=Target)
    own_claims: tuple[Claim, ...] = ()
    gives_logits: bool = False
    uncovered: tuple[str, ...] = ()
    uncovered_on_gpu: tuple[str, ...] = ()
    path: str = ""
    arguments: str = ""
    modules: tuple[tuple[str, str], ...] = ()
    module: str = "network"
    packages: tuple[str, ...] = ()
    taken: str = field(default="", compare=False)

    @property
    def call(self) -> str:
        """The class or function, with its arguments if there are any."""
        return f"{self.class_name}({self.arguments})" if self.arguments else self.class_name

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The claims about the network."""
        return self.own_claims if self.document is None else self.document.claims

    @property
    def is_logged(self) -> bool:
        """Whether another program trained the network, and only the log is known."""
        return not self.source

    @property
    def log(self) -> tuple[LoggedEpoch, ...]:
        """The documented log, if any."""
        return () if self.document is None else self.document.log

    def build(self) -> nn.Module:
        """Build a new network, from float32 images (N, 1, 28, 28) to log-probabilities (N, 10)."""
        network = self.build_as_written()
        if not self.gives_logits:
            return network
        torch_nn = importlib.import_module("torch.nn")
        wrapped: nn.Module = torch_nn.Sequential(network, torch_nn.LogSoftmax(dim=1))
        return wrapped

    @property
    def package(self) -> str:
        """The name below which the modules of the network stand in `sys.modules`."""
        return f"network_{self.digest}"

    def build_as_written(self) -> nn.Module:
        """Build a new network, and leave its scores as they are. Its files are executed each time.

        They may set threads, determinism or precision, but only for themselves.

        Raises:
            UnusableInput: its code reads a file, or changes a value such as RECIPE. It can raise anything else too.
        """
        sources = {**dict(self.modules), self.module: self.source}
        arguments = calls.parse(f"make({self.arguments})")
        with settings_restored(), reading_refused(self.package):
            module = loading.load(self.package, self.module, self.path or f"<{self.name}>", sources)
            for name in changed_values(self.source, vars(module)):
                raise UnusableInput(f"its code changes {name} while it is executed, which is not read: change a copy")
            made = getattr(module, self.class_name)
            is_object = hasattr(made, "state_dict") and not isinstance(made, type)
            network: nn.Module = made if is_object else made(*arguments.positional, **arguments.keywords)
        return network

    @cached_property
    def digest(self) -> str:
        """Eight hex digits over the network's code and its recipe.

        Comments, docstrings and layout do not count, because the code is parsed into a syntax tree and not imported.
        A value in the file does not count either, unless its code uses it: the recipe counts by its facts, and a claim
        changes no run. The arguments, the own modules and the versions of installed packages count.
        """
        recipe = json.dumps(self.recipe.facts, sort_keys=True)
        modules = [f"{name} {canonical(source)}" for name, source in self.modules]
        content = "\n".join([self.call, canonical_network(self.source, modules), recipe, *modules, *self.packages])
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    def varied(self, vary: Vary) -> Architecture:
        """Return the network with this `vary` in its recipe."""
        return replace(self, recipe=replace(self.recipe, vary=vary))

    def with_digest(self, digest: str) -> Architecture | None:
        """Return the network, as it is or with a `vary`, whose digest is this. Return None if there is none."""
        return next((one for one in (self, *map(self.varied, VARIED)) if one.digest == digest), None)
