"""Tests of `agreement`: a network whose trace is not what PyTorch runs is found, or comes out right."""

from __future__ import annotations

import numpy
import pytest
from own_exact import architecture, bits
from own_networks import write

from bench.cli import parser
from bench.errors import UnusableInput
from bench.network.network_file import read
from bench.training import agreement, exact
from bench.training.arithmetic import operations

LAYERS = """self.relu, self.i = nn.ReLU(inplace=True), nn.Identity()
self.a, self.n = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)"""
REST = "x = self.n(self.a(x))"
IN_PLACE = {
    "a layer as a statement": "self.relu(x)",
    "a method as a statement": "x.relu_()",
    "a function as a statement": "F.relu(x, inplace=True)",
    "a positional argument": "F.relu(x, True)",
    "an alias": "y = self.i(x)\ny.relu_()",
    "a result and its source": "y = x\nself.relu(x)\nx = y",
}
FOUND = {
    "a view that is changed in place": ("", "y = x.view(-1, 4, 4, 16)\ny.relu_()", "another loss than PyTorch's"),
    "a layer with another forward": ("self.relu.forward = lambda x: x", "x = self.relu(x)", "another loss"),
    "a normalisation that is not used": ("self.m = nn.BatchNorm2d(4)", "self.m(x)", "another m.running_mean"),
    "a normalisation that stays in evaluation": (
        "self.n.train = lambda mode=True: nn.Module.train(self.n, False)",
        "pass",
        "another loss",
    ),
    "gradients cut in the middle": ("", "x = x.detach()", "detach"),
    "gradients turned off": ("", "with torch.no_grad():\n    x = x.relu()", "a part of forward without gradients"),
    "gradients turned off by data": ("", "x = x.data", "getattr"),
    "a number from a buffer": ("self.register_buffer('b', torch.tensor(0.5))", "x = x * float(self.b)", "mul"),
    "a buffer that counts": (
        "self.register_buffer('b', torch.zeros(1))",
        "self.b += 0.1\nx = F.leaky_relu(x, float(self.b))",
        "a forward pass that differs between training and evaluation",
    ),
    "a buffer that counts in training": (
        "self.register_buffer('b', torch.zeros(1))",
        "if self.training:\n    self.b += 1",
        "another b than PyTorch's",
    ),
    "a buffer that follows the values": (
        "self.register_buffer('b', torch.zeros(4))",
        "if self.training:\n    self.b.mul_(0.9).add_(x.detach().mean((0, 2, 3)))",
        "a forward pass that differs between training and evaluation",
    ),
    "a hook on a weight": ("self.a.weight.register_hook(lambda g: g * 0.9)", "pass", "a hook on a"),
}


@pytest.mark.parametrize("case", IN_PLACE)
def test_a_change_in_place_is_traced_right(case):
    changed = architecture(LAYERS, f"{IN_PLACE[case]}\n{REST}")
    assert agreement.obstacles(changed) == ()
    plain = architecture(LAYERS, f"x = F.relu(x)\n{REST}")
    assert trained(changed) == trained(plain)


def trained(one):
    """The bits after a step."""
    trainer = exact.ExactTrainer(one, 1)
    images = numpy.random.default_rng(1).standard_normal((5, 28, 28, 1)).astype(numpy.float32)
    trainer.engine.step(images, numpy.arange(5), 0.9, 0.1)
    return bits(trainer.engine)


def test_a_number_that_a_buffer_gives_once_for_all_is_traced_right():
    slope = architecture(
        f"{LAYERS}\nself.register_buffer('b', torch.tensor(0.5))", f"x = F.leaky_relu(x, float(self.b))\n{REST}"
    )
    assert agreement.obstacles(slope) == ()


@pytest.mark.parametrize("case", FOUND)
def test_a_network_that_the_trace_does_not_show_is_found(case):
    more, forward, reason = FOUND[case]
    found = agreement.obstacles(architecture(f"{LAYERS}\n{more}", f"{forward}\n{REST}"))
    assert found
    assert found[0].startswith(reason)


def test_show_says_why_a_network_is_native(tmp_path, capsys):
    more, forward, reason = FOUND["a view that is changed in place"]
    (path,) = write(tmp_path, net=architecture(f"{LAYERS}\n{more}", f"{forward}\n{REST}").source)
    assert parser.main(["show", str(path)]) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("arithmetic")]
    assert "native" in line
    assert reason in line


def test_a_wrong_gradient_is_found_even_if_all_results_are_right(monkeypatch):
    one = architecture(LAYERS, f"x = self.relu(x)\n{REST}")

    def wrong(x, dy, dx):
        dx[:] = dy

    monkeypatch.setattr(operations.elementwise, "relu_gradient", wrong)
    monkeypatch.setattr(exact, "merged", lambda program: program)
    assert "another gradient of first.weight than PyTorch's" in agreement.obstacles(one)


def test_the_reasons_of_the_trace_come_before_any_training(monkeypatch):
    monkeypatch.setattr(agreement, "ExactTrainer", None)
    assert agreement.obstacles(architecture("", "x = F.gelu(x)")) == ("gelu",)


def test_a_file_is_compared_as_it_will_be_trained(tmp_path):
    (path,) = write(tmp_path, net=architecture(LAYERS, f"self.relu(x)\n{REST}").source)
    assert agreement.obstacles(read(path)) == ()


def test_a_step_that_fails_is_an_obstacle_and_no_error(monkeypatch):
    def fails(*arguments):
        raise ValueError("one\ntwo")

    monkeypatch.setattr(agreement, "ExactTrainer", fails)
    assert agreement.obstacles(architecture("", "pass")) == ("a step that fails (ValueError: one two)",)


def test_a_worker_refuses_to_train_another_network_than_pytorch_in_exact_arithmetic(monkeypatch):
    def wrong(x, slope, y):
        y[:] = x

    leaky = architecture("", "x = F.leaky_relu(x, 0.1)")
    agreement.require(leaky)
    monkeypatch.setattr(operations.elementwise, "leaky_relu", wrong)
    with pytest.raises(UnusableInput, match="small has no exact arithmetic here: another loss than PyTorch's"):
        agreement.require(leaky)
