"""Tests of `together`: seeds that a GPU trains side by side have the bits that each has alone on the CPU.

The host's compiler and processor stand for the GPU; see `emulated_gpu`.
"""

from __future__ import annotations

import dataclasses
import math

import emulated_gpu
import pytest
import torch

from bench.errors import UnusableInput
from bench.network.specification import Architecture, Recipe
from bench.training import data, golden, together
from bench.training.exact import ExactTrainer
from bench.training.loop import Diverged, State, train
from models import ARCHITECTURES

needs_compiler = pytest.mark.skipif(not emulated_gpu.is_here(), reason="g++ is missing, which stands for NVRTC")

SOURCE = """
import torch
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 5, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.2)
        self.last = nn.Linear(36, 10)

    def forward(self, images):
        x = F.max_pool2d(self.drop(F.relu(self.norm(self.conv(images)))), 8)
        return F.log_softmax(self.last(x.flatten(1)), dim=1)
"""
NET = Architecture("Net", SOURCE, "Net", Recipe(0.05, 64, 3, schedule="ExponentialLR(gamma=0.7)"))


@pytest.mark.slow
@pytest.mark.parametrize("name", golden.DIGESTS)
@needs_compiler
def test_a_gpu_gives_the_golden_digests_alone_and_side_by_side(name):
    gpu = emulated_gpu.gpu()
    assert golden.digests_on_gpu(ARCHITECTURES[name], (1,), gpu) == (golden.DIGESTS[name],)
    found = golden.digests_on_gpu(ARCHITECTURES[name], (1, 2, 3), gpu)
    assert found == tuple(golden.digest(ExactTrainer(ARCHITECTURES[name], seed).engine) for seed in (1, 2, 3))


def on_gpu(net, seeds, dataset, epochs, starts):
    """What each seed has after each epoch."""
    return list(together.train(net, seeds, together.images_of(dataset), epochs, starts, emulated_gpu.gpu()))


def assert_same(ours: State, theirs: State) -> None:
    """All but the seconds are equal to the last bit."""
    timeless = [
        [dataclasses.replace(one, train_seconds=0, eval_seconds=0) for one in s.history] for s in (ours, theirs)
    ]
    assert timeless[0] == timeless[1]
    assert torch.equal(ours.predictions, theirs.predictions)
    for mine, others in ((ours.network, theirs.network), (ours.optimizer, theirs.optimizer)):
        assert mine.keys() == others.keys()
        assert all(torch.equal(mine[name], others[name]) for name in mine)


@needs_compiler
@pytest.mark.parametrize("vary", ["", "weights", "order", "dropout"])
def test_an_epoch_and_its_state_are_those_of_the_cpu(small, vary):
    small = small.head(150, 260)
    seeds = (7, 3, 2**40)
    net = dataclasses.replace(NET, recipe=dataclasses.replace(NET.recipe, vary=vary))
    found = on_gpu(net, seeds, small, 2, (None,) * 3)
    assert len(found) == 2
    for i, seed in enumerate(seeds):
        for ours, theirs in zip(found, train(net, seed, "cpu", small, 2), strict=True):
            assert_same(ours[i], theirs)


@needs_compiler
def test_seeds_go_on_from_states_of_either_device(small):
    small = small.head(150, 260)
    straight = [list(train(NET, seed, "cpu", small, 3)) for seed in (1, 2)]
    starts = straight[0][1], on_gpu(NET, (2,), small, 1, (None,))[0][0]
    (third,) = on_gpu(NET, (1,), small, 3, starts[:1])
    assert_same(third[0], straight[0][2])
    assert_same(list(train(NET, 2, "cpu", small, 3, starts[1]))[-1], straight[1][2])


@needs_compiler
def test_a_seed_that_diverges_ends_alone(small):
    small = small.head(150, 260)
    normal, poisoned = (next(train(NET, seed, "cpu", small, 3)) for seed in (1, 2))
    poisoned.network["conv.bias"][0] = math.nan
    found = on_gpu(NET, (1, 2), small, 3, (normal, poisoned))
    assert len(found) == 2
    assert [str(epoch[1]) for epoch in found] == ["the training loss of epoch 2 is nan"] * 2
    assert isinstance(found[0][1], Diverged)
    assert_same(found[1][0], list(train(NET, 1, "cpu", small, 3))[-1])
    alone = on_gpu(NET, (2,), small, 3, (poisoned,))
    assert len(alone) == 1


@needs_compiler
def test_a_collapsed_epoch_is_evaluated_with_batch_statistics(small):
    small = small.head(150, 260)
    start = next(train(NET, 1, "cpu", small, 2))
    better = dataclasses.replace(start, history=(dataclasses.replace(start.history[0], correct=260),))
    (ours,) = on_gpu(NET, (1,), small, 2, (better,))
    (theirs,) = train(NET, 1, "cpu", small, 2, better)
    assert_same(ours[0], theirs)
    assert ours[0].history[-1].correct_batch_statistics is not None


@needs_compiler
def test_the_seconds_of_an_epoch_are_divided_by_the_runs_that_share_the_gpu(small, monkeypatch):
    monkeypatch.setattr(together.time, "perf_counter", lambda: next(clock))
    images = together.images_of(small.head(150, 260))
    found = []
    for sharing in (None, lambda: 6):
        clock = iter((100.0, 112.0, 118.0))
        ((one, other),) = together.train(NET, (1, 2), images, 1, (None, None), emulated_gpu.gpu(), sharing)
        found += [(epoch.train_seconds, epoch.eval_seconds) for state in (one, other) for epoch in state.history]
    assert found == [(6, 3), (6, 3), (2, 1), (2, 1)]


@needs_compiler
def test_a_gpu_that_cannot_hold_the_runs_says_so_before_it_trains_and_gives_all_memory_back(small):
    images, before = together.images_of(small.head(150, 260)), emulated_gpu.memory_in_use()
    for size in (100_000, 7_000_000):
        emulated_gpu.limit_memory(before + size)
        try:
            with pytest.raises(MemoryError, match="the memory of the GPU is not enough"):
                together.train(NET, tuple(range(20)), images, 1, (None,) * 20, emulated_gpu.gpu())
        finally:
            emulated_gpu.limit_memory(1 << 40)
        assert emulated_gpu.memory_in_use() == before


@needs_compiler
def test_a_network_that_the_kernels_lack_is_refused(small):
    other = dataclasses.replace(NET, source=SOURCE.replace("nn.BatchNorm2d(4)", "nn.BatchNorm2d(4, momentum=None)"))
    with pytest.raises(UnusableInput) as caught:
        on_gpu(other, (1,), small, 1, (None,))
    assert str(caught.value) == (
        "Net has no exact arithmetic on a GPU: a BatchNorm with a cumulative average: "
        "use --devices cpu, or --arithmetic native"
    )


@pytest.mark.slow
@needs_compiler
def test_a_gpu_with_other_bits_is_refused(monkeypatch):
    golden.require_on_gpu(ARCHITECTURES["unpadded"], emulated_gpu.gpu())
    monkeypatch.setitem(golden.DIGESTS, "unpadded", "0123456789abcdef")
    with pytest.raises(UnusableInput, match=r"this GPU computes other bits for unpadded .*use --devices cpu"):
        golden.require_on_gpu(ARCHITECTURES["unpadded"], emulated_gpu.gpu())


def test_the_bytes_of_images_are_found_again(dataset):
    some = dataset.test_images[:500]
    assert torch.equal(data._normalised(data.pixels(some)), some)
    with pytest.raises(ValueError, match="do not come from bytes"):
        data.pixels(some + 1e-3)
    every = torch.arange(256).byte().reshape(1, 16, 16)
    assert torch.equal(data.pixels(data._normalised(every)), every)
