"""Describe the runs of a recipe that is not the current one of its network. Pure.

Most are of a recipe that the network no longer has. Nobody knows their target and their number of epochs. So nothing is
said of a target, and no run is called complete.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.evidence.results import Group
from bench.network.specification import Vary


@dataclass(frozen=True)
class OtherRecipe:
    """The runs of one network, recipe, device and environment, by ascending seed.

    `epochs` has the number of recorded epochs of each seed. `best` and `last` have the correct images of its best and
    of its last recorded epoch; they leave out a seed without an epoch. `diverged` counts the seeds that diverged.
    `vary` is that of the group.
    """

    model: str
    recipe: str
    device: str
    environment: str
    seeds: tuple[int, ...]
    epochs: tuple[int, ...]
    best: tuple[int, ...]
    last: tuple[int, ...]
    diverged: int
    vary: Vary = ""


def other_recipe(group: Group) -> OtherRecipe:
    """Describe a group whose recipe is not the current one."""
    counts = [run.correct for run in group.runs if run.correct]
    return OtherRecipe(
        model=group.model,
        recipe=group.recipe,
        device=group.device,
        environment=group.environment,
        seeds=tuple(run.seed for run in group.runs),
        epochs=tuple(len(run.correct) for run in group.runs),
        best=tuple(map(max, counts)),
        last=tuple(one[-1] for one in counts),
        diverged=sum(run.has_diverged for run in group.runs),
        vary=group.vary,
    )
