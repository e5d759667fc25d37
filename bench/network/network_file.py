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
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from bench.errors import UnusableInput
from bench.network import calls
from bench.network.source import choice, closure, packages
from bench.network.source import text as source_text
from bench.network.source.candidates import Definitions
from bench.network.source.names import definitions
from bench.network.source.statements import Statements, extract
from bench.network.specification import Architecture, Document, Recipe
from bench.network.values import read_values
from bench.wording import listed

LONGEST_NAME = 100  # bytes, because file names contain it


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
        choice.NoNetwork: the file has no network.
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
    found = closure.definitions_at(where, text.tree)
    values = read_values(text, found, recipe)
    class_name, arguments = choice.choose(str(path), found, member)
    statements = Statements(text.tree, where.has)
    needed = statements.needed([class_name], trained="" if class_name in found.named else class_name)
    left_out = [*text.left_out, *map(statements.said, statements.acting(needed))]
    is_only = found.networks() == [class_name]
    is_whole = is_only and not left_out and path.suffix != source_text.NOTEBOOK
    source = text.text if is_whole else extract(text.text, text.tree, needed)
    running = statements.executed(class_name) if is_whole else needed
    modules = closure.closure(where, [text.tree.body[index] for index in sorted(running)])
    code = [*(text.tree.body[index] for index in needed), *map(ast.parse, modules.values())]
    taken = "" if is_whole else _taken(statements, needed, left_out, _definitions_of(class_name, text.tree))
    return Architecture(
        name=_name(path, "" if is_only and not arguments else class_name, arguments),
        source=source,
        class_name=class_name,
        recipe=values.recipe,
        document=document,
        target=values.target,
        own_claims=values.claims if document is None else (),
        path=str(path),
        arguments=arguments,
        modules=tuple(sorted(modules.items())),
        module=where.module if modules else "network",
        packages=packages.versions(code, where.has),
        taken="; ".join(filter(None, [taken, _made_otherwise(text, found, statements, class_name)])),
    )


def _definitions_of(name: str, tree: ast.Module) -> int:
    return sum(node.name == name for node in definitions(tree))


def _taken(statements: Statements, needed: Collection[int], left_out: Sequence[str], defined_times: int) -> str:
    """Return in words what is taken of a file, and what it does that is left out."""
    names = [name for index in sorted(needed) for name in sorted(statements.names[index].binds)]
    defined = [name for name in dict.fromkeys(names) if name not in statements.imported]
    said = list(dict.fromkeys(left_out))
    rest = f"; left out: {listed([*said[:4], *(['more'] if len(said) > 4 else [])])}" if said else ""
    last = f", the last of {defined_times} definitions" if defined_times > 1 else ""
    return f"only {listed(defined)} {'is' if len(defined) == 1 else 'are'} used{last}{rest}"


def _made_otherwise(text: source_text.SourceText, found: Definitions, statements: Statements, class_name: str) -> str:
    """Return in words that the file makes another network of the class, and how to name it."""
    for name in found.made_of(class_name) if class_name in found.named else ():
        changing = statements.changing(name)
        if changing or not found.is_plain(name, class_name):
            place = text.place(text.tree.body[changing[0]].lineno) if changing else text.path
            what = f"{place} changes {name} after it is made" if changing else f"{name} is more than {class_name}"
            return f"{what}, which is not used: to train it, name {text.path}::{name}"
    return ""


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
