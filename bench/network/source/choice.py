"""Choose the network of a file that is meant, or say what to write instead."""

from __future__ import annotations

import ast
import builtins
import re
import shlex

from bench.errors import UnusableInput
from bench.network import calls
from bench.network.source.candidates import Definitions, made_by, names_in
from bench.network.source.makers import calls_of, example, makers, trained
from bench.wording import listed


class NoNetwork(UnusableInput):
    """A file defines no network. In a folder, it is a helper of the others."""


def choose(path: str, found: Definitions, member: str) -> tuple[str, str]:
    """Return the class or function that makes the network, and its arguments as text.

    `member` is the part of a word after `::`, such as `Net` or `Net(norm="bn")`, or empty.

    Raises:
        NoNetwork: the file has no network, and none is named.
        UnusableInput: the file has several networks, the named one does not exist, or its arguments are missing.
    """
    networks = found.networks()
    name, arguments = _parsed(path, member, found) if member else ("", "")
    if name and name not in (*found.named, *found.objects()):
        there = listed([*networks, *(f"{one}()" for one in makers(found))]) or "no network"
        raise UnusableInput(f"{path}: has no class or function {name}: it has {there}")
    if not member:
        if not networks:
            raise NoNetwork(f"{path}: defines no network: {_advice(path, found)}")
        if len(networks) > 1:
            problem = f"defines {len(networks)} networks, {listed(networks)}: name one of them"
            raise UnusableInput(f"{path}: {problem}, for example: {_command(path, _word(found, networks[-1]))}")
        name = networks[0]
    missing = found.missing_arguments(name)
    if missing and not arguments:
        raise UnusableInput(f"{path}: {name} needs {listed(missing)}: {_how_to_make(path, found, name)}")
    return name, arguments


def _how_to_make(path: str, found: Definitions, name: str) -> str:
    """Return how to name a network that needs arguments."""
    call = example(found, name)
    if "…" not in call and not _needs_code(call):
        return f"name it with its arguments, for example: {_command(path, call)}"
    made = [one for one in found.objects() if ast.unparse(made_by(found.assigned[one])) == name]
    made += [f"{one}()" for one in makers(found) if name in names_in(found.named[one])]
    if made:
        return f"name what is made with them, for example: {_command(path, made[0])}"
    known = {*found.named, *found.assigned, *found.imported, *dir(builtins)}
    possible = [ast.unparse(one) for one in calls_of(found, name) if names_in(one) <= known]
    if not possible and not _needs_code(call):
        return f"name it with its arguments, for example: {_command(path, call)}"
    import_first = "`from types import SimpleNamespace` and " if "SimpleNamespace(" in call and not possible else ""
    new = "make_network" if "make" in found.named else "make"
    function = f"a function like `def {new}(): return {[*possible, call][0]}`"
    return f"add {import_first}{function}, and name it, for example: {_command(path, f'{new}()')}"


def _needs_code(call: str) -> bool:
    """Whether a call has an argument that is made by another call. A command line can have none of those."""
    return re.search(r"=\w+\(", call) is not None


def _word(found: Definitions, name: str) -> str:
    """Return how to name a class or a function on a command line, with the arguments that it needs there."""
    call = example(found, name)
    return name if _needs_code(call) else call


def _advice(path: str, found: Definitions) -> str:
    """Return what to do with a file that defines no network."""
    for name, module in found.imported_modules():
        return f"it imports {name} from {module}: name the file of {module} instead"
    advice = "it needs one class derived from torch.nn.Module"
    for name in trained(found):
        return f"{advice}, or name the variable that is trained: {_command(path, name)}"
    made = [*(f"{one}()" for one in makers(found)), *(_word(found, one) for one in makers(found, True))]
    for name in [] if made else found.hidden():
        return f'its class {name} stands in a function or below `if __name__ == "__main__"`: move it to the left margin'
    return f"{advice}, or name the function that makes it: {_command(path, made[0])}" if made else advice


def _parsed(path: str, member: str, found: Definitions) -> tuple[str, str]:
    if member.isidentifier():
        return member, ""
    try:
        call = calls.parse(member)
    except ValueError as error:
        advice = "write a class or a function, with plain numbers and quoted text as arguments"
        word = _word(found, member.partition("(")[0])
        word = word if "(" in word and "…" not in word else 'Net(8, norm="bn")'
        raise UnusableInput(f"{path}::{member}: {advice}, for example: {_command(path, word)}") from error
    keywords = (f"{name}={value!r}" for name, value in sorted(call.keywords.items()))
    return call.name, ", ".join([*map(repr, call.positional), *keywords])


def _command(path: str, member: str) -> str:
    """Return a command line that names a network of a file."""
    member = member if '"' in member else member.replace("'", '"')  # the word is quoted with ' as a whole
    return f"python -m bench show {shlex.quote(f'{path}::{member}')}"
