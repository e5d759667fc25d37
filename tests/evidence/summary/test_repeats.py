"""Tests of `repeats`: verified runs are counted once each, and those in another environment apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import synthetic

from bench.evidence.summary import CheckedOn, Repeats, summarise
from bench.network import structure_facts
from bench.record.environments import EXACT
from bench.record.rows import Row
from bench.record.verifications import Verifications, Verified

ROWS = synthetic.full({"unpadded": 9940}, seeds=(1, 2, 3))


def verified(seed: int = 1, epochs: int = 19, identical: bool = True, verified_in: str = synthetic.CPU) -> Verified:
    run = ("unpadded", synthetic.RECIPE, "cpu", synthetic.CPU, seed)
    return Verified(*run, epochs, identical, "2026-02-01T12:00:00Z", verified_in)


def repeats(folder: Path, *found: Verified) -> Repeats:
    """The summary of these verifications of a record of three runs."""
    record = synthetic.record(folder, ROWS)
    return summarise(record, synthetic.architectures(), structure_facts.load(), None, Verifications(found)).repeats


def test_runs_verified_in_their_own_environment_are_counted_once(tmp_path: Path) -> None:
    found = repeats(tmp_path, verified(1, 3), verified(1, 19), verified(1, 4), verified(2, 5))
    assert found == Repeats(3, 2, 2, 24, 0, 0, (), machines=(CheckedOn("", 2, 24),))


def test_a_run_that_differed_once_is_not_identical_whatever_came_later(tmp_path: Path) -> None:
    for order in ((False, True), (True, False)):
        found = repeats(tmp_path, *(verified(1, 19, identical) for identical in order), verified(2))
        assert found == Repeats(3, 2, 1, 38, 0, 0, ("unpadded on cpu, seed 1",), machines=(CheckedOn("", 2, 38),))


def test_runs_that_differ_are_named_in_the_order_of_the_record(tmp_path: Path) -> None:
    found = repeats(tmp_path, verified(2, identical=False), verified(1, identical=False))
    assert found.differing == ("unpadded on cpu, seed 1", "unpadded on cpu, seed 2")


def test_another_environment_is_counted_apart(tmp_path: Path) -> None:
    found = repeats(
        tmp_path, verified(1, 19, False, synthetic.GPU), verified(2, 19, True, synthetic.GPU), verified(2, 4)
    )
    assert found == Repeats(3, 1, 1, 4, 2, 1, (), machines=(CheckedOn("", 1, 4),))


def test_exact_runs_of_several_devices_are_counted_and_a_verification_is_of_all_of_them(tmp_path: Path) -> None:
    """Seeds 1 to 3 ran on both devices; seed 3 has other results on the second."""
    rows = [
        row
        for device, seeds in (("cpu", (1, 2, 3)), ("cuda", (1, 2, 3, 4)))
        for seed in seeds
        for row in synthetic.run_rows(
            "unpadded", seed, [9900, 9901 + (seed == 3 and device == "cuda")], environment=EXACT.digest, device=device
        )
    ]
    on_gpu = Verified(
        "unpadded", synthetic.RECIPE, "cuda", EXACT.digest, 1, 2, True, "2026-02-01T12:00:00Z", EXACT.digest
    )
    record, found = synthetic.record(tmp_path, rows), Verifications((on_gpu,))
    one = summarise(record, synthetic.architectures(), structure_facts.load(), None, found).repeats
    assert one == Repeats(4, 1, 1, 2, 0, 0, (), (CheckedOn("", 1, 2),), on_several_devices=3, equal_on_devices=2)


def test_the_machines_that_trained_runs_again_are_counted_by_run(tmp_path: Path) -> None:
    def on(seed: int, machine: str, epochs: int = 1) -> Verified:
        return replace(verified(seed), machine=machine, epochs=epochs)

    found = repeats(tmp_path, on(1, "D", 3), on(1, "D", 5), on(1, "D", 2), on(1, "B", 19), on(2, "B", 2), on(3, "C"))
    assert found.machines == (CheckedOn("B", 2, 21), CheckedOn("C", 1, 1), CheckedOn("D", 1, 5))


def test_runs_of_another_recipe_count_nowhere(tmp_path: Path) -> None:
    other = Verified("unpadded", "ffff0000", "cpu", synthetic.CPU, 1, 5, True, "2026-02-01T12:00:00Z", synthetic.CPU)
    assert repeats(tmp_path, other) == Repeats(3, 0, 0, 0, 0, 0, ())


def test_an_interruption_on_a_second_device_compares_no_bits_and_a_divergence_does(tmp_path: Path) -> None:
    def run(seed: int, device: str, correct: list[int], ending: tuple[str, str] | None = None) -> list[Row]:
        return synthetic.run_rows("unpadded", seed, correct, environment=EXACT.digest, device=device, ending=ending)

    diverged, interrupted = ("diverged", "the loss is not finite"), ("interrupted", "SIGINT")
    rows = [*run(1, "cpu", [9900]), *run(1, "cuda", [], interrupted), *run(2, "cpu", [], diverged)]
    one = summarise(synthetic.record(tmp_path, rows), synthetic.architectures(), structure_facts.load())
    assert (one.repeats.on_several_devices, one.places[0].device) == (0, "cpu")
    rows += [*run(2, "cuda", [], diverged), *run(3, "cuda", [9900]), *run(3, "cpu", [], diverged)]
    one = summarise(synthetic.record(tmp_path, rows), synthetic.architectures(), structure_facts.load())
    assert (one.repeats.on_several_devices, one.repeats.equal_on_devices) == (2, 1)
    rows = run(4, "cuda", [], interrupted)
    one = summarise(synthetic.record(tmp_path, rows), synthetic.architectures(), structure_facts.load())
    assert [(place.device, place.runs) for place in one.places] == [("cuda", 1)]
