"""Find the user's own modules that a network's file imports: those beside it, and those of its own package.

The standard library and installed packages do not count. No code is run, and the current folder does not matter.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.network.source import text as source_text
from bench.network.source.candidates import Definitions, ImportedClass
from bench.network.source.names import is_main_guard
from bench.network.source.statements import Statements, extract

_INSTALLED = ("site-packages", "dist-packages")
_NEVER_OWN = sys.stdlib_module_names | {"numpy", "torch", "torchvision"}  # no file beside a network replaces these
_ALL = "*"


@dataclass(frozen=True)
class Place:
    """The place of a file among the user's own modules.

    `module` is its full name, such as `models.net`, and `parent` its package. `roots` are the folders in which an
    import begins. If `installed` is not empty, only the modules of this installed package are the user's own.
    """

    module: str
    parent: str
    roots: tuple[Path, ...]
    installed: str = ""

    def has(self, module: str) -> bool:
        """Whether a module is one of the user's own."""
        return self.find(module) is not None

    def find(self, module: str) -> Path | None:
        """Return the file of one of the user's own modules, or None if it is another module or a plain folder."""
        first = module.partition(".")[0]
        if first in _NEVER_OWN or (self.installed and first != self.installed):
            return None
        for root in self.roots:
            if root.name in _INSTALLED and first != self.installed:
                continue
            path = root.joinpath(*module.split("."))
            is_regular = _file_of(root / first) is not None  # Python prefers an installed package to a plain folder
            file = _file_of(path)
            if file is not None and (self.installed or is_regular or not _is_installed(first)):
                return file
        return None


def place(path: Path, tree: ast.Module, module: str = "") -> Place:
    """Return the place of a file. `module` is the full name that an installed package gives it.

    Imports begin in the folder of the file, in the folder of its package, and where `from models.blocks import …` finds
    the folder `models` above the file.
    """
    path = path.absolute()
    above = path.parents
    if module:
        depth = module.count(".") + (path.name == "__init__.py")
        return Place(module, _package(module, path), (above[min(depth, len(above) - 1)],), module.partition(".")[0])
    depth = max((node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)), default=0)
    is_relative = depth > 0
    while depth < len(above) - 1 and (above[depth] / "__init__.py").is_file():
        depth += 1
    top = above[min(depth, len(above) - 1)]
    named = {name.partition(".")[0] for name, _ in _imported(tree.body, "")}
    packages = [folder for folder in above if folder.name in named - sys.stdlib_module_names]
    roots = [path.parent, top, *(one.parent for one in packages if not _is_installed(one.name))]
    inside = path.relative_to(top if is_relative else path.parent)
    name = ".".join([*inside.parent.parts, inside.stem.replace(".", "_")])
    return Place(name, name.rpartition(".")[0], tuple(dict.fromkeys(roots)))


def definitions_at(where: Place, tree: ast.Module) -> Definitions:
    """Return the definitions of a file. They know the classes that other own modules define."""
    known: dict[str, Definitions] = {}

    def within(package: str) -> ImportedClass:
        def find(dotted: str) -> tuple[Definitions, str] | None:
            level = len(dotted) - len(dotted.lstrip("."))
            module, _, name = _absolute(dotted[level:], level, package).rpartition(".")
            path = where.find(module) if module else None
            if path is None:
                return None
            if module not in known:
                known[module] = Definitions(source_text.read(path).tree, within(_package(module, path)))
            return known[module], name

        return find

    return Definitions(tree, within(where.parent))


def closure(where: Place, statements: Collection[ast.stmt]) -> dict[str, str]:
    """Return the sources of the own modules that some statements of a file need, by full name.

    A module that trains or reads data when it is imported is reduced to what is needed of it, and so is a package of
    which only the modules are needed.

    Raises:
        UnusableInput: one of these modules cannot be read or is not Python.
    """
    sources: dict[str, str] = {}
    needed: dict[str, set[str]] = {}
    waiting = list(_imported(statements, where.parent))
    while waiting:
        name, names = waiting.pop()
        parts = name.split(".")
        waiting += [(".".join(parts[:length]), set()) for length in range(1, len(parts))]  # its packages run before it
        waiting += [(f"{name}.{one}", {_ALL}) for one in names - {_ALL}]  # a name can be a module too
        path = None if name == where.module else where.find(name)
        if path is None or (name in needed and names <= needed[name]):
            continue
        needed[name] = names = names | needed.get(name, set())
        text = source_text.read(path)
        found = Statements(text.tree, where.has)
        kept: Collection[int] = found.needed(found.bound() if _ALL in names else names)
        is_passed = not any(one in found.all_names or not where.has(f"{name}.{one}") for one in names)
        if not is_passed and not found.acting(kept):
            kept = range(len(text.tree.body))
        sources[name] = extract(text.text, text.tree, kept)
        waiting += _imported([text.tree.body[index] for index in kept], _package(name, path))
    return sources


def _imported(statements: Collection[ast.stmt], package: str) -> Iterator[tuple[str, set[str]]]:
    """Yield the imports of some statements: the full name of a module, and the names that are wanted of it."""
    for node in (node for top in statements if not is_main_guard(top) for node in ast.walk(top)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, _attributes(statements, alias.asname or alias.name)
        elif isinstance(node, ast.ImportFrom):
            name = _absolute(node.module or "", node.level, package)
            if name:
                yield name, {alias.name for alias in node.names}


def _absolute(name: str, level: int, package: str) -> str:
    """Return the full name of a module that an import of a package names with `level` dots before it."""
    parts = package.split(".")
    above = parts[: len(parts) - level + 1] if level else []
    return ".".join(filter(None, [*above, name]))


def _file_of(path: Path) -> Path | None:
    """Return the file of a module, given its path without an ending."""
    return next((one for one in (path / "__init__.py", path.with_name(f"{path.name}.py")) if one.is_file()), None)


def _package(module: str, path: Path) -> str:
    return module if path.name == "__init__.py" else module.rpartition(".")[0]


def _attributes(statements: Collection[ast.stmt], name: str) -> set[str]:
    """Return the attributes that statements use of an imported module: all if they use it in another way too."""
    nodes = [node for top in statements for node in ast.walk(top)]
    uses = [one for one in nodes if isinstance(one, ast.Name) and one.id == name]
    attributes = [one for one in nodes if isinstance(one, ast.Attribute) and one.value in uses]
    return {one.attr for one in attributes} if attributes and len(attributes) == len(uses) else {_ALL}


def _is_installed(name: str) -> bool:
    """Whether an installed package has this name. The packages of this project do not count."""
    try:
        found = None if name in ("bench", "models") else importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return found is not None and found.origin is not None
