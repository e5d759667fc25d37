"""Tests of `calls`: a call is read from text and never evaluated."""

from __future__ import annotations

import pytest

from bench.network import calls


def test_a_call_is_read_and_never_evaluated():
    call = calls.parse(" RandomAffine(7, translate=(0.1, -0.1), fill=None) ")
    assert (call.name, call.positional, call.keywords) == (
        "RandomAffine",
        (7,),
        {"translate": (0.1, -0.1), "fill": None},
    )
    for text in (
        "",
        "f",
        "f(x)",
        "f(g())",
        "a.f()",
        "_f()",
        "f(**{'a': 1})",
        "f(); g()",
        "f() + 1",
        "f(*[1])",
        "lambda: 1",
    ):
        with pytest.raises(ValueError, match="is not a call with plain arguments"):
            calls.parse(text)


@pytest.mark.parametrize("text", ["StepLR( step_size = 6,gamma=0.1 )", "  StepLR(step_size=6,\n    gamma=1e-1)  "])
def test_every_layout_of_a_call_is_normalised_to_one(text: str):
    assert calls.normalised(text) == "StepLR(step_size=6, gamma=0.1)"


def test_only_a_call_can_be_normalised():
    with pytest.raises(ValueError, match="'StepLR' is not a call with plain arguments"):
        calls.normalised("StepLR")
