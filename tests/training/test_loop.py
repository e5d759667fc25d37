"""Tests of `loop`: the numbers of a run depend on network, seed, device and environment alone."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.network.specification import Recipe
from bench.training import loop, randomness
from bench.training.loop import evaluate, train
from models import ARCHITECTURES

NETWORKS = list(ARCHITECTURES)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def deterministic(state):
    """The history of a state without its times."""
    return [replace(epoch, train_seconds=0, eval_seconds=0) for epoch in state.history]


def last(states):
    return list(states)[-1]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_learns_within_a_few_dozen_steps(name, dataset):
    batch = ARCHITECTURES[name].recipe.batch_size
    history = last(train(ARCHITECTURES[name], 1, "cpu", dataset.head(24 * batch, 1000), 2)).history
    assert history[1].train_loss < history[0].train_loss < 2.5
    assert history[1].train_loss < 2.1
    assert history[1].total == 1000


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_cut_after_any_epoch_goes_on_with_the_same_bits(name, small):
    architecture = ARCHITECTURES[name]
    straight = list(train(architecture, 3, "cpu", small, 4))
    for cut in (1, 2, 3):
        continued = last(train(architecture, 3, "cpu", small, 4, straight[cut - 1]))
        assert deterministic(continued) == deterministic(straight[-1])
        assert all(torch.equal(continued.network[key], straight[-1].network[key]) for key in continued.network)
        assert torch.equal(continued.predictions, straight[-1].predictions)


def test_the_same_run_has_the_same_bits_twice_and_after_other_runs(small):
    first = last(train(ARCHITECTURES["gap_head"], 1, "cpu", small, 1))
    last(train(ARCHITECTURES["unpadded"], 2, "cpu", small, 1))
    torch.rand(3)
    assert deterministic(last(train(ARCHITECTURES["gap_head"], 1, "cpu", small, 1))) == deterministic(first)
    assert deterministic(last(train(ARCHITECTURES["gap_head"], 2, "cpu", small, 1))) != deterministic(first)


def test_the_same_run_has_the_same_bits_in_another_process(small, root):
    here = deterministic(last(train(ARCHITECTURES["expand_squeeze"], 1, "cpu", small, 1)))[0]
    code = (
        "from pathlib import Path; from bench.training import data, environment, loop;"
        "from models import ARCHITECTURES;"
        "environment.configure('cpu'); small = data.load(Path('data')).head(3 * 128 + 32, 500);"
        "epoch = list(loop.train(ARCHITECTURES['expand_squeeze'], 1, 'cpu', small, 1))[-1].history[0];"
        "print(epoch.correct, epoch.test_loss.hex(), epoch.train_loss.hex())"
    )
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, env={**os.environ})
    assert printed.stdout.split() == [str(here.correct), here.test_loss.hex(), here.train_loss.hex()]


def test_the_global_generator_is_neither_read_nor_changed(small):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = last(train(ARCHITECTURES["unpadded"], 1, "cpu", small, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert deterministic(last(train(ARCHITECTURES["unpadded"], 1, "cpu", small, 1))) == deterministic(first)


def test_an_epoch_is_the_documented_loop_written_out(small):
    """The loop repeats every ingredient in plain PyTorch: order, batches, masks, loss, SGD, evaluation."""
    architecture = ARCHITECTURES["ten_twenty_thirty"]
    found = last(train(architecture, 7, "cpu", small, 2, fused=False)).history
    network = randomness.build(architecture, 7).to(memory_format=torch.channels_last)
    step, count = 0, len(small.train_labels)
    for layer, child in enumerate(module for module in network.modules() if isinstance(module, nn.Dropout2d)):

        def masked(module, inputs, output, layer=layer):
            if not module.training:
                return None
            shape = (*inputs[0].shape[:2], 1, 1)
            return inputs[0] * torch.from_numpy(randomness.dropout_mask(7, step, layer, shape, 0.1))

        child.register_forward_hook(masked)
    momentum = {parameter: torch.zeros_like(parameter) for parameter in network.parameters()}
    for epoch in (1, 2):
        network.train()
        total = 0.0
        for indices in randomness.order(7, epoch, count).split(128):
            images = small.train_images[indices].contiguous(memory_format=torch.channels_last)
            loss = F.nll_loss(network(images), small.train_labels[indices])
            gradients = torch.autograd.grad(loss, list(momentum))
            with torch.no_grad():
                for (parameter, buffer), gradient in zip(momentum.items(), gradients, strict=True):
                    buffer.mul_(0.9).add_(gradient)
                    parameter.sub_(0.01 * buffer)
            total += float(loss.detach().double()) * len(indices)
            step += 1
        network.eval()
        with torch.no_grad():
            correct = int((network(small.test_images).argmax(dim=1) == small.test_labels).sum())
        assert found[epoch - 1].train_loss == pytest.approx(total / count, rel=1e-5)
        assert found[epoch - 1].correct == pytest.approx(correct, abs=1)


def test_every_image_is_seen_once_an_epoch_and_the_short_last_batch_is_kept(small, monkeypatch):
    seen = []
    original = loop.step

    def counting(network, optimizer, images, labels):
        seen.append(len(labels))
        return original(network, optimizer, images, labels)

    monkeypatch.setattr(loop, "step", counting)
    last(train(ARCHITECTURES["unpadded"], 1, "cpu", small, 1))
    assert seen == [128, 128, 128, 32]


def test_accuracy_is_an_exact_count_even_at_the_target():
    labels = torch.zeros(10_000, dtype=torch.int64)
    labels[9_940:] = 1
    scores = torch.full((10_000, 10), -3.0)
    scores[:, 0] = -0.1

    class Constant(nn.Module):
        def forward(self, images):
            return scores[: len(images)]

    found = evaluate(Constant(), torch.zeros(10_000, 1, 1, 1), labels)
    assert found.correct == 9_940
    assert found.loss == pytest.approx((9_940 * 0.1 + 60 * 3.0) / 10_000, rel=1e-6)
    assert (found.predictions == 0).all()


def test_a_loss_that_is_not_finite_is_a_divergence_and_yields_no_epoch(small):
    wild = replace(ARCHITECTURES["unpadded"], recipe=Recipe(learning_rate=1e12, batch_size=128, epochs=1))
    with pytest.raises(loop.Diverged, match=r"loss of epoch 1 is (nan|inf)"):
        next(train(wild, 1, "cpu", small, 1))


def test_an_epoch_that_loses_more_than_fifty_images_is_evaluated_with_batch_statistics_too(small):
    architecture = ARCHITECTURES["unpadded"]
    state = last(train(architecture, 1, "cpu", small, 1))
    for best, evaluated in ((state.history[0].correct, False), (10_000, True)):
        history = (replace(state.history[0], correct=best),)
        after = last(train(architecture, 1, "cpu", small, 2, replace(state, history=history)))
        assert (after.history[1].correct_batch_statistics is not None) == evaluated
        undisturbed = last(train(architecture, 1, "cpu", small, 2, state))
        assert all(torch.equal(after.network[key], undisturbed.network[key]) for key in after.network)


def test_a_collapsed_evaluation_is_mended_by_batch_statistics(small):
    """A silent channel leaves a running variance of almost zero. This ruins the evaluation but not the weights."""
    architecture = ARCHITECTURES["unpadded"]
    network = randomness.build(architecture, 1)
    network.load_state_dict(last(train(architecture, 1, "cpu", small, 6)).network)
    healthy = evaluate(network, small.test_images, small.test_labels).correct
    network.norm2.running_var.fill_(1e-12)
    network.norm2.running_mean.fill_(5.0)
    assert evaluate(network, small.test_images, small.test_labels).correct < healthy - 50
    assert loop._smallest_variance(network) == pytest.approx(1e-12)
    assert loop._evaluate_with_batch_statistics(network, small) > healthy - 50
    assert float(network.norm2.running_mean[0]) == 5.0


def test_every_part_of_the_state_is_needed(small):
    """Without weights, momentum, BatchNorm buffers or history a run cannot continue with the same bits."""
    architecture = ARCHITECTURES["unpadded"]
    first, straight = list(train(architecture, 1, "cpu", small, 2))
    fresh = randomness.build(architecture, 1).state_dict()
    is_buffer = {name: "running" in name or "num_batches" in name for name in fresh}
    without = {
        "weights": replace(first, network={k: first.network[k] if is_buffer[k] else fresh[k] for k in fresh}),
        "buffers": replace(first, network={k: fresh[k] if is_buffer[k] else first.network[k] for k in fresh}),
        "momentum": replace(first, optimizer={**first.optimizer, "state": {}}),
        "history": replace(first, history=()),
    }
    for name, state in without.items():
        changed = last(train(architecture, 1, "cpu", small, 2, state))
        assert deterministic(changed) != deterministic(straight), name


@pytest.mark.slow
def test_one_whole_epoch_of_real_training_reaches_97_percent(dataset):
    epoch = last(train(ARCHITECTURES["ten_twenty_thirty"], 1, "cpu", dataset, 1)).history[0]
    assert epoch.total == 10_000
    assert epoch.correct >= 9_700
    assert math.isfinite(epoch.test_loss)
    assert epoch.train_seconds > epoch.eval_seconds > 0
