"""Tests of `judgement_text`: the text of a judgement."""

from __future__ import annotations

from pathlib import Path

from bench.evidence.summary import Summary, summarise
from bench.logs.judged import Claimed, architecture, as_record
from bench.logs.log import Log, LoggedRun
from bench.report.judgement_text import format_judgement


def summary(*runs: tuple[int, ...]) -> Summary:
    logged = tuple(LoggedRun(str(seed), seed, counts) for seed, counts in enumerate(runs, start=1))
    log = Log((Path("log.csv"),), logged, 10_000, True, False, ())
    network = architecture(log, Claimed("99.4%", best="99.5%"))
    return summarise(as_record(log, network), {network.name: network}, {})


def test_a_judgement_has_the_notes_the_runs_and_each_verdict_with_its_evidence():
    lines = format_judgement(summary((9900, 9941), (9930, 9920), (9950,)), ["one", "two", "three"], ["it was read"])
    assert lines[:8] == [
        "Note: it was read.",
        "",
        "run      epochs    first at the target    best    last",
        "-----  --------  ---------------------  ------  ------",
        "one           2                      2    9941    9941",
        "two           2                  never    9930    9920",
        "three         1                      1    9950       –",
        "",
    ]
    assert "99.4 % within 2 epochs: cannot be decided yet" in lines
    assert "99.5 % in the best epoch: cannot be decided yet" in lines
    evidence = lines[lines.index("99.4 % within 2 epochs: cannot be decided yet") + 1]
    assert evidence.startswith("    2 of 3 seeds reached 9940 within 2 epochs")
    assert max(map(len, lines)) <= 100


def test_many_runs_are_one_row():
    names = [str(seed) for seed in range(1, 22)]
    lines = format_judgement(summary(*[(9900 + seed, 9930 + seed) for seed in range(21)]), names, [])
    assert lines[3] == "21 runs         2         2, 10 runs not  9930–9950  9930–9950"
