"""What the gate has stored of each network: the digest of its recipe, and the time of a training step on some machines.

No other module writes or reads the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import files
from bench.errors import UnusableInput

PATH = Path(__file__).with_name("baseline.json")


@dataclass(frozen=True)
class Stored:
    """What is stored of one network.

    `recipe` is the digest of the network and its recipe. `steps` has the time of a training step, relative to the
    calibration, by machine: in the words that `machine` of `bench.training.environment` has for it.
    """

    recipe: str
    steps: Mapping[str, float]

    def step(self, machine: str) -> float:
        """Return the time of a step on a machine. If nothing is stored of that one, it is the longest of all."""
        return self.steps.get(machine, max(self.steps.values()))


def load(names: Iterable[str] = (), path: Path = PATH) -> dict[str, Stored]:
    """Read what is stored of each network.

    Raises:
        UnusableInput: the file is missing, is not a baseline, or lacks one of `names`.
    """
    advice = "write it with `python -m bench check --update` on an idle machine"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        stored = {name: Stored(str(one["recipe"]), _steps(one["steps"])) for name, one in content.items()}
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be read ({files.cause(error)}): {advice}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnusableInput(f"{path}: is not a baseline: {advice}") from error
    missing = [name for name in names if name not in stored]
    if missing:
        raise UnusableInput(f"{path}: lacks {', '.join(missing)}: {advice}")
    return stored


def store(networks: Mapping[str, Stored], path: Path = PATH) -> None:
    """Write what is to be stored of each network.

    Raises:
        OSError: the file cannot be written. Its old content is still there.
    """
    content = {name: asdict(one) for name, one in networks.items()}
    files.replace(path, (json.dumps(content, indent=2) + "\n").encode())


def _steps(content: Mapping[str, float]) -> dict[str, float]:
    steps = {machine: float(ratio) for machine, ratio in content.items()}
    if not steps or not all(ratio > 0 for ratio in steps.values()):
        raise ValueError("no step, or one that takes no time")
    return steps
