"""Find what a definition of a file needs, and take only that part, without running the file.

A script trains, reads arguments or loads data when it is imported. Its network needs none of that.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Collection
from functools import cached_property

from bench.network.source.names import (
    Function,
    assigned,
    called_on,
    definitions,
    full_name,
    imports,
    is_future,
    is_main_guard,
    names_of,
    running,
)

_INPUT_CALLS = {
    *("parse_args", "parse_known_args", "input", "DataLoader", "SummaryWriter", "urlretrieve"),
    *("open", "load", "read_csv", "read_bytes", "read_text", "loadtxt", "genfromtxt", "fromfile"),
}
"""Calls that read arguments, data, files or the keyboard. A call with a keyword `download` does so too."""

_SERVICES = ("mlflow", "wandb")
_HARMLESS_MODULES = ("warnings.", "logging.", "sys.path.", "os.environ.", "random.", "numpy.", "matplotlib.", "gc.")
_HARMLESS_METHODS = ("append", "apply", "cuda", "eval", "extend", "to", "update")
_TRAINING_METHODS = ("cuda", "eval", "load_state_dict", "to", "train", "zero_grad")
_PART_OF_NETWORK = ("torch.set_default_", "torch.fx.wrap(", "exec(", "globals()")  # calls that change what it means
_ANY_NAME = {"globals", "eval", "exec"}  # code that can use every name of the file


class Statements:
    """The statements of a file, what each of them needs, and whether it does more than define.

    `is_own` says whether a module is one of the user's own.
    """

    def __init__(self, tree: ast.Module, is_own: Callable[[str], bool] = lambda _: False) -> None:
        self.tree = tree
        self._is_own = is_own
        self.names = [names_of(node) for node in tree.body]
        self.imported = dict(imports(tree))

    @cached_property
    def _functions(self) -> dict[str, tuple[frozenset[str], bool, bool]]:
        """For each function: the names that it changes, whether it reads data, and whether it changes its arguments.

        A class counts too if it has `__init_subclass__`, which a subclass calls when it is defined.
        """
        found = {}
        for node in definitions(self.tree):
            if isinstance(node, Function) or "__init_subclass__" in (getattr(one, "name", "") for one in node.body):
                used = names_of(node).deferred
                declared = {name for one in ast.walk(node) if isinstance(one, ast.Global) for name in one.names}
                changed = {name for one in ast.walk(node) for name in (*assigned(one), *called_on(one))} & used
                own = {one.arg for part in ast.walk(node) if isinstance(part, ast.arguments) for one in part.args}
                changes_own = any(assigned(one) & own for one in ast.walk(node)) and isinstance(node, Function)
                found[node.name] = frozenset(changed | declared), any(map(_reads_input, ast.walk(node))), changes_own
        return found

    def _changes(self, index: int) -> frozenset[str]:
        """Return the names whose objects a statement changes. A call changes nothing of an imported module."""
        called = _called(self.tree.body[index]) & self._functions.keys()
        names = self.names[index]
        by_call = names.calls.union(*(self._functions[name][0] for name in called)) - self.imported.keys()
        given = {
            one.id
            for call in running(self.tree.body[index])
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
            if call.func.id in self._functions and self._functions[call.func.id][2]
            for one in call.args
            if isinstance(one, ast.Name)
        }
        return names.assigns | by_call | given

    def changing(self, name: str) -> list[int]:
        """Return the indices of the statements that change an object of the file, but do not train it."""
        return [
            index
            for index, names in enumerate(self.names)
            if name in self._changes(index) and name not in names.binds and not self._trains(index, name)
        ]

    def needed(self, roots: Collection[str], trained: str = "") -> set[int]:
        """Return the indices of the statements that the definitions of some names need, themselves included.

        `trained` is a variable that the file makes and then trains. It needs only the statements that build it.
        """
        found: set[int] = set()
        waiting = [(name, len(self.names)) for name in roots]
        seen = set(waiting)

        def take(index: int) -> None:
            if index not in found:
                found.add(index)
                names = self.names[index]
                new = {*((name, index) for name in names.eager), *((name, len(self.names)) for name in names.deferred)}
                waiting.extend(new - seen)
                seen.update(new)

        used = frozenset().union(*(one.eager | one.deferred for one in self.names))
        for index, node in enumerate(self.tree.body):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            has_effect = any(map(self._is_own, named)) and not self.names[index].binds & used
            called = f"{self._called_text(node)}("
            if has_effect or is_future(node) or called.startswith(_PART_OF_NETWORK):
                take(index)
        changes = [self._changes(index) for index in range(len(self.names))]
        while waiting:
            name, limit = waiting.pop()
            if name in _ANY_NAME:
                bound = {one for index, names in enumerate(self.names) if not self._acts(index) for one in names.binds}
                waiting.extend((one, len(self.names)) for one in bound)
            binding = [index for index in range(limit) if name in self.names[index].binds]
            while binding:
                take(binding[-1])
                if _always_binds(self.tree.body[binding.pop()]):
                    break
            for index, changed in enumerate(changes):
                if name in changed and not (name == trained and self._trains(index, name)):
                    take(index)
            if name not in self.all_names and not hasattr(builtins, name):
                for index, node in enumerate(self.tree.body):
                    if _is_star(node):
                        take(index)
        return found

    def executed(self, root: str) -> set[int]:
        """Return the indices of what a definition needs, and of what runs when the whole file is imported."""
        kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef)
        running = {
            index for index, one in enumerate(self.tree.body) if not (isinstance(one, kinds) or is_main_guard(one))
        }
        return running | self.needed({root, *(name for index in running for name in self.names[index].eager)})

    @cached_property
    def all_names(self) -> frozenset[str]:
        """All names that the file binds."""
        return frozenset().union(*(one.binds for one in self.names))

    def bound(self) -> set[str]:
        """Return the names of everything that the file defines, without what it makes while it trains or reads."""
        acting = set(self.acting(()))
        return {name for name in self.all_names if not (acting and acting & self.needed([name]))}

    def acting(self, needed: Collection[int]) -> list[int]:
        """Return the indices of the other statements that do more than define: train, read arguments or load data."""
        return [index for index in range(len(self.names)) if index not in needed and self._acts(index)]

    def _acts(self, index: int) -> bool:
        node = self.tree.body[index]
        if is_main_guard(node):
            return False
        called = _called(node) & self._functions.keys()
        reads = any(map(_reads_input, running(node))) or any(self._functions[name][1] for name in called)
        is_loop = isinstance(node, ast.For | ast.While | ast.With)
        return reads or (is_loop and bool(called)) or any(self._is_action(one) for one in running(node))

    def _trains(self, index: int, name: str) -> bool:
        """Whether a statement that uses an object does more than build it, or sets what the harness sets."""
        for node in running(self.tree.body[index]):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and called_on(node) == {name}:
                if ast.unparse(node.value.func).rpartition(".")[2] in _TRAINING_METHODS:
                    return True
            elif _reads_input(node) or self._is_action(node):
                return True
        return False

    def _is_action(self, node: ast.AST) -> bool:
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await)):
            return False
        called = self._called_text(node)
        first, _, method = called.partition(".")
        is_own_method = method in _HARMLESS_METHODS and first not in self.imported
        return not (called == "print" or is_own_method or called.startswith(_HARMLESS_MODULES))

    def _called_text(self, node: ast.AST) -> str:
        """Return the full name of the function that a statement calls, or an empty text if it is no such statement."""
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            return ""
        return full_name(node.value.func, self.imported)

    def said(self, index: int) -> str:
        """Return a few words for a statement that is left out."""
        node = self.tree.body[index]
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            return f"{ast.unparse(node.value.func)}(…)"
        if isinstance(node, ast.For | ast.While):
            return "a loop"
        return ast.unparse(node).splitlines()[0].partition("(")[0] + ("(…)" if isinstance(node, ast.Assign) else " …")


def extract(text: str, tree: ast.Module, kept: Collection[int]) -> str:
    """Return a source with only some of its statements. Each of them keeps its line."""
    lines = [line.encode() for line in text.split("\n")]
    for index in reversed(range(len(tree.body))):
        node = tree.body[index]
        if index in kept:
            continue
        decorated = [one.lineno for one in getattr(node, "decorator_list", [])]
        first, last = min([node.lineno, *decorated]) - 1, (node.end_lineno or node.lineno) - 1
        before, after = lines[first][: node.col_offset].strip(), lines[last][node.end_col_offset :].strip()
        replaced = b""
        if before or after[:1] == b";":  # another statement on the same line
            replaced = lines[first][: node.col_offset] + b"pass" + lines[last][node.end_col_offset :]
        lines[first : last + 1] = [replaced, *[b""] * (last - first)]
    return b"\n".join(lines).decode()


def _called(node: ast.AST) -> set[str]:
    """Return the plain names that a statement calls when it runs. A decorator is called too, and a base class."""
    called = [one.func for one in running(node) if isinstance(one, ast.Call)]
    for part in running(node):
        called += [*getattr(part, "decorator_list", []), *getattr(part, "bases", [])]
    return {one.id for one in called if isinstance(one, ast.Name)}


def _reads_input(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    first, _, name = ast.unparse(node.func).rpartition(".")
    is_seed = first.startswith("torch") and name.startswith("manual_seed")  # it would be that of every run
    is_service = first in _SERVICES
    return is_seed or is_service or name in _INPUT_CALLS or any(word.arg == "download" for word in node.keywords)


def _always_binds(node: ast.stmt) -> bool:
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom)
    return isinstance(node, kinds) and not (isinstance(node, ast.AnnAssign) and node.value is None)


def _is_star(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
