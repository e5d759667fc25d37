"""Tests of `native`: steps, evaluations and saved states with PyTorch's operators."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from own_exact import architecture
from torch import nn

from bench.training import randomness
from bench.training.dropout import Clock, seed_dropout
from bench.training.native import NativeTrainer, memory_format
from models import ARCHITECTURES

SMALL = architecture(
    "self.n, self.d, self.spare = nn.BatchNorm2d(4), nn.Dropout(0.2), nn.Linear(3, 2)", "x = self.d(F.relu(self.n(x)))"
)


@pytest.fixture(scope="module")
def few(dataset):
    return dataset.head(52, 500)


def trained(few, epochs=(1, 2), start=None, rate=0.05):
    trainer = NativeTrainer(SMALL, 1, "cpu")
    if start is not None:
        trainer.load(*start)
    losses = [trainer.train(few, randomness.order(1, epoch, 52), 4 * (epoch - 1), rate) for epoch in epochs]
    return trainer, losses


def equal(one, other):
    return all(torch.equal(value, other.network.state_dict()[name]) for name, value in one.network.state_dict().items())


def test_training_goes_on_from_a_saved_state_with_the_same_bits(few):
    straight, losses = trained(few)
    first, loss = trained(few, (1,))
    state = first.saved()
    again, last = trained(few, (2,), state)
    assert loss + last == losses
    assert equal(again, straight)
    assert not equal(again, first)
    repeated, _ = trained(few, (2,), state)  # loading left the state as it was
    assert equal(repeated, straight)


def test_the_rate_of_an_epoch_is_that_of_its_steps(few):
    still, _ = trained(few, (1,), rate=0.0)
    initial = randomness.build(SMALL, 1).state_dict()
    assert all(torch.equal(one, initial[name]) for name, one in still.network.named_parameters())


def test_a_step_is_pytorchs(few):
    trainer = NativeTrainer(SMALL, 1, "cpu")
    reference = NativeTrainer(SMALL, 1, "cpu")
    images, labels = few.train_images[:16], few.train_labels[:16]
    loss = trainer.step(images, labels)
    expected = F.nll_loss(reference.network(images.contiguous(memory_format=reference.memory_format)), labels)
    expected.backward()
    reference.optimizer.step()
    assert torch.equal(loss, expected.detach())
    assert equal(trainer, reference)


VIEWS = {
    "behind a convolution": ("", "x = x.view(-1, 4 * 8 * 8)"),
    "behind a pool": ("", "x = F.max_pool2d(x, 2).view(-1, 4 * 4 * 4)"),
    "of the images": ("", "x = x.view(x.size(0), -1)"),
    "behind a dropout": ("self.d = nn.Dropout(0.3)", "x = self.d(F.relu(x)).view(-1, 256)"),
    "changed in place": ("", "x.reshape(len(x), -1).relu_()"),
    "by strides": ("", "x = x.as_strided((len(x), 16), (256, 1))"),
    "a random draw for each value": ("", "x = F.dropout(x, 0.5, self.training)"),
}


@pytest.mark.parametrize("case", VIEWS)
def test_a_network_gets_values_laid_out_as_pytorch_does_where_that_matters(few, case):
    one = architecture(*VIEWS[case])
    trainer = NativeTrainer(one, 1, "cpu")
    network = randomness.build(one, 1)
    seed_dropout(network, 1, Clock())
    images, labels = few.train_images[:16], few.train_labels[:16]
    torch.manual_seed(1)
    loss = trainer.step(images, labels)
    torch.manual_seed(1)
    assert torch.equal(loss, F.nll_loss(network.train()(images), labels).detach())
    assert trainer.memory_format == torch.contiguous_format
    assert trainer.evaluate(few).loss > 0


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_documented_networks_are_trained_in_the_fast_layout(name):
    assert memory_format(ARCHITECTURES[name]) == torch.channels_last


def test_a_trial_of_the_layout_leaves_the_generators_as_they_were():
    before = randomness.generator_states()
    memory_format(architecture("", "x = F.dropout(x, 0.5, self.training)"))
    assert randomness.generator_states() == before


def test_accuracy_is_an_exact_count_even_at_the_target():
    labels = torch.zeros(10_000, dtype=torch.int64)
    labels[9_940:] = 1
    scores = torch.full((10_000, 10), -3.0)
    scores[:, 0] = -0.1

    class Constant(nn.Module):
        def forward(self, images):
            return scores[: len(images)]

    trainer = NativeTrainer(SMALL, 1, "cpu")
    trainer.network = Constant()
    found = trainer.evaluate(SimpleNamespace(test_images=torch.zeros(10_000, 1, 1, 1), test_labels=labels))
    assert found.correct == 9_940
    assert found.loss == pytest.approx((9_940 * 0.1 + 60 * 3.0) / 10_000, rel=1e-6)
    assert found.predictions.dtype == torch.uint8
    assert (found.predictions == 0).all()


def test_batch_statistics_mend_running_statistics_that_are_wrong_and_change_nothing(small):
    """A silent channel leaves a running variance of almost zero. This ruins the evaluation but not the weights."""
    trainer = NativeTrainer(ARCHITECTURES["unpadded"], 1, "cpu")
    for epoch in (1, 2):
        trainer.train(small, randomness.order(1, epoch, len(small.train_labels)), 4 * (epoch - 1), 0.05)
    with torch.no_grad():
        for module in trainer.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train()
                module.momentum = 1.0
        trainer.network(small.test_images)
    healthy = trainer.evaluate(small).correct
    trainer.network.norm2.running_var.fill_(1e-12)
    trainer.network.norm2.running_mean.fill_(5.0)
    before = {name: one.clone() for name, one in trainer.network.state_dict().items()}
    assert trainer.evaluate(small).correct < healthy - 50
    assert trainer.correct_with_batch_statistics(small) > healthy - 50
    assert all(torch.equal(one, before[name]) for name, one in trainer.network.state_dict().items())
