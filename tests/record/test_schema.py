"""Tests of `schema`: JSON becomes a value of the wanted type, or an error says where it differs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.record import schema


@dataclass(frozen=True)
class Inner:
    number: int
    share: float | None = None


@dataclass(frozen=True)
class Outer:
    kind: Literal["a", "b"]
    words: tuple[str, ...]
    inner: tuple[Inner, ...] | None
    is_new: bool = False


def test_objects_lists_and_values_become_dataclasses_tuples_and_values() -> None:
    text = '{"x": {"kind": "b", "words": ["one", "two"], "inner": [{"number": 1}, {"number": -2, "share": 0.5}]}}'
    inner = (Inner(1), Inner(-2, 0.5))
    assert schema.read(text.encode(), dict[str, Outer]) == {"x": Outer("b", ("one", "two"), inner)}


def test_a_number_keeps_the_form_that_it_has_in_the_file() -> None:
    """The digest of a recipe depends on it."""
    assert repr(schema.read(b'{"number": 1, "share": 1}', Inner).share) == "1"


OUTER: dict[str, Any] = {"kind": "a", "words": [], "inner": None}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"kind": "c"}, "kind: 'c' is not one of a, b"),
        ({"kind": ["a"]}, "kind: a list is not one of a, b"),
        ({"words": "one"}, "words: 'one' is not a list"),
        ({"words": ["one", 2]}, "words: item 2: 2 is not text"),
        ({"words": ["\ud800"]}, "words: item 1: '\\ud800' is not text"),
        ({"inner": {}}, "inner: an object is not a list"),
        ({"inner": [[]]}, "inner: item 1: a list is not an object"),
        ({"inner": [{}]}, "inner: item 1: the field 'number' is missing"),
        ({"inner": [{"number": True}]}, "inner: item 1: number: True is not a whole number"),
        ({"inner": [{"number": 1.0}]}, "inner: item 1: number: 1.0 is not a whole number"),
        ({"inner": [{"number": 2**63}]}, "inner: item 1: number: 9223372036854775808 is not a whole number"),
        ({"inner": [{"number": 1, "share": "half"}]}, "inner: item 1: share: 'half' is not a number"),
        ({"inner": [{"number": 1, "share": 1e300}]}, "inner: item 1: share: 1e+300 is not a number"),
        ({"is_new": 1}, "is_new: 1 is not true or false"),
        ({"is_new": None}, "is_new: None is not true or false"),
        ({"x" * 100: 1}, f"the field '{'x' * 36}... is unknown"),
    ],
)
def test_the_first_difference_is_named_with_its_place(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(schema.Mismatch, match=f"^{re.escape(problem)}$"):
        schema.read(json.dumps(OUTER | changes).encode(), Outer)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"NaN", b"[Infinity]", b"1" * 5000, b"\xff\xfe"],
    ids=range(8),
)
def test_what_is_no_json_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(schema.Mismatch, match=r"^is not JSON$"):
        schema.read(content, Outer)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["kind", "words", "inner", "number", "x"]), inner),
)


@given(anything)
def test_any_json_is_of_the_type_or_refused_in_one_line(value: Any) -> None:
    try:
        found = schema.read(json.dumps(value).encode(), dict[str, Outer])
    except schema.Mismatch as error:
        said = str(error)
    else:
        said = ""
        assert isinstance(found, dict)
        assert all(isinstance(one, Outer) for one in found.values())
    assert said.isprintable()
