"""Build the network of a user and run it on a few images. Any error of its code becomes one line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bench.errors import UnusableInput, one_line
from bench.network.loading import line_of, missing_in
from bench.network.specification import Architecture
from bench.training import randomness
from bench.wording import count

SHAPE = ": images here are (N, 1, 28, 28)"
_SAYS_SHAPE = re.compile(r"shape|size|channel|dimension|axes|axis|unpack|elements|\dD")

_OTHER_IMAGES: Mapping[str, tuple[Callable[[Tensor], Tensor], str, str]] = {
    "(N, 784)": (lambda x: x.flatten(1), "x = x.flatten(1)", "nn.Flatten()"),
    "(N, 28, 28)": (lambda x: x.squeeze(1), "x = x.squeeze(1)", "nn.Flatten(1, 2)"),
    "(N, 1, 32, 32)": (lambda x: F.pad(x, (2, 2, 2, 2)), "x = F.pad(x, (2, 2, 2, 2))", "nn.ZeroPad2d(2)"),
    "(N, 3, 28, 28)": (lambda x: x.expand(-1, 3, -1, -1), "x = x.expand(-1, 3, -1, -1)", ""),
    "(N, 3, 32, 32)": (
        lambda x: F.pad(x, (2, 2, 2, 2)).expand(-1, 3, -1, -1),
        "x = F.pad(x, (2, 2, 2, 2)).expand(-1, 3, -1, -1)",
        "",
    ),
}
"""Images that networks take elsewhere: how to make them of (N, 1, 28, 28), as a statement, and as a layer."""


def build(architecture: Architecture, seed: int) -> nn.Module:
    """Build a network.

    Raises:
        UnusableInput: its code fails, it is no module, or a lazy layer has no shape.
    """
    network = attempt("when it is built", lambda: randomness.build(architecture, seed))
    if not isinstance(network, nn.Module):
        raise UnusableInput(f"{architecture.class_name} is not a torch.nn.Module")
    lazy = dict.fromkeys(name.rpartition(".")[0] for name, one in network.named_parameters() if is_lazy(one))
    if lazy:
        raise UnusableInput(f"its forward pass does not use the lazy layer {', '.join(lazy)}: remove it")
    return network


def require_methods(network: nn.Module) -> None:
    """Refuse a network that replaces methods of PyTorch by others with another effect on how it is trained.

    Raises:
        UnusableInput: the network is not evaluated, trained as a whole, or saved as PyTorch does it.
    """
    if network.eval.__func__ is not nn.Module.eval:  # type: ignore[attr-defined]
        advice = "write it into train(self, mode), whose mode is then False"
        raise UnusableInput(f"it has its own method eval, which is not called: {advice}")
    registered = {id(one) for module in network.modules() for one in module._parameters.values() if one is not None}
    if {id(one) for one in attempt("when its parameters are listed", lambda: list(network.parameters()))} != registered:
        advice = "remove this method, and use requires_grad_(False) for what must not be trained"
        raise UnusableInput(f"its own method parameters does not give all of its parameters: {advice}")
    extra = [name for name, one in network.state_dict().items() if not isinstance(one, Tensor)]
    if extra:
        raise UnusableInput(f"its saved state has {', '.join(extra[:3])}, not only tensors: use register_buffer")


def attempt(when: str, function: Any, advice: str = "") -> Any:
    """Call a function that runs the network, and return its result. Refuse the network for any error."""
    try:
        return function()
    except UnusableInput:
        raise
    except BaseException as error:  # also SystemExit, because this is a user's code
        if reason := missing_in(error):
            raise UnusableInput(reason) from error
        where = f"in {line}: " if (line := line_of(error)) else ""
        said = one_line(error)
        if "CUDA" in said or "NVIDIA" in said:
            advice = ': remove .cuda() and .to("cuda"), because the harness moves the network to its device'
        elif isinstance(error, EOFError):
            advice = ": write the value into the file, because nobody can answer input() in a run"
        elif advice == SHAPE and not _SAYS_SHAPE.search(said):
            advice = ""
        raise UnusableInput(f"it fails {when} ({where}{type(error).__name__}: {said}){advice}") from error


def scores_of(network: nn.Module, images: Tensor) -> Tensor:
    """Return the scores of images (N, 1, 28, 28). Refuse scores that are not (N, 10) or not finite."""
    scores = _scores_of_any_value(network, images)
    _require_finite(scores)
    return scores


def _require_finite(scores: Tensor) -> None:
    if not scores.isfinite().all():
        reason = "before any training, it gives scores that are not finite"
        raise UnusableInput(f"{reason}: look for a logarithm, a root or a division in its forward pass")


def _scores_of_any_value(network: nn.Module, images: Tensor) -> Tensor:
    scores = network(images.clone())  # it can change its input in place
    if not isinstance(scores, Tensor):
        raise UnusableInput(
            f"it gives a {type(scores).__name__}, not a tensor of scores (N, 10): return the scores alone"
        )
    if tuple(scores.shape) != (len(images), 10):
        shapes = f"scores {tuple(scores.shape)} for images {tuple(images.shape)}"
        raise UnusableInput(f"it gives {shapes}, not scores {(len(images), 10)}")
    return scores


def evaluated_scores(network: nn.Module, images: Tensor) -> Tensor:
    """Return the scores of images (N, 1, 28, 28) in evaluation. Refuse a network that fails or takes other images."""
    try:
        scores: Tensor = attempt("in evaluation", lambda: _scores_of_any_value(network.eval(), images), SHAPE)
    except UnusableInput as error:
        is_missing = error.__cause__ is not None and missing_in(error.__cause__)
        wanted = "" if is_missing else _wanted_instead(network, images)
        if wanted:
            raise UnusableInput(wanted) from None
        raise
    _require_finite(scores)
    return scores


def _wanted_instead(network: nn.Module, images: Tensor) -> str:
    """Return which other images a network takes, and what to change, or an empty text."""
    for shape, (change, statement, layer) in _OTHER_IMAGES.items():
        with contextlib.suppress(BaseException):  # this is a user's code
            scores_of(network, change(images))
            with contextlib.suppress(BaseException):
                scores_of(network, images)  # it failed for another reason than the images
                return ""
            advice = f"begin its forward pass with `{statement}`"
            if isinstance(network, nn.Sequential):
                advice = f"begin it with {layer}" if layer else "give its first layer one input channel"
            return f"it takes images {shape}, and images here are (N, 1, 28, 28): {advice}"
    return ""


def moved_scores(network: nn.Module, images: Tensor) -> Tensor:
    """Return the scores of images (N, 1, 28, 28) with other weights. First weights can be special, such as zeros."""
    with torch.no_grad():
        for one in network.parameters():
            one.add_(0.01)
        moved: Tensor = network.eval()(images.clone())
    return moved


def are_log_probabilities(scores: Tensor) -> bool:
    """Whether the exponentials of the scores (N, 10) of each image sum to 1."""
    sums = scores.detach().double().exp().sum(dim=1)
    return bool((sums - 1).abs().max() < 1e-4)


def probable_mistakes(scores: Tensor) -> list[str]:
    """Return what is strange about scores (N, 10) that are not log-probabilities."""
    if bool(((scores >= 0) & ((scores.sum(1, keepdim=True) - 1).abs() < 1e-4)).all()):
        return ["the scores are probabilities, and their log-softmax learns slowly: return scores without a softmax"]
    over_images = ((one.sum(0) - 1).abs().max() < 1e-4 for one in (scores, scores.exp()))
    if any(over_images):
        return ["the scores of each digit sum to 1 over the images: apply softmax or log_softmax to dimension 1, not 0"]
    return []


def unused_parameters(parameters: dict[str, nn.Parameter], scores: Tensor) -> list[str]:
    """Return the trainable parameters that the scores do not depend on.

    Refuse a network whose scores depend on other tensors that need a gradient.
    """
    loss = F.nll_loss(scores.log_softmax(dim=1), torch.arange(len(scores)) % 10)
    if not loss.requires_grad:
        raise UnusableInput("no gradient reaches its parameters: look for no_grad or detach in its forward pass")
    known = {id(parameter) for parameter in parameters.values()}
    leaves = {id(leaf): leaf for leaf in _leaves(loss)}
    hidden = [tuple(leaf.shape) for key, leaf in leaves.items() if key not in known]
    if hidden:
        shapes = ", ".join(map(str, hidden[:3])) + (" …" if len(hidden) > 3 else "")
        advice = "use nn.ModuleList or nn.Parameter, not plain lists or tensors"
        tensors = f"{count(len(hidden), 'parameter tensor')} ({shapes})"
        raise UnusableInput(f"it hides {tensors} from the optimizer: {advice}")
    return [name for name, one in parameters.items() if one.requires_grad and id(one) not in leaves]


def _leaves(loss: Tensor) -> Iterator[Tensor]:
    """Yield the tensors that the gradient of a loss reaches."""
    waiting, seen = [loss.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            if hasattr(node, "variable"):
                yield node.variable
            waiting += [following for following, _ in node.next_functions]
