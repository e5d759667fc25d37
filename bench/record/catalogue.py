"""Write and read <runs>.networks.json, the users' own networks of a record. No other module writes or reads this file.

It has everything that a worker and a report need, so that neither needs the networks' own files. Runs of a network that
is not in it are left out and reported as problems.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import files
from bench.errors import UnusableInput, one_line
from bench.files import require_regular
from bench.network import calls
from bench.network.specification import RECIPE_BOUNDS, Architecture, Claim, Recipe, Target
from bench.network.structure_facts import Structure
from bench.record import beside, record, schema
from bench.record.record import Record
from bench.record.rows import BOUNDS, LONGEST
from models import ARCHITECTURES


@dataclass(frozen=True)
class Catalogue:
    """Networks and their structures, by name."""

    architectures: Mapping[str, Architecture] = field(default_factory=dict)
    structures: Mapping[str, Structure] = field(default_factory=dict)


def path_beside(runs: Path) -> Path:
    """The path of this file beside a record."""
    return beside.path(runs, "networks", ".json")


def read(runs: Path) -> Catalogue:
    """Read the networks of the file beside a record. A missing file has no networks.

    Raises:
        UnusableInput: the file cannot be read, or its content is not what `add` writes.
    """
    path = path_beside(runs)
    try:
        require_regular(path)
        entries = _entries(path.read_bytes())
    except FileNotFoundError:
        return Catalogue()
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be read ({files.cause(error)}): repair it or move it away") from error
    except schema.Mismatch as error:
        raise UnusableInput(f"{path}: {error}: move the file away and train with --models again") from error
    return Catalogue(
        {name: entry.architecture(name) for name, entry in entries.items()},
        {name: entry.structure for name, entry in entries.items()},
    )


def _entries(content: bytes) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = schema.read(content, dict[str, _Entry])
    for name, entry in entries.items():
        _check(name, entry)
    return entries


def add(runs: Path, architectures: Mapping[str, Architecture], structures: Mapping[str, Structure]) -> None:
    """Add networks to the file beside a record. A network replaces an earlier network of the same name.

    Raises:
        UnusableInput: the file exists but cannot be read, or it cannot be written or would have a value that no reader
            accepts.
    """
    before = read(runs)
    after = Catalogue({**before.architectures, **architectures}, {**before.structures, **structures})
    path, text = path_beside(runs), format_catalogue(after)
    try:
        if after.architectures and not (path.exists() and path.read_text(encoding="utf-8") == text):
            _entries(text.encode())
            files.replace(path, text.encode())
    except schema.Mismatch as error:
        raise UnusableInput(f"{path}: could not be read again: {error}: change that in the network's file") from error
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be written ({files.cause(error)}): name another --runs file") from error


def format_catalogue(catalogue: Catalogue) -> str:
    """Format the networks as the text of the file, by ascending name."""
    content = {name: _content(one, catalogue.structures[name]) for name, one in sorted(catalogue.architectures.items())}
    return json.dumps(content, indent=1) + "\n"


def _content(one: Architecture, structure: Structure) -> dict[str, Any]:
    """Return the entry of a network. One without arguments and own modules has no fields for them."""
    absent = {"arguments": "", "modules": {}, "module": Architecture.module}
    content = asdict(_entry(one, structure)) | {"recipe": one.recipe.facts}
    return {name: value for name, value in content.items() if name not in absent or value != absent[name]}


def read_record(runs: Path) -> tuple[Record, Catalogue]:
    """Read a record, and the networks that a report of it is about.

    These are the users' own networks with runs in the record, and all documented networks. The documented networks are
    left out if the record has runs of users' own networks only. A run of any other network is left out and is a problem
    of the record.

    Raises:
        UnusableInput: like `read` and `bench.record.record.read`.
    """
    beside = read(runs)
    found = record.read(runs, {*ARCHITECTURES, *beside.architectures})
    recorded = set(found.rows["model"])
    own = {name: one for name, one in beside.architectures.items() if name in recorded and name not in ARCHITECTURES}
    documented = ARCHITECTURES if len(own) < len(recorded) or not own else {}
    return found, Catalogue({**documented, **own}, {name: beside.structures[name] for name in own})


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A network in the file, which has these fields in this order.

    A new field needs a default, because older files lack it. It has its place here, in `architecture` and in `_entry`.
    `_check` says what the types cannot say.
    """

    source: str
    class_name: str
    recipe: Recipe
    target: Target
    claims: tuple[Claim, ...]
    gives_logits: bool
    uncovered: tuple[str, ...] = ()
    uncovered_on_gpu: tuple[str, ...] = ()
    arguments: str = ""
    modules: dict[str, str] = field(default_factory=dict)
    module: str = Architecture.module
    packages: tuple[str, ...] = ()
    structure: Structure

    def architecture(self, name: str) -> Architecture:
        """Return the network, under a name."""
        return Architecture(
            name=name,
            source=self.source,
            class_name=self.class_name,
            recipe=self.recipe,
            target=self.target,
            own_claims=self.claims,
            gives_logits=self.gives_logits,
            uncovered=self.uncovered,
            uncovered_on_gpu=self.uncovered_on_gpu,
            arguments=self.arguments,
            modules=tuple(self.modules.items()),
            module=self.module,
            packages=self.packages,
        )


def _entry(one: Architecture, structure: Structure) -> _Entry:
    return _Entry(
        source=one.source,
        class_name=one.class_name,
        recipe=one.recipe,
        target=one.target,
        claims=one.own_claims,
        gives_logits=one.gives_logits,
        uncovered=one.uncovered,
        uncovered_on_gpu=one.uncovered_on_gpu,
        arguments=one.arguments,
        modules=dict(one.modules),
        module=one.module,
        packages=one.packages,
        structure=structure,
    )


def _check(name: str, entry: _Entry) -> None:
    """Raise `schema.Mismatch` if a value cannot be right although it has the right type."""
    recipe, target, quoted = entry.recipe, entry.target, repr(name)
    try:
        _ = entry.architecture(name).digest
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise schema.Mismatch(f"{quoted}: source: is not a Python file that can be read") from error
    try:
        for call in (*recipe.augmentation, *filter(None, [recipe.schedule])):
            calls.parse(call)
    except ValueError as error:
        raise schema.Mismatch(f"{quoted}: recipe: {one_line(error)}") from error
    try:
        calls.parse(f"make({entry.arguments})")
    except ValueError as error:
        raise schema.Mismatch(f"{quoted}: arguments: {one_line(error)}") from error
    possible = {
        "its name": 0 < len(name) <= LONGEST["model"] and one_line(name) == name,
        "class_name": entry.class_name.isidentifier(),
        **{
            f"recipe: {field}": getattr(recipe, field) is None or low <= getattr(recipe, field) <= high
            for field, (low, high) in RECIPE_BOUNDS.items()
        },
        "recipe: vary": not recipe.vary,
        "target": 1 <= target.correct <= target.total <= BOUNDS["total"][1],
        "claims": all(claim.value >= 0 for claim in entry.claims),
        "structure": entry.structure.parameters >= 0 and entry.structure.multiply_accumulates >= 0,
    }
    for place, is_possible in possible.items():
        if not is_possible:
            raise schema.Mismatch(f"{quoted}: {place}: a value is out of bounds")
