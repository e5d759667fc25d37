"""Tests of `checkpoint`: a run continues from a saved state only if the state is whole and its own."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import random
from dataclasses import replace

import pytest
import torch

from bench import files
from bench.jobs.worker import checkpoint
from bench.record.rows import Run
from bench.training import loop
from models import ARCHITECTURES

ARCHITECTURE = ARCHITECTURES["unpadded"]
RUN = Run("unpadded", ARCHITECTURE.digest, "cpu", "0123abcd", 1, 19)


@pytest.fixture(scope="module")
def states(dataset):
    return list(loop.train(ARCHITECTURE, 1, "cpu", dataset.head(256, 100), 3))


def loaded(folder, run=RUN):
    return [len(state.history) for state in checkpoint.load(folder, run)]


def paths(folder):
    return checkpoint._paths(folder, RUN)


def back_from(folder, state):
    """A state after it was saved and loaded. All of it except the optimizer's part is as before."""
    checkpoint.save(folder, RUN, state)
    (back,) = checkpoint.load(folder, RUN)
    assert back.history == state.history
    assert torch.equal(back.predictions, state.predictions)
    assert all(torch.equal(back.network[key], state.network[key]) for key in state.network)
    return back


def test_an_exact_state_comes_back_as_it_was(tmp_path, states):
    velocities, back = states[1].optimizer, back_from(tmp_path, states[1]).optimizer
    assert velocities.keys() == back.keys() == {name for name, _ in ARCHITECTURE.build().named_parameters()}
    assert all(torch.equal(back[name], velocities[name]) for name in velocities)


def test_a_native_state_comes_back_as_it_was(tmp_path, dataset):
    state = next(loop.train(ARCHITECTURE, 1, "cpu", dataset.head(256, 100), 1, arithmetic="native"))
    momentum, back = state.optimizer["state"], back_from(tmp_path, state).optimizer["state"]
    assert momentum
    assert all(torch.equal(back[k]["momentum_buffer"], momentum[k]["momentum_buffer"]) for k in momentum)


def test_nothing_saved_is_nothing_loaded(tmp_path):
    assert loaded(tmp_path) == []


def test_the_state_before_is_kept_and_comes_second(tmp_path, states):
    for state in states:
        checkpoint.save(tmp_path, RUN, state)
    assert loaded(tmp_path) == [3, 2]
    checkpoint.discard_previous(tmp_path, RUN)
    assert loaded(tmp_path) == [3]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("step", range(20))
def test_a_truncated_state_is_refused_and_the_one_before_is_used(tmp_path, states, step, caplog):
    checkpoint.save(tmp_path, RUN, states[0])
    checkpoint.save(tmp_path, RUN, states[1])
    content = paths(tmp_path)[0].read_bytes()
    paths(tmp_path)[0].write_bytes(content[: len(content) * step // 20])
    with caplog.at_level(logging.WARNING):
        assert loaded(tmp_path) == [1]
    assert "damaged" in caplog.text


def test_a_flipped_bit_anywhere_is_refused(tmp_path, states):
    checkpoint.save(tmp_path, RUN, states[0])
    content = paths(tmp_path)[0].read_bytes()
    generator = random.Random(994)
    for place in [0, 31, 32, len(content) - 1, *(generator.randrange(len(content)) for _ in range(40))]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << generator.randrange(8)
        paths(tmp_path)[0].write_bytes(damaged)
        assert loaded(tmp_path) == [], f"bit flipped in byte {place}"


@pytest.mark.parametrize(
    ("field", "value"),
    [("recipe", "ffffffff"), ("device", "cuda"), ("environment", "ffffffff"), ("seed", 2), ("model", "gap_head")],
)
def test_a_state_of_another_run_is_refused_even_under_this_runs_name(tmp_path, states, field, value, caplog):
    other = replace(RUN, **{field: value})
    checkpoint.save(tmp_path, other, states[0])
    assert loaded(tmp_path) == []
    checkpoint._paths(tmp_path, other)[0].rename(paths(tmp_path)[0])
    assert loaded(tmp_path) == []
    assert "another run" in caplog.text


def test_a_state_that_cannot_be_read_is_skipped_and_the_one_before_is_used(tmp_path, states, caplog):
    for state in states[:2]:
        checkpoint.save(tmp_path, RUN, state)
    newest, _ = paths(tmp_path)
    newest.unlink()
    newest.mkdir()
    assert loaded(tmp_path) == [1]
    assert f"{newest}: cannot be read (Is a directory); this state is skipped" in caplog.text


def test_the_environment_that_a_state_is_bound_to_covers_the_version_of_pytorch(monkeypatch):
    from bench.training import environment

    here = environment.describe("cpu")
    monkeypatch.setattr(torch, "__version__", "1.2.3")
    assert environment.describe("cpu").digest != here.digest


def test_a_failed_save_leaves_the_states_that_were_there(tmp_path, states, monkeypatch):
    checkpoint.save(tmp_path, RUN, states[0])
    checkpoint.save(tmp_path, RUN, states[1])

    def full(descriptor, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_all", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(tmp_path, RUN, states[2])
    assert loaded(tmp_path) == [2, 1]
    assert len(list(tmp_path.iterdir())) == 2


class MakesAFolder:
    """A value whose pickle makes a folder when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_state_is_loaded_without_running_code_from_it(tmp_path, states, caplog):
    checkpoint.save(tmp_path, RUN, states[0])
    content = torch.load(io.BytesIO(paths(tmp_path)[0].read_bytes()[32:]), weights_only=True)
    buffer = io.BytesIO()
    torch.save({**content, "predictions": MakesAFolder(tmp_path / "made")}, buffer)
    payload = buffer.getvalue()
    paths(tmp_path)[0].write_bytes(hashlib.sha256(payload).digest() + payload)
    assert loaded(tmp_path) == []
    assert "not a state of this version" in caplog.text
    assert not (tmp_path / "made").exists()
    torch.load(io.BytesIO(payload), weights_only=False)
    assert (tmp_path / "made").exists()  # another way of reading would have run the code
