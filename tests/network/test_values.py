"""Tests of `values`: a value has the content that Python would give it, or the file is refused with the line."""

from __future__ import annotations

import pytest
from own_networks import PLAIN, write
from students import notebook

from bench.errors import UnusableInput
from bench.network.network_file import read


def of(folder, source, **others):
    """The network of a file, with other files beside it."""
    return read(write(folder, net=source, **others)[0])


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (2, "if True:\n    RECIPE = {'epochs': 3}"),
        (2, "if True:\n    x = 1; RECIPE = {'epochs': 3}"),
        (1, "RECIPE, TARGETS = {'epochs': 3}, 5"),
        (1, "DEFAULTS = RECIPE = {'epochs': 3}"),
        (1, "(RECIPE := {'epochs': 3})"),
        (1, "[RECIPE := {'epochs': i} for i in (1, 2)]"),
        (1, "from config import RECIPE"),
        (1, "from config import SETTINGS as RECIPE"),
        (1, "from config import *"),
        (1, "import config as RECIPE"),
        (1, "for RECIPE in []: pass"),
        (1, "with open('x') as RECIPE: pass"),
        (1, "try:\n    pass\nexcept OSError as RECIPE:\n    pass"),
        (2, "RECIPE = {'epochs': 3}\nRECIPE['epochs'] = 5"),
        (2, "RECIPE = {'epochs': 3}\nRECIPE |= {'epochs': 5}"),
        (2, "RECIPE = {'epochs': 3}\nRECIPE.update(epochs=5)"),
        (2, "RECIPE = {'epochs': 3}\nx = RECIPE.pop('epochs')"),
        (2, "RECIPE = {'epochs': 3}\ndel RECIPE['epochs']"),
        (2, "RECIPE = {'epochs': 3}\ndel RECIPE"),
        (3, "RECIPE = {'epochs': 3}\ndef change():\n    global RECIPE\n    RECIPE = {'epochs': 5}"),
        (3, "RECIPE = {'epochs': 3}\ndef change():\n    RECIPE['epochs'] = 5"),
        (2, "if __name__ == '__main__':\n    RECIPE = {'epochs': 3}"),
        (3, "RECIPE = {'epochs': 3}\nif __name__ == '__main__':\n    RECIPE['epochs'] = 5"),
        (1, "class RECIPE: pass"),
        (1, "def RECIPE(): pass"),
    ],
)
def test_a_value_that_is_set_or_changed_in_another_way_than_by_a_plain_statement_is_refused(tmp_path, line, text):
    with pytest.raises(UnusableInput) as error:
        of(tmp_path, f"{text}\n{PLAIN}", config="RECIPE = SETTINGS = {}\n")
    advice = 'write it once, at the left margin, as RECIPE = {"epochs": 15}, or rename this variable'
    assert str(error.value) == f"{tmp_path}/net.py:{line}: RECIPE is set or changed here, which is not read: {advice}"


@pytest.mark.parametrize("name", ["RECIPE", "RECIPE: dict[str, int]"])
@pytest.mark.parametrize("text", ["same = RECIPE\nsame['epochs'] = 5", "x = dict.update(RECIPE, epochs=5)"])
def test_a_value_that_is_changed_under_another_name_is_refused_when_the_network_is_built(tmp_path, name, text):
    one = of(tmp_path, f"{name} = {{'epochs': 3}}\nTARGET = 9900\n{text}\n{PLAIN}")
    with pytest.raises(
        UnusableInput, match="its code changes RECIPE while it is executed, which is not read: change a"
    ):
        one.build()


@pytest.mark.parametrize(
    "text",
    [
        "print(RECIPE, RECIPE['epochs'], RECIPE.get('epochs'), len(RECIPE))",
        "def train(RECIPE):\n    RECIPE['epochs'] = 5",
        "def train():\n    RECIPE = {}\n    RECIPE.update(epochs=5)\n    for TARGET in (1, 2): pass",
        "class Other:\n    RECIPE = {}\n    TARGET = 5",
        "from config import *",
        "x = [TARGET for TARGET in (1, 2)]",
    ],
)
def test_a_value_that_is_only_used_or_another_variable_of_its_name_does_not_matter(tmp_path, text):
    assert of(tmp_path, f"RECIPE = {{'epochs': 3}}\n{text}\n{PLAIN}", config="WIDTH = 5\n").recipe.epochs == 3


def test_the_last_of_several_plain_statements_counts_as_it_does_in_python(tmp_path):
    path = tmp_path / "S5.ipynb"
    path.write_text(notebook("RECIPE = {'epochs': 3}", PLAIN, "RECIPE = {'epochs': 5}"))
    assert read(path).recipe.epochs == 5


@pytest.mark.parametrize(
    ("value", "used"),
    [
        ("TARGET = {}", "x = TARGET > 9900"),
        ("TARGET = {}", "def width():\n    return 8 if TARGET > 9900 else 9"),
        ("TARGET: int = {}", "x = globals()['TARGET']"),
        ("TARGET = {}", "x = eval('TAR' + 'GET')"),
        ("CLAIM = {{'best': {}}}", "x = CLAIM['best'] > 9900"),
    ],
)
def test_a_value_that_the_code_uses_is_in_the_digest(tmp_path, value, used):
    def digests(text):
        found = (of(tmp_path, f"{value.format(count)}\n{text}\n{PLAIN}").digest for count in (9900, 9901))
        return len(set(found))

    assert (digests(used), digests("x = 5")) == (2, 1)


def test_a_value_that_only_a_module_beside_it_uses_is_in_the_digest(tmp_path):
    def digest(target):
        source = f"from parts import width\nTARGET = {target}\nWIDTH = width()\n{PLAIN}"
        return of(tmp_path, source, parts="def width():\n    import net\n    return net.TARGET % 9\n").digest

    assert digest(9900) != digest(9901)
