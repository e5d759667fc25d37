"""Read a network of a file, without running it. The file has a class, and it can have these values:

    RECIPE = {"learning_rate": 0.05, "epochs": 15, "schedule": "StepLR(step_size=6)"}    how to train the network
    TARGET = 9940                                                                        images of 10,000
    CLAIM = {"first_epoch": 9, "best": 9951}                                             what to judge

The values are plain literals. So a run can be planned and reported without importing the file, or PyTorch.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UnusableInput
from bench.network import calls, candidates, closure, source_text
from bench.network.definitions import Statements, extract
from bench.network.specification import (
    RECIPE_BOUNDS,
    TRAINING_IMAGES,
    Architecture,
    Claim,
    ClaimKind,
    Document,
    Recipe,
    Target,
    value_name,
)
from bench.wording import listed

DEFAULT_RECIPE = Recipe(learning_rate=0.01, batch_size=128, epochs=19)
_LARGEST_CLAIM = 999_999_999
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


def read(
    path: Path, recipe: Recipe | None = None, document: Document | None = None, member: str = "", module: str = ""
) -> Architecture:
    """Read a network of a Python file or a notebook. The file's name becomes the network's name.

    For a documented network, give its documented recipe and its document. `member` is a class or a function of the
    file, such as `Net` or `Net(norm="bn")`; it can be left out if the file has one network. `module` is the full name
    of the file in an installed package.

    A file that only defines, and that has only this network, is its source as a whole. Of other files, the source is
    the definition of the network and what that needs. Only a run of the network shows whether its scores are logits:
    see `bench.cli.networks.inspect`.

    Raises:
        candidates.NoNetwork: the file has no network.
        UnusableInput: the file cannot be read, is not Python or does not say which network is meant, or one of its
            values cannot be used.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of odd text each time it parses a file
            found = _read(path, recipe, document, member, module)
            found.digest  # noqa: B018 - it walks through the code too
    except RecursionError:
        problem = "its code is nested too deeply: write its longest expressions in several statements"
        raise UnusableInput(f"{path}: {problem}") from None
    return found


def _read(path: Path, recipe: Recipe | None, document: Document | None, member: str, module: str) -> Architecture:
    text = source_text.read(path)
    where = closure.place(path, text.tree, module)
    found = closure.definitions_at(where, text.tree, where.parent)
    values = _values(text)
    class_name, arguments = candidates.choose(str(path), found, member)
    statements = Statements(text.tree, where.has)
    needed = statements.needed([class_name])
    left_out = [*text.left_out, *map(statements.said, statements.acting(needed))]
    is_only = found.networks() == [class_name]
    is_whole = is_only and not left_out and path.suffix != source_text.NOTEBOOK
    source = text.text if is_whole else extract(text.text, text.tree, needed)
    running = statements.executed(class_name) if is_whole else needed
    modules = closure.closure(where, [text.tree.body[index] for index in sorted(running)])
    recipe = recipe or _recipe(values.get("RECIPE"))
    target = _target(values.get("TARGET"))
    return Architecture(
        name=_name(path, "" if is_only and not arguments else class_name, arguments),
        source=source,
        class_name=class_name,
        recipe=recipe,
        document=document,
        target=target,
        own_claims=_claims(values.get("CLAIM"), target, recipe) if document is None else (),
        path=str(path),
        arguments=arguments,
        modules=tuple(sorted(modules.items())),
        module=where.module if modules else "network",
        taken="" if is_whole else _taken(statements, needed, left_out),
    )


def _taken(statements: Statements, needed: Collection[int], left_out: Sequence[str]) -> str:
    """Return in words what is taken of a file, and what it does that is left out."""
    names = [name for index in sorted(needed) for name in sorted(statements.names[index].binds)]
    defined = [name for name in dict.fromkeys(names) if name not in statements.imported]
    said = list(dict.fromkeys(left_out))
    rest = f"; left out: {listed([*said[:4], *(['more'] if len(said) > 4 else [])])}" if said else ""
    return f"only {listed(defined)} {'is' if len(defined) == 1 else 'are'} used{rest}"


def _name(path: Path, class_name: str, arguments: str) -> str:
    """Return the name of a network. It must fit into records, comma-separated lists and file names."""
    name = path.stem
    if not re.fullmatch(r"\w( ?[\w.()+-])*", name) or len(name.encode()) > LONGEST_NAME:
        advice = f"rename it to at most {LONGEST_NAME} letters, digits and _"
        raise UnusableInput(f"{path}: the file's name cannot be the name of a network: {advice}")
    if class_name:
        call = calls.parse(f"{class_name}({arguments})")
        words = [*map(_word, call.positional), *(f"{key}={_word(value)}" for key, value in call.keywords.items())]
        name = f"{name}.{class_name}" + (f"({' '.join(words)})" if words else "")
    if len(name.encode()) > LONGEST_NAME:
        advice = "write a function in the file that makes it without arguments, and name that"
        raise UnusableInput(f"{path}: {name} is too long to be the name of a network: {advice}")
    return name


def _word(value: Any) -> str:
    """Return an argument as a word of a name. `[8, 16]` becomes 8-16."""
    text = value if isinstance(value, str) else re.sub(r"[\s'\"\[\](){}]", "", repr(value))
    return re.sub(r"[^\w.+-]+", "-", text)


@dataclass(frozen=True)
class _Value:
    """A value in a network's file, and its place in the file."""

    place: str
    content: Any

    def error(self, problem: str) -> UnusableInput:
        return UnusableInput(f"{self.place}: {problem}")


def _values(text: source_text.SourceText) -> dict[str, _Value]:
    found = {}
    for node in text.tree.body:
        name = value_name(node)
        if name is not None and isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            place = text.place(node.lineno)
            try:
                found[name] = _Value(place, ast.literal_eval(node.value))
            except (ValueError, TypeError, MemoryError, RecursionError) as error:
                problem = f"{name} contains an expression: write plain numbers, text and lists instead"
                raise UnusableInput(f"{place}: {problem}") from error
    return found


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


def _number_between(low: float, high: float) -> Callable[[Any], float]:
    def convert(content: Any) -> float:
        if isinstance(content, bool) or not isinstance(content, int | float) or not low <= content <= high:
            raise ValueError
        return float(content)

    return convert


def _whole_number_between(low: float, high: float) -> Callable[[Any], int]:
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
    "learning_rate": (_number_between(*RECIPE_BOUNDS["learning_rate"]), "a number above 0 and at most 1e18"),
    "momentum": (_number_between(*RECIPE_BOUNDS["momentum"]), "a number of at least 0 and below 1"),
    "batch_size": (_whole_number_between(*RECIPE_BOUNDS["batch_size"]), f"a whole number from 1 to {TRAINING_IMAGES}"),
    "epochs": (_whole_number_between(*RECIPE_BOUNDS["epochs"]), "a whole number from 1 to 10000"),
    "dropout": (_number_between(*RECIPE_BOUNDS["dropout"]), "a number of at least 0 and below 1"),
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
            if isinstance(claimed, bool) or not isinstance(claimed, int) or not 1 <= claimed <= _LARGEST_CLAIM:
                raise value.error(f"CLAIM has {kind} {claimed!r}: give a whole number from 1 to {_LARGEST_CLAIM}")
    words = {"target": target.correct, "epochs": recipe.epochs}
    return tuple(Claim(kind, one, _CLAIM_TEXTS[kind].format(value=one, **words), "file") for kind, one in given.items())
