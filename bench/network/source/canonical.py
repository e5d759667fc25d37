"""Python code as text that changes with the code, but not with its comments, docstrings and layout."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

VALUES = ("RECIPE", "TARGET", "CLAIM")
"""The names of the values that a network's file may have."""

_USES = re.compile(rf"\b({'|'.join([*VALUES, 'globals', 'eval', 'exec'])})\b")  # the last three can use any name


def value_name(node: ast.stmt) -> str | None:
    """Return the name in `VALUES` that a statement assigns, if any."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return names[0] if len(names) == len(targets) == 1 and names[0] in VALUES else None


def changed_values(source: str, executed: Mapping[str, Any]) -> list[str]:
    """Return the values that are not what the plain statements of a source say, after it was executed."""
    assignments = (node for node in ast.parse(source).body if isinstance(node, ast.Assign | ast.AnnAssign))
    stated = {value_name(node): node.value for node in assignments if node.value is not None}
    return [name for name, value in stated.items() if name and executed[name] != ast.literal_eval(value)]


_READS_DOCSTRINGS = re.compile(r"__doc__|\bgetdoc\b|\bgetsource")


def _parsed(source: str) -> ast.Module:
    """Parse code, without its docstrings unless it reads docstrings."""
    tree = ast.parse(source)
    if not _READS_DOCSTRINGS.search(source):
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and _is_docstring(node.body[:1]):
                del node.body[0]
    return tree


def _canonical(node: Any) -> Iterator[str]:
    """Yield a syntax tree as text that is the same in every version of Python.

    `ast.dump` writes empty fields differently since Python 3.13, and new versions add new fields. Without its empty
    fields, a program has the same text in all versions.
    """
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in ast.iter_fields(node):
            if value not in (None, []) and name not in ("ctx", "kind", "type_comment"):
                yield f" {name}="
                yield from _canonical(value)
        yield ")"
    elif isinstance(node, list):
        for item in node:
            yield from _canonical(item)
    else:
        yield repr(node)


def _is_docstring(body: list[ast.stmt]) -> bool:
    return (
        bool(body)
        and isinstance(body[0], ast.Expr)
        and isinstance(body[0].value, ast.Constant)
        and isinstance(body[0].value.value, str)
    )


def canonical(source: str) -> str:
    """Return Python code as text that changes with the code, but not with its comments, docstrings and layout.

    Docstrings count if the code reads docstrings.
    """
    return "".join(_canonical(_parsed(source)))


def canonical_network(source: str, modules: Iterable[str]) -> str:
    """Return the code of a network's file as such a text, without the values that its code never names.

    A value that the file, or one of its own `modules` in canonical text, uses is code as well.
    """
    tree = _parsed(source)
    values = [node for node in tree.body if value_name(node)]
    tree.body = [node for node in tree.body if node not in values]
    text = "".join(_canonical(tree))
    found = {name for one in (text, *modules) for name in _USES.findall(one)}
    used = set(VALUES) if found - set(VALUES) else found
    if not used:
        return text
    tree.body = [node for node in _parsed(source).body if value_name(node) in (None, *used)]
    return "".join(_canonical(tree))
