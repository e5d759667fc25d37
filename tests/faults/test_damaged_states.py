"""A job with damaged or missing states goes on from an earlier one or from the start, with the same bits."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cases import few_by_default
from jobs import ONE, Undisturbed, deterministic, finish
from quickly import Server

from bench.record import record

SEED = 20260131


@pytest.fixture(scope="module")
def half_way(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job that ended before it saved the state of its third epoch. It has two states and two rows."""
    folder = tmp_path_factory.mktemp("half way")
    job = server.run("run", *ONE, folder=folder, where="workers", fault=("open", 5, "EIO"))
    assert job.fired
    newest, previous = states(folder)
    assert newest.exists()
    assert previous.exists()
    assert len(deterministic(folder / "runs.csv")) == 2
    return folder


def states(folder: Path) -> tuple[Path, Path]:
    """The newest saved state and the one before."""
    checkpoints = record.state_folder(folder / "runs.csv") / "checkpoints"
    (previous,) = checkpoints.glob("*.previous.pt")
    return previous.with_name(previous.name.replace(".previous", "")), previous


def truncated(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def flipped(content: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(content)
    damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def zeroed(content: bytes, chance: random.Random) -> bytes:
    """Some file systems leave zeros in place of lost data."""
    start = chance.randrange(len(content))
    return content[:start] + b"\0" * (len(content) - start)


def emptied(content: bytes, chance: random.Random) -> bytes:
    return b""


def longer(content: bytes, chance: random.Random) -> bytes:
    return content + chance.randbytes(1 + chance.randrange(100))


def sealed(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest() + payload


def no_state_at_all(content: bytes, chance: random.Random) -> bytes:
    """The checksum is right, but this version cannot load the content."""
    return sealed(chance.randbytes(1000))


def of_another_version(content: bytes, chance: random.Random) -> bytes:
    """The checksum is right, but the state has other fields than here."""
    saved = torch.load(io.BytesIO(content[32:]), weights_only=True)
    saved["history"] = [{**epoch, "something_new": 1} for epoch in saved["history"]]
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    return sealed(buffer.getvalue())


def without(part: str) -> Callable[[bytes, random.Random], bytes]:
    """The checksum is right, but one part is missing."""

    def dropped(content: bytes, chance: random.Random) -> bytes:
        saved = torch.load(io.BytesIO(content[32:]), weights_only=True)
        del saved[part]
        buffer = io.BytesIO()
        torch.save(saved, buffer)
        return sealed(buffer.getvalue())

    dropped.__name__ = f"without_{part}"
    return dropped


DAMAGES = (truncated, flipped, zeroed, emptied, longer, no_state_at_all, of_another_version)
DAMAGES += tuple(without(part) for part in ("run", "network", "optimizer", "history", "predictions"))


def damage_and_go_on(
    server: Server,
    undisturbed: Undisturbed,
    half_way: Path,
    folder: Path,
    damages: tuple[Callable[[bytes, random.Random], bytes] | None, ...],
    chance: random.Random,
    lost: int,
) -> None:
    """Damage the newest and the previous state, remove some of the last rows, and let the job go on."""
    path = Undisturbed(half_way, 0).copy(folder)
    label = f"seed {SEED}: {[damage and damage.__name__ for damage in damages]}, {lost} rows lost"
    lines = path.read_text().splitlines(keepends=True)[:3]  # without the closing row
    path.write_text("".join(lines[: len(lines) - lost]))
    for state, damage in zip(states(folder), damages, strict=True):
        if damage is not None:
            state.write_bytes(damage(state.read_bytes(), chance))
    finish(server, folder, "", "run", *ONE)
    assert deterministic(path) == undisturbed.rows_of_one, label
    if None in damages:  # an epoch keeps its time unless it is trained again
        assert seconds(path, 1) == seconds(half_way / "runs.csv", 1), label


def seconds(path: Path, epoch: int) -> float:
    """The seconds that the training of an epoch took, from a record of one run."""
    rows = record.read(path).epochs
    return float(rows[rows["epoch"] == epoch]["train_seconds"].iloc[0])


@pytest.mark.parametrize(
    "damage",
    few_by_default(DAMAGES, DAMAGES[:1], pytest.mark.faults),
    ids=lambda damage: damage.__name__,
)
def test_a_job_goes_on_from_the_state_before_a_damaged_one(
    server: Server,
    undisturbed: Undisturbed,
    half_way: Path,
    tmp_path: Path,
    damage: Callable[[bytes, random.Random], bytes],
):
    damage_and_go_on(server, undisturbed, half_way, tmp_path, (damage, None), random.Random(SEED), lost=2)


@pytest.mark.faults
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_job_goes_on_with_whatever_is_left_of_its_states(
    server: Server,
    undisturbed: Undisturbed,
    half_way: Path,
    tmp_path: Path,
    damage: Callable[[bytes, random.Random], bytes],
):
    chance = random.Random(f"{SEED} {damage.__name__}")
    for number, damages in enumerate(((damage, None), (damage, damage), (None, damage), (damage, emptied)) * 2):
        damage_and_go_on(server, undisturbed, half_way, tmp_path / str(number), damages, chance, chance.randrange(3))


def test_a_state_of_another_run_under_the_name_of_this_one_is_not_continued(
    server: Server, undisturbed: Undisturbed, tmp_path: Path
):
    path = undisturbed.copy(tmp_path)
    checkpoints = record.state_folder(path) / "checkpoints"
    first, second = (next(checkpoints.glob(f"unpadded-*-{seed}.pt")) for seed in (1, 2))
    first.write_bytes(second.read_bytes())
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    path.with_name("runs.misses.csv").unlink()  # misses contradict an empty record
    finish(server, tmp_path, "", "run", *ONE)
    assert deterministic(path) == undisturbed.rows_of_one
