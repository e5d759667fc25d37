"""Tests of `native`: steps, evaluations and saved states with PyTorch's operators."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import own_networks
import pytest
import torch
import torch.nn.functional as F
from own_exact import architecture
from torch import nn

from bench.network import network_file
from bench.training import agreement, randomness
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


LAYERS = "self.a, self.n = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)"
REVERSED = """self.f = type("Own", (torch.autograd.Function,), {
    "forward": staticmethod(lambda context, x: x.view_as(x)), "backward": staticmethod(lambda context, g: -g)
})"""
ODD = {
    "a hook before a layer": ("self.a.register_forward_pre_hook(lambda m, i: (i[0] * 2,))", ""),
    "a hook on a gradient": ("self.a.register_full_backward_hook(lambda m, i, o: (i[0] * 2,))", ""),
    "a hook on the gradient of a weight": ("self.a.weight.register_hook(lambda g: g * 0.1)", ""),
    "weights with another parametrization": ("nn.utils.parametrizations.weight_norm(self.a)", ""),
    "weights with a spectral norm": ("nn.utils.parametrizations.spectral_norm(self.a)", ""),
    "weights that are kept small": ("", "for p in self.parameters():\n    p.data.clamp_(-0.1, 0.1)"),
    "a weight that two layers share": (
        "self.b = nn.Conv2d(4, 4, 3, padding=1)\nself.b.weight = self.a.weight",
        "x = self.b(x)",
    ),
    "weights that share memory": (
        "self.b = nn.Conv2d(4, 4, 3, padding=1)\nself.b.weight.data = self.a.weight.data",
        "x = self.b(x)",
    ),
    "weights in the memory of another layer, in another order": (
        "self.b = nn.Conv2d(4, 4, 3, padding=1)\nself.b.weight.data = self.a.weight.data.transpose(0, 1)",
        "x = self.b(x)",
    ),
    "a weight that is a view of another one": (
        "self.b, self.c = nn.Linear(256, 8), nn.Linear(8, 256)\nself.c.weight.data = self.b.weight.data.t()",
        "x = self.c(self.b(x.flatten(1))).view(-1, 4, 8, 8)",
    ),
    "a buffer that is a view of a weight": (
        "self.register_buffer('b', self.a.weight.data)",
        "x = x + F.conv2d(x, self.b, padding=1)",
    ),
    "a tensor in the memory of a weight": (
        "self.b = self.a.weight.detach()",
        "x = F.conv2d(x, self.b, padding=1)",
    ),
    "frozen weights": ("self.a.weight.requires_grad_(False)", ""),
    "a part without gradients": ("self.b = nn.Conv2d(4, 4, 1)", "with torch.no_grad():\n    x = self.b(x)"),
    "a layer in evaluation": ("", "self.n.eval()"),
    "a dropout by a function": ("", "x = F.dropout(x, 0.3, self.training)"),
    "a dropout with another forward": (
        "self.d = type('D', (nn.Dropout,), {'forward': lambda self, x: nn.Dropout.forward(self, x) * 3})(0.3)",
        "x = self.d(x)",
    ),
    "another gradient": (REVERSED, "x = self.f.apply(x)"),
    "another forward": ("old = self.forward\nself.forward = lambda x: old(x * 2)", ""),
    "its input in place": ("", "x.mul_(0.5)"),
    "a lower precision": (
        "self.b = nn.Conv2d(4, 4, 1)",
        "with torch.autocast('cpu', torch.bfloat16):\n    y = self.b(x)\nx = x + y",
    ),
}


def test_a_network_that_changes_its_input_gets_the_same_test_images_in_every_epoch(few):
    one = architecture(LAYERS, "x = self.n(self.a(x))")
    one = replace(one, source=one.source.replace("def forward(self, x):", "def forward(self, x):\n        x.sub_(0.5)"))
    trainer, before = NativeTrainer(one, 1, "cpu"), few.test_images.clone()
    found = [trainer.evaluate(few), trainer.evaluate(few)]
    assert found[0].loss == found[1].loss
    trainer.correct_with_batch_statistics(few)
    assert torch.equal(few.test_images, before)


@pytest.mark.parametrize("case", ODD)
def test_an_odd_network_is_trained_as_a_plain_loop_trains_it_and_is_never_exact(case, few):
    layers, forward = ODD[case]
    one = architecture(f"{LAYERS}\n{layers}", f"{forward}\nx = self.n(self.a(x))")
    assert agreement.obstacles(one) or case == "frozen weights"
    trainer, network = NativeTrainer(one, 1, "cpu"), randomness.build(one, 1)
    order = randomness.order(1, 1, 52)
    trainer.train(few, order, 0, 0.05)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for step, batch in enumerate(order.split(16)):
        optimizer.zero_grad()
        randomness.seed_generators(1, randomness.Purpose.NETWORK, step)
        F.nll_loss(network.train()(few.train_images[batch]), few.train_labels[batch]).backward()
        optimizer.step()
    found, initial = trainer.network.state_dict(), randomness.build(one, 1).state_dict()
    for name, expected in network.state_dict().items():
        assert torch.allclose(found[name].float(), expected.float(), rtol=1e-3, atol=1e-4), name
    assert not torch.equal(found["last.weight"], initial["last.weight"])


def test_an_evaluation_leaves_the_test_images_as_they_are(few):
    changes = architecture("", "pass")
    changes = replace(changes, source=changes.source.replace("self.first(x)", "self.first(x.sub_(1))"))
    trainer, before = NativeTrainer(changes, 1, "cpu"), few.test_images.clone()
    loss = trainer.evaluate(few).loss
    trainer.correct_with_batch_statistics(few)
    assert torch.equal(few.test_images, before)
    assert trainer.evaluate(few).loss == loss


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


def test_the_augmentation_varies_with_the_order_and_what_a_network_draws_with_dropout(tmp_path, few, monkeypatch):
    (path,) = own_networks.write(tmp_path, net=own_networks.DRAWS)
    seeded, seed_generators = [], randomness.seed_generators

    def noted(seed, purpose, step):
        seeded.append((purpose.name, seed))
        seed_generators(seed, purpose, step)

    monkeypatch.setattr(randomness, "seed_generators", noted)
    for vary in ("", "weights", "order", "dropout"):
        trainer = NativeTrainer(network_file.read(path).varied(vary), 7, "cpu")
        seeded.clear()
        trainer.train(few, torch.arange(52), 0, 0.05)
        expected = {"AUGMENTATION": vary in ("", "order"), "NETWORK": vary in ("", "dropout")}
        assert set(seeded) == {(name, 7 if follows else 1) for name, follows in expected.items()}
