"""A call with plain arguments, written as text: `StepLR(step_size=6, gamma=0.1)`. It is read, never evaluated."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """The name of what is called, with its arguments."""

    name: str
    positional: tuple[Any, ...]
    keywords: dict[str, Any]


def parse(text: str) -> Call:
    """The call that a text is.

    Raises:
        ValueError: it is not one call of a plain name, with numbers, text and lists of these as arguments.
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


def normal(text: str) -> str:
    """The same call as every layout of it is written.

    Raises:
        ValueError: as `parse`.
    """
    parse(text)
    return ast.unparse(ast.parse(text.strip(), mode="eval"))
