"""Tests of `commands` and `networks`: users' own networks from training to report, through the command line."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import pytest
import synthetic
from own_networks import DRAWS, write

from bench.cli import parser
from bench.jobs import job, verify
from bench.record import catalogue, record
from bench.record.environments import EXACT
from bench.record.rows import format_row
from bench.training import environment
from models import ARCHITECTURES

SUBSET = (192, 100)


@pytest.fixture(scope="module")
def ours(tmp_path_factory, root):
    """The folder of an `all` job on few images with two own networks: the documented example, and one that draws."""
    folder = tmp_path_factory.mktemp("own")
    example, *_ = re.findall(r"```python\n(.*?)```", (root / "docs" / "own-networks.md").read_text(), re.DOTALL)
    write(folder, net=example, draws=DRAWS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(job, "run", functools.partial(job.run, subset=SUBSET))
        words = ["--seeds", "1", "--devices", "cpu", "--epochs", "2", "--data", str(root / "data")]
        assert parser.main(["all", "--models", "net.py,draws.py", "--jobs", "2", *words]) == 0
        again = ["--runs", "again.csv", "--report", "again"]
        assert parser.main(["run", "--models", "draws.py,net.py", "--jobs", "1", *words, *again]) == 0
    return folder


def deterministic(path: Path) -> list[tuple[object, ...]]:
    """The columns of a record that a second training must reproduce, sorted."""
    rows = record.read(path).epochs[["model", "recipe", "seed", "epoch", "correct", "test_loss", "train_loss"]]
    return sorted(rows.itertuples(index=False, name=None))


def test_the_documented_example_and_another_network_have_the_same_bits_a_second_time(ours):
    assert len(deterministic(ours / "runs.csv")) == 4
    assert deterministic(ours / "runs.csv") == deterministic(ours / "again.csv")


def test_the_report_is_about_the_users_networks_and_judges_their_claims(ours):
    pages = {path.name: path.read_text() for path in (ours / "report").glob("*.md")}
    assert sorted(pages) == ["README.md", "data.md", "draws.md", "methods.md", "net.md"]
    text = pages["README.md"]
    assert "\n# 99.4 % on MNIST in 4 to 15 epochs? Two networks, trained over seeds\n" in text
    assert "Of the 3 claims on two networks, all are about training: " in text
    assert "9940 of 10,000 first in epoch 9" in text
    assert "augmentation RandomAffine(degrees=7, translate=(0.05, 0.05))" in pages["net.md"]
    assert "python -m bench all --models FILES --seeds 1 --devices cpu " in text
    everything = "".join(pages.values())
    assert not any(name in everything for name in ARCHITECTURES)
    assert "have in common" not in everything
    assert " documented " not in text + pages["net.md"] + pages["data.md"]
    numbers = json.loads((ours / "report" / "summary.json").read_text())
    assert numbers["networks"]["net"]["parameters_measured"] == 1_466
    assert numbers["networks"]["net"]["recipe"]["schedule"] == "StepLR(step_size=6, gamma=0.1)"


def test_what_keeps_a_network_from_exact_arithmetic_is_kept_beside_the_record(ours):
    found = catalogue.read(ours / "runs.csv").architectures
    assert "an augmentation" in found["draws"].uncovered
    environments = record.read(ours / "runs.csv").epochs.groupby("model")["environment"].unique()
    native = environment.describe("cpu", "native").digest
    for name, (one,) in environments.items():
        assert one == (native if found[name].uncovered else EXACT.digest)


@pytest.mark.parametrize("command", ["plan", "run"])
def test_exact_arithmetic_for_a_network_that_it_does_not_cover_is_refused_in_a_line(
    tmp_path, monkeypatch, capsys, command
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, draws=DRAWS)
    words = ["--models", "draws.py,unpadded", "--devices", "cpu", "--seeds", "1", "--arithmetic", "exact"]
    assert parser.main([command, *words]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("bench: --arithmetic exact: draws cannot be trained so, because of an augmentation, ")
    assert said.err.endswith(": use --arithmetic auto or native\n")
    assert not catalogue.path_beside(Path("runs.csv")).exists()


def report(folder: Path) -> str:
    """The first page that `report` writes for the record of a folder."""
    assert parser.main(["report", "--runs", str(folder / "runs.csv"), "--report", str(folder / "report")]) == 0
    return (folder / "report" / "README.md").read_text()


@pytest.fixture
def copied(ours, tmp_path):
    """A copy of the record, without the network files."""
    for name in ("runs.csv", "runs.networks.json", "runs.misses.csv"):
        (tmp_path / name).write_bytes((ours / name).read_bytes())
    return tmp_path


def test_a_report_does_not_need_the_network_files(ours, copied):
    assert report(copied) == (ours / "report" / "README.md").read_text()


def test_runs_of_an_unknown_network_are_named_and_left_out(copied):
    catalogue.path_beside(copied / "runs.csv").unlink()
    without = report(copied)
    assert "the network 'net' is not known here" in (copied / "report" / "data.md").read_text()
    assert "(unpadded.md)" in without
    assert "(net.md)" not in without


def test_a_report_with_documented_runs_as_well_covers_both(copied):
    with (copied / "runs.csv").open("a") as file:
        file.writelines(map(format_row, synthetic.run_rows("gap_head", 1, synthetic.counts(1, 20))))
    text = report(copied)
    assert "? Seven networks, trained over seeds" in text
    assert all(f"({name}.md)" in text for name in ("gap_head", "unpadded", "net", "draws"))


def test_verification_does_not_need_the_network_files(copied, root, monkeypatch, capsys):
    monkeypatch.setattr(verify, "verify", functools.partial(verify.verify, subset=SUBSET))
    words = ["--models", "draws", "--runs", str(copied / "runs.csv"), "--data", str(root / "data")]
    assert parser.main(["verify", *words]) == 0
    assert "1 of 1 run identical, bit for bit." in capsys.readouterr().out


def test_a_changed_claim_is_judged_without_training_again(ours, copied, root, capsys):
    example = (ours / "net.py").read_text()
    (copied / "net.py").write_text(example.replace('"best": 9951', '"best": 9902'))
    words = ["--runs", str(copied / "runs.csv"), "--report", str(copied / "report"), "--data", str(root / "data")]
    chosen = ["--models", str(copied / "net.py"), "--seeds", "1", "--devices", "cpu", "--epochs", "2"]
    assert parser.main(["all", *chosen, *words]) == 0
    assert "All of this is already recorded" in capsys.readouterr().out
    text = (copied / "report" / "README.md").read_text()
    assert "9902 of 10,000 in the best epoch" in text
    assert "9951" not in text


@pytest.mark.parametrize("content", ["", "[]", "{", '{"net": {}}', '{"net": 5}', '{"net": null}'])
def test_a_damaged_file_of_networks_gets_one_line(copied, capsys, content):
    path = catalogue.path_beside(copied / "runs.csv")
    path.write_text(content)
    assert parser.main(["report", "--runs", str(copied / "runs.csv"), "--report", str(copied / "report")]) == 2
    assert capsys.readouterr().err == (
        f"bench: {path}: has no valid networks: move it away and train with --models again\n"
    )
