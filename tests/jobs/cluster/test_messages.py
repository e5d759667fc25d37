"""Tests of `messages`: each event of a worker comes back as it was, and anything else is refused in one line."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from bench.jobs.cluster import messages
from bench.jobs.events import Ended, EpochFinished, Event, Stage, Started
from bench.record import schema
from bench.record.rows import LOSS, Run
from bench.training.loop import Epoch

RUN = Run("unpadded", "0123abcd", "cpu", "89ef4567", 2**64 - 1, 3)
EPOCH = Epoch(3, 9940, 10_000, LOSS[1], 1e-300, 21.5, 1.25, None, 9000)
FINISHED = EpochFinished(RUN, EPOCH, ((8, 5, 6), (9999, 0, 1)), "a processor")


@pytest.mark.parametrize(
    "event",
    [
        Started(RUN),
        Stage(RUN, "compiling"),
        FINISHED,
        EpochFinished(RUN, EPOCH),
        EpochFinished(RUN, EPOCH, ()),
        Ended(RUN, "ok", "", "a processor"),
        Ended(RUN, "error", "die größte Zahl ist 7"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    assert messages.read(messages.write(event), RUN) == event


def changed(**values: Any) -> str:
    content = json.loads(messages.write(FINISHED))
    content["epoch"].update({name: value for name, value in values.items() if name in content["epoch"]})
    content.update({name: value for name, value in values.items() if name not in content["epoch"]})
    return json.dumps(content)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is not JSON"),
        ("[]", "a list is not an object"),
        ("{}", "the field 'kind' is missing"),
        (changed(kind="run"), "kind: 'run' is not one of started, stage, finished, ended"),
        (changed(status="fine"), "status: 'fine' is not one of ok, diverged, error, timeout, interrupted"),
        (changed(train_loss=float("nan")), "is not JSON"),
        (changed(test_loss=-1.0), "test_loss is -1.0, not a number from 0 to 1e+39"),
        (changed(train_seconds=1e30), "train_seconds is 1e+30, not a number from 0 to 3.16224e+07"),
        (changed(correct=10_001), "epoch 3 of 3 has 10001 of 10000 correct"),
        ('{"kind": "finished"}', "the epoch is missing"),
        (changed(misses=[[1, 2]]), "a missed image is not three numbers"),
        (changed(misses=[[1, 2, "3"]]), "misses: item 1: item 3: '3' is not a whole number"),
    ],
)
def test_anything_else_is_refused_in_one_line(content: str, problem: str) -> None:
    with pytest.raises(schema.Mismatch) as error:
        messages.read(content, RUN)
    assert str(error.value).endswith(problem)


def test_an_epoch_after_the_last_one_is_refused() -> None:
    with pytest.raises(schema.Mismatch, match="epoch 4 of 3 has"):
        messages.read(changed(epoch=4), RUN)


class Harmful:
    """A value whose pickle makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)


def test_a_message_runs_no_code(tmp_path: Path) -> None:
    content = pickle.dumps(Harmful(tmp_path / "made"), protocol=0).decode("ascii")
    with pytest.raises(schema.Mismatch, match="is not JSON"):
        messages.read(content, RUN)
    assert not (tmp_path / "made").exists()
