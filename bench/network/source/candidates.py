"""Find the networks that a file defines. This module runs no code of the file."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from bench.network.source.names import Function, definitions, full_name, imports

OTHER_TORCH = ("torch.", "torchvision.")  # what is not below these two is no base of a network
_MODULES = ("torch.nn.", "torch.jit.ScriptModule", "torch.jit._script.ScriptModule", "torchvision.models.")
_NO_MODULES = (
    *("torch.nn.functional.", "torch.nn.init.", "torch.nn.utils."),
    *("torch.nn.Buffer", "torch.nn.Parameter", "torch.nn.Uninitialized", "torch.nn.parameter."),
)

_STACKS = ("torch.nn.Sequential", "torch.nn.modules.container.Sequential", "torchvision.models.")
_IN_PLACE = ("to", "cpu", "cuda", "float", "train", "apply")  # these methods give the module itself

_ASKING = ("super", "isinstance", "issubclass", "type", "print")  # these functions make nothing of a class

ImportedClass = Callable[[str], "tuple[Definitions, str] | None"]
"""Finds a class by the full name that a file imports: the definitions of its own file, and its name there."""


@dataclass(frozen=True)
class Definitions:
    """The classes, functions and tables of one file."""

    tree: ast.Module
    find_imported: ImportedClass

    @cached_property
    def named(self) -> dict[str, ast.ClassDef | Function]:
        """The classes and functions by name. A later definition replaces an earlier one."""
        return {node.name: node for node in definitions(self.tree)}

    @cached_property
    def imported(self) -> dict[str, str]:
        """The imported names, each with the full name that it stands for."""
        return dict(imports(self.tree))

    @cached_property
    def _assignments(self) -> list[tuple[str, ast.expr]]:
        """The variables to which a plain statement of the file gives a value, each with that value, in their order."""
        return [
            (target.id, node.value)
            for node in self.tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        ]

    @cached_property
    def assigned(self) -> dict[str, ast.expr]:
        """The value that the file gives to each variable last, if a plain statement does it."""
        return dict(self._assignments)

    def is_module(self, name: str, surely: bool, asked: set[tuple[int, str, bool]] | None = None) -> bool:
        """Whether a name is a class derived from torch.nn.Module.

        If not `surely`, a class with a forward pass may also have a base that is not read: one of an installed package,
        or one that is missing. `asked` has the questions on the way here, because files can import each other. None of
        them is asked twice.
        """
        asked = set() if asked is None else asked
        question = id(self), name, surely
        if question in asked:
            return False
        asked.add(question)
        node = self.named.get(name)
        if node is None:
            found = map(self.find_imported, self._full_names(name))
            return any(one is not None and one[0].is_module(one[1], surely, asked) for one in found)
        if not isinstance(node, ast.ClassDef):
            return False
        bases = [self._base(base) for base in node.bases]
        if any(base.endswith("Loss") for base in bases):
            return False
        return any(self._is_module_base(base, node, surely, asked) for base in bases)

    def _full_names(self, name: str) -> list[str]:
        """Return the full names that a name can have that the file does not define: an import's, or a star import's."""
        stars = [one.removesuffix("*") + name for one in self.imported if one.endswith(".*")]
        return [self.imported[name]] if name in self.imported else stars

    def _base(self, base: ast.expr) -> str:
        """Return the full name of a base class."""
        dotted = full_name(base, self.imported)
        alias = self.assigned.get(dotted)
        if isinstance(alias, ast.Name | ast.Attribute):
            dotted = full_name(alias, self.imported)
        return dotted

    def _is_module_base(self, dotted: str, node: ast.ClassDef, surely: bool, asked: set[tuple[int, str, bool]]) -> bool:
        first = dotted.partition(".")[0]
        if first in self.named:
            return self.is_module(first, surely, asked)
        if is_of_modules(dotted) or (dotted == "Module" and "torch.nn.*" in self.imported):
            return True
        found = self.find_imported(dotted)
        if found is not None:
            return found[0].is_module(found[1], surely, asked)
        if dotted == first and self.is_module(first, True, asked):
            return True
        is_named = first.isidentifier() and first not in self.assigned and not hasattr(builtins, first)
        is_unknown = dotted != first or is_named
        is_elsewhere = is_unknown and not dotted.startswith(OTHER_TORCH) and first not in sys.stdlib_module_names
        return not surely and is_elsewhere and method_of(node, "forward") is not None

    def missing_arguments(self, name: str) -> tuple[str, ...]:
        """Return the arguments without a default of a class or a function."""
        node = self.named.get(name)
        if isinstance(node, Function):
            return required(node)
        seen = set[str]()  # classes can be named after their own bases
        while isinstance(node, ast.ClassDef) and node.name not in seen:
            seen.add(node.name)
            method = method_of(node, "__init__")
            if method is not None:
                return required(method)[1:]
            known = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in self.named]
            node = self.named[known[0]] if known and known[0] != node.name else None
        return ()

    def networks(self) -> list[str]:
        """Return the classes that are networks: no block, no base and no loss of the others.

        A file without any can have variables that are networks.
        """
        modules = [name for name in self.named if self.is_module(name, True)]
        modules = modules or [name for name in self.named if self.is_module(name, False)]
        uses = {name: names_in(node) for name, node in {**self.assigned, **self.named}.items()}
        blocks = {used for name in modules for used in _used_by(name, uses)}
        passed = {one.id for node in ast.walk(self.tree) if isinstance(node, ast.Call) for one in _arguments(node)}
        tests: list[Callable[[str], bool]] = [
            lambda name: name not in blocks,
            lambda name: not self._is_loss(name),
            lambda name: name not in passed,
            lambda name: not self.missing_arguments(name),
        ]
        for test in tests:
            modules = list(filter(test, modules)) or modules
        return modules or self._stacks()

    def _is_loss(self, name: str) -> bool:
        """Whether the forward pass of a class needs more than one input."""
        node = self.named[name]
        forward = method_of(node, "forward") if isinstance(node, ast.ClassDef) else None
        return forward is not None and len(required(forward)) > 2

    def objects(self) -> list[str]:
        """Return the variables that the file makes by a call, such as `model = nn.Sequential(…)`."""
        return [name for name, value in self.assigned.items() if isinstance(value, ast.Call) and name not in self.named]

    def _stacks(self) -> list[str]:
        """Return the variables that are a stack of layers or a network of torchvision, and no part of another one."""
        uses = {name: names_in(self.assigned[name]) for name in self.objects()}
        called = {name: full_name(made_by(self.assigned[name]), self.imported) for name in uses}
        found = [name for name in uses if called[name].startswith(_STACKS)]
        return [name for name in found if not any(name in _used_by(other, uses) for other in found)]

    def made_of(self, class_name: str) -> list[str]:
        """Return the variables that the file makes by a call of a class, or as a stack of layers that has it."""
        found = []
        for name, value in self._assignments:
            if name not in self.named and isinstance(value, ast.Call) and class_name in names_in(value):
                called = made_by(value)
                is_stack = full_name(called, self.imported).startswith(_STACKS)
                if ast.unparse(called) == class_name or is_stack:
                    found.append(name)
        return list(dict.fromkeys(found))

    def is_plain(self, name: str, class_name: str) -> bool:
        """Whether every value that the file gives to a variable is an object of a class, as it is made, or moved."""
        values = [value for one, value in self._assignments if one == name]
        applies = any(
            isinstance(one, ast.Attribute) and one.attr == "apply" for value in values for one in ast.walk(value)
        )
        return not applies and all(ast.unparse(made_by(value)) in (class_name, name) for value in values)

    def imported_modules(self) -> Iterator[tuple[str, str]]:
        """Yield the imported classes that are networks or blocks, and the own modules that define them."""
        for name, dotted in self.imported.items():
            found = self.find_imported(dotted) if dotted.endswith(".*") else None
            for one in found[0].networks() if found is not None else [name] * self.is_module(name, True):
                yield one, dotted.rpartition(".")[0] or dotted

    def hidden(self) -> list[str]:
        """Return the classes derived from torch.nn.Module that only exist while a function or a script runs."""
        classes = [
            node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef) and node.name not in self.named
        ]
        return [one.name for one in classes if any(is_of_modules(self._base(base)) for base in one.bases)]


def is_of_modules(dotted: str) -> bool:
    """Whether a full name is that of a class of PyTorch or torchvision which is derived from torch.nn.Module."""
    return dotted.startswith(_MODULES) and not dotted.startswith(_NO_MODULES)


def made_by(value: ast.expr) -> ast.expr:
    """Return what an expression calls to make an object: `Net` for `Net().to(device)`."""
    while isinstance(value, ast.Call):
        function = value.func
        is_in_place = isinstance(function, ast.Attribute) and function.attr in _IN_PLACE
        value = function.value if isinstance(function, ast.Attribute) and is_in_place else function
    return value


def method_of(node: ast.ClassDef, name: str) -> Function | None:
    return next((one for one in node.body if isinstance(one, Function) and one.name == name), None)


def required(node: Function) -> tuple[str, ...]:
    """Return the parameters without a default, `self` included."""
    positional = [*node.args.posonlyargs, *node.args.args]
    first = positional[: len(positional) - len(node.args.defaults)]
    keywords = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    return tuple(one.arg for one in [*first, *(one for one, default in keywords if default is None)])


def _arguments(call: ast.Call) -> list[ast.Name]:
    """Return the names among the arguments of a call, also those in lists."""
    if isinstance(call.func, ast.Name) and call.func.id in _ASKING:
        return []
    given = [*call.args, *(word.value for word in call.keywords)]
    inside = [one for part in given if isinstance(part, ast.List | ast.Tuple) for one in part.elts]
    return [one for one in [*given, *inside] if isinstance(one, ast.Name)]


def names_in(node: ast.AST) -> set[str]:
    """Return all names that some code has."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _used_by(name: str, uses: Mapping[str, set[str]]) -> set[str]:
    """Return all definitions that a definition uses, directly or through others, except itself."""
    found, waiting = set[str](), [name]
    while waiting:
        for used in (uses[waiting.pop()] & uses.keys()) - found:
            found.add(used)
            waiting.append(used)
    return found - {name}
