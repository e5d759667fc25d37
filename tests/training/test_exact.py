"""Tests of `exact`: a trainer whose bits follow from network, seed and images, resumed and in any chunks."""

from __future__ import annotations

from dataclasses import replace

import numpy
import pytest
import torch
from own_exact import RECIPE, architecture, bits
from own_networks import DRAWS, write

from bench.errors import UnusableInput
from bench.network.network_file import read
from bench.training import exact, randomness
from bench.training.arithmetic import work
from bench.training.exact import ExactTrainer

LAYERS = """self.a, self.n, self.d = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.2)
self.c, self.p = nn.Dropout2d(0.2), nn.MaxPool2d(2)
self.spare = nn.Linear(3, 2)
self.first.bias.requires_grad_(False)"""
SMALL = architecture(LAYERS, "x = x + self.d(F.relu(self.n(self.a(x))))\nx = self.p(self.c(x))")
ORDERS = [randomness.order(1, epoch, 52) for epoch in (1, 2)]


@pytest.fixture(scope="module")
def few(dataset):
    return dataset.head(52, 100)


def trained(few, one=SMALL, rate=0.05, seed=1, epochs=(1, 2), start=None):
    """A trainer after some epochs of three batches and a short one, and the losses of these epochs."""
    trainer = ExactTrainer(one, seed)
    if start is not None:
        trainer.load(*start)
    losses = [trainer.train(few, ORDERS[epoch - 1], 4 * (epoch - 1), rate) for epoch in epochs]
    return trainer, losses


@pytest.fixture(scope="module")
def straight(few):
    return trained(few)


def test_a_network_learns(straight):
    _, losses = straight
    assert losses[1] < losses[0] < 3


def test_training_goes_on_from_a_saved_state_with_the_same_bits(few, straight):
    first, loss = trained(few, epochs=(1,))
    state = first.saved()
    again, last = trained(few, epochs=(2,), start=state)
    assert loss + last == straight[1]
    assert bits(again.engine) == bits(straight[0].engine)
    found, expected = again.evaluate(few), straight[0].evaluate(few)
    assert (found.correct, found.loss) == (expected.correct, expected.loss)
    assert torch.equal(found.predictions, expected.predictions)


def test_a_saved_state_is_a_copy(few):
    trainer, _ = trained(few, epochs=(1,))
    before, after = trainer.saved(), trainer.saved()
    trainer.train(few, ORDERS[1], 4, 0.05)
    for one, other in zip(before, after, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(not torch.equal(one, trainer.saved()[0][name]) for name, one in before[0].items())


@pytest.mark.parametrize("cache", [1, 50_000, 1 << 30], ids=["an image", "a few images", "a batch"])
def test_another_number_of_images_at_a_time_gives_the_same_bits(few, straight, cache, monkeypatch):
    monkeypatch.setattr(work, "CACHE", cache)
    other, losses = trained(few)
    assert losses == straight[1]
    assert bits(other.engine) == bits(straight[0].engine)
    assert other.evaluate(few).loss == straight[0].evaluate(few).loss


def test_another_seed_gives_other_bits(few, straight):
    assert trained(few, seed=2)[1] != straight[1]


def test_the_layout_of_the_weights_in_memory_changes_no_bit(few, straight):
    turned = SMALL.source.replace(
        "        self.last =", "        self.to(memory_format=torch.channels_last)\n        self.last ="
    )
    assert turned != SMALL.source
    other, losses = trained(few, replace(SMALL, source=turned))
    assert losses == straight[1]
    assert bits(other.engine) == bits(straight[0].engine)


def test_weights_that_are_frozen_or_that_no_gradient_reaches_do_not_move(straight):
    network = straight[0].network.state_dict()
    initial = randomness.build(SMALL, 1).state_dict()
    still = {name for name, one in initial.items() if torch.equal(one, network[name])}
    assert still == {"first.bias", "spare.weight", "spare.bias"}
    velocities = straight[0].saved()[1]
    assert "first.bias" not in velocities
    assert not velocities["spare.weight"].any()


def test_an_evaluation_with_batch_statistics_changes_nothing(few, straight):
    trainer, _ = straight
    before = bits(trainer.engine)
    plain = trainer.evaluate(few)
    assert 0 <= trainer.correct_with_batch_statistics(few) <= 100
    assert bits(trainer.engine) == before
    again = trainer.evaluate(few)
    assert (again.correct, again.loss) == (plain.correct, plain.loss)


def test_batch_statistics_mend_running_statistics_that_are_wrong(dataset):
    some = dataset.head(640, 500)
    trainer = ExactTrainer(architecture("self.n = nn.BatchNorm2d(4)", "x = F.relu(self.n(x))"), 1)
    trainer.train(some, randomness.order(1, 1, 640), 0, 0.05)
    healthy = trainer.evaluate(some).correct
    trainer.network.n.running_mean.fill_(5.0)
    trainer.network.n.running_var.fill_(1e-12)
    assert trainer.evaluate(some).correct < healthy - 50
    assert trainer.correct_with_batch_statistics(some) > healthy - 50
    assert float(trainer.network.n.running_mean[0]) == 5.0


def test_the_thirteenth_digit_of_a_rate_changes_no_bit(few):
    first, second = numpy.float32(0.05), numpy.nextafter(numpy.float32(0.05), numpy.float32(1))
    middle = (float(first) + float(second)) / 2
    rates = numpy.nextafter(middle, 0), numpy.nextafter(middle, 1)
    assert numpy.float32(rates[0]) != numpy.float32(rates[1])
    one, other, another = (trained(few, rate=float(rate), epochs=(1,))[0] for rate in (*rates, 0.0500001))
    assert bits(one.engine) == bits(other.engine) != bits(another.engine)


def test_evaluation_counts_images_exactly_and_takes_the_first_of_equal_scores(few):
    trainer = ExactTrainer(SMALL, 1)
    with torch.no_grad():
        trainer.network.last.weight.zero_()
        trainer.network.last.bias.copy_(torch.tensor([0.0, 0, 0, 1, 0, 0, 0, 1, 0, 0]))
    found = trainer.evaluate(few)
    assert (found.predictions == 3).all()
    assert found.predictions.dtype == torch.uint8
    assert found.correct == int((few.test_labels == 3).sum())
    scores = trainer.network.last.bias.detach().double().log_softmax(0)
    assert found.loss == pytest.approx(-float(scores[few.test_labels].mean()), rel=1e-6)


def test_what_the_exact_arithmetic_lacks_is_named(tmp_path):
    assert exact.uncovered(SMALL) == ()
    assert exact.uncovered(architecture("", "x = F.gelu(x) * 2")) == ("gelu", "mul")
    assert exact.uncovered(read(write(tmp_path, net=DRAWS)[0])) == (
        "an augmentation",
        "F.dropout (nn.Dropout is covered)",
    )


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (architecture("", "x = F.gelu(x) * 2"), "gelu; mul"),
        (replace(SMALL, recipe=replace(RECIPE, augmentation=("RandomErasing()",))), "an augmentation"),
    ],
    ids=["an operation", "an augmentation"],
)
def test_a_network_that_is_not_covered_is_refused_with_one_line(one, reason):
    with pytest.raises(UnusableInput) as caught:
        ExactTrainer(one, 1)
    assert str(caught.value) == f"small has no exact arithmetic: {reason}: use --arithmetic native"


def test_a_batch_of_one_value_a_channel_is_refused(few):
    one = architecture("self.n = nn.BatchNorm1d(256)", "x = self.n(x.flatten(1))")
    trainer = ExactTrainer(one, 1)
    with pytest.raises(UnusableInput, match="batch normalisation needs more than one value a channel"):
        trainer.train(few, ORDERS[0][:17], 0, 0.05)
