"""The main job as users run it: all five networks on all of MNIST, two seeds, one epoch, and the report."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bench.record import record
from bench.record.environments import EXACT
from models import ARCHITECTURES


def bench(*words, cwd, root):
    command = [sys.executable, "-m", "bench", *words, "--data", str(root / "data")]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_two_seeds_of_one_epoch_of_all_five_train_and_are_reported(tmp_path, root):
    done = bench("all", "--seeds", "2", "--epochs", "1", "--devices", "cpu", cwd=tmp_path, root=root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["The report is in report/README.md."]

    found = record.read(tmp_path / "runs.csv")
    assert not found.problems
    assert list(found.epochs.groupby("model", sort=False)["seed"].apply(sorted).to_dict().values()) == [[1, 2]] * 5
    assert (found.epochs["total"] == 10_000).all()
    assert (found.epochs["environment"] == EXACT.digest).all()
    # One epoch gives about 97 %. A silent channel may spoil the evaluation of one seed, but rarely of both.
    assert (found.epochs.groupby("model")["correct"].max() > 9_500).all()

    report = (tmp_path / "report" / "README.md").read_text(encoding="utf-8")
    for row in found.epochs.itertuples():
        assert row.model in report
        assert str(row.correct) in report.replace(",", "")
    for line in report.splitlines():
        for name in line.split("](")[1:]:
            target = name.split(")")[0]
            assert target.startswith("http") or (tmp_path / "report" / target.partition("#")[0]).exists(), target
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert set(ARCHITECTURES) <= set(json.dumps(summary).replace('"', " ").split())

    again = bench("all", "--seeds", "2", "--epochs", "1", "--devices", "cpu", cwd=tmp_path, root=root)
    assert again.returncode == 0
    assert "already recorded in runs.csv" in again.stdout
    assert (tmp_path / "report" / "README.md").read_text(encoding="utf-8") == report
