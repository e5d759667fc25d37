"""Tests of `engine`, `program`, `state` and `work`: any graph of operations gets the gradients of PyTorch in float64.

The graphs are random: most values have several users, and a user may take a value twice.
"""

from __future__ import annotations

import copy

import numpy
import pytest
import torch
import torch.nn.functional as F
from own_exact import Random, architecture, batch, bits, engine
from torch import nn

from bench.training.arithmetic import work
from bench.training.arithmetic.norms import BatchNorm
from bench.training.arithmetic.program import plan
from bench.training.arithmetic.state import State
from bench.training.arithmetic.trace import trace
from bench.training.randomness import build

# A value that a concatenation takes twice after others have used it; a normalisation whose result is only needed much
# later; a ReLU that could merge although its input has other users; and what chance gives.
CHOSEN = (82, 95, 108, 119, 217, 1, 2, 3)


def in_float64(network, images, labels):
    """The loss of a step, and the gradients of the parameters that have one."""
    network.double().train()
    loss = F.nll_loss(network(torch.from_numpy(images).permute(0, 3, 1, 2).double()), torch.from_numpy(labels))
    loss.backward()
    gradients = {name: one.grad.numpy() for name, one in network.named_parameters() if one.grad is not None}
    return float(loss.detach()), gradients


@pytest.mark.parametrize("seed", CHOSEN)
def test_a_random_graph_has_the_right_gradients_and_the_same_bits_in_any_chunks(seed, monkeypatch):
    found = []
    for cache, merging in ((1 << 21, True), (1, False), (30_000, True)):
        monkeypatch.setattr(work, "CACHE", cache)
        subject = engine(Random(seed), merging)
        losses = []
        for step, count in enumerate((5, 4)):
            subject.state.step = step
            losses.append(subject.step(*batch(count, step), 0.9, 0.05))
            if step == 0:
                gradients = copy.deepcopy(subject.state.gradients)
        evaluated = subject.evaluate(*batch(5, 9))[0], subject.evaluate(*batch(5, 9), "batch statistics")[0]
        found.append((losses, bits(subject), evaluated))
    assert found[0] == found[1] == found[2]
    network = Random(seed)
    engine(network)  # its dropouts are seeded now
    loss, expected = in_float64(network, *batch(5))
    assert found[0][0][0] / 5 == pytest.approx(loss, rel=1e-5)
    assert gradients.keys() == expected.keys()
    largest = max(numpy.linalg.norm(one) for one in expected.values())
    for name, one in expected.items():
        assert numpy.linalg.norm(gradients[name] - one) < 1e-3 * numpy.linalg.norm(one) + 1e-4 * largest, name


RESIDUAL = architecture(
    """self.a, self.n = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
self.b, self.m = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)""",
    """y = self.n(self.a(x))
x = F.relu(y + x)
z = self.m(self.b(x))
x = F.relu(z + x + y)""",
)


def test_a_stage_ends_where_a_normalisation_needs_all_images():
    program = trace(build(RESIDUAL, 1))
    names = frozenset(name for one in program.operations for name in one.parameters)
    steps = plan(program, names)
    norms = [i for i, one in enumerate(program.operations) if isinstance(one, BatchNorm)]
    assert [stage.gathers for stage in steps.stages] == [*norms, None]
    assert [stage.gathers_gradient for stage in steps.stages] == [None, *norms]
    assert len(plan(program, names, batch_statistics=False).stages) == 1
    for stage in steps.stages:
        if stage.gathers_gradient is not None:
            assert stage.gathers_gradient + 1 in stage.values & steps.kept_gradients


def test_each_operation_passes_its_gradient_on_once_and_after_its_users():
    program = trace(build(RESIDUAL, 1))
    names = frozenset(name for one in program.operations for name in one.parameters)
    order = [i for stage in reversed(plan(program, names).stages) for i, _ in stage.backward]
    assert sorted(order) == list(range(len(program.operations)))
    for place, i in enumerate(order):
        users = {j for j, one in enumerate(program.operations) if i + 1 in one.inputs}
        assert users <= set(order[:place])


def test_no_gradient_is_computed_that_leads_to_no_trainable_weight():
    program = trace(build(RESIDUAL, 1))
    steps = plan(program, frozenset({"last.weight"}))
    assert [[i for i, _ in stage.backward] for stage in steps.stages if stage.backward] == [
        [len(program.operations) - 1, len(program.operations) - 2]
    ]
    ((_, wanted),) = [one for stage in steps.stages for one in stage.backward if one[0] == len(program.operations) - 2]
    assert wanted == ((False, True),)


@pytest.mark.parametrize("frozen", ["first", "n", "first a n", "b m"])
def test_frozen_layers_stay_and_the_others_have_pytorchs_gradients(frozen):
    network = build(RESIDUAL, 1)
    for name in frozen.split():
        network.get_submodule(name).requires_grad_(False)
    reference = copy.deepcopy(network)
    subject = engine(network)
    before = {name: one.copy() for name, one in subject.state.parameters.items()}
    subject.step(*batch(6), 0.9, 0.05)
    _, expected = in_float64(reference, *batch(6))
    assert subject.state.gradients.keys() == expected.keys()
    for name, one in subject.state.parameters.items():
        if name.partition(".")[0] in frozen.split():
            assert numpy.array_equal(one, before[name])
        else:
            assert numpy.allclose(subject.state.gradients[name], expected[name], rtol=1e-3, atol=1e-4)


def test_a_state_shares_memory_with_the_module_and_has_a_velocity_for_each_weight_that_moves():
    network = nn.Linear(2, 2)
    weights = {name: one.detach().numpy() for name, one in network.named_parameters()}
    state = State(weights, {}, frozenset({"weight"}), 1)
    state.parameters["weight"][:] = 7
    assert (network.weight == 7).all()
    assert state.velocities.keys() == {"weight"}
    assert not state.velocities["weight"].any()
    assert (
        State(weights, {}, frozenset({"weight"}), 1, velocities={"weight": weights["weight"]})
        .velocities["weight"]
        .all()
    )


def test_scores_of_a_later_and_larger_batch_do_not_depend_on_the_ones_before():
    subject, other = engine(build(RESIDUAL, 1)), engine(build(RESIDUAL, 1))
    other.state.parameters.update(subject.state.parameters)
    subject.evaluate(*batch(3, 1))
    subject.evaluate(*batch(9, 2), "batch statistics")
    first = subject.scores(batch(7, 3)[0]).copy()
    one_by_one = numpy.concatenate([subject.scores(batch(7, 3)[0][n : n + 1]).copy() for n in range(7)])
    assert first.tobytes() == one_by_one.tobytes()


def test_an_evaluation_of_more_images_between_two_steps_changes_nothing():
    found = []
    for evaluated in (0, 50):
        subject = engine(build(RESIDUAL, 1))
        subject.step(*batch(5), 0.9, 0.05)
        if evaluated:
            subject.evaluate(*batch(evaluated, 7))
        subject.step(*batch(5, 1), 0.9, 0.05)
        found.append(bits(subject))
    assert found[0] == found[1]
