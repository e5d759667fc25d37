"""Read the values of a network's file, RECIPE, TARGET and CLAIM, without running it."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UnusableInput
from bench.network import calls
from bench.network.source.candidates import Definitions
from bench.network.source.canonical import value_name
from bench.network.source.names import assigned, is_main_guard, names_of, running
from bench.network.source.text import SourceText, read
from bench.network.specification import RECIPE_BOUNDS, TEST_IMAGES, TRAINING_IMAGES, Claim, ClaimKind, Recipe, Target
from bench.wording import count

EXAMPLES: Mapping[str, str] = {
    "RECIPE": 'RECIPE = {"epochs": 15}',
    "TARGET": "TARGET = 9940",
    "CLAIM": 'CLAIM = {"best": 9951}',
}
"""A plain statement for each value."""

_UPDATES = ("update", "setdefault", "pop", "popitem", "clear", "__setitem__", "__ior__", "__delitem__")

DEFAULT_RECIPE = Recipe(learning_rate=0.01, batch_size=128, epochs=19)
_LARGEST_CLAIM = 999_999_999

_CLAIM_TEXTS: Mapping[ClaimKind, str] = {
    "parameters": "{value:,} parameters",
    "parameters_below": "fewer than {value:,} parameters",
    "reaches_target": "{value} of 10,000 within {epochs}",
    "epochs_below": "{target} of 10,000 in fewer than {value} epochs",
    "first_epoch": "{target} of 10,000 first in epoch {value}",
    "best": "{value} of 10,000 in the best epoch",
    "last": "{value} of 10,000 in the last epoch",
    "sustained": "more than {target} of 10,000 in each of the last {value} epochs",
}
"""The kinds of claim that a file can make, and the text of each."""

_SUSTAINED_ONCE = "more than {target} of 10,000 in the last epoch"

_IN_IMAGES = ("reaches_target", "best", "last")


@dataclass(frozen=True)
class _Value:
    """A value in a network's file, and its place in the file."""

    place: str
    content: Any

    def error(self, problem: str) -> UnusableInput:
        return UnusableInput(f"{self.place}: {problem}")


@dataclass(frozen=True)
class Values:
    """The values that a network's file may have. The claims are those of a network without a document."""

    recipe: Recipe
    target: Target
    claims: tuple[Claim, ...]


def read_values(text: SourceText, found: Definitions, documented: Recipe | None = None) -> Values:
    """Read the values of a file. `found` has its definitions. A documented recipe takes the place of the file's.

    Raises:
        UnusableInput: a value cannot be used, or the file sets or changes one in another way than by a plain statement.
    """
    _refuse_other_bindings(text, found)
    values = _literals(text)
    recipe = documented or _recipe(values.get("RECIPE"))
    target = _target(values.get("TARGET"))
    return Values(recipe, target, _claims(values.get("CLAIM"), target, recipe))


def place_of_value(name: str, path: Path) -> str:
    """Return the place of the statement that sets a value in a file, for a message."""
    text = read(path)
    return next((text.place(node.lineno) for node in text.tree.body if value_name(node) == name), str(path))


def _literals(text: SourceText) -> dict[str, _Value]:
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


def _refuse_other_bindings(text: SourceText, found: Definitions) -> None:
    """Refuse a file in which Python would give a value another content than its plain statement has."""
    others = [node for node in text.tree.body if value_name(node) is None]
    for node in itertools.chain.from_iterable(map(_without_main_guard, others)):
        for name in sorted(_changed(node, found) & EXAMPLES.keys()):
            lines = [one.lineno for one in ast.walk(node) if isinstance(one, ast.expr | ast.stmt) and _names(one, name)]
            place = text.place(min(lines, default=node.lineno))
            advice = f"write it once, at the left margin, as {EXAMPLES[name]}, or rename this variable"
            raise UnusableInput(f"{place}: {name} is set or changed here, which is not read: {advice}")


def _without_main_guard(node: ast.stmt) -> list[ast.stmt]:
    return node.body if isinstance(node, ast.If) and is_main_guard(node) else [node]


def _changed(node: ast.stmt, found: Definitions) -> set[str]:
    """Return the names of the file that a statement binds, or whose objects it changes, also inside functions."""
    names = names_of(node)
    inside = list(ast.walk(node))
    declared = {name for one in inside if isinstance(one, ast.Global) for name in one.names}
    walrus = {one.target.id for one in running(node) if isinstance(one, ast.NamedExpr)}
    changed = {name for one in inside for name in (*assigned(one), *_updated(one))}
    starred = set()
    if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
        for name in EXAMPLES:
            other = found.find_imported(f"{'.' * node.level}{node.module or ''}.{name}")
            if other is not None and any(name in names_of(one).binds for one in other[0].tree.body):
                starred.add(name)
    bound = {*names.binds, *declared, *walrus, *starred}
    return bound | (changed & (names.binds | names.eager | names.deferred))


def _updated(node: ast.AST) -> set[str]:
    """Return the name whose dictionary a call of a method changes."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _UPDATES:
        return {one.id for one in [node.func.value] if isinstance(one, ast.Name)}
    return set()


def _names(node: ast.expr | ast.stmt, name: str) -> bool:
    return (isinstance(node, ast.Name) and node.id == name) or (isinstance(node, ast.Global) and name in node.names)


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
    "schedule": (_read_call, "text like 'StepLR(step_size=6, gamma=0.1)', without the optimizer"),
}
"""The fields of a recipe: how to read each one, and what it must be."""


def _target(value: _Value | None) -> Target:
    if value is None:
        return Target()
    try:
        return Target(_whole_number_between(1, 10_000)(value.content))
    except ValueError as error:
        example = _images_of(value.content)
        raise value.error(
            f"TARGET is {value.content!r}: give a whole number of test images, 1 to 10000{example}"
        ) from error


def _images_of(accuracy: object) -> str:
    """Return how many of the 10,000 test images a share or a per cent is, as words after an advice, if it is one."""
    found = re.fullmatch(r"([0-9]{1,3}(?:[.,][0-9]+)?) ?(%?)", str(accuracy).strip())
    number = float(found[1].replace(",", ".")) if found else 0.0
    percent = number if number > 1 or (found and found[2]) else 100 * number
    return f", such as {round(100 * percent)} for {percent:g} %" if 1 < percent <= 100 else ""


def _claims(value: _Value | None, target: Target, recipe: Recipe) -> tuple[Claim, ...]:
    given: dict[ClaimKind, int] = {"reaches_target": target.correct}
    if value is not None:
        given = value.content
        if not isinstance(given, dict):
            raise value.error(f"CLAIM is not a dictionary: give one with keys from {', '.join(_CLAIM_TEXTS)}")
        for kind, claimed in given.items():
            if kind not in _CLAIM_TEXTS:
                raise value.error(f"CLAIM has the unknown key {kind!r}: use keys from {', '.join(_CLAIM_TEXTS)}")
            least = 2 if kind == "epochs_below" else 1  # no run has fewer epochs than one
            most = TEST_IMAGES if kind in _IN_IMAGES else _LARGEST_CLAIM
            if isinstance(claimed, bool) or not isinstance(claimed, int) or not least <= claimed <= most:
                wanted = f"a whole number from {least} to {most}"
                if kind in _IN_IMAGES:
                    wanted = f"a whole number of test images, 1 to {most}{_images_of(claimed)}"
                raise value.error(f"CLAIM has {kind} {claimed!r}: give {wanted}")
    words = {"target": target.correct, "epochs": count(recipe.epochs, "epoch")}
    texts = dict(_CLAIM_TEXTS)
    if given.get("sustained") == 1:
        texts["sustained"] = _SUSTAINED_ONCE
    return tuple(Claim(kind, one, texts[kind].format(value=one, **words), "file") for kind, one in given.items())
