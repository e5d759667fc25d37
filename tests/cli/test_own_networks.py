"""Tests of `commands` and `networks`: users' own networks from training to report, through the command line."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import synthetic
from own_networks import DRAWS, PLAIN, write
from students import BESIDE, BLOCKS, UTILS_THAT_READ_ARGUMENTS

from bench.cli import commands, parser
from bench.jobs import job, verify
from bench.jobs.verify import Verification
from bench.network import network_file, structure_facts
from bench.network.network_file import read
from bench.network.specification import Architecture, Recipe, Target
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
    return folder


def deterministic(path: Path) -> list[tuple[object, ...]]:
    """The columns of a record that a second training must reproduce, sorted."""
    rows = record.read(path).epochs[["model", "recipe", "seed", "epoch", "correct", "test_loss", "train_loss"]]
    return sorted(rows.itertuples(index=False, name=None))


@pytest.mark.slow
def test_the_documented_example_and_another_network_have_the_same_bits_a_second_time(ours, tmp_path, root, monkeypatch):
    monkeypatch.chdir(ours)
    monkeypatch.setattr(job, "run", functools.partial(job.run, subset=SUBSET))
    again = tmp_path / "again.csv"
    words = ["--seeds", "1", "--devices", "cpu", "--epochs", "2", "--data", str(root / "data"), "--runs", str(again)]
    assert parser.main(["run", "--models", "draws.py,net.py", "--jobs", "1", *words]) == 0
    assert len(deterministic(again)) == 4
    assert deterministic(again) == deterministic(ours / "runs.csv")


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
    native = environment.describe("cpu").digest
    for name, (one,) in environments.items():
        assert one == (native if found[name].uncovered else EXACT.digest)


@pytest.mark.slow
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


@pytest.mark.slow
def test_verification_does_not_need_the_network_files(copied, root, monkeypatch, capsys):
    monkeypatch.setattr(verify, "verify", functools.partial(verify.verify, subset=SUBSET))
    words = ["--models", "draws", "--runs", str(copied / "runs.csv"), "--data", str(root / "data")]
    assert parser.main(["verify", "--trust", *words]) == 0
    printed = capsys.readouterr()
    assert "1 of 1 run identical, bit for bit." in printed.out
    path = catalogue.path_beside(copied / "runs.csv")
    assert f"bench: {path}: verifying draws runs the code in this file\n" in printed.err


@pytest.mark.parametrize(("chosen", "names"), [([], "draws, net"), (["--models", "draws"], "draws")])
def test_code_that_only_the_record_has_is_not_run_without_trust(copied, monkeypatch, capsys, chosen, names):
    monkeypatch.setattr(verify, "verify", pytest.fail)
    assert parser.main(["verify", *chosen, "--runs", str(copied / "runs.csv")]) == 2
    path = catalogue.path_beside(copied / "runs.csv")
    assert capsys.readouterr().err == (
        f"bench: {path}: verifying {names} runs the code in this file: read it and add --trust, "
        "or give your own copy with --models FILE.py\n"
    )


def test_documented_networks_are_verified_without_trust(copied, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(verify, "verify", lambda request, *others: asked.append(request) or Verification(()))
    assert parser.main(["verify", "--models", "unpadded", "--runs", str(copied / "runs.csv")]) == 1
    assert [request.models for request in asked] == [("unpadded",)]
    assert capsys.readouterr().err == ""


def test_the_code_of_a_file_that_the_user_names_is_trained_and_not_code_like_it_in_the_record(ours, copied):
    recorded = catalogue.read(copied / "runs.csv").architectures
    mine = [network_file.read(ours / f"{name}.py") for name in recorded]
    changed = {name: replace(one, source=one.source + "# another comment\n") for name, one in recorded.items()}
    for found in (commands._here(recorded, mine), commands._here(changed, mine)):
        assert [one.source for one in found.values()] == [one.source for one in mine]
        assert [one.uncovered for one in found.values()] == [one.uncovered for one in recorded.values()]
    assert commands._here(recorded, None) == commands._here(recorded, list(recorded.values())) == {}
    others = {name: replace(one, source=one.source + "x = 1\n") for name, one in recorded.items()}
    assert commands._here(others, mine) == {}


@pytest.mark.slow
@pytest.mark.parametrize("source", [DRAWS, DRAWS.replace("stride=2", "stride=2, bias=False")], ids=["same", "changed"])
def test_verification_of_a_file_compares_the_runs_of_this_very_network(copied, root, monkeypatch, capsys, source):
    monkeypatch.setattr(verify, "verify", functools.partial(verify.verify, subset=SUBSET))
    (path,) = write(copied, draws=source)
    words = ["--models", str(path), "--runs", str(copied / "runs.csv"), "--data", str(root / "data")]
    if source == DRAWS:
        assert parser.main(["verify", *words]) == 0
        assert "1 of 1 run identical, bit for bit." in capsys.readouterr().out
    else:
        assert parser.main(["verify", *words]) == 1
        said = capsys.readouterr().out
        assert f"the network or its recipe has changed to {read(path).digest}" in said
        assert "0 of 1 run identical" in said


@pytest.fixture(scope="module")
def with_modules(tmp_path_factory, root):
    """The folder of a record of a network with modules beside it, before and after a change of one of them.

    The second job also has a network whose file and recipe use torchvision.
    """
    folder = tmp_path_factory.mktemp("beside")
    write(folder, net=BESIDE, blocks=BLOCKS, utils=UTILS_THAT_READ_ARGUMENTS)
    vision = "from torchvision import datasets, transforms\nRECIPE = {'augmentation': 'RandomRotation(degrees=7)'}\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(job, "run", functools.partial(job.run, subset=SUBSET))
        words = ["--seeds", "1", "--devices", "cpu", "--epochs", "1", "--data", str(root / "data")]
        assert parser.main(["run", "--models", "net.py", *words]) == 0
        write(folder, blocks=BLOCKS.replace("nn.ReLU()", "nn.LeakyReLU()"), vision=vision + PLAIN)
        assert parser.main(["run", "--models", "net.py,vision.py", *words]) == 0
    return folder


@pytest.mark.slow
def test_a_change_of_a_module_beside_a_network_makes_it_another_one(with_modules):
    rows = record.read(with_modules / "runs.csv").epochs
    assert list(rows["model"]) == ["net", "net", "vision"] or list(rows["model"]) == ["net", "vision", "net"]
    first, second = rows[rows["model"] == "net"].itertuples()
    assert (first.epoch, second.epoch) == (1, 1)
    assert first.recipe != second.recipe
    assert first.train_loss != second.train_loss


@pytest.mark.slow
def test_modules_beside_a_network_are_kept_with_it(with_modules, tmp_path, root, monkeypatch, capsys):
    for name in ("runs.csv", "runs.networks.json"):
        (tmp_path / name).write_bytes((with_modules / name).read_bytes())
    monkeypatch.setattr(verify, "verify", functools.partial(verify.verify, subset=SUBSET))
    words = ["--trust", "--models", "net", "--runs", str(tmp_path / "runs.csv"), "--data", str(root / "data")]
    assert parser.main(["verify", *words]) == 1
    said = capsys.readouterr().out
    assert "1 of 2 runs identical, bit for bit." in said
    assert "the network or its recipe has changed" in said


@pytest.mark.slow
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


@pytest.mark.parametrize("targets", [{"old": 9900}, {"new": 9900}, {"old": 9800, "new": 9900}], ids=repr)
def test_compare_counts_the_epochs_to_the_target_of_the_network_in_the_newer_record_that_has_it(
    tmp_path, capsys, targets
):
    net = Architecture("net", "class Net: pass\n", "Net", Recipe(0.1, 128, 19))
    structures = {"net": structure_facts.load(["unpadded"])["unpadded"]}
    records = []
    for name, epoch, where in (("old", 3, synthetic.CPU), ("new", 9, synthetic.GPU)):
        counts = [9850] * (epoch - 1) + [9900] * (20 - epoch)
        runs = (synthetic.run_rows("net", seed, counts, recipe=net.digest, environment=where) for seed in range(5))
        (tmp_path / name).mkdir()
        records.append(synthetic.record(tmp_path / name, [row for rows in runs for row in rows]).path)
        if name in targets:
            catalogue.add(records[-1], {"net": replace(net, target=Target(targets[name]))}, structures)
    assert parser.main(["compare", *map(str, records)]) == 1
    assert capsys.readouterr().out.endswith("Convergence changed: epochs to target of net on cpu slower.\n")


@pytest.mark.parametrize(
    ("content", "problem"),
    [("", "is not JSON"), ("[]", "a list is not an object"), ('{"net": 5}', "'net': 5 is not an")],
)
def test_a_damaged_file_of_networks_gets_one_line(copied, capsys, content, problem):
    path = catalogue.path_beside(copied / "runs.csv")
    path.write_text(content)
    assert parser.main(["report", "--runs", str(copied / "runs.csv"), "--report", str(copied / "report")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"bench: {path}: {problem}")
    assert said.endswith(": move the file away and train with --models again\n")
    assert said.count("\n") == 1
