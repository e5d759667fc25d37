"""Read JSON as a value of a type. Whatever the JSON is, the value has this type, or one error names the place."""

from __future__ import annotations

import functools
import json
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints


class Mismatch(ValueError):
    """The content is not of the wanted type. The message says what is wrong, and where in the content."""


def read(content: bytes, kind: Any) -> Any:
    """Return the value that JSON describes.

    `kind` is text, a number, a truth value, a `Literal` of texts, a dataclass, a tuple of any length, a dictionary with
    text as keys, or one of these or None. An object must have the fields of its dataclass and no others. It can lack a
    field with a default.

    Raises:
        Mismatch: the content is not JSON, or describes something else.
    """
    try:
        value = json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Mismatch("is not JSON") from error
    return _value(kind, value, "")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)  # NaN and infinities are not JSON


def _value(kind: Any, value: Any, place: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
        return kind(**_fields(kind, value, place))
    if origin is dict and isinstance(value, dict):
        return {
            _value(str, key, place): _value(arguments[1], one, f"{place}{_shown(key)}: ") for key, one in value.items()
        }
    if origin is tuple and isinstance(value, list):
        return tuple(_value(arguments[0], one, f"{place}item {number}: ") for number, one in enumerate(value, start=1))
    if origin is UnionType:  # with None
        return None if value is None else _value(arguments[0], value, place)
    if origin is Literal and isinstance(value, str) and value in arguments:
        return value
    if _is_plain(kind, value):
        return value
    raise Mismatch(f"{place}{_shown(value)} is not {_name(kind)}")


def _fields(kind: Any, value: dict[str, Any], place: str) -> dict[str, Any]:
    hints = _hints(kind)
    for name in value:
        if name not in hints:
            raise Mismatch(f"{place}the field {_shown(name)} is unknown")
    found = {}
    for field in fields(kind):
        if field.name in value:
            found[field.name] = _value(hints[field.name], value[field.name], f"{place}{field.name}: ")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise Mismatch(f"{place}the field {field.name!r} is missing")
    return found


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _is_plain(kind: Any, value: Any) -> bool:
    """Whether a value is text that can be written, a truth value, or a finite number.

    A whole number fits 64 bits. Any other is at most 1e39, which is more than the largest binary32 number.
    """
    if kind is str and isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and -(2**63) <= value < 2**63
    return kind is float and isinstance(value, int | float) and abs(value) <= 1e39  # NaN is not


def _shown(value: Any) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = ascii(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _name(kind: Any) -> str:
    names = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    return names.get(kind) or ("a list" if get_origin(kind) is tuple else "an object")
