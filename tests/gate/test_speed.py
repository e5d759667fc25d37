"""Tests of `speed`, `pace`, `plain` and `attentive`: speeds are measured in turns, and the medians are printed."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from dataclasses import replace
from math import prod
from statistics import mean

import numpy
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.errors import UnusableInput
from bench.gate import attentive, pace, plain, speed
from bench.gate.speed import Measurement, Speed, convolution_work, format_speed, to_json
from bench.network import structure_facts
from bench.network.specification import Layer
from bench.training.arithmetic import convolution
from bench.training.exact import ExactTrainer
from models import ARCHITECTURES

NETWORK = ARCHITECTURES["ten_twenty_thirty"]
QUIET = Measurement("unpadded", (100.0, 110.0, 90.0), (200.0, 220.0, 180.0), (400.0, 440.0, 360.0), 0.6, 4e8)
OTHER = Measurement("gap_head", (50.0, 50.0, 50.0), (80.0, 80.0, 80.0), (100.0, 110.0, 90.0), 0.5, 2e8)


def test_the_overall_ratios_compare_the_time_of_one_epoch_of_each_network():
    alone, both = Speed((QUIET,), 2, 1e9), Speed((QUIET, OTHER), 2, 1e9)
    assert (alone.ratio, alone.ratio_attentive) == pytest.approx((4, 2))
    assert both.ratio == pytest.approx((1 / 100 + 1 / 50) / (1 / 400 + 1 / 100))
    assert both.ratio_attentive == pytest.approx((1 / 200 + 1 / 80) / (1 / 400 + 1 / 100))


def test_the_json_has_the_public_form():
    content = json.loads(to_json(Speed((QUIET, OTHER), 2, 1e9)))
    assert content == {
        "ratio": pytest.approx(2.4),
        "ratio_attentive": pytest.approx(1.4),
        "networks": {
            "unpadded": {"plain": 100.0, "attentive": 200.0, "ours": 400.0, "ratio": 4.0, "ratio_attentive": 2.0},
            "gap_head": {"plain": 50.0, "attentive": 80.0, "ours": 100.0, "ratio": 2.0, "ratio_attentive": 1.25},
        },
    }


def test_the_table_has_the_ratios_the_convolutions_and_their_share_of_the_peak():
    lines = format_speed(Speed((QUIET, OTHER), 2, 8e8))
    (line,) = [line for line in lines if line.startswith("unpadded")]
    assert line.split() == ["unpadded", "100", "200", "400", "4.00", "2.00", "0", "%", "60", "%", "1", "50", "%"]
    overall = "2.40 times as fast as the plain loop, 1.40 times as fast as the attentive loop."
    assert f"One epoch of all networks together: {overall}" in lines
    assert "Peak: fused multiply-adds in registers reach 2 GFLOP/s on the same cores." in lines


@pytest.mark.parametrize("loop", ["plain", "attentive"])
def test_a_noisy_machine_gets_a_warning_with_advice(loop):
    quiet = {"plain": (100.0,) * 5, "attentive": (100.0,) * 5, "ours": (400.0,) * 5}
    noisy = Measurement("unpadded", **{**quiet, loop: (100.0, 50.0, 150.0, 125.0, 75.0)}, share=0.6, convolutions=1)
    assert any(
        "The measurement of unpadded is too noisy" in line and "Stop other programs" in line
        for line in format_speed(Speed((noisy,), 2, 1))
    )
    assert not any("noisy" in line for line in format_speed(Speed((QUIET,), 2, 1)))


def test_nothing_to_measure_is_an_error(root):
    with pytest.raises(UnusableInput, match="no network to measure"):
        speed.measure([], root / "data", 1)


def test_a_measuring_process_that_fails_is_an_error(root, monkeypatch):
    monkeypatch.setattr(speed, "_start", lambda name, kind, root, original=speed._start: original("nobody", kind, root))
    with pytest.raises(UnusableInput, match="measuring process ended"):
        speed.measure([NETWORK], root / "data", 1)


def test_the_processes_of_every_kind_start_and_end_with_the_measurement(root, monkeypatch):
    code = "import sys; print('ready', flush=True); [print(line, flush=True) for line in sys.stdin]"
    popen = subprocess.Popen
    monkeypatch.setattr(
        speed.subprocess, "Popen", lambda command, **others: popen([sys.executable, "-c", code, *command], **others)
    )
    with speed._processes(NETWORK.name, root, {"attentive": 1, "ours": 2}) as processes:
        everyone = [process for kind in processes.values() for process in kind]
        assert {kind: [one.args[-2] for one in found] for kind, found in processes.items()} == {
            "attentive": ["attentive"],
            "ours": ["ours", "ours"],
        }
        assert [process.poll() for process in everyone] == [None] * 3
        assert speed._ask(processes["ours"], "7") == [7, 7]
    assert None not in [process.poll() for process in everyone]


def test_the_attentive_loop_has_one_thread_and_only_ours_has_the_settings_of_the_allocator(root, monkeypatch):
    environments = {}
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(
        speed.subprocess, "Popen", lambda command, env, **others: environments.update({command[-2]: env})
    )
    for kind in ("plain", "attentive", "ours"):
        speed._start(NETWORK.name, kind, root)
    assert {kind: one.get("OMP_NUM_THREADS") for kind, one in environments.items()} == {
        "plain": None,
        "attentive": "1",
        "ours": "1",
    }
    assert "GLIBC_TUNABLES" not in environments["plain"]
    assert "GLIBC_TUNABLES" not in environments["attentive"]
    assert "GLIBC_TUNABLES" in environments["ours"]


def test_each_round_asks_each_loop_in_turns_and_all_processes_of_a_kind_together(root, monkeypatch):
    asked = []

    def answer(processes, question):
        asked.append((processes, question.split()[0]))
        answers = {
            "train": {"images": {"plain": 10, "attentive": 20, "ours": 30}[processes[0]], "seconds": 2.0},
            "share": {"images": 4, "seconds": 2.0, "convolutions": 0.5},
            "peak": 1e9,
        }
        return [answers[question.split()[0]]] * len(processes)

    @speed.contextmanager
    def processes(name, root, kinds):
        yield {kind: [kind] * count for kind, count in kinds.items()}

    monkeypatch.setattr(speed, "_ask", answer)
    monkeypatch.setattr(speed, "_processes", processes)
    found = speed.measure([NETWORK], root / "data", 3)
    one_round = [
        (["plain"], "train"),
        (["attentive"] * 3, "train"),
        (["ours"] * 3, "train"),
        (["ours"] * 3, "share"),
        (["ours"] * 3, "peak"),
    ]
    assert asked == one_round * speed.ROUNDS
    work = convolution_work(NETWORK, structure_facts.load()[NETWORK.name])
    rounds = tuple((rate,) * speed.ROUNDS for rate in (5.0, 30.0, 45.0))
    assert found == Speed((Measurement(NETWORK.name, *rounds, 0.25, 3 * work * 4 / 0.5),), 3, 3e9)


def test_the_ratio_of_a_network_is_the_median_of_those_that_its_own_process_measures(root, monkeypatch):
    asked = []

    def answer(processes, question):
        asked.append((processes, question))
        return [[5.0, 1.0, 3.0] if processes == [NETWORK.name] else [7.0]]

    @speed.contextmanager
    def processes(name, root, kinds):
        assert kinds == {"ours": 1}
        yield {"ours": [name]}

    monkeypatch.setattr(speed, "_ask", answer)
    monkeypatch.setattr(speed, "_processes", processes)
    found = speed.step_ratios([NETWORK, ARCHITECTURES["gap_head"]], root / "data")
    assert found == {NETWORK.name: 3.0, "gap_head": 7.0}
    assert asked == [([name], f"ratios {speed.STEP_ROUNDS}") for name in found]


@pytest.mark.slow
def test_a_step_takes_a_few_times_as_long_as_the_calibration(root, monkeypatch):
    monkeypatch.setattr(speed, "STEP_ROUNDS", 5)
    ratios = speed.step_ratios([ARCHITECTURES["squeeze_fc"], ARCHITECTURES["gap_head"]], root / "data")
    assert 1 < ratios["gap_head"] < ratios["squeeze_fc"] < 60


@pytest.mark.slow
def test_a_network_is_measured_in_all_three_loops(root, monkeypatch):
    monkeypatch.setattr(speed, "ROUNDS", 2)
    monkeypatch.setattr(speed, "BURST", 0.3)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # a second thread would only wait where tests run side by side
    found = speed.measure([NETWORK], root / "data", 1)
    (one,) = found.networks
    assert len(one.plain) == len(one.attentive) == len(one.ours) == 2
    assert min(one.plain + one.attentive + one.ours) > 10
    assert 0.1 < one.share < 0.95
    assert 0.01 * found.peak < one.convolutions < found.peak


def losses(monkeypatch, steps, count):
    """The losses of so many steps of a loop of PyTorch's operators."""
    found = []

    def recorded(scores, labels, original=F.nll_loss):
        loss = original(scores, labels)
        found.append(float(loss.detach()))
        return loss

    monkeypatch.setattr(F, "nll_loss", recorded)
    assert list(itertools.islice(steps, count)) == [NETWORK.recipe.batch_size] * count
    assert len(found) == count
    return found


@pytest.fixture
def _one_thread():
    """A second thread would only wait where tests run side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("loop", [plain, attentive])
def test_the_loops_for_comparison_learn(root, monkeypatch, loop):
    found = losses(monkeypatch, loop.steps(NETWORK, root / "data"), 25)
    assert found[0] == pytest.approx(2.3, abs=0.5)  # the loss of guessing is ln 10
    assert mean(found[-5:]) < 0.7 * mean(found[:5])


def test_our_loop_learns_with_the_steps_and_the_rate_of_a_run(root, monkeypatch):
    taken = []

    def recorded(self, dataset, indices, first_step, rate, original=ExactTrainer.train):
        taken.append((first_step, rate, original(self, dataset, indices, first_step, rate)))

    monkeypatch.setattr(ExactTrainer, "train", recorded)
    assert list(itertools.islice(pace.ours(NETWORK, root / "data"), 25)) == [128] * 25
    numbers, rates, found = zip(*taken, strict=True)
    assert numbers == tuple(range(25))
    assert set(rates) == {NETWORK.recipe.learning_rate}
    assert mean(found[-5:]) < 0.7 * mean(found[:5])


class Watched(nn.Module):
    """A network that keeps its last images, and a layer of dropout."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 10, 28)
        self.dropout = nn.Dropout(0.1)
        self.images = []
        INSTANCES.append(self)

    def forward(self, images):
        assert self.training
        self.images.append(images)
        return F.log_softmax(self.dropout(self.convolution(images)).flatten(1), dim=1)


INSTANCES: list[Watched] = []


def test_an_epoch_of_the_attentive_loop_has_each_image_once_in_another_order(root, dataset, small, monkeypatch):
    monkeypatch.setattr(attentive.data, "load", lambda path: small)
    source = f"from {__name__} import Watched"
    watched = replace(NETWORK, source=source, class_name="Watched")
    counts = list(itertools.islice(attentive.steps(watched, root / "data"), 8))
    assert counts == [128, 128, 128, 32] * 2
    network = INSTANCES.pop()
    assert type(network.dropout) is nn.Dropout
    assert {one.stride(1) for one in (network.convolution.weight, *network.images)} == {1}  # channels last
    first, second = torch.cat(network.images[:4]), torch.cat(network.images[4:])
    assert not torch.equal(first, second)
    everything = sorted(small.train_images.flatten(1).tolist())
    assert sorted(first.flatten(1).tolist()) == sorted(second.flatten(1).tolist()) == everything


def test_a_pace_counts_the_images_and_the_seconds():
    found = pace.measure(itertools.repeat(128), 0.05)
    assert found["images"] % 128 == 0
    assert found["images"] >= 128
    assert found["seconds"] >= 0.05


def test_the_share_of_convolutions_is_one_for_nothing_but_convolutions(monkeypatch):
    values = numpy.ones(1_000_000)
    monkeypatch.setattr(convolution, "forward", values.sum)

    def steps(work):
        while True:
            work()
            yield 8

    found = pace.convolution_share(steps(lambda: convolution.forward()), 3)
    assert found["images"] == 24
    assert 0.8 * found["seconds"] < found["convolutions"] <= found["seconds"]
    nothing = pace.convolution_share(steps(values.sum), 3)
    assert nothing["seconds"] > nothing["convolutions"] == 0


def test_each_pass_of_a_convolution_is_timed_also_in_a_step_that_fails(monkeypatch):
    passes = {name: lambda: time.sleep(0) for name in ("forward", "input_gradient", "add_filter_gradient")}
    for name, function in passes.items():
        monkeypatch.setattr(convolution, name, function)
    with pace._convolutions_timed() as times:
        convolution.forward()
        convolution.input_gradient()
        convolution.add_filter_gradient()
    assert len(times) == 3

    def failing():
        convolution.forward()
        yield 1
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        pace.convolution_share(failing(), 2)
    assert {name: getattr(convolution, name) for name in passes} == passes


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_the_work_of_convolutions_is_what_a_step_does(name, small, monkeypatch):
    """A step with one image: the products of every call, from the shapes of its arrays."""
    work = []

    def counted(outputs, inputs, original):
        def run(*arguments):
            geometry = next(one for one in arguments if isinstance(one, convolution.Geometry))
            wide, narrow = arguments[outputs], arguments[inputs]
            work.append(wide.size * narrow.shape[3] // geometry.groups * prod(geometry.size))
            original(*arguments)

        return run

    places = {"forward": (3, 0), "input_gradient": (0, 3), "add_filter_gradient": (1, 0)}
    for function, (outputs, inputs) in places.items():
        monkeypatch.setattr(convolution, function, counted(outputs, inputs, getattr(convolution, function)))
    architecture = replace(ARCHITECTURES[name], recipe=replace(ARCHITECTURES[name].recipe, batch_size=2))
    ExactTrainer(architecture, 1).train(small, torch.arange(2), 0, 0.01)
    assert sum(work) == 2 * convolution_work(architecture, structure_facts.load()[name])


def test_a_network_that_does_not_begin_with_a_convolution_has_three_whole_passes():
    facts = structure_facts.load()[NETWORK.name]
    begun = replace(facts, layers=(Layer("BatchNorm2d", (1, 28, 28), 2), *facts.layers))
    assert convolution_work(NETWORK, begun) == 3 * facts.multiply_accumulates
