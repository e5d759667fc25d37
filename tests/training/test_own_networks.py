"""Networks of users' own files in training: the same bits again, resumed, in any order; and a report without them."""

from __future__ import annotations

import functools
import json
import random
import re
from pathlib import Path

import numpy
import pytest
import torch
from own_networks import DRAWS, PLAIN, changed, generated, write

from bench.cli import parser
from bench.jobs import job, verify
from bench.network.network_file import DEFAULT_RECIPE, read
from bench.network.specification import Recipe
from bench.record import catalogue, record
from bench.training import inspection, loop
from bench.training.data import MEAN, STANDARD_DEVIATION
from bench.training.dropout import SeededDropout
from bench.training.randomness import Purpose, seed_generators
from bench.training.recipe import Augmentation, learning_rates
from models import ARCHITECTURES

SUBSET = (192, 100)


def trained(architecture, dataset, epochs=2, seed=1, start=None):
    """The reproducible part of every epoch, and the last state."""
    states = list(loop.train(architecture, seed, "cpu", dataset, epochs, start))
    history = states[-1].history
    return [(one.correct, one.test_loss, one.train_loss) for one in history], states[-1]


@pytest.fixture(scope="module")
def few(dataset):
    return dataset.head(*SUBSET)


def test_ten_generated_networks_give_the_same_bits_again_in_another_order(tmp_path, few):
    write(tmp_path, **{f"net{number}": generated(number) for number in range(10)})
    chosen = [read(path) for path in sorted(tmp_path.iterdir())]
    assert len({one.digest for one in chosen}) == 10
    for one in chosen:
        inspection.inspect(one)
    first = {one.name: trained(one, few)[0] for one in chosen}
    torch.rand(5)
    random.random()
    again = {one.name: trained(one, few)[0] for one in reversed(chosen)}
    assert first == again
    assert len({str(one) for one in first.values()}) == 10


def test_draws_of_network_and_augmentation_are_those_of_seed_and_step_straight_or_resumed(tmp_path, few):
    one = read(write(tmp_path, net=DRAWS)[0])
    straight, _ = trained(one, few, 3)
    _, middle = trained(one, few, 1)
    torch.manual_seed(5)
    resumed, _ = trained(one, few, 3, start=middle)
    assert resumed == straight
    assert trained(one, few, 1, seed=2)[0] != straight[:1]


def test_training_leaves_every_global_generator_as_it_was(tmp_path, few):
    one = read(write(tmp_path, net=DRAWS)[0])
    before = torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].copy()
    trained(one, few, 1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert (numpy.random.get_state()[1] == before[2]).all()


@pytest.mark.parametrize(
    "draw",
    [
        "F.dropout(x, 0.5, self.training)",
        "x + random.random() * self.training",
        "x + numpy.random.rand() * self.training",
    ],
)
def test_what_a_network_draws_differs_from_step_to_step_and_not_in_evaluation(tmp_path, few, draw):
    source = changed(
        "        return self", f"        x = {draw}\n        return self", "import random, numpy\n" + PLAIN
    )
    trainee = loop.prepare(read(write(tmp_path, net=source)[0]), 1, "cpu")
    images = few.train_images[:4]

    def scores(step):
        seed_generators(1, Purpose.NETWORK, step)
        with torch.no_grad():
            return trainee.forward(images)

    trainee.forward.train()
    assert torch.equal(scores(1), scores(1))
    assert not torch.equal(scores(1), scores(2))
    trainee.forward.eval()
    assert torch.equal(scores(1), scores(2))


def test_a_relu_in_place_whose_input_is_used_again_is_merged_with_nothing(tmp_path, few):
    source = """
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.scores = nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.Linear(4, 10)

    def forward(self, x):
        x = self.conv(x)
        return self.scores((self.norm(F.relu(x, inplace=True)) + x).amax((2, 3)))
"""
    one = read(write(tmp_path, net=source)[0])
    images = few.train_images[:4]
    fused, reference = (loop.prepare(one, 1, "cpu", fused=fused).forward.eval() for fused in (True, False))
    with torch.no_grad():
        assert torch.allclose(fused(images), reference(images), atol=1e-5)


def test_the_dropout_of_a_recipe_stands_in_place_of_every_layers_own(tmp_path):
    network = loop.prepare(read(write(tmp_path, net=DRAWS)[0]), 1, "cpu").network
    assert [one.probability for one in network.modules() if isinstance(one, SeededDropout)] == [0.2]


def test_a_schedule_gives_every_epoch_its_rate_however_many_are_trained(tmp_path, few):
    recipe = Recipe(0.1, 64, 6, schedule="StepLR(step_size=2, gamma=0.5)")
    assert learning_rates(recipe, 6) == [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]
    assert learning_rates(recipe, 3) == [0.1, 0.1, 0.05]
    assert learning_rates(DEFAULT_RECIPE, 3) == [0.01] * 3
    _, state = trained(read(write(tmp_path, net=DRAWS)[0]), few, 3)
    assert state.optimizer["param_groups"][0]["lr"] == 0.05 * 0.5 * 0.5


def test_an_augmentation_sees_images_from_black_0_to_1_and_keeps_them_normalised(few):
    images = few.train_images[:8]
    upside_down = Augmentation(["RandomVerticalFlip(p=1.0)"])(images)
    assert torch.allclose(upside_down, images.flip(2), atol=1e-6)
    black = Augmentation(["RandomErasing(p=1.0, scale=(0.99, 1.0), ratio=(1, 1))"])(images).min()
    assert float(black) == pytest.approx(-MEAN / STANDARD_DEVIATION, abs=1e-6)


# Through the command line


@pytest.fixture(scope="module")
def ours(tmp_path_factory, root):
    """What `all` leaves of two networks of own files, the documented example and one that draws, on few images."""
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
    rows = record.read(path).epochs[["model", "recipe", "seed", "epoch", "correct", "test_loss", "train_loss"]]
    return sorted(rows.itertuples(index=False, name=None))


def test_the_example_of_the_readme_and_another_run_with_the_same_bits_a_second_time(ours):
    assert len(deterministic(ours / "runs.csv")) == 4
    assert deterministic(ours / "runs.csv") == deterministic(ours / "again.csv")


def test_the_report_is_about_the_users_networks_and_judges_their_claims(ours):
    text = (ours / "report" / "README.md").read_text()
    assert text.startswith("# 99.4 % on MNIST in under 20 epochs? Two networks, trained over seeds")
    assert "Of the 3 claims on two networks" in text
    assert "9940 of 10,000 first in epoch 9" in text
    assert "augmentation RandomAffine(degrees=7, translate=(0.05, 0.05))" in text
    assert "python -m bench all --models FILES --seeds 1 --devices cpu " in text
    assert not any(name in text for name in ARCHITECTURES)
    assert "documents have in common" not in text
    numbers = json.loads((ours / "report" / "summary.json").read_text())
    assert numbers["networks"]["net"]["parameters_measured"] == 1_466
    assert numbers["networks"]["net"]["recipe"]["schedule"] == "StepLR(step_size=6, gamma=0.1)"


def report(folder: Path) -> str:
    assert parser.main(["report", "--runs", str(folder / "runs.csv"), "--report", str(folder / "report")]) == 0
    return (folder / "report" / "README.md").read_text()


@pytest.fixture
def copied(ours, tmp_path):
    for name in ("runs.csv", "runs.networks.json", "runs.misses.csv"):
        (tmp_path / name).write_bytes((ours / name).read_bytes())
    return tmp_path


def test_a_report_does_without_the_files_of_networks(ours, copied):
    assert report(copied) == (ours / "report" / "README.md").read_text()


def test_runs_of_a_network_that_is_not_beside_the_record_are_named_and_left_out(copied):
    catalogue.path_beside(copied / "runs.csv").unlink()
    without = report(copied)
    assert "the network 'net' is not known here" in without
    assert "## `unpadded`" in without
    assert "## `net`" not in without


def test_a_report_with_documented_runs_too_is_about_both(copied):
    from synthetic import counts, format_row, run_rows

    with (copied / "runs.csv").open("a") as file:
        file.writelines(map(format_row, run_rows("gap_head", 1, counts(1, 20))))
    text = report(copied)
    assert "? Seven networks, trained over seeds" in text
    assert all(f"## `{name}`" in text for name in ("gap_head", "unpadded", "net", "draws"))


def test_recorded_networks_are_verified_without_their_files(copied, root, monkeypatch, capsys):
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
    assert "All of it is recorded" in capsys.readouterr().out
    text = (copied / "report" / "README.md").read_text()
    assert "9902 of 10,000 in the best epoch" in text
    assert "9951" not in text


@pytest.mark.parametrize("content", ["", "[]", "{", '{"net": {}}', '{"net": 5}', '{"net": null}'])
def test_a_damaged_file_beside_the_record_is_one_line(copied, capsys, content):
    path = catalogue.path_beside(copied / "runs.csv")
    path.write_text(content)
    assert parser.main(["report", "--runs", str(copied / "runs.csv"), "--report", str(copied / "report")]) == 2
    assert capsys.readouterr().err == (
        f"bench: {path}: holds no networks: move it away, and train with --models again\n"
    )
