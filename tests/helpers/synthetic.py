"""Made-up records: seeded counts, written as CSV and read back. Nothing was measured."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.network.specification import Architecture
from bench.record.misses import COLUMNS as COLUMNS_OF_MISSES
from bench.record.misses import path_beside as path_of_misses
from bench.record.record import Record, read
from bench.record.rows import COLUMNS, Row, format_line, format_row
from bench.record.verifications import COLUMNS as COLUMNS_OF_VERIFICATIONS
from bench.record.verifications import path_beside as path_of_verifications
from models import ARCHITECTURES

RECIPE = "0a1b2c3d"
CPU, GPU = "11112222", "33334444"
MACHINES = {CPU: "Made-up processor AVX2; PyTorch 9.9.9; Linux x86_64", GPU: "Made-up GPU; PyTorch 9.9.9; Linux x86_64"}


def architectures(*names: str) -> dict[str, Architecture]:
    """Networks with the digest `RECIPE`. A golden report must not change with their code."""
    return {name: with_recipe(ARCHITECTURES[name]) for name in names or ARCHITECTURES}


def with_recipe(architecture: Architecture, **changes: Any) -> Architecture:
    """A copy with the digest `RECIPE`, and other changes."""
    copy = dataclasses.replace(architecture, **changes)
    copy.__dict__["digest"] = RECIPE  # functools.cached_property keeps it there
    return copy


def counts(seed: int, epochs: int, plateau: int = 9941) -> list[int]:
    """Correct images by epoch. They rise fast to a plateau and jitter there."""
    draw = random.Random(f"{seed} {plateau}")
    return [min(9999, round(plateau - 190 / epoch**1.3 + draw.gauss(0, 5))) for epoch in range(1, epochs + 1)]


def run_rows(
    model: str,
    seed: int,
    correct: Sequence[int],
    *,
    device: str = "cpu",
    environment: str = CPU,
    recipe: str = RECIPE,
    machine: str | None = None,
    seconds: float = 12.0,
    batch_statistics: Mapping[int, int] | None = None,
    ending: tuple[str, str] | None = None,
) -> list[Row]:
    """The rows of one run. `ending` has the status and the note of a closing row after the last epoch."""
    drawn = random.Random(f"{model} {seed} {device}")
    batch_statistics = batch_statistics or {}
    common: dict[str, Any] = {
        "model": model,
        "recipe": recipe,
        "device": device,
        "environment": environment,
        "seed": seed,
    }
    text: dict[str, Any] = {
        "recorded_at": "2026-01-31T12:00:00Z",
        "machine": MACHINES.get(environment, "") if machine is None else machine,
    }
    rows = [
        Row(
            **common,
            epoch=epoch,
            correct=count,
            total=10_000,
            test_loss=0.02,
            train_loss=0.03,
            train_seconds=seconds * drawn.uniform(0.95, 1.1),
            eval_seconds=seconds / 20,
            status="ok",
            note="",
            **text,
            smallest_variance=1e-9 if epoch in batch_statistics else 0.01,
            correct_batch_statistics=batch_statistics.get(epoch),
        )
        for epoch, count in enumerate(correct, start=1)
    ]
    if ending:
        status, note = ending
        nothing: dict[str, Any] = dict.fromkeys(
            ("correct", "total", "test_loss", "train_loss", "train_seconds", "eval_seconds")
        )
        rows.append(Row(**common, epoch=len(correct) + 1, **nothing, status=status, note=note, **text))
    return rows


def full(plateaus: Mapping[str, int] | None = None, seeds: Iterable[int] = range(1, 6), **options: Any) -> list[Row]:
    """Complete runs of networks, by name and plateau."""
    plateaus = plateaus or {
        "squeeze_fc": 9921,
        "expand_squeeze": 9937,
        "unpadded": 9940,
        "ten_twenty_thirty": 9938,
        "gap_head": 9948,
    }
    return [
        row
        for name, plateau in plateaus.items()
        for seed in seeds
        for row in run_rows(name, seed, counts(seed, ARCHITECTURES[name].recipe.epochs, plateau), **options)
    ]


def collapsing(seed: int = 3, **options: Any) -> list[Row]:
    """A run of `unpadded` whose evaluation collapses for eight epochs while its weights stay good."""
    correct = counts(seed, 19, 9940)
    correct[5:13] = [9911, 9717, 9898, 9142, 7920, 9911, 9382, 7754]
    return run_rows(
        "unpadded", seed, correct, batch_statistics={7: 9926, 9: 9929, 10: 9921, 12: 9925, 13: 9930}, **options
    )


def text(rows: Iterable[Row]) -> str:
    """The file that holds these rows."""
    return format_line(COLUMNS) + "".join(format_row(row) for row in rows)


def record(folder: Path, rows: Iterable[Row], extra: str = "") -> Record:
    """The record read from a file of these rows and `extra` lines."""
    path = folder / "runs.csv"
    path.write_text(text(rows) + extra, encoding="utf-8")
    return read(path)


def misses(rows: Iterable[Row]) -> list[list[str]]:
    """The misses beside a record, one row for the last epoch of each run. Most runs miss the hard images."""
    last = {(row.model, row.recipe, row.device, row.environment, row.seed): row for row in rows if row.status == "ok"}
    found = []
    for key, row in last.items():
        assert row.correct is not None
        assert row.total is not None
        draw = random.Random(str(key))
        hard = range(0, row.total, 97)
        images = draw.sample(hard, min(len(hard), (row.total - row.correct) * 2 // 3))
        images += draw.sample(sorted(set(range(row.total)) - set(hard)), row.total - row.correct - len(images))
        wrong = " ".join(f"{image}:{image % 10}>{(image + draw.choice((1, 1, 2))) % 10}" for image in sorted(images))
        found.append([*map(str, key), str(row.epoch), wrong])
    return found


def write_beside(runs: Path, misses: Iterable[Sequence[str]] = (), verified: Iterable[Sequence[object]] = ()) -> None:
    """Write the two files beside a record."""
    for path, columns, lines in (
        (path_of_misses(runs), COLUMNS_OF_MISSES, misses),
        (path_of_verifications(runs), COLUMNS_OF_VERIFICATIONS, verified),
    ):
        path.write_text(
            "".join(format_line([str(one) for one in line]) for line in (columns, *lines)), encoding="utf-8"
        )
