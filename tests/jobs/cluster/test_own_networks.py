"""Tests of `scheduling` and `workers`: a cluster trains every network, users' own too, to the bits of a local job."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest
from clusters import processes
from own_networks import generated, write
from students import BESIDE, BLOCKS, UTILS_THAT_READ_ARGUMENTS

from bench.cli import networks
from bench.jobs import job
from bench.jobs.cluster import workers
from bench.jobs.job import Paths, Selection

SUBSET = (256, 100)
NOT_REPRODUCIBLE = ("train_seconds", "eval_seconds", "recorded_at")


def deterministic(runs: Path) -> list[tuple[str, ...]]:
    with runs.open(encoding="utf-8", newline="") as file:
        rows = [tuple(row[name] for name in row if name not in NOT_REPRODUCIBLE) for row in csv.DictReader(file)]
    return sorted(rows)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_cluster_trains_the_example_ten_own_networks_and_all_documented_ones_to_the_same_bits(
    tmp_path: Path, root: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    example = re.findall(
        r"```python\n(.*?)```", (root / "docs" / "own-networks.md").read_text(encoding="utf-8"), re.DOTALL
    )[0]
    write(own, example=example, **{f"net{number}": generated(number) for number in range(9)})
    write(own, net9=BESIDE, blocks=BLOCKS, utils=UTILS_THAT_READ_ARGUMENTS)
    found = networks.find([str(own), str(root / "models")], networks.known())
    inspected = networks.inspect([one for one in found if one.document is None])
    assert len(inspected) == 11
    # A worker gets the source with its task. It has no file to read.
    theirs = [replace(one.architecture, path="") for one in inspected]
    chosen = (*theirs, *(one for one in found if one.document is not None))
    assert len(chosen) == 16
    structures = {one.architecture.name: one.structure for one in inspected}
    selection = Selection(chosen, ("cpu",), (1,), 2, 2, structures)

    def paths(name: str) -> Paths:
        return Paths(tmp_path / name / "runs.csv", tmp_path / name / "report", root / "data")

    assert job.run(selection, paths("local"), SUBSET) == job.Outcome(trained=16)
    with processes(tmp_path) as running:
        running.workers("one", "two")
        with workers.connect(running.address, chosen) as connected:
            assert job.run(selection, paths("remote"), SUBSET, connected) == job.Outcome(trained=16)
    here, there = (deterministic(tmp_path / name / "runs.csv") for name in ("local", "remote"))
    assert len(here) == 32
    assert there == here
