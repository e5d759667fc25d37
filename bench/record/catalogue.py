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
from bench.errors import UnusableInput
from bench.network.specification import Architecture, Claim, Recipe, Target
from bench.network.structure_facts import Structure, from_json
from bench.record import beside, record
from bench.record.record import Record
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
        content = json.loads(path.read_text(encoding="utf-8"))
        return Catalogue(
            {name: _architecture(name, values) for name, values in content.items()},
            {name: from_json(values["structure"]) for name, values in content.items()},
        )
    except FileNotFoundError:
        return Catalogue()
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be read ({files.cause(error)}): repair it or move it away") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnusableInput(f"{path}: has no valid networks: move it away and train with --models again") from error


def add(runs: Path, architectures: Mapping[str, Architecture], structures: Mapping[str, Structure]) -> None:
    """Add networks to the file beside a record. A network replaces an earlier network of the same name.

    Raises:
        UnusableInput: the file exists but cannot be read, or it cannot be written.
    """
    before = read(runs)
    after = Catalogue({**before.architectures, **architectures}, {**before.structures, **structures})
    path, text = path_beside(runs), format_catalogue(after)
    try:
        if after.architectures and not (path.exists() and path.read_text(encoding="utf-8") == text):
            files.replace(path, text.encode())
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be written ({files.cause(error)}): name another --runs file") from error


def format_catalogue(catalogue: Catalogue) -> str:
    """Format the networks as the text of the file, by ascending name."""
    content = {name: _content(one, catalogue.structures[name]) for name, one in sorted(catalogue.architectures.items())}
    return json.dumps(content, indent=1) + "\n"


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


def _content(architecture: Architecture, structure: Structure) -> dict[str, Any]:
    return {
        "source": architecture.source,
        "class_name": architecture.class_name,
        "recipe": architecture.recipe.facts,
        "target": asdict(architecture.target),
        "claims": [asdict(claim) for claim in architecture.own_claims],
        "gives_logits": architecture.gives_logits,
        "uncovered": list(architecture.uncovered),
        "structure": asdict(structure),
    }


def _architecture(name: str, content: dict[str, Any]) -> Architecture:
    recipe = content["recipe"]
    return Architecture(
        name=name,
        source=content["source"],
        class_name=content["class_name"],
        recipe=Recipe(**{**recipe, "augmentation": tuple(recipe.get("augmentation", ()))}),
        target=Target(**content["target"]),
        own_claims=tuple(Claim(**claim) for claim in content["claims"]),
        gives_logits=content["gives_logits"],
        uncovered=tuple(content.get("uncovered", ())),
    )
