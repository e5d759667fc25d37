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
from bench.training.arithmetic.engine import Engine

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
    "a view that is changed in place": (
        "",
        "y = x.view(-1, 4, 4, 16)\ny.relu_()",
        "a change in place of values that have two shapes",
    ),
    "a view of values that a change in place leaves as they are at first": (
        "nn.init.zeros_(self.a.weight)\nnn.init.ones_(self.a.bias)",
        "x = self.a(x)\ny = x.view(-1, 16, 4, 4)\nF.relu6(x, inplace=True)\nx = y.view(-1, 4, 8, 8)",
        "a change in place of values that have two shapes",
    ),
    "a layer with another forward": ("self.relu.forward = lambda x: x", "x = self.relu(x)", "another forward of relu"),
    "a normalisation that is not used": ("self.m = nn.BatchNorm2d(4)", "self.m(x)", "another m.running_mean"),
    "a normalisation that stays in evaluation": (
        "self.n.train = lambda mode=True: nn.Module.train(self.n, False)",
        "pass",
        "another train of n",
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
        "operators that torch.fx does not show (add)",
    ),
    "a buffer that follows the values": (
        "self.register_buffer('b', torch.zeros(4))",
        "if self.training:\n    self.b.mul_(0.9).add_(x.detach().mean((0, 2, 3)))",
        "a forward pass that differs between training and evaluation",
    ),
    "a number that a buffer gives": (
        "self.register_buffer('b', torch.tensor(0.5))",
        "x = F.leaky_relu(x, float(self.b))",
        "operators that torch.fx does not show (_local_scalar_dense)",
    ),
    "a hook on a weight": ("self.a.weight.register_hook(lambda g: g * 0.9)", "pass", "a hook on a"),
}
BLOCK = "self.b = nn.Sequential(nn.ReLU(), nn.Identity())"
OWN = """self.f = type("Own", (torch.autograd.Function,), {
    "forward": staticmethod(lambda context, x: x), "backward": staticmethod(lambda context, g: g.clamp(-9, 9))
})"""
LATER = {
    "a count of batches": ("", "if self.n.num_batches_tracked > 100:\n    x = x.relu()", "operators that torch.fx"),
    "a buffer as a list": (
        "self.register_buffer('b', torch.zeros(2))",
        "if self.b.tolist()[0] > 100:\n    x = x.relu()",
        "operators that torch.fx does not show (tolist)",
    ),
    "a buffer as an array": (
        "self.register_buffer('b', torch.zeros(2))",
        "if self.b.numpy()[0] > 100:\n    x = x.relu()",
        "operators that torch.fx does not show (detach, numpy)",
    ),
    "weights that are kept small": (
        "",
        "for p in self.parameters():\n    p.data.clamp_(-9, 9)",
        "operators that torch.fx does not show (clamp, detach)",
    ),
    "weights that a hook keeps small": (
        f"{BLOCK}\nself.b.register_forward_pre_hook(lambda m, i: (self.a.weight.data.clamp_(-9, 9), None)[1])",
        "x = self.b(x)",
        "a hook on b",
    ),
    "gradients that a hook of a block keeps small": (
        f"{BLOCK}\nself.b.register_full_backward_hook(lambda m, i, o: (i[0].clamp(-9, 9),))",
        "x = self.b(x)",
        "a hook on b",
    ),
    "gradients that a hook of the network keeps small": (
        "self.register_full_backward_hook(lambda m, i, o: None if i[0] is None else (i[0].clamp(-9, 9),))",
        "pass",
        "a hook on the network",
    ),
    "gradients that a hook of a value keeps small": (
        "",
        "if torch.is_grad_enabled():\n    x.register_hook(lambda g: g.clamp(-9, 9))",
        "a forward pass that torch.fx cannot trace",
    ),
    "gradients that an operator of its own keeps small": (
        OWN,
        "x = self.f.apply(x)",
        "operators that torch.fx does not show (clamp",
    ),
    "values that a layer keeps small": (
        "f = self.relu.forward\nself.relu.forward = lambda x: f(x).clamp(max=99)",
        "x = self.relu(x)",
        "another forward of relu",
    ),
    "values of another precision": (
        "self.b = nn.Conv2d(4, 4, 1)",
        "with torch.autocast('cpu', torch.bfloat16):\n    y = self.b(x)\nx = x + y",
        "operators that torch.fx does not show (_to_copy",
    ),
}
"""Networks that are at first what their trace shows, and another one later or in float32."""


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


@pytest.mark.parametrize("case", [*FOUND, *LATER])
def test_a_network_that_the_trace_does_not_show_is_found(case):
    more, forward, reason = {**FOUND, **LATER}[case]
    found = agreement.obstacles(architecture(f"{LAYERS}\n{more}", f"{forward}\n{REST}"))
    assert found
    assert found[0].startswith(reason)


@pytest.mark.slow
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


def test_a_gradient_that_is_missing_is_found(monkeypatch):
    right = operations.Convolution.end

    def wrong(self, state):
        right(self, state)
        state.gradients.pop("first.bias", None)

    monkeypatch.setattr(operations.Convolution, "end", wrong)
    assert agreement.obstacles(architecture("", "pass")) == ("another gradient of first.bias than PyTorch's",)


def test_a_loss_or_an_output_that_is_wrong_by_one_percent_is_found(monkeypatch):
    step, scores = Engine.step, Engine.scores
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "step", lambda *arguments: step(*arguments) * 1.01)
        found = agreement.obstacles(architecture("", "pass"))
        assert found
        assert all(one.startswith("another loss than PyTorch's (") for one in found)
    monkeypatch.setattr(Engine, "scores", lambda *arguments: scores(*arguments) * numpy.float32(1.01))
    assert agreement.obstacles(architecture("", "pass")) == (
        "another output in evaluation than PyTorch's",
        "another output than PyTorch's with large weights",
    )


def test_a_result_that_is_wrong_for_large_values_only_is_found(monkeypatch):
    right = operations.elementwise.relu

    def wrong(x, y):
        right(x, y)
        y[y > 15] = 15

    monkeypatch.setattr(operations.elementwise, "relu", wrong)
    monkeypatch.setattr(exact, "merged", lambda program: program)
    one = architecture(LAYERS, f"{REST}\nx = self.relu(x)")
    assert agreement.obstacles(one) == ("another output than PyTorch's with large weights",)


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
