"""Read a file with one network, without running it. The file has a class, and it can have these values:

    RECIPE = {"learning_rate": 0.05, "epochs": 15, "schedule": "StepLR(step_size=6)"}    how to train the network
    TARGET = 9940                                                                        images of 10,000
    CLAIM = {"first_epoch": 9, "best": 9951}                                             what to judge

The values are plain literals. So a run can be planned and reported without importing the file, or PyTorch.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UnusableInput, one_line
from bench.network import calls
from bench.network.specification import (
    TRAINING_IMAGES,
    Architecture,
    Claim,
    ClaimKind,
    Document,
    Recipe,
    Target,
    value_name,
)

DEFAULT_RECIPE = Recipe(learning_rate=0.01, batch_size=128, epochs=19)
LONGEST_NAME = 100  # bytes, because file names contain it

_CLAIM_TEXTS: Mapping[ClaimKind, str] = {
    "parameters": "{value:,} parameters",
    "parameters_below": "fewer than {value:,} parameters",
    "reaches_target": "{value} of 10,000 within {epochs} epochs",
    "epochs_below": "{target} of 10,000 in fewer than {value} epochs",
    "first_epoch": "{target} of 10,000 first in epoch {value}",
    "best": "{value} of 10,000 in the best epoch",
    "last": "{value} of 10,000 in the last epoch",
    "sustained": "more than {target} of 10,000 in each of the last {value} epochs",
}
"""The kinds of claim that a file can make, and the text of each."""


def read(path: Path, recipe: Recipe | None = None, document: Document | None = None) -> Architecture:
    """Read the network of a file. The file's name becomes the network's name.

    For a documented network, give its documented recipe and its document. Only a run of the network shows whether its
    scores are logits: see `bench.cli.networks.inspect`.

    Raises:
        UnusableInput: the file cannot be read, is not Python or does not have exactly one network, or one of its values
            cannot be used.
    """
    try:
        source = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        cause = (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8"
        advice = "name a Python file or a folder of Python files"
        raise UnusableInput(f"{path}: cannot be read ({cause}): {advice}") from error
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else one_line(error)
        raise UnusableInput(f"{path}{line}: this is not valid Python ({reason}): correct the file") from error
    name, values = _name(path), _values(path, tree)
    recipe = recipe or _recipe(values.get("RECIPE"))
    target = _target(values.get("TARGET"))
    return Architecture(
        name=name,
        source=source,
        class_name=_network_class(path, tree),
        recipe=recipe,
        document=document,
        target=target,
        own_claims=_claims(values.get("CLAIM"), target, recipe) if document is None else (),
        path=str(path),
    )


def _name(path: Path) -> str:
    """Return the name of a file's network. It must fit into records, comma-separated lists and file names."""
    name = path.stem
    if not re.fullmatch(r"\w( ?[\w.()+-])*", name) or len(name.encode()) > LONGEST_NAME:
        advice = f"rename it to at most {LONGEST_NAME} letters, digits and _"
        raise UnusableInput(f"{path}: the file's name cannot be the name of a network: {advice}")
    return name


@dataclass(frozen=True)
class _Value:
    """A value in a network's file, and its place in the file."""

    place: str
    content: Any

    def error(self, problem: str) -> UnusableInput:
        return UnusableInput(f"{self.place}: {problem}")


def _values(path: Path, tree: ast.Module) -> dict[str, _Value]:
    found = {}
    for node in tree.body:
        name = value_name(node)
        if name is not None and isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            place = f"{path}:{node.lineno}"
            try:
                found[name] = _Value(place, ast.literal_eval(node.value))
            except (ValueError, TypeError, MemoryError, RecursionError) as error:
                problem = f"{name} contains an expression: write plain numbers, text and lists instead"
                raise UnusableInput(f"{place}: {problem}") from error
    return found


def _network_class(path: Path, tree: ast.Module) -> str:
    """Return the name of the network: the one class derived from torch.nn.Module that no other such class uses.

    The classes that it uses are its blocks.
    """
    imported = dict(_imports(tree))
    defined = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}

    def is_module(node: ast.AST | None, above: tuple[str, ...] = ()) -> bool:
        if not isinstance(node, ast.ClassDef) or node.name in above:
            return False
        for base in node.bases:
            first, _, rest = ast.unparse(base).partition(".")
            dotted = f"{imported.get(first, first)}.{rest}".rstrip(".")
            is_torch = dotted.startswith("torch.nn.") or (dotted == "Module" and "torch.nn.*" in imported.values())
            if is_torch or is_module(defined.get(first), (*above, node.name)):
                return True
        return False

    uses = {name: _names_in(node) & defined.keys() for name, node in defined.items()}
    modules = [name for name, node in defined.items() if is_module(node)]
    blocks = {used for name in modules for used in _used_by(name, uses)}
    networks = [name for name in modules if name not in blocks]
    if len(networks) == 1:
        return networks[0]
    if not networks:
        raise UnusableInput(f"{path}: defines no network: it needs one class derived from torch.nn.Module")
    names = " and ".join([", ".join(networks[:-1]), networks[-1]])
    raise UnusableInput(f"{path}: defines {len(networks)} networks, {names}: keep only one in the file")


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield each imported name and the full name that it stands for. A star import stands for itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                yield (dotted if alias.name == "*" else alias.asname or alias.name), dotted


def _names_in(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _used_by(name: str, uses: Mapping[str, set[str]]) -> set[str]:
    """Return all definitions that a definition uses, directly or through others, except itself."""
    found, waiting = set[str](), [name]
    while waiting:
        for used in uses[waiting.pop()] - found:
            found.add(used)
            waiting.append(used)
    return found - {name}


def _recipe(value: _Value | None) -> Recipe:
    if value is None:
        return DEFAULT_RECIPE
    given = value.content
    if not isinstance(given, dict):
        raise value.error(f"RECIPE is not a dictionary: give one with keys from {', '.join(_RECIPE_FIELDS)}")
    fields: dict[str, Any] = {name: getattr(DEFAULT_RECIPE, name) for name in _RECIPE_FIELDS}
    for name, content in given.items():
        if name not in _RECIPE_FIELDS:
            raise value.error(f"RECIPE has the unknown key {name!r}: use keys from {', '.join(_RECIPE_FIELDS)}")
        convert, wanted = _RECIPE_FIELDS[name]
        try:
            fields[name] = convert(content)
        except (ValueError, TypeError) as error:
            raise value.error(f"RECIPE has {name} {content!r}: give {wanted}") from error
    return Recipe(**fields)


def _number_between(low: float, high: float, includes_low: bool) -> Callable[[Any], float]:
    def convert(content: Any) -> float:
        if isinstance(content, bool) or not isinstance(content, int | float) or not math.isfinite(content):
            raise ValueError
        if not low <= content < high or (content == low and not includes_low):
            raise ValueError
        return float(content)

    return convert


def _whole_number_between(low: int, high: int) -> Callable[[Any], int]:
    def convert(content: Any) -> int:
        if isinstance(content, bool) or not isinstance(content, int) or not low <= content <= high:
            raise ValueError
        return content

    return convert


def _read_call(content: Any) -> str:
    if not isinstance(content, str):
        raise TypeError
    return calls.normalised(content)


def _read_calls(content: Any) -> tuple[str, ...]:
    return tuple(_read_call(one) for one in ([content] if isinstance(content, str) else content))


_RECIPE_FIELDS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "learning_rate": (_number_between(0, math.inf, includes_low=False), "a number above 0"),
    "momentum": (_number_between(0, 1, includes_low=True), "a number of at least 0 and below 1"),
    "batch_size": (_whole_number_between(1, TRAINING_IMAGES), f"a whole number from 1 to {TRAINING_IMAGES}"),
    "epochs": (_whole_number_between(1, 10_000), "a whole number from 1 to 10000"),
    "dropout": (_number_between(0, 1, includes_low=True), "a number of at least 0 and below 1"),
    "augmentation": (_read_calls, "text like 'RandomRotation(degrees=7)', or a list of such texts"),
    "schedule": (_read_call, "text like 'StepLR(step_size=6, gamma=0.1)'"),
}
"""The fields of a recipe: how to read each one, and what it must be."""


def _target(value: _Value | None) -> Target:
    if value is None:
        return Target()
    try:
        return Target(_whole_number_between(1, 10_000)(value.content))
    except ValueError as error:
        raise value.error(f"TARGET is {value.content!r}: give a whole number of test images, 1 to 10000") from error


def _claims(value: _Value | None, target: Target, recipe: Recipe) -> tuple[Claim, ...]:
    given: dict[ClaimKind, int] = {"reaches_target": target.correct}
    if value is not None:
        given = value.content
        if not isinstance(given, dict):
            raise value.error(f"CLAIM is not a dictionary: give one with keys from {', '.join(_CLAIM_TEXTS)}")
        for kind, claimed in given.items():
            if kind not in _CLAIM_TEXTS:
                raise value.error(f"CLAIM has the unknown key {kind!r}: use keys from {', '.join(_CLAIM_TEXTS)}")
            if isinstance(claimed, bool) or not isinstance(claimed, int) or claimed < 1:
                raise value.error(f"CLAIM has {kind} {claimed!r}: give a whole number from 1")
    words = {"target": target.correct, "epochs": recipe.epochs}
    return tuple(Claim(kind, one, _CLAIM_TEXTS[kind].format(value=one, **words), "file") for kind, one in given.items())
