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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path

from bench.children import child_command, child_variables
from bench.errors import UnusableInput, one_line
from bench.network import network_file
from bench.network.specification import Architecture
from bench.network.structure_facts import Structure, from_json
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
        found[point.name] = replace(network_file.read(Path(spec.origin)), name=point.name)
    return found


def find(words: Iterable[str], named: Mapping[str, Architecture], option: str = "") -> list[Architecture]:
    """Return the networks that the words choose, each once. A word is a name in `named`, a file or a folder of files.

    In a folder, files whose names begin with _ or . are skipped. A word can also be the file of a network in `named`;
    it then chooses that network. `option` is the option that the words were given to; messages begin with it.

    Raises:
        UnusableInput: a word chooses nothing, a file cannot be used, or two networks have the same name. Every problem
            gets a line.
    """
    by_file = {_real_path(one.path): one for one in named.values()}
    found: dict[str, Architecture] = {}
    problems: list[str] = []
    for word in words:
        for path in _files(word, named, option):
            try:
                one = named[word] if path is None else by_file.get(_real_path(str(path))) or network_file.read(path)
                for other in (named.get(one.name), found.get(one.name.casefold())):
                    if other is not None and _real_path(other.path) != _real_path(one.path):
                        raise UnusableInput(f"{one.path}: {other.path} is also named {other.name}: rename one of them")
                found[one.name.casefold()] = one
            except UnusableInput as error:
                problems.append(str(error))
    _raise_if_any(problems)
    return list(found.values())


def _files(word: str, named: Mapping[str, Architecture], option: str) -> Iterator[Path | None]:
    """Yield the files that a word chooses, or None for a name."""
    path = Path(word)
    if word in named:
        yield None
    elif word and path.is_dir():
        files = sorted(one for one in path.iterdir() if one.suffix == ".py" and not one.name.startswith(("_", ".")))
        if not files:
            raise UnusableInput(
                f"{option}{word}: this folder has no Python file to use (names that begin with _ are skipped)"
            )
        yield from files
    elif word.endswith(".py") or path.is_file():
        yield path
    else:
        advice = f"choose from {', '.join(named)}, or give a file or a folder"
        raise UnusableInput(f"{option}{word}: no such network; {advice}")


def _real_path(path: str) -> str:
    return os.path.realpath(path)


def inspect(architectures: Sequence[Architecture]) -> list[Inspected]:
    """Inspect networks one after another, each in a separate process.

    Raises:
        UnusableInput: a network cannot be trained. Every such network gets a line.
    """
    if not architectures:
        return []

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
            problems.append(f"{one.path}: {answer['refused']}")
        else:
            uncovered = tuple(answer["uncovered"])
            inspected = replace(one, gives_logits=answer["gives_logits"], uncovered=uncovered)
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
