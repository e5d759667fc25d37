"""Tests of `networks`: the networks that words on a command line mean, by name, file, folder or entry point."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from own_networks import DRAWS, PLAIN, write
from students import ARGUMENTS, BESIDE, BLOCKS, SEVERAL

from bench.cli import networks
from bench.errors import UnusableInput
from bench.network.network_file import read
from models import ARCHITECTURES


def found(*words):
    """The networks that these words mean."""
    return networks.find(words, networks.known())


def test_names_files_and_folders_can_be_mixed_and_a_network_counts_once(tmp_path, root):
    write(tmp_path, b=PLAIN, a=DRAWS, _helper="x = 1")
    words = ["gap_head", str(tmp_path / "b.py"), str(tmp_path), str(root / "models" / "gap_head.py")]
    assert [one.name for one in found(*words)] == ["gap_head", "b", "a"]


def test_the_documented_networks_can_be_found_by_their_folder(root):
    chosen = {one.name: one for one in found(str(root / "models"))}
    assert chosen == dict(sorted(ARCHITECTURES.items()))
    for name, one in ARCHITECTURES.items():
        file = root / "models" / f"{name}.py"
        assert read(file, one.recipe, one.document) == one


def test_two_networks_of_one_name_are_refused(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, net=PLAIN)
    with pytest.raises(UnusableInput, match=r"two/net\.py: \S*one/net\.py is also named net: rename one of them"):
        found(str(tmp_path / "one"), str(tmp_path / "two"))


def test_a_file_with_the_name_of_a_documented_network_is_refused(tmp_path):
    (path,) = write(tmp_path, gap_head=PLAIN)
    with pytest.raises(UnusableInput, match=r"gap_head\.py is also named gap_head: rename one of them"):
        found(str(path))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nowhere.py", "nowhere.py: cannot be read (No such file or directory): name a Python file, a notebook or"),
        ("nowhere.ipynb", "nowhere.ipynb: cannot be read (No such file or directory): name a Python file, a noteb"),
        ("nowhere.py::Net", "nowhere.py: cannot be read (No such file or directory): name a Python file, a noteb"),
        ("gap_head::Net", "gap_head::Net: no such network; choose from squeeze_fc, expand_squeeze, "),
        ("::Net", "::Net: no such network; choose from squeeze_fc, expand_squeeze, "),
        ("empty", "empty: no file of this folder defines a network: give a folder with Python files that define netw"),
        ("resnet", "resnet: no such network; choose from squeeze_fc, expand_squeeze, "),
    ],
)
def test_words_that_mean_no_network_are_refused(tmp_path, monkeypatch, word, said):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    with pytest.raises(UnusableInput, match=re.escape(said)):
        found(word)


def test_every_file_of_a_folder_that_cannot_be_used_gets_its_line(tmp_path, capsys):
    write(tmp_path, a="TARGET = x", b=PLAIN, c="(", d=SEVERAL)
    with pytest.raises(UnusableInput, match=r"d\.py: defines 3 networks"):
        found(str(tmp_path))
    said = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1].rpartition("/")[2] for line in said] == ["a.py:1", "c.py:1"]


def test_files_of_a_folder_that_are_no_networks_are_named_and_skipped(tmp_path, capsys):
    train = "from net import Net\nNet().fit()\n"
    write(
        tmp_path,
        net=BESIDE,
        blocks=BLOCKS,
        utils="WIDTH = 9\n",
        train=train,
        other=PLAIN,
        __init__="",
        a=train.replace("import Net", "import *"),
    )
    assert [one.name for one in found(str(tmp_path))] == ["net", "other"]
    assert capsys.readouterr().err.splitlines() == [
        f"bench: skipped {tmp_path}/{rest}"
        for rest in (
            "a.py: defines no network: it imports Net from net: name the file of net instead",
            "train.py: defines no network: it imports Net from net: name the file of net instead",
            "utils.py: defines no network: it needs one class derived from torch.nn.Module",
            "blocks.py: net imports it: to train it too, name it",
        )
    ]
    chosen = found(str(tmp_path), f"{tmp_path}/blocks.py::Squeeze(9)")
    assert [one.call for one in chosen] == ["Net", "Net", "Squeeze(9)"]


def test_a_network_of_a_file_counts_once_however_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, net=PLAIN, nets=SEVERAL)
    chosen = found("net.py", "./net.py::Net", "net.py::Net()", "nets.py::Net1", "nets.py::Net2()", "nets.py::Net2")
    assert [one.name for one in chosen] == ["net", "nets.Net1", "nets.Net2"]
    assert found("net.py::Net")[0].digest == found("net.py")[0].digest


def test_a_documented_network_can_be_named_by_file_and_class(root):
    gap_head = ARCHITECTURES["gap_head"]
    assert found(f"{root}/models/gap_head.py::{gap_head.class_name}") == [gap_head]


def test_two_networks_whose_arguments_make_one_name_are_refused(tmp_path):
    (path,) = write(tmp_path, net=ARGUMENTS)
    with pytest.raises(UnusableInput, match=r"is also named net\.Net\(1 0\.1\): rename one of them"):
        found(f"{path}::Net(1, 0.1)", f"{path}::Net('1', 0.1)")


def registered(monkeypatch, **values):
    """Let installed packages register these networks: name to module."""
    points = [EntryPoint(name, value, networks.GROUP) for name, value in values.items()]
    monkeypatch.setattr(networks, "entry_points", lambda group: points if group == "bench.networks" else [])


def test_installed_packages_register_networks_by_entry_points(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (path,) = write(tmp_path, module_of_a_package=PLAIN)
    registered(monkeypatch, fine="module_of_a_package")
    assert list(networks.known()) == [*ARCHITECTURES, "fine"]
    assert found("fine") == found(str(path)) == [networks.known()["fine"]]
    assert networks.known()["fine"].digest == read(path).digest


def test_a_helper_of_a_registered_network_belongs_to_it(tmp_path, monkeypatch):
    (tmp_path / "package_with_helper").mkdir()
    write(
        tmp_path / "package_with_helper", net=BESIDE.replace("from blocks", "from .blocks"), blocks=BLOCKS, __init__=""
    )
    write(tmp_path, utils="WIDTH = 9\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registered(monkeypatch, net="package_with_helper.net")
    before = networks.known()["net"]
    assert [name for name, _ in before.modules] == ["package_with_helper", "package_with_helper.blocks"]
    (tmp_path / "package_with_helper" / "blocks.py").write_text(BLOCKS.replace("stride=2", "stride=3"))
    assert networks.known()["net"].digest != before.digest


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "gone",
            "no_such_module",
            "entry point gone of bench.networks: no_such_module does not exist or is not a Python file",
        ),
        (
            "gone",
            "no_such_package.module",
            "entry point gone of bench.networks: no_such_package.module cannot be found",
        ),
        ("gap_head", "this", "entry point gap_head of bench.networks: another network already has this name"),
    ],
)
def test_an_entry_point_that_cannot_be_used_is_named(monkeypatch, name, value, said):
    registered(monkeypatch, **{name: value})
    with pytest.raises(UnusableInput, match=re.escape(said)):
        networks.known()
