"""Tests of `loop`: the numbers of an exact run depend on network and seed alone, native ones also on the machine."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.errors import UnusableInput
from bench.network.specification import VARIED, Recipe
from bench.training import loop, randomness
from bench.training.arithmetic.engine import Engine
from bench.training.arithmetic.kernels import masks
from bench.training.exact import ExactTrainer
from bench.training.loop import train
from bench.training.native import NativeTrainer
from bench.training.randomness import Purpose
from models import ARCHITECTURES

NETWORKS = list(ARCHITECTURES)
both = pytest.mark.parametrize("arithmetic", ["exact", "native"])


def deterministic(state):
    """The history of a state without its times."""
    return [replace(epoch, train_seconds=0, eval_seconds=0) for epoch in state.history]


def last(states):
    return list(states)[-1]


@pytest.fixture(scope="module")
def few(dataset):
    """A batch of 128 and a short one, and 100 test images."""
    return dataset.head(128 + 32, 100)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_learns_within_a_few_dozen_steps(name, dataset):
    batch = ARCHITECTURES[name].recipe.batch_size
    history = last(train(ARCHITECTURES[name], 1, "cpu", dataset.head(24 * batch, 1000), 2)).history
    assert history[1].train_loss < history[0].train_loss < 2.5
    assert history[1].train_loss < 2.1
    assert history[1].total == 1000


@pytest.mark.parametrize(
    ("name", "arithmetic"),
    [
        *((name, "exact") for name in NETWORKS[:2]),
        *(pytest.param(name, "exact", marks=pytest.mark.slow) for name in NETWORKS[2:]),
        ("unpadded", "native"),
    ],
)
def test_a_run_cut_after_any_epoch_goes_on_with_the_same_bits(name, arithmetic, few):
    architecture = ARCHITECTURES[name]
    straight = list(train(architecture, 3, "cpu", few, 3, arithmetic=arithmetic))
    for cut in (1, 2):
        continued = last(train(architecture, 3, "cpu", few, 3, straight[cut - 1], arithmetic))
        assert deterministic(continued) == deterministic(straight[-1])
        assert all(torch.equal(continued.network[key], straight[-1].network[key]) for key in continued.network)
        assert torch.equal(continued.predictions, straight[-1].predictions)


@both
def test_the_same_run_has_the_same_bits_twice_and_after_other_runs(arithmetic, few):
    def run(name, seed):
        return deterministic(last(train(ARCHITECTURES[name], seed, "cpu", few, 1, arithmetic=arithmetic)))

    first = run("gap_head", 1)
    run("unpadded", 2)
    torch.rand(3)
    assert run("gap_head", 1) == first
    assert run("gap_head", 2) != first


def numbers(architecture, seed, dataset, arithmetic):
    """Everything that a run of one epoch computes, to the bit."""
    state = last(train(architecture, seed, "cpu", dataset, 1, arithmetic=arithmetic))
    weights = {name: one.numpy().tobytes() for name, one in state.network.items()}
    return deterministic(state), weights, state.predictions.numpy().tobytes()


kinds_of_dropout = pytest.mark.parametrize(
    ("name", "arithmetic"), [("gap_head", "exact"), ("unpadded", "exact"), ("unpadded", "native")]
)
"""The first drops whole channels. The others drop single values, and draw them in different ways."""


@kinds_of_dropout
def test_seed_1_of_every_kind_that_varies_has_the_bits_of_the_ordinary_seed_1(name, arithmetic, few):
    ordinary = ARCHITECTURES[name]
    expected = numbers(ordinary, 1, few, arithmetic)
    for vary in VARIED:
        assert numbers(ordinary.varied(vary), 1, few, arithmetic) == expected


@kinds_of_dropout
def test_a_kind_that_varies_takes_the_seed_and_the_others_take_seed_1(name, arithmetic, few, monkeypatch):
    """The runs are compared with ordinary runs of seed 1 in which the draws of one purpose are exchanged."""
    ordinary = ARCHITECTURES[name]
    purposes = {"weights": Purpose.WEIGHTS, "order": Purpose.ORDER, "dropout": Purpose.DROPOUT}
    results = {vary: numbers(ordinary.varied(vary), 7, few, arithmetic) for vary in VARIED}
    results[""] = numbers(ordinary, 7, few, arithmetic)
    assert len({pickle.dumps(one) for one in results.values()}) == 4
    words, keep = randomness.words, masks.keep
    for vary, purpose in purposes.items():
        with monkeypatch.context() as patched:
            patched.setattr(
                randomness,
                "words",
                lambda seed, what, *rest, chosen=purpose: words(7 if what == chosen else seed, what, *rest),
            )
            patched.setattr(
                masks,
                "keep",
                lambda seed, what, *rest, chosen=purpose: keep(
                    numpy.uint64(7) if what == chosen else seed, what, *rest
                ),
            )
            assert numbers(ordinary, 1, few, arithmetic) == results[vary]


def test_exact_and_native_arithmetic_round_differently(few):
    exact, native = (
        last(train(ARCHITECTURES["gap_head"], 1, "cpu", few, 1, arithmetic=one)).history[0]
        for one in ("exact", "native")
    )
    assert exact.train_loss != native.train_loss
    assert exact.train_loss == pytest.approx(native.train_loss, rel=1e-4)


def test_exact_arithmetic_is_the_default(few):
    architecture = ARCHITECTURES["ten_twenty_thirty"]
    default, exact = (last(train(architecture, 1, "cpu", few, 1, **one)) for one in ({}, {"arithmetic": "exact"}))
    assert deterministic(default) == deterministic(exact)


@pytest.mark.slow
def test_the_same_runs_have_the_same_bits_in_another_process(few, root):
    """Also with more threads: the exact arithmetic does not depend on them, and native runs set their number."""
    name = "expand_squeeze"
    here = [
        last(train(ARCHITECTURES[name], 1, "cpu", few, 1, arithmetic=one)).history[0] for one in ("exact", "native")
    ]
    code = (
        "from pathlib import Path; from bench.training import data, environment, loop;"
        "import torch; from models import ARCHITECTURES;"
        "few = data.load(Path('data')).head(128 + 32, 100);"
        f"run = lambda one: list(loop.train(ARCHITECTURES['{name}'], 1, 'cpu', few, 1, arithmetic=one))[-1].history[0];"
        "torch.set_num_threads(2); exact = run('exact'); environment.configure('cpu');"
        "both = exact, run('native');"
        "print(*(x for one in both for x in (one.correct, one.test_loss.hex(), one.train_loss.hex())))"
    )
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, env={**os.environ})
    expected = [x for one in here for x in (str(one.correct), one.test_loss.hex(), one.train_loss.hex())]
    assert printed.stdout.split() == expected


@both
def test_the_global_generator_is_neither_read_nor_changed(arithmetic, few):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = last(train(ARCHITECTURES["unpadded"], 1, "cpu", few, 1, arithmetic=arithmetic))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    again = last(train(ARCHITECTURES["unpadded"], 1, "cpu", few, 1, arithmetic=arithmetic))
    assert deterministic(again) == deterministic(first)


@both
def test_an_epoch_is_the_documented_loop_written_out(arithmetic, small):
    """The loop repeats every ingredient in plain PyTorch: order, batches, masks, loss, SGD, evaluation.

    It is compared with exact arithmetic in float64, because PyTorch's operators round much more.
    """
    precision = torch.float64 if arithmetic == "exact" else torch.float32
    architecture = ARCHITECTURES["ten_twenty_thirty"]
    found = last(train(architecture, 7, "cpu", small, 2, arithmetic=arithmetic)).history
    network = randomness.build(architecture, 7).to(precision, memory_format=torch.channels_last)
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
            images = small.train_images[indices].to(precision, memory_format=torch.channels_last)
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
            correct = int((network(small.test_images.to(precision)).argmax(dim=1) == small.test_labels).sum())
        assert found[epoch - 1].train_loss == pytest.approx(total / count, rel=1e-5)
        assert found[epoch - 1].correct == pytest.approx(correct, abs=1)


@both
def test_every_image_is_seen_once_an_epoch_and_the_short_last_batch_is_kept(arithmetic, small, monkeypatch):
    seen = []
    trainer = Engine if arithmetic == "exact" else NativeTrainer
    original = trainer.step

    def noting(self, images, labels, *others):
        seen.append(torch.as_tensor(images).reshape(len(images), -1))
        return original(self, images, labels, *others)

    monkeypatch.setattr(trainer, "step", noting)
    last(train(ARCHITECTURES["unpadded"], 1, "cpu", small, 1, arithmetic=arithmetic))
    assert [len(one) for one in seen] == [128, 128, 128, 32]
    expected = small.train_images.reshape(len(small.train_images), -1)[randomness.order(1, 1, len(small.train_labels))]
    assert torch.equal(torch.cat(seen), expected)


@both
def test_a_loss_that_is_not_finite_is_a_divergence_and_yields_no_epoch(arithmetic, few):
    wild = replace(ARCHITECTURES["unpadded"], recipe=Recipe(learning_rate=1e12, batch_size=128, epochs=1))
    with pytest.raises(loop.Diverged, match=r"loss of epoch 1 is (nan|inf)"):
        next(train(wild, 1, "cpu", few, 1, arithmetic=arithmetic))


def test_an_augmentation_needs_native_arithmetic(few):
    one = ARCHITECTURES["unpadded"]
    turned = replace(one, recipe=replace(one.recipe, augmentation=("RandomRotation(degrees=7)",)))
    with pytest.raises(UnusableInput, match="unpadded has no exact arithmetic: an augmentation: use --arithmetic nat"):
        next(train(turned, 1, "cpu", few, 1))


def test_the_steps_of_an_epoch_go_on_from_those_before_and_have_its_rate(few, monkeypatch):
    one = ARCHITECTURES["unpadded"]
    slower = replace(one, recipe=replace(one.recipe, learning_rate=0.5, schedule="StepLR(step_size=1, gamma=0.1)"))
    calls = []
    monkeypatch.setattr(ExactTrainer, "train", lambda self, dataset, order, *rest: calls.append(rest) or 1.0)
    first, _, _ = train(slower, 1, "cpu", few, 3)
    assert calls == [(0, 0.5), (2, 0.05), (4, pytest.approx(0.005))]
    calls.clear()
    last(train(slower, 1, "cpu", few, 2, first))
    assert calls == [(2, 0.05)]


@both
def test_an_epoch_that_loses_more_than_fifty_images_is_evaluated_with_batch_statistics_too(arithmetic, few):
    architecture = ARCHITECTURES["unpadded"]
    state = last(train(architecture, 1, "cpu", few, 1, arithmetic=arithmetic))
    undisturbed = last(train(architecture, 1, "cpu", few, 2, state, arithmetic))
    for best, evaluated in ((state.history[0].correct, False), (10_000, True)):
        history = (replace(state.history[0], correct=best),)
        after = last(train(architecture, 1, "cpu", few, 2, replace(state, history=history), arithmetic))
        assert (after.history[1].correct_batch_statistics is not None) == evaluated
        assert all(torch.equal(after.network[key], undisturbed.network[key]) for key in after.network)


def test_the_smallest_running_variance_of_all_channels_is_noted(few):
    state = last(train(ARCHITECTURES["unpadded"], 1, "cpu", few, 1))
    variances = [one for name, one in state.network.items() if name.endswith("running_var")]
    assert state.history[0].smallest_variance == min(float(one.min()) for one in variances)
    assert loop._smallest_variance(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm2d(2, track_running_stats=False))) is None


@both
def test_every_part_of_the_state_is_needed(arithmetic, few):
    """Without weights, momentum, BatchNorm buffers or history a run cannot continue with the same bits."""
    architecture = ARCHITECTURES["unpadded"]
    first, straight = list(train(architecture, 1, "cpu", few, 2, arithmetic=arithmetic))
    fresh = randomness.build(architecture, 1).state_dict()
    is_buffer = {name: "running" in name or "num_batches" in name for name in fresh}
    nothing = {} if arithmetic == "exact" else {**first.optimizer, "state": {}}
    without = {
        "weights": replace(first, network={k: first.network[k] if is_buffer[k] else fresh[k] for k in fresh}),
        "buffers": replace(first, network={k: fresh[k] if is_buffer[k] else first.network[k] for k in fresh}),
        "momentum": replace(first, optimizer=nothing),
        "history": replace(first, history=()),
    }
    for name, state in without.items():
        changed = last(train(architecture, 1, "cpu", few, 2, state, arithmetic))
        assert deterministic(changed) != deterministic(straight), name


@pytest.mark.slow
def test_one_whole_epoch_of_real_training_reaches_97_percent(dataset):
    epoch = last(train(ARCHITECTURES["ten_twenty_thirty"], 1, "cpu", dataset, 1)).history[0]
    assert epoch.total == 10_000
    assert epoch.correct >= 9_700
    assert math.isfinite(epoch.test_loss)
    assert epoch.train_seconds > epoch.eval_seconds > 0
