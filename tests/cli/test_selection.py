"""Tests of `selection`: a list of networks is split at its commas, not at those of paths and arguments."""

from __future__ import annotations

import pytest
from own_networks import PLAIN
from students import ARGUMENTS, SEVERAL

from bench.cli.selection import parse_networks
from bench.errors import UnusableInput


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {"a.py": PLAIN, "b, c/d.py": PLAIN, "nets.py": SEVERAL, "b, c/e,f/g.py": ARGUMENTS}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a.py,gap_head", ["a", "gap_head"]),
        ("b, c/d.py,a.py", ["d", "a"]),
        ("a.py,b, c", ["a", "d"]),
        ("nets.py::Net1,nets.py::Net3", ["nets.Net1", "nets.Net3"]),
        ('b, c/e,f/g.py::Net(norm="a,b", dropout=0.1),a.py', ["g.Net(dropout=0.1 norm=a-b)", "a"]),
        ("b, c/e,f/g.py::Net('a', 0),b, c/e,f/g.py::Net('b', 1)", ["g.Net(a 0)", "g.Net(b 1)"]),
    ],
)
def test_a_comma_in_a_path_or_between_arguments_separates_nothing(folder, text, names):
    assert [one.name for one in parse_networks(text)] == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.py,", "--models : no such network"),
        ("b, e.py", "--models b: no such network"),
        ("a.py,nets.py::Net1(x,y),a.py", "nets.py::Net1(x: write a class or a function, with plain numbers and quoted"),
    ],
)
def test_a_wrong_part_of_a_list_is_named(folder, capsys, text, said):
    with pytest.raises(UnusableInput) as error:
        parse_networks(text)
    assert said in capsys.readouterr().err + str(error.value)
