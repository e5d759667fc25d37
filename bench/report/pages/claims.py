"""The claims on the first page: those that are decided, and those that are open and what would decide them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from bench.evidence.summary import NetworkSummary, Summary
from bench.evidence.verdicts import Outcome, Verdict, is_of_the_module
from bench.report.pages.definitions import VERDICTS
from bench.report.pages.head import linked_name
from bench.report.pages.markdown import MANY_ROWS, METHODS, NOTHING, anchor, link, table, text
from bench.wording import count

OPEN: Outcome = "cannot be decided yet"


def lines(summary: Summary) -> list[str]:
    """The sections of the claims. A network without claims, or without a stored structure, has none."""
    judged = list(_judged(summary))
    if not judged:
        return []
    training = [one for one in judged if not is_of_the_module(one[2].claim)]
    decided = [one for one in training if one[2].outcome != OPEN]
    still_open = [one for one in training if one[2].outcome == OPEN]
    rules = link("The rules", f"{METHODS}#{anchor(VERDICTS)}")
    return [
        "## Which claims are decided?",
        "",
        *_decided(decided, summary),
        f"{rules} say how many seeds a verdict needs. Each network's page has every claim.{_about_documents(summary)}",
        "",
        "## Which claims are open, and what would decide them?",
        "",
        *_open(still_open, summary),
        "## Are the networks as described?",
        "",
        *_of_the_module(summary),
    ]


_Judged = tuple[NetworkSummary, str, Verdict]


def _judged(summary: Summary) -> Iterator[_Judged]:
    """Every verdict, with its network and the label of its runs."""
    for network in summary.networks:
        for group in network.groups:
            yield from ((network, group.label, verdict) for verdict in group.verdicts)
        if not network.groups:
            yield from ((network, NOTHING, verdict) for verdict in network.verdicts_without_runs)


def _decided(judged: Sequence[_Judged], summary: Summary) -> list[str]:
    rows = [[*begin, f"**{one.outcome}**", text(one.evidence)] for begin, one in _together(judged, summary)]
    return _table(["claim", "verdict", "evidence"], rows, summary) if rows else ["No claim about training yet.", ""]


def _open(judged: Sequence[_Judged], summary: Summary) -> list[str]:
    rows = [
        [*begin, text(one.found), text(one.would_decide or "not known")] for begin, one in _together(judged, summary)
    ]
    return _table(["claim", "so far", "what would decide it"], rows, summary) if rows else ["None.", ""]


def _together(judged: Sequence[_Judged], summary: Summary) -> Iterator[tuple[list[str], Verdict]]:
    """The first cells of each row, and its verdict. Claims with the same verdict for the same reason share a row."""

    def row(one: _Judged) -> tuple[str, str, Outcome, str]:
        network, label, verdict = one
        return network.name, label, verdict.outcome, verdict.evidence

    for (name, label, *_), part in itertools.groupby(judged, row):
        verdicts = [verdict for _, _, verdict in part]
        place = [linked_name(name), *([text(label)] if len(summary.labels) > 1 else [])]
        yield [*place, "; ".join(text(verdict.claim.text) for verdict in verdicts)], verdicts[0]


def _of_the_module(summary: Summary) -> list[str]:
    """The claims about layers and parameters. The module decides them, so the runs do not matter."""
    verdicts = [
        (network, verdict)
        for network in summary.networks
        for verdict in network.verdicts_without_runs
        if is_of_the_module(verdict.claim)
    ]
    wrong = [(network, verdict) for network, verdict in verdicts if verdict.outcome != "holds"]
    if not verdicts:
        return ["There is no claim about layers or parameters.", ""]
    said = f"Of {count(len(verdicts), 'claim')} about layers and parameters, {len(verdicts) - len(wrong)} hold"
    said += "s" if len(verdicts) - len(wrong) == 1 else ""
    if not wrong:
        return [f"{said}.", ""]
    rows = [[linked_name(one.name), text(verdict.claim.text), text(verdict.evidence)] for one, verdict in wrong]
    shown = table(["network", "claim", "the network has"], rows[:MANY_ROWS], "l")
    return [f"{said}. {'This one does' if len(wrong) == 1 else 'These do'} not:", "", *shown, *_more(rows)]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], summary: Summary) -> list[str]:
    on = ["on"] if len(summary.labels) > 1 else []
    return [*table(["network", *on, *header], rows[:MANY_ROWS], "l"), *_more(rows)]


def _more(rows: Sequence[object]) -> list[str]:
    more = len(rows) - MANY_ROWS
    return [f"… and {more:,} more, on the pages of the networks.", ""] if more > 0 else []


def _about_documents(summary: Summary) -> str:
    if not any(network.is_documented for network in summary.networks):
        return ""
    return (
        " A first epoch, a best accuracy or a last accuracy can get “does not hold” although the document's own log "
        "has it. It means that our seeds did not reproduce the value. It does not mean that the documented run did not "
        "happen. People publish the runs that went well. This choice alone can explain such a verdict."
    )
