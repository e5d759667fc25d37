"""Choose the network of a file that is meant, or say what to write instead."""

from __future__ import annotations

import ast
import shlex

from bench.errors import UnusableInput
from bench.network import calls
from bench.network.source.candidates import Definitions, made_by, names_in
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
        there = listed([*networks, *(f"{one}()" for one in found.makers())]) or "no network"
        raise UnusableInput(f"{path}: has no class or function {name}: it has {there}")
    if not member:
        if not networks:
            raise NoNetwork(f"{path}: defines no network: {_advice(path, found)}")
        if len(networks) > 1:
            problem = f"defines {len(networks)} networks, {listed(networks)}: name one of them"
            raise UnusableInput(f"{path}: {problem}, for example: {_command(path, found.example(networks[-1]))}")
        name = networks[0]
    missing = found.missing_arguments(name)
    if missing and not arguments:
        example, advice = found.example(name), "name it with its arguments"
        if "…" in example:
            made = [one for one in found.objects() if ast.unparse(made_by(found.assigned[one])) == name]
            made += [f"{one}()" for one in found.makers() if name in names_in(found.named[one])]
            calls_of_it = [ast.unparse(one) for one in found.calls_of(name)]
            if made:
                example, advice = made[0], "name what is made with them"
            elif calls_of_it:  # with arguments that no command line can have
                example, advice = "make()", f"add a function like `def make(): return {calls_of_it[0]}`, and name it"
        raise UnusableInput(f"{path}: {name} needs {listed(missing)}: {advice}, for example: {_command(path, example)}")
    return name, arguments


def _advice(path: str, found: Definitions) -> str:
    """Return what to do with a file that defines no network."""
    for name, module in found.imported_modules():
        return f"it imports {name} from {module}: name the file of {module} instead"
    advice = "it needs one class derived from torch.nn.Module"
    makers = [*(f"{one}()" for one in found.makers()), *map(found.example, found.makers(True))]
    for name in [] if makers else found.hidden():
        return f'its class {name} stands in a function or below `if __name__ == "__main__"`: move it to the left margin'
    return f"{advice}, or name the function that makes it: {_command(path, makers[0])}" if makers else advice


def _parsed(path: str, member: str, found: Definitions) -> tuple[str, str]:
    if member.isidentifier():
        return member, ""
    try:
        call = calls.parse(member)
    except ValueError as error:
        advice = "write a class or a function, with plain numbers and quoted text as arguments"
        example = found.example(member.partition("(")[0])
        example = example if "(" in example and "…" not in example else 'Net(8, norm="bn")'
        raise UnusableInput(f"{path}::{member}: {advice}, for example: {_command(path, example)}") from error
    keywords = (f"{name}={value!r}" for name, value in sorted(call.keywords.items()))
    return call.name, ", ".join([*map(repr, call.positional), *keywords])


def _command(path: str, member: str) -> str:
    """Return a command line that names a network of a file."""
    member = member if '"' in member else member.replace("'", '"')  # the word is quoted with ' as a whole
    return f"python -m bench show {shlex.quote(f'{path}::{member}')}"
