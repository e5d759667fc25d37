"""Name the installed packages that the code of a network imports, with their versions."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable
from importlib import metadata

from bench.network.source.names import imports

_NOT_COUNTED = sys.stdlib_module_names | {"numpy", "torch"}
"""The environment of a native run has the versions of these two, and the bits of an exact run do not depend on them."""


def versions(code: Iterable[ast.AST], is_own: Callable[[str], bool]) -> tuple[str, ...]:
    """Return name and version of every installed package that some code imports, such as `einops 0.8.1`.

    `is_own` says whether a module is one of the user's own. A package that is not installed is left out.
    """
    modules = {dotted.partition(".")[0] for node in code for _, dotted in imports(node)}
    wanted = [name for name in modules - _NOT_COUNTED if name and not is_own(name)]
    providers = metadata.packages_distributions() if wanted else {}
    found = {(one, metadata.version(one)) for name in wanted for one in providers.get(name, ())}
    return tuple(f"{name} {version.partition('+')[0]}" for name, version in sorted(found))
