"""Find the networks of a command line: by name, by file or by folder. Installed packages can register more names.

This process runs no code of a network. A separate process does that.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path

from bench.children import child_command, child_variables
from bench.errors import UnusableInput, one_line
from bench.network import network_file
from bench.network.source.choice import NoNetwork
from bench.network.source.text import NOTEBOOK
from bench.network.specification import Architecture
from bench.network.structure_facts import Structure, from_json
from bench.network.values import place_of_value
from models import ARCHITECTURES

GROUP = "bench.networks"
"""The entry point group. An entry is `name = "package.module"`; the module is a Python file with one network."""


@dataclass(frozen=True)
class Inspected:
    """A network of a file, and its structure.

    `unused` has the names of the parameters that no gradient reaches. `remarks` says what is probably a mistake.
    """

    architecture: Architecture
    structure: Structure
    unused: tuple[str, ...]
    remarks: tuple[str, ...]


def known() -> dict[str, Architecture]:
    """Return the networks that can be chosen by name: first the documented ones, then those of installed packages.

    Raises:
        UnusableInput: a registered network cannot be read, or its name is already taken.
    """
    found = dict(ARCHITECTURES)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        place = f"entry point {point.name} of {GROUP}"
        if point.name in found:
            raise UnusableInput(f"{place}: another network already has this name: rename one of them")
        try:
            spec = importlib.util.find_spec(point.module)
        except Exception as error:  # finding a module imports the packages that contain it
            problem = f"{point.module} cannot be found ({one_line(error)})"
            raise UnusableInput(f"{place}: {problem}: correct or uninstall its package") from error
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            problem = f"{point.module} does not exist or is not a Python file"
            raise UnusableInput(f"{place}: {problem}: correct or uninstall its package")
        found[point.name] = replace(network_file.read(Path(spec.origin), module=point.module), name=point.name)
    return found


def find(words: Iterable[str], named: Mapping[str, Architecture], option: str = "") -> list[Architecture]:
    """Return the networks that the words choose, each once.

    A word is a name in `named`, a file, a network of a file like `net.py::Net`, or a folder of files. A file of a
    network in `named` chooses that network. In a folder, files whose names begin with _ or . are skipped. Files that
    define no network, or that another file of the folder imports, are named and skipped. `option` is the option that
    the words were given to; messages begin with it.

    Raises:
        UnusableInput: a word chooses nothing, a file cannot be used, or two networks have the same name. Every problem
            gets a line.
    """
    by_file = {os.path.realpath(one.path): one for one in named.values() if one.path}
    found: dict[str, Architecture] = {}
    problems: list[str] = []

    def add(one: Architecture) -> None:
        for other in (named.get(one.name), found.get(one.name.casefold())):
            if other is not None and other.path and _identity(other) != _identity(one):
                raise UnusableInput(f"{one.path}: {other.path} is also named {other.name}: rename one of them")
        found[one.name.casefold()] = one

    for word in words:
        try:
            if word in named:
                add(named[word])
                continue
            path, _, member = word.partition("::")
            if path and Path(path).is_dir():
                in_folder, refused = _in_folder(Path(path), by_file, option)
                problems += refused
            else:
                in_folder = [_in_file(word, path, member, named, by_file, option)]
        except UnusableInput as error:
            problems.append(str(error))
            continue
        for one in in_folder:
            try:
                add(one)
            except UnusableInput as error:
                problems.append(str(error))
    _raise_if_any(problems)
    return list(found.values())


def _in_file(
    word: str,
    path: str,
    member: str,
    named: Mapping[str, Architecture],
    by_file: Mapping[str, Architecture],
    option: str,
) -> Architecture:
    if not (path.endswith((".py", NOTEBOOK)) or (path and Path(path).is_file())):
        advice = f"choose from {', '.join(named)}, or give a file or a folder"
        raise UnusableInput(f"{option}{word}: no such network; {advice}")
    known = by_file.get(os.path.realpath(path))
    if known is not None and member in ("", known.class_name, f"{known.class_name}()"):
        return known
    return network_file.read(Path(path), member=member)


def _in_folder(folder: Path, by_file: Mapping[str, Architecture], option: str) -> tuple[list[Architecture], list[str]]:
    """Return the networks of the files of a folder, and the problems of the files that cannot be read."""
    files = sorted(one for one in folder.iterdir() if one.suffix == ".py" and not one.name.startswith(("_", ".")))
    found: dict[Path, Architecture] = {}
    problems, skipped = dict[Path, str](), list[str]()
    for path in files:
        try:
            found[path] = by_file.get(os.path.realpath(path)) or network_file.read(path)
        except NoNetwork as error:
            skipped.append(str(error))
        except UnusableInput as error:
            problems[path] = str(error)
    users = {name: one.name for one in found.values() for name, _ in one.modules}
    for path in [path for path in files if path.stem in users]:
        if found.pop(path, None) or problems.pop(path, None):
            skipped.append(f"{path}: {users[path.stem]} imports it: to train it too, name it")
    if not found and not problems:
        advice = "give a folder with Python files that define networks (names that begin with _ are skipped)"
        problems[folder] = f"{option}{folder}: no file of this folder defines a network: {advice}"
    for reason in skipped:
        print(f"bench: skipped {one_line(reason)}", file=sys.stderr)
    return list(found.values()), list(problems.values())


def _identity(one: Architecture) -> tuple[str, str]:
    return os.path.realpath(one.path), one.call


def inspect(architectures: Sequence[Architecture]) -> list[Inspected]:
    """Inspect networks one after another, each in a separate process.

    Raises:
        UnusableInput: a network cannot be trained. Every such network gets a line.
    """
    if not architectures:
        return []
    for one in architectures:
        if one.taken:
            print(f"bench: {one.path}: {one_line(one.taken)}", file=sys.stderr)

    from bench.training.environment import worker_variables

    done = subprocess.run(
        child_command("bench.training.inspection"),
        input=pickle.dumps(list(architectures)),
        capture_output=True,
        env=child_variables(worker_variables()),
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise UnusableInput(f"the networks could not be inspected: {one_line(last)}")
    found, problems = [], []
    for one, answer in zip(architectures, json.loads(done.stdout), strict=True):
        if "refused" in answer:
            reason = answer["refused"]
            place = place_of_value("RECIPE", Path(one.path)) if reason.startswith("RECIPE ") else one.path
            problems.append(f"{place}: {reason}")
        else:
            inspected = replace(
                one,
                gives_logits=answer["gives_logits"],
                uncovered=tuple(answer["uncovered"]),
                uncovered_on_gpu=tuple(answer["uncovered_on_gpu"]),
            )
            facts = from_json(answer["structure"]), tuple(answer["unused"]), tuple(answer["remarks"])
            found.append(Inspected(inspected, *facts))
    _raise_if_any(problems)
    return found


def _raise_if_any(problems: Sequence[str]) -> None:
    """Raise the last of some problems as UnusableInput, after printing the others. Do nothing if there is none."""
    for problem in problems[:-1]:
        print(f"bench: {one_line(problem)}", file=sys.stderr)
    if problems:
        raise UnusableInput(problems[-1])
