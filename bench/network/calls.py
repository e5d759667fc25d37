"""Calls that are written as text, such as `StepLR(step_size=6, gamma=0.1)`. They are parsed, never evaluated."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """A call: the name of the function or class, and the arguments."""

    name: str
    positional: tuple[Any, ...]
    keywords: dict[str, Any]


def parse(text: str) -> Call:
    """Parse the text of one call.

    Raises:
        ValueError: the text is not one call of a plain name with literals (numbers, text, lists of these) as arguments.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.func.id.startswith("_"):
            keywords = {str(word.arg): ast.literal_eval(word.value) for word in node.keywords if word.arg is not None}
            if len(keywords) == len(node.keywords):
                return Call(node.func.id, tuple(ast.literal_eval(one) for one in node.args), keywords)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"{text!r} is not a call with plain arguments") from error
    raise ValueError(f"{text!r} is not a call with plain arguments")


def is_member(text: str) -> bool:
    """Whether a text can stand after `::` in the name of a network: nothing, a plain name or a call of one."""
    if text == "" or text.isidentifier():
        return True
    try:
        parse(text)
    except ValueError:
        return False
    return True


def normalised(text: str) -> str:
    """Return the text of a call in a standard layout. Spaces and quotes then make no difference.

    Raises:
        ValueError: as for `parse`.
    """
    parse(text)
    return ast.unparse(ast.parse(text.strip(), mode="eval"))
