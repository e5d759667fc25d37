"""The names that the statements of a file bind, use and change: facts of its syntax tree."""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Function = ast.FunctionDef | ast.AsyncFunctionDef

_COMPREHENSIONS = {"listcomp", "setcomp", "dictcomp", "genexpr"}


@dataclass(frozen=True)
class Names:
    """The names of the file that a statement binds and uses.

    It uses `eager` when it runs, and `deferred` when a function that it defines is called. It changes the objects of
    `assigns` by an assignment such as `TABLE["a"] = 1`, and those of `calls` by a method such as `SIZES.append(1)`.
    """

    binds: frozenset[str] = frozenset()
    eager: frozenset[str] = frozenset()
    deferred: frozenset[str] = frozenset()
    assigns: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()


def definitions(tree: ast.Module) -> Iterator[ast.ClassDef | Function]:
    """Yield the classes and functions of a file, also those inside an `if`, a `try`, a `with` or a loop."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.ClassDef | Function):
            yield node
        elif not is_main_guard(node):
            parts = (getattr(node, name, []) for name in ("body", "orelse", "finalbody"))
            handlers = (one.body for one in getattr(node, "handlers", []))
            waiting[:0] = [one for part in (*parts, *handlers) for one in part if isinstance(one, ast.stmt)]


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield each imported name and the full name that it stands for. A star import stands for itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                dotted = "." * node.level + ".".join(filter(None, [node.module, alias.name]))
                yield (dotted if alias.name == "*" else alias.asname or alias.name), dotted


def full_name(node: ast.expr, imported: dict[str, str]) -> str:
    """Return an expression as text. If it begins with an imported name, the text has the name that this stands for."""
    first, dot, rest = ast.unparse(node).partition(".")
    return imported.get(first, first) + dot + rest


def is_main_guard(node: ast.stmt) -> bool:
    """Whether a statement is `if __name__ == "__main__"`."""
    return isinstance(node, ast.If) and ast.unparse(node.test).replace('"', "'") in (
        "__name__ == '__main__'",
        "'__main__' == __name__",
    )


def is_future(node: ast.stmt) -> bool:
    """Whether a statement imports from `__future__`."""
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def names_of(node: ast.stmt) -> Names:
    if is_main_guard(node):
        return Names()
    binds, eager, deferred = set[str](), set[str](), set[str]()

    def look(table: symtable.SymbolTable, is_deferred: bool) -> None:
        kind = str(table.get_type())
        for symbol in table.get_symbols():
            if kind == "module":
                if symbol.is_assigned() or symbol.is_imported():
                    binds.add(symbol.get_name())
                if symbol.is_referenced():
                    eager.add(symbol.get_name())
            elif symbol.is_global():
                (deferred if is_deferred else eager).add(symbol.get_name())
        for child in table.get_children():
            is_function = str(child.get_type()) == "function" and child.get_name() not in _COMPREHENSIONS
            look(child, is_deferred or is_function)

    try:
        look(symtable.symtable(ast.unparse(node), "<statement>", "exec"), False)
    except SyntaxError:  # for example `await` outside of a function, which a notebook allows
        eager = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    assigns = {name for one in running(node) for name in assigned(one)}
    calls = {name for one in running(node) for name in called_on(one)}
    for loop in (one for one in running(node) if isinstance(one, ast.For)):  # what changes the items changes the whole
        items = {one.id for one in ast.walk(loop.target) if isinstance(one, ast.Name)}
        if items & (assigns | calls):
            assigns |= {one.id for one in ast.walk(loop.iter) if isinstance(one, ast.Name)}
    return Names(*map(frozenset, (binds, eager, deferred, assigns, calls)))


def running(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and everything in it that runs with it: nothing inside a function."""
    yield node
    inside: Sequence[ast.AST] = list(ast.iter_child_nodes(node))
    if isinstance(node, Function):
        inside = [*node.decorator_list, node.args]
    elif isinstance(node, ast.Lambda):
        inside = [node.args]
    for child in inside:
        yield from running(child)


def assigned(node: ast.AST) -> set[str]:
    """Return the name whose object an assignment to an attribute or an item changes, or one in place."""
    if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
        return _root(node)
    return _root(node.target) if isinstance(node, ast.AugAssign) else set()


def called_on(node: ast.AST) -> set[str]:
    """Return the name whose object a call of a method changes, or one of `setattr`."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        function, arguments = node.value.func, node.value.args
        if isinstance(function, ast.Attribute):
            return _root(function)
        if isinstance(function, ast.Name) and function.id in ("setattr", "delattr") and arguments:
            return _root(arguments[0])
    return set()


def _root(node: ast.AST) -> set[str]:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()
