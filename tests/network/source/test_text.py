"""Tests of `text`: the Python text of a file in any encoding, of an export of Colab, and of a notebook."""

from __future__ import annotations

import json
import re

import pytest
from own_networks import PLAIN
from students import notebook

from bench.errors import UnusableInput
from bench.network.source.text import read


def of(folder, content, name="net.py"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(path)


@pytest.mark.parametrize(
    "content",
    [
        "x = 'é'\n".encode(),
        b"\xef\xbb\xbf" + "x = 'é'\n".encode(),
        "# coding: latin-1\nx = 'é'\n".encode("latin-1"),
        "#!/usr/bin/env python\n# vim: set fileencoding=cp1252 :\nx = 'é'\n".encode("cp1252"),
        "x = 'é'\r\n".encode(),
    ],
    ids=["UTF-8", "with a mark", "latin-1", "cp1252", "Windows lines"],
)
def test_a_file_is_read_in_its_own_encoding(tmp_path, content):
    assert of(tmp_path, content).text.splitlines()[-1] == "x = 'é'"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x = 'é'\n".encode("latin-1"), "cannot be read (it is not UTF-8"),
        (b"# coding: nothing\n", "cannot be read (unknown encoding: nothing"),
        (b"x = 1\n" * 3 + b"y = '\xe9'\n", "cannot be read (it is not UTF-8"),
    ],
)
def test_a_file_in_another_encoding_than_it_says_is_refused_with_advice(tmp_path, content, said):
    with pytest.raises(UnusableInput) as error:
        of(tmp_path, content)
    assert said in str(error.value)
    assert "name its encoding in the first line, like `# coding: latin-1`" in str(error.value)


def test_lines_of_a_notebook_in_a_file_are_left_out_and_every_other_line_stays_in_its_place(tmp_path):
    lines = [
        "!pip install -q torchsummary",
        "%matplotlib inline",
        '"""Text with',
        "!no command and",
        '%no magic"""',
        "if True:",
        "    !ls 'it",
        "files = !ls",
        "x = 7 \\",
        "% 4",
        "torch.nn?",
        "pip install torchsummary \\",
        "  torchviz",
    ]
    found = of(tmp_path, "\n".join(lines))
    assert found.left_out == (lines[0], lines[1], "!ls 'it", "files = !ls", "torch.nn?", lines[11])
    assert found.text.split("\n") == ["", "", *lines[2:6], "    pass", "", *lines[8:10], "", "", ""]


@pytest.mark.parametrize("line", ["!= 3", "% (1, 2)", "x = % 2", "class Net(:", "return ?"])
def test_a_line_that_no_notebook_understands_is_refused(tmp_path, line):
    with pytest.raises(UnusableInput, match=re.escape("net.py:2: this is not valid Python (")):
        of(tmp_path, f"x = 1\n{line}\n")


def test_the_cells_of_a_notebook_are_one_text_without_what_is_no_python(tmp_path):
    cells = ["# A title", "%%time\nx = 1", "%%bash\nls", "y = (", "", "!ls\nz = x", "%%writefile a.md\nz = 2"]
    found = of(tmp_path, notebook(*cells), "S5.ipynb")
    assert found.text == "\nx = 1\n\n\nz = x\n"
    not_python = [f"cell {number}, which is not Python" for number in (3, 4, 7)]
    assert found.left_out == ("%%time", *not_python[:2], "!ls", not_python[2])
    assert [found.place(line).removeprefix(f"{tmp_path}/") for line in (2, 5)] == [
        "S5.ipynb, cell 2",
        "S5.ipynb, cell 6",
    ]


def test_a_cell_that_writes_a_python_file_is_read_as_its_code(tmp_path):
    cells = [
        "%%writefile parts/blocks.py\nWIDTH = 1\nOLD = 2",
        "%%writefile parts/blocks.py\nWIDTH = 5\ndef block(): pass",
        "%%writefile -a parts/blocks.py\nDEPTH = 3",
        "\n%%file 'net.py'\nfrom .parts.blocks import (block,\n  WIDTH as W)\nimport torch\nclass Net:\n  width = W",
        "!python net.py\nfrom net import Net; x = 1\nfrom net import *\nfrom nets import y\nimport net",
    ]
    found = of(tmp_path, notebook(*cells), "S5.ipynb")
    assert found.text.split("\n") == [
        *("", "WIDTH = 5", "def block(): pass"),
        *("", "DEPTH = 3"),
        *("", "", "W = WIDTH", "", "import torch", "class Net:", "  width = W"),
        *("", "pass; x = 1", "pass", "from nets import y", "import net", ""),
    ]
    assert found.left_out == ("!python net.py",)
    assert found.place(11) == f"{tmp_path}/S5.ipynb, cell 4"


def test_the_source_of_a_cell_is_one_text_or_a_list_of_lines_in_every_format(tmp_path):
    cell = {"cell_type": "code", "source": PLAIN}
    old = {"cell_type": "code", "input": PLAIN.splitlines(keepends=True)}
    for content in ({"cells": [cell]}, {"worksheets": [{"cells": [old]}]}):
        assert of(tmp_path, json.dumps(content), "net.ipynb").text == PLAIN


@pytest.mark.parametrize("content", ["", "{", "[]", "5", "{}", '{"cells": 5}', '{"cells": [{}]}', "\\xff", PLAIN])
def test_a_file_that_is_no_notebook_is_refused_in_one_line(tmp_path, content):
    with pytest.raises(UnusableInput, match=r"S5\.ipynb: this is not a notebook: save it again in Jupyter or Colab"):
        of(tmp_path, content, "S5.ipynb")
