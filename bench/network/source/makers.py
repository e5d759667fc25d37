"""Find the functions and calls of a file that make a network, and their arguments. This module runs no code."""

from __future__ import annotations

import ast
from collections.abc import Collection

from bench.network import calls
from bench.network.source.candidates import OTHER_TORCH, Definitions, is_of_modules, made_by, method_of, required
from bench.network.source.names import Function, full_name, running


def makers(found: Definitions, has_arguments: bool = False) -> list[str]:
    """Return the functions that may make a network: those without required arguments, or the others."""
    return [
        name
        for name, node in found.named.items()
        if isinstance(node, ast.FunctionDef) and bool(required(node)) == has_arguments and _is_maker(found, node)
    ]


def _is_maker(found: Definitions, function: ast.FunctionDef) -> bool:
    """Whether a function may make a network: it returns what it calls, or a network that it does not train."""
    inside = [one for statement in function.body for one in running(statement)]
    returned = [one.value for one in inside if isinstance(one, ast.Return)]
    if any(isinstance(one, ast.Call) and _may_make(found, one, function) for one in returned):
        return True
    names = {one.id for one in returned if isinstance(one, ast.Name)}
    own = {one.name for one in inside if isinstance(one, ast.ClassDef)}
    trains = any(isinstance(one, ast.Attribute) and one.attr in ("backward", "fit") for one in inside)
    return not trains and any(
        isinstance(one, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id in names for target in one.targets)
        and _surely_makes(found, one.value, own)
        for one in inside
    )


def _may_make(found: Definitions, value: ast.Call, function: ast.FunctionDef) -> bool:
    """Whether a call may make a network: no function of PyTorch, no argument, and no method of a value."""
    called = made_by(value)
    first, name = ast.unparse(called).partition(".")[0], full_name(called, found.imported)
    is_of_torch = name.startswith(OTHER_TORCH) and not is_of_modules(name)
    is_argument = first in {one.arg for one in ast.walk(function.args) if isinstance(one, ast.arg)}
    return first.isidentifier() and not (is_of_torch or is_argument)


def _surely_makes(found: Definitions, value: ast.expr, own: Collection[str]) -> bool:
    """Whether an expression makes a network: by a class of PyTorch, of the file, or of the function itself."""
    called = made_by(value)
    is_class = isinstance(called, ast.Name) and (called.id in own or found.is_module(called.id, False))
    return is_class or is_of_modules(full_name(called, found.imported))


def trained(found: Definitions) -> list[str]:
    """Return the variables of the file whose parameters it uses: it trains them."""
    methods = [one.func for one in ast.walk(found.tree) if isinstance(one, ast.Call)]
    owners = [one.value for one in methods if isinstance(one, ast.Attribute) and one.attr == "parameters"]
    return [name for name in found.objects() if name in map(ast.unparse, owners)]


def calls_of(found: Definitions, name: str) -> list[ast.Call]:
    """Return the calls of a class or a function that have arguments."""
    calling = [node for node in ast.walk(found.tree) if isinstance(node, ast.Call) and (node.args or node.keywords)]
    return [node for node in calling if isinstance(node.func, ast.Name) and node.func.id == name]


def example(found: Definitions, name: str) -> str:
    """Return how the file itself makes a network, with plain arguments, or the arguments that it needs.

    The user has to put values in the place of each …
    """
    for node in calls_of(found, name):
        try:
            return calls.normalised(ast.unparse(node))
        except ValueError:
            continue
    given = [f"{one}={_value(found, name, one)}" for one in found.missing_arguments(name)]
    return f"{name}({', '.join(given)})" if given else name


def _value(found: Definitions, name: str, parameter: str) -> str:
    """Return what an argument has to be, by its annotation and by what is read of it."""
    owner = found.named[name]
    function = owner if isinstance(owner, Function) else method_of(owner, "__init__")
    annotation = next((one.annotation for one in _parameters(function) if one.arg == parameter), None)
    configuration = found.named.get(ast.unparse(annotation).strip("'")) if annotation is not None else None
    if isinstance(configuration, ast.ClassDef) and not configuration.bases:
        return f"{configuration.name}({', '.join(f'{one}=…' for one in _fields(found, configuration))})"
    inside = set(ast.walk(function)) if function is not None else set()  # elsewhere, its name can be of something else

    def is_it(value: ast.expr) -> bool:
        text = ast.unparse(value)
        return text == f"self.{parameter}" or (text == parameter and value in inside)

    nodes = sorted(
        (one for one in ast.walk(owner) if isinstance(one, ast.expr)), key=lambda one: (one.lineno, one.col_offset)
    )
    called = [one.func for one in nodes if isinstance(one, ast.Call)]
    if any(map(is_it, called)):
        return "…"
    parts = [one for one in nodes if isinstance(one, ast.Attribute | ast.Subscript) and is_it(one.value)]
    read = [one.attr for one in parts if isinstance(one, ast.Attribute) and one not in called]
    slices = [one.slice for one in parts if isinstance(one, ast.Subscript)]
    keys = [one.value for one in slices if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    if read:
        return f"SimpleNamespace({', '.join(f'{one}=…' for one in dict.fromkeys(read))})"
    items = ", ".join(f'"{one}": …' for one in dict.fromkeys(keys))
    return f"{{{items}}}" if keys else "…"


def _parameters(function: Function | None) -> list[ast.arg]:
    return [one for one in ast.walk(function.args) if isinstance(one, ast.arg)] if function is not None else []


def _fields(found: Definitions, configuration: ast.ClassDef) -> list[str]:
    """Return the values without a default that a class needs, also those of a dataclass."""
    if method_of(configuration, "__init__") is not None:
        return list(found.missing_arguments(configuration.name))
    return [
        ast.unparse(one.target)
        for one in configuration.body
        if isinstance(one, ast.AnnAssign) and one.value is None and "ClassVar" not in ast.unparse(one.annotation)
    ]
