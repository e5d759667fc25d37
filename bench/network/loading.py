"""Execute a network's file, together with the user's own modules that it imports. All of them come as text.

Their names are private: a network's `models` or `utils` is never the module of this name that another network, this
project or an installed package has.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import linecache
import re
import sys
import traceback
from collections.abc import Collection, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

from bench.errors import UnusableInput, one_line
from bench.network.source.names import is_future, names_of
from bench.network.source.text import place_of_code
from bench.network.vision import import_torchvision


def load(root: str, module: str, path: str, sources: Mapping[str, str]) -> ModuleType:
    """Execute a module and return it. `sources` has it and all own modules that it can import, by full name.

    Each call executes them anew. `root` is the name below which they stand in `sys.modules`, and `path` the path of the
    module, for messages. The code of the user can raise anything.
    """
    for name in [name for name in sys.modules if name == root or name.startswith(f"{root}.")]:
        del sys.modules[name]
    sys.meta_path[:] = [one for one in sys.meta_path if not (isinstance(one, _Own) and one.root == root)]
    sys.meta_path.insert(0, _Own(root, {f"{root}.{module}": path}, sources))
    return importlib.import_module(f"{root}.{module}")


def line_of(error: BaseException) -> str:
    """Return the last line of a network's own code that an error went through, in words. It is empty if none did."""
    roots = tuple(f"{one.root}." for one in sys.meta_path if isinstance(one, _Own))
    own = [
        place_of_code(frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__", "")).startswith(roots)
    ]
    return own[-1] if own else ""


def missing_in(error: BaseException) -> str:
    """Return why a value is missing, if an error complains that it got something else instead.

    Code of PyTorch raises such an error. The result is empty for every other error.
    """
    frames = list(traceback.walk_tb(error.__traceback__)) if _Absent.__name__ in str(error) else []
    values: list[Any] = []
    for frame, line in reversed(frames):
        names = re.findall(r"\w+", linecache.getline(frame.f_code.co_filename, line))
        values += [frame.f_locals.get(name, frame.f_globals.get(name)) for name in names]
    values += [value for frame, _ in reversed(frames) for value in frame.f_locals.values()]
    return next((one._message for one in values if isinstance(one, _Absent)), "")


class _Own(MetaPathFinder, Loader):
    """Finds and executes the own modules of a network, below a root."""

    def __init__(self, root: str, paths: Mapping[str, str], sources: Mapping[str, str]) -> None:
        self.root = root
        self._path = tuple(sys.path)
        self._paths = paths
        self._sources = {f"{root}.{name}": source for name, source in sources.items()}
        self._first_names = {name.partition(".")[0] for name in sources} if len(sources) > 1 else set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of an own module, or of a package of own modules."""
        is_package = any(name.startswith(f"{fullname}.") for name in self._sources)
        if fullname in self._sources or is_package:
            return ModuleSpec(fullname, self, is_package=is_package)
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Execute an own module. Its imports find own modules first."""
        name = module.__name__
        source = self._sources.get(name, "")
        file = self._paths.get(name, f"<{name.removeprefix(self.root)[1:]}>")
        module.__file__ = file
        module.__dict__["__builtins__"] = {
            **vars(builtins),
            "__import__": self._import,
            "__absent__": self._absent,
            "__ImportError__": ImportError,
            "__Missing__": _Missing,
        }
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        try:
            exec(compile(_tolerant(ast.parse(source)), file, "exec", dont_inherit=True), module.__dict__)
        except SystemExit as error:
            advice = "remove that code, or give each argument of the command line a default"
            raise UnusableInput(f"it ends the program in {line_of(error)}: {advice}") from error

    def _import(
        self, name: str, scope: Any = None, local: Any = None, fromlist: Sequence[str] = (), level: int = 0
    ) -> ModuleType:
        """Import as the built-in function does, which Python calls with these arguments by their place."""
        sys.path[:] = self._path  # what the file adds to it would be in no digest
        first = name.partition(".")[0]
        if level == 0 and first in self._first_names:
            if fromlist:
                return builtins.__import__(f"{self.root}.{name}", scope, local, fromlist)
            importlib.import_module(f"{self.root}.{name}")
            return sys.modules[f"{self.root}.{first}"]
        try:
            return builtins.__import__(name, scope, local, fromlist, level)
        except RuntimeError as error:  # a package such as Lightning imports torchvision too
            if "torchvision::nms" not in str(error):
                raise
        import_torchvision()
        return builtins.__import__(name, scope, local, fromlist, level)

    def _absent(self, error: ImportError | _Missing) -> _Absent:
        if isinstance(error, _Missing):
            return _Absent(str(error))
        if not isinstance(error, ModuleNotFoundError):
            said = one_line(error).replace(f"'{self.root}.", "'").replace(f"'{self.root}'", "its folder")
            said = re.sub(r" \(<[^>]*>\)$", "", said)  # this is no path
            return _Absent(f"it needs an import that fails ({said}): correct it")
        name = (error.name or "").removeprefix(f"{self.root}.")
        problem = f"it needs the module {name}, which is neither installed nor beside its file"
        return _Absent(f"{problem}: install it, or put it there")


class _Missing(UnusableInput):
    """Code uses something that cannot be imported."""


class _Absent:
    """Stands for something that cannot be imported, or that is made of it. Only its use is an error."""

    def __init__(self, message: str) -> None:
        self._message = message

    def _fail(self, *arguments: object, **keywords: object) -> NoReturn:
        raise _Missing(self._message)

    __call__ = __mro_entries__ = __instancecheck__ = __subclasscheck__ = __enter__ = __exit__ = _fail
    __getitem__ = __setitem__ = __delitem__ = __iter__ = __next__ = __len__ = __contains__ = __reversed__ = _fail
    __bool__ = __index__ = __int__ = __float__ = __complex__ = __neg__ = __pos__ = __abs__ = __invert__ = _fail
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __round__ = __trunc__ = __floor__ = __ceil__ = _fail
    __add__ = __sub__ = __mul__ = __matmul__ = __truediv__ = __floordiv__ = __mod__ = __divmod__ = __pow__ = _fail
    __radd__ = __rsub__ = __rmul__ = __rmatmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rdivmod__ = _fail
    __rpow__ = __and__ = __or__ = __xor__ = __lshift__ = __rshift__ = _fail
    __rand__ = __ror__ = __rxor__ = __rlshift__ = __rrshift__ = _fail

    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self._fail()


def _tolerant(tree: ast.Module) -> ast.Module:
    """Let a file go on if one of its imports fails, or a statement that uses this import: the network may not need it.

    What such a statement would bind or change is then absent too. An import inside a `try` or a function stays as it
    is. An import from `__future__` comes first, which it need not in a notebook.
    """
    tree.body.sort(key=lambda node: not is_future(node))
    found = [names_of(node) for node in tree.body]
    used = frozenset().union(*(one.eager | one.deferred for one in found))
    unbound = used.difference(vars(builtins), *(one.binds for one in found))
    tree.body = [node if is_future(node) or _is_text(node) else _attempt(node, unbound) for node in tree.body]
    return tree


def _attempt(node: ast.stmt, unbound: Collection[str]) -> ast.stmt:
    """Return a statement that executes another one, and makes its names absent if that needs a missing module.

    The names of a star import are those that the file uses and does not bind.
    """
    if isinstance(node, ast.Import | ast.ImportFrom):
        error = "__ImportError__"
        names = {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    else:
        error = "__Missing__"
        found = names_of(node)
        names = {*found.binds, *found.assigns, *found.calls}
    absent = "\n ".join(f"{name} = __absent__(__error__)" for name in sorted(names)) or "pass"
    if "*" in names:
        absent = f"for __name in {sorted(unbound)}: globals().setdefault(__name, __absent__(__error__))"
    (attempt,) = ast.parse(f"try:\n pass\nexcept {error} as __error__:\n {absent}").body
    assert isinstance(attempt, ast.Try)
    attempt.body = [node]
    return ast.copy_location(attempt, node)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
