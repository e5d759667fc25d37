"""The claims on the first page: how many hold, which are decided, and which are open and what would decide them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from bench.evidence.summary import NetworkSummary, Summary
from bench.evidence.verdicts import Outcome, Verdict, is_of_the_module
from bench.report.markdown import EVIDENCE, MANY_ROWS, METHODS, NOTHING, anchor, image, link, linked_name, table, text
from bench.report.pages.definitions import MEANING, VERDICTS
from bench.wording import count, count_in_words, listed

OPEN: Outcome = "cannot be decided yet"

_OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_SINGULARS: dict[Outcome, str] = {
    "holds": "{} holds",
    "does not hold": "{} does not hold",
    "about half of all seeds do": "{} is true of about half of all seeds",
    "cannot be decided yet": "{} cannot be decided yet",
}
_PLURALS: dict[Outcome, str] = {
    "holds": "{} hold",
    "does not hold": "{} do not hold",
    "about half of all seeds do": "{} are true of about half of all seeds",
    "cannot be decided yet": "{} cannot be decided yet",
}

_ROWS, _WRONG_ROWS = 60, 15
"""The first page has at most 150 lines, so its tables have at most `_ROWS` rows in all."""


def lines(summary: Summary, alts: Mapping[str, str]) -> list[str]:
    """The sections of the claims. A network without claims, or without a stored structure, has none."""
    judged = list(_judged(summary))
    if not judged:
        return []
    training = [one for one in judged if not is_of_the_module(one[2].claim)]
    decided = [one for one in training if one[2].outcome != OPEN]
    still_open = [one for one in training if one[2].outcome == OPEN]
    rules = link("The rules", f"{METHODS}#{anchor(VERDICTS)}")
    wrong = _of_the_module(summary)
    decided_rows, open_rows = _decided(decided, summary), _open(still_open, summary)
    in_first_table = min(MANY_ROWS, sum(len(network.groups) or 1 for network in summary.networks))
    room = _ROWS - in_first_table - min(_WRONG_ROWS, len(wrong))
    for_decided = max(room // 2, room - len(open_rows))
    for_open = room - min(for_decided, len(decided_rows))
    return [
        "## Which claims are decided?",
        "",
        *_figure(alts),
        *_table(["claim", "verdict", "evidence"], decided_rows, for_decided, summary),
        (
            f"{MEANING} The bounds of a share are valid for one look only, so its e-value decides. {rules} say how "
            f"many seeds a verdict needs. Each network's page has every claim.{_about_documents(summary)}"
        ),
        "",
        "## Which claims are open, and what would decide them?",
        "",
        *_table(["claim", "so far", "what would decide it"], open_rows, for_open, summary),
        *_module_lines(summary, wrong),
    ]


def _figure(alts: Mapping[str, str]) -> list[str]:
    note = (
        "How to read it: a line is the evidence on one claim after its first 1, 2, 3, … seeds. Up is evidence for the "
        "claim, and down is evidence against it. In the outer areas the claim is decided, and a line of a claim on "
        "most seeds can leave them again. Such a claim moves by its e-value, and a value below 1 is drawn as 1. A "
        "claimed first epoch, best or last accuracy moves by 1/p, where p is how often the value would be so far out "
        "by chance: down while it is beyond all seeds, and to the middle as soon as one seed shows that it holds. "
        "Claims with the same evidence share a line."
    )
    return [*image(alts, EVIDENCE), note, ""] if EVIDENCE in alts else []


_Judged = tuple[NetworkSummary, str, Verdict]


def _judged(summary: Summary) -> Iterator[_Judged]:
    """Every verdict, with its network and the label of its runs."""
    for network in summary.networks:
        for group in network.groups:
            yield from ((network, group.label, verdict) for verdict in group.verdicts)
        if not network.groups:
            yield from ((network, NOTHING, verdict) for verdict in network.verdicts_without_runs)


def _decided(judged: Sequence[_Judged], summary: Summary) -> list[list[str]]:
    return [[*begin, f"**{one.outcome}**", text(one.evidence)] for begin, one in _together(judged, summary)]


def _open(judged: Sequence[_Judged], summary: Summary) -> list[list[str]]:
    return [
        [*begin, text(one.found), text(one.would_decide or "not known")] for begin, one in _together(judged, summary)
    ]


def _together(judged: Sequence[_Judged], summary: Summary) -> Iterator[tuple[list[str], Verdict]]:
    """The first cells of each row, and its verdict. Claims with the same verdict for the same reason share a row."""

    def row(one: _Judged) -> tuple[str, str, Outcome, str]:
        network, label, verdict = one
        return network.name, label, verdict.outcome, verdict.evidence

    for (name, label, *_), part in itertools.groupby(judged, row):
        verdicts = [verdict for _, _, verdict in part]
        place = [linked_name(name), *([text(label)] if len(summary.labels) > 1 else [])]
        yield [*place, "; ".join(text(verdict.claim.text) for verdict in verdicts)], verdicts[0]


def _module_claims(summary: Summary) -> list[tuple[NetworkSummary, Verdict]]:
    """The claims about layers and parameters. The module decides them, so the runs do not matter."""
    return [
        (network, verdict)
        for network in summary.networks
        for verdict in network.verdicts_without_runs
        if is_of_the_module(verdict.claim)
    ]


def _of_the_module(summary: Summary) -> list[list[str]]:
    """A row for each claim about layers and parameters that does not hold."""
    return [
        [linked_name(one.name), text(verdict.claim.text), text(verdict.evidence)]
        for one, verdict in _module_claims(summary)
        if verdict.outcome != "holds"
    ]


def _module_lines(summary: Summary, wrong: Sequence[Sequence[str]]) -> list[str]:
    if summary.is_of_a_log:
        return []
    title = ["## Are the networks as described?", ""]
    claims = len(_module_claims(summary))
    if not claims:
        return [*title, "There is no claim about layers or parameters.", ""]
    holding = claims - len(wrong)
    said = f"Of {count(claims, 'claim')} about layers and parameters, {holding} hold{'s' if holding == 1 else ''}"
    if not wrong:
        return [*title, f"{said}.", ""]
    shown = table(["network", "claim", "the network has"], wrong[:_WRONG_ROWS], "l")
    more = _more(len(wrong) - _WRONG_ROWS)
    return [*title, f"{said}. {'This one does' if len(wrong) == 1 else 'These do'} not:", "", *shown, *more]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], room: int, summary: Summary) -> list[str]:
    """The rows for which the page has room."""
    if not rows:
        return ["None.", ""]
    on = ["on"] if len(summary.labels) > 1 else []
    return [*table(["network", *on, *header], rows[:room], "l"), *_more(len(rows) - room)]


def _more(rows: int) -> list[str]:
    return [f"… and {rows:,} more, on the pages of the networks.", ""] if rows > 0 else []


def _about_documents(summary: Summary) -> str:
    if not any(network.is_documented for network in summary.networks):
        return ""
    return (
        " A claim can get “does not hold” although the document's own log has it; the evidence then says so. It means "
        "that our seeds did not reproduce the value. It does not mean that the documented run did not happen. Chance, "
        "the choice of a good run, and a difference between their training and ours can contribute. The documents do "
        "not say how many runs there were."
    )


def tally_on(label: str, verdicts: Sequence[Verdict], summary: Summary) -> str:
    """The numbers of verdicts on claims about training in one of several places. The others hold in every place."""
    runs = [verdict for verdict in verdicts if not is_of_the_module(verdict.claim)]
    if not runs:
        return f"On {text(label)}, no claim about training can be judged."
    return f"On {text(label)}, {count(len(runs), 'claim')} about training {_documents(summary)}: {_tally(runs)}."


def tallies(verdicts: Sequence[Verdict], summary: Summary) -> str:
    """The numbers of verdicts on claims about training, and separately on claims about layers and parameters."""
    module = [verdict for verdict in verdicts if is_of_the_module(verdict.claim)]
    runs = [verdict for verdict in verdicts if not is_of_the_module(verdict.claim)]
    kinds = [(some, about) for some, about in ((runs, "training"), (module, "layers and parameters")) if some]
    the_claims = f"the {count(len(verdicts), 'claim')} {_documents(summary)}"
    if not kinds:
        return f"Of the claims {_documents(summary)}, none can be judged."
    (first, about), *others = kinds
    if not others:
        started = f"The one claim {_documents(summary)} is" if len(first) == 1 else f"Of {the_claims}, all are"
        return f"{started} about {about}: {_tally(first)}."
    started = f"Of {the_claims}, {len(first)} {'is' if len(first) == 1 else 'are'} about {about}: {_tally(first)}."
    (second, about_second) = others[0]
    rest = "The other one is" if len(second) == 1 else f"The other {len(second)} are"
    return f"{started} {rest} about {about_second}: {_tally(second)}."


def _documents(summary: Summary) -> str:
    """The documents and the users' own networks that the claims are of."""
    documented = sum(network.is_documented for network in summary.networks)
    own = len(summary.networks) - documented
    other = "other " if documented else ""
    of_documents = f"in {count_in_words(documented, 'document')}" if documented else ""
    of_own = f"on {count_in_words(own, f'{other}network')}" if own else ""
    return " and ".join(filter(None, (of_documents, of_own)))


def _tally(verdicts: Sequence[Verdict]) -> str:
    if len(verdicts) == 1:
        return _SINGULARS[verdicts[0].outcome].format("it")
    numbers = [(outcome, sum(verdict.outcome == outcome for verdict in verdicts)) for outcome in _OUTCOMES]
    return listed([(_SINGULARS if many == 1 else _PLURALS)[outcome].format(many) for outcome, many in numbers if many])
