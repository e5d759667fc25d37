"""Tests of `canonical`: code as text changes with the code, and not with what is no code."""

from __future__ import annotations

import pytest

from bench.network.source.canonical import canonical, canonical_network


@pytest.mark.parametrize("other", ["x = (1)", '"""Text."""\nx=1', "x = 1  # one", "x = \\\n 1\n\n"])
def test_comments_docstrings_and_layout_are_no_code(other):
    assert canonical(other) == canonical("x = 1") != canonical("x = 2")


def test_a_docstring_counts_if_the_code_reads_docstrings():
    reads = "class Net:\n    '{}'\n    width = int(__doc__)"
    assert canonical(reads.format(8)) != canonical(reads.format(12))
    assert canonical_network(reads.format(8), ()) != canonical_network(reads.format(12), ())


def test_a_value_counts_only_if_the_code_or_an_own_module_names_it():
    def texts(code, *modules):
        modules = [canonical(one) for one in modules]
        return len({canonical_network(f"TARGET = {count}\n{code}", modules) for count in (1, 2)})

    assert texts("x = 1", "y = 2") == 1
    assert texts("x = TARGET") == texts("x = 1", "from net import TARGET") == texts("exec('x = 1')") == 2
    assert texts("TARGETS = 'TARGETS'") == texts("x = CLAIM") == 1
