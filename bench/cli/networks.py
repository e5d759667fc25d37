"""The networks that words on a command line mean: names, files, folders, and what installed packages register.

No code of a network runs here: what has to be run of it runs in a process of its own.
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

from bench.children import child_variables
from bench.errors import UnusableInput, one_line
from bench.network import network_file
from bench.network.specification import Architecture
from bench.network.structure_facts import Structure, from_json
from models import ARCHITECTURES

GROUP = "bench.networks"
"""The entry point group: `name = "package.module"`, where the module is a file with one network."""


@dataclass(frozen=True)
class Inspected:
    """A network of a file, what it is made of, and the parameters that no gradient reaches."""

    architecture: Architecture
    structure: Structure
    unused: tuple[str, ...]


def known() -> dict[str, Architecture]:
    """The networks that have a name here: the documented ones, then those of installed packages.

    Raises:
        UnusableInput: a registered one cannot be read, or has the name of another.
    """
    found = dict(ARCHITECTURES)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        place = f"entry point {point.name} of {GROUP}"
        if point.name in found:
            raise UnusableInput(f"{place}: there is a network of that name already: rename one")
        try:
            spec = importlib.util.find_spec(point.module)
        except Exception as error:  # finding a module runs the packages around it
            raise UnusableInput(f"{place}: {point.module} is not to be found ({one_line(error)})") from error
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            raise UnusableInput(f"{place}: {point.module} is no Python file that could be found")
        found[point.name] = replace(network_file.read(Path(spec.origin)), name=point.name)
    return found


def find(words: Iterable[str], here: Mapping[str, Architecture], option: str = "") -> list[Architecture]:
    """The networks that words mean, each once: a name of `here`, a file, or all the files of a folder.

    Files of a folder that begin with _ are left out. A file of a network of `here` is that network. `option` is where
    the words were given, for a message.

    Raises:
        UnusableInput: a word means nothing, a file cannot be used, or two networks have one name; a line for each.
    """
    by_file = {_same(one.path): one for one in here.values()}
    found: dict[str, Architecture] = {}
    problems: list[str] = []
    for word in words:
        for path in _files(word, here, option):
            try:
                one = here[word] if path is None else by_file.get(_same(str(path))) or network_file.read(path)
                for other in (here.get(one.name), found.get(one.name.casefold())):
                    if other is not None and _same(other.path) != _same(one.path):
                        raise UnusableInput(f"{one.path}: {other.path} is named {other.name} too: rename one of them")
                found[one.name.casefold()] = one
            except UnusableInput as error:
                problems.append(str(error))
    _refuse(problems)
    return list(found.values())


def _files(word: str, here: Mapping[str, Architecture], option: str) -> Iterator[Path | None]:
    """The files that a word means; None for a name."""
    path = Path(word)
    if word in here:
        yield None
    elif word and path.is_dir():
        files = sorted(one for one in path.iterdir() if one.suffix == ".py" and not one.name.startswith(("_", ".")))
        if not files:
            raise UnusableInput(f"{option}{word}: no Python file in this folder that does not begin with _")
        yield from files
    elif word.endswith(".py") or path.is_file():
        yield path
    else:
        advice = f"there are {', '.join(here)}; or name a file or a folder"
        raise UnusableInput(f"{option}{word}: no such network; {advice}")


def _same(path: str) -> str:
    return os.path.realpath(path)


def inspect(architectures: Sequence[Architecture]) -> list[Inspected]:
    """Look at networks in processes of their own, one after another.

    Raises:
        UnusableInput: one of them cannot be trained; a line for each.
    """
    if not architectures:
        return []

    from bench.training.environment import worker_variables

    done = subprocess.run(
        [sys.executable, "-m", "bench.training.inspection"],
        input=pickle.dumps(list(architectures)),
        capture_output=True,
        env=child_variables(worker_variables()),
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no word"])[-1]
        raise UnusableInput(f"the networks could not be looked at: {one_line(last)}")
    found, problems = [], []
    for one, answer in zip(architectures, json.loads(done.stdout), strict=True):
        if "refused" in answer:
            problems.append(f"{one.path}: {answer['refused']}")
        else:
            inspected = replace(one, gives_logits=answer["gives_logits"])
            found.append(Inspected(inspected, from_json(answer["structure"]), tuple(answer["unused"])))
    _refuse(problems)
    return found


def _refuse(problems: Sequence[str]) -> None:
    """Refuse the last of some problems, having said the others."""
    for problem in problems[:-1]:
        print(f"bench: {one_line(problem)}", file=sys.stderr)
    if problems:
        raise UnusableInput(problems[-1])
