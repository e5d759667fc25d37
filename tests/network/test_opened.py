"""Tests of `opened`: a network that reads a file is refused, whichever library reads it, and with its line."""

from __future__ import annotations

import re

import numpy
import pytest
import torch
from own_networks import HEAD, PLAIN, changed, write

from bench.errors import UnusableInput
from bench.network.network_file import read

READS = {
    "open": "open('{}').read()",
    "Path": "__import__('pathlib').Path('{}').read_text()",
    "descriptor": "__import__('os').close(__import__('os').open(__import__('pathlib').Path('{}'), 0))",
    "numpy": "__import__('numpy').load('{}')",
    "torch": "torch.load('{}')",
    "pandas": "__import__('pandas').read_pickle('{}')",
    "to change": "open('{}', 'r+').close()",
}


@pytest.fixture
def files(tmp_path):
    """A file that each of the libraries can read, by the name of the library."""
    paths = {name: tmp_path / name.replace(" ", "_") for name in READS}
    for path in paths.values():
        path.write_text("5")
    with paths["numpy"].open("wb") as file:
        numpy.save(file, numpy.ones(2))
    torch.save(torch.ones(2), paths["torch"])
    torch.save(torch.ones(2), paths["pandas"])
    return paths


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("place", ["when it is imported", "when it is built", "in a module beside it"])
def test_a_network_that_reads_a_file_is_refused(tmp_path, files, name, place):
    reads = READS[name].format(files[name])
    others = {}
    if place == "when it is built":
        source, line = changed("super().__init__()", f"super().__init__(); {reads}"), "line 8 of net.py"
    elif place == "when it is imported":
        source, line = changed("class Net", f"VALUES = {reads}\nclass Net") + "        VALUES\n", "line 6 of net.py"
    else:
        source, line = f"import parts\nx = parts.VALUES\n{PLAIN}", "line 2 of <parts>"
        others = {"parts": f"import torch\nVALUES = {reads}\n"}
    one = read(write(tmp_path, net=source, **others)[0])
    with pytest.raises(UnusableInput, match=re.escape(f"it reads the file {files[name]} in {line}: write the values")):
        one.build()


def test_a_network_that_goes_on_if_its_file_is_missing_is_refused_too(tmp_path):
    source = f"{HEAD}try:\n    WIDTH = int(open('width.txt').read())\nexcept OSError:\n    WIDTH = 10\n\n\n"
    source += changed("784, 10", "784, WIDTH").removeprefix(HEAD)
    with pytest.raises(UnusableInput, match=r"it reads the file width\.txt in line 6 of net\.py"):
        read(write(tmp_path, net=source)[0]).build()


@pytest.mark.parametrize(
    "text",
    [
        "open('/proc/self/status').read()",
        "open('/dev/urandom', 'rb').close()",
        "open(numpy.__file__).read()",
        "open(json.__file__).read()",
        "open('{}/new.txt', 'w').close()",
        "open('{}/new.txt', 'a').close()",
        "open('{}/new.txt', 'w+').close()",
        "importlib.import_module('pydoc_data.topics')",
        "linecache.getlines('{}/net.py')",
        "warnings.warn('a word')",
        "torch.jit.script(nn.ReLU())",
    ],
)
def test_files_of_the_system_and_of_packages_can_be_read_and_any_file_can_be_written(tmp_path, text):
    head = "import importlib, json, linecache, numpy, warnings\n"
    source = head + changed("super().__init__()", f"super().__init__(); {text.format(tmp_path)}")
    with pytest.warns() if "warn" in text else pytest.MonkeyPatch.context():
        read(write(tmp_path, net=source)[0]).build()


OTHERS = {
    "import subprocess; subprocess.run(['cat', 'a'])": "starts the program cat",
    "import os; os.system('true')": "starts the program true",
    "import os; os.popen('true').close()": "starts the program /bin/sh",
    "import os; os.listdir('{}')": "lists the folder {}",
    "import pathlib; list(pathlib.Path('{}').glob('*.py'))": "lists the folder {}",
    "import sqlite3; sqlite3.connect('{}/data')": "reads the file {}/data",
    "import socket; socket.create_connection(('127.0.0.1', 9))": "connects to ('127.0.0.1', 9)",
}


@pytest.mark.parametrize("text", OTHERS)
def test_a_network_that_gets_values_from_elsewhere_is_refused(tmp_path, text):
    source = changed("super().__init__()", f"super().__init__(); {text.format(tmp_path)}")
    said = re.escape(f"it {OTHERS[text].format(tmp_path)} in line 8 of net.py: write the values into its source")
    with pytest.raises(UnusableInput, match=said):
        read(write(tmp_path, net=source)[0]).build()


def test_other_code_reads_what_it_likes_after_a_network_was_built(tmp_path):
    path, values = write(tmp_path, net=PLAIN, values="5")
    read(path).build()
    assert values.read_text() == "5"
