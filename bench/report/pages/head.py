"""The top of the report: the finding, the table of networks, the numbers of verdicts and one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.evidence.statistics import TimeToTarget
from bench.evidence.summary import GroupSummary, NetworkSummary, SeedResult, Summary
from bench.evidence.verdicts import Outcome, Verdict, is_of_the_module
from bench.report.pages.markdown import NOTHING, OVERVIEW, code, image, number, span, table, text
from bench.wording import count

OUTCOMES: tuple[Outcome, ...] = ("holds", "does not hold", "about half of all seeds do", "cannot be decided yet")

TITLE_OF_A_LOG = "The runs of a log, judged"

MANY_SEEDS = 10
"""With more seeds than this, the report shows a summary instead of every seed."""

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def lines(summary: Summary, alts: Mapping[str, str]) -> list[str]:
    """The title, the finding, the tables and the overview figure."""
    return [
        _title(summary),
        "",
        *_finding(summary),
        *_progress(summary),
        *_networks(summary),
        *_places(summary),
        *_claims(summary),
        *_overview(alts),
    ]


def _title(summary: Summary) -> str:
    if summary.is_of_a_log:
        return f"# {_target(summary)}? {TITLE_OF_A_LOG}"
    many = _in_words(len(summary.networks)).capitalize()
    documented, again = ("documented ", "again") if _all_documented(summary) else ("", "over seeds")
    several = "" if len(summary.networks) == 1 else "s"
    return f"# 99.4 % on MNIST in under 20 epochs? {many} {documented}network{several}, trained {again}"


def _all_documented(summary: Summary) -> bool:
    return all(network.is_documented for network in summary.networks)


def _overview(alts: Mapping[str, str]) -> list[str]:
    note = (
        "A count above a panel is the number of seeds that reached the target. Every thin line is one seed, without "
        "smoothing. The documented run is also one seed."
    )
    return [*image(alts, OVERVIEW), note, ""] if OVERVIEW in alts else []


def _finding(summary: Summary) -> list[str]:
    thing = "in {} document" if _all_documented(summary) else "on {} network"
    documents = thing.format(_in_words(len(summary.networks))) + ("" if len(summary.networks) == 1 else "s")
    if not summary.labels:
        verdicts = [verdict for network in summary.networks for verdict in network.verdicts_without_runs]
        return [f"**No run is recorded yet. {_tallies('Of', verdicts, documents)}**", ""]
    sentences = []
    for label in summary.labels:
        verdicts = [verdict for network in summary.networks for verdict in network.verdicts_on(label)]
        groups = [group for group in summary.current if group.label == label]
        reached, runs = sum(group.first.hits for group in groups), sum(group.first.runs for group in groups)
        unfinished = sum(group.first.undecided for group in groups)
        where = f"On {text(label)}, of" if len(summary.labels) > 1 else "Of"
        sentences.append(
            f"**{_tallies(where, verdicts, documents)}** {reached} of {count(runs, 'run')}"
            f"{f' ({unfinished} unfinished)' if unfinished else ''} reached the target, {_target(summary)}, within "
            "the documented number of epochs."
        )
    return [sentence for one in sentences for sentence in (one, "")]


def _progress(summary: Summary) -> list[str]:
    done, planned = sum(group.done for group in summary.current), sum(group.planned for group in summary.current)
    missing = [code(network.name) for network in summary.networks if not network.groups]
    if done == planned and (not missing or not summary.current):
        return []
    sentence = (
        f"**This record is partial: {done:,} epochs done of {planned:,} planned.** The planned epochs are the "
        "documented epochs of every recorded seed."
    )
    return [sentence + (f" Networks without a run: {', '.join(missing)}." if missing else ""), ""]


def _networks(summary: Summary) -> list[str]:
    names_places = len(summary.labels) > 1
    is_partial = any(group.done < group.planned for group in summary.current)
    has_diverged = any(seed.diverged for group in summary.current for seed in group.seeds)
    header = ["network", "documented parameters", "measured parameters", "documented first epoch"]
    header += ["seeds at the target", "first epoch, by seed", "mean¹", "variance¹", "best", "last"]
    header[1:1] = ["on"] if names_places else []
    header += ["epochs done"] if is_partial else []
    rows = []
    for network in summary.networks:
        for group in network.groups or (None,):
            cells = [code(network.name), *([text(group.label) if group else NOTHING] if names_places else [])]
            document = network.architecture.document
            cells += [number(document.parameters if document else None)]
            cells += [number(network.structure.parameters) if network.structure else NOTHING]
            cells += [documented_first(network), *_measured(group)]
            cells += [f"{group.done} of {group.planned}" if group else "no run"] if is_partial else []
            rows.append(cells)
    notes = [
        (
            f"The target is {_target(summary)}. The first epoch is the first one at or above the target. First epochs "
            f"are in the order of the seeds (with more than {MANY_SEEDS} seeds: lowest to highest). “never” means that "
            "a seed did not reach the target within the documented epochs."
        ),
        " “> 7”, for example, means that a seed did not reach it in its 7 recorded epochs." if is_partial else "",
        " “diverged” means that the loss was no longer finite. It counts as never." if has_diverged else "",
        " Best and last are numbers of correct images, lowest to highest seed.",
        " The best of an unfinished run may still rise." if is_partial else "",
        (
            " ¹ In epochs, over the seeds that reached the target. If other seeds never reach it, this mean makes a "
            "network look faster than it is. The restricted mean in each network's section leaves out no seed "
            "([definitions](#how-each-number-is-defined))."
        ),
    ]
    return [*table(header, rows, "llr" if names_places else "lr"), "".join(notes), ""]


def _places(summary: Summary) -> list[str]:
    """The machine behind each label, if there are several labels."""
    if len(summary.labels) < 2:
        return []
    machines = {
        label: sorted({one for group in summary.current if group.label == label for one in group.group.machines})
        for label in summary.labels
    }
    lines = [
        f"- {text(label)}: {text(' or '.join(found)) or 'machine not recorded'}" for label, found in machines.items()
    ]
    note = (
        "The runs were trained in these places. Runs of different places are not pooled, except to count missed test "
        "images ([details](#environments))."
    )
    return [note, "", *lines, ""]


def _measured(group: GroupSummary | None) -> list[str]:
    if group is None:
        return ["no run", *[NOTHING] * 5]
    time = group.first
    reached = f"**{time.hits}/{time.runs}**"
    cells = [reached, first_by_seed(group), number(time.conditional_mean, 1), number(time.conditional_variance, 1)]
    return [*cells, span(group.best), span(group.last)]


def first_by_seed(group: GroupSummary) -> str:
    """The first epoch at the target of every seed. For many seeds: the lowest and the highest one."""
    if len(group.seeds) > MANY_SEEDS:
        hits = [seed.first for seed in group.seeds if seed.first is not None]
        others = f"{count(len(group.seeds) - len(hits), 'seed')} not at the target"
        return f"{span(hits)}, {others}" if hits else others
    return ", ".join(map(first_of, group.seeds))


def first_of(seed: SeedResult) -> str:
    """The first epoch at the target of one seed, or the reason why there is none."""
    if seed.first is not None:
        return str(seed.first)
    return "diverged" if seed.diverged else "never" if seed.is_over else f"> {seed.done}"


def restricted_mean(time: TimeToTarget, digits: int) -> str:
    """The restricted mean with its standard error. The error has no meaning if no seed reached the target."""
    if time.restricted_mean is None:
        return NOTHING
    mean = number(time.restricted_mean, digits)
    if not time.hits:
        return f"{mean} (no seed reached it)"
    error = time.restricted_mean_error
    return f"{mean} (error unknown)" if error is None else f"{mean} ± {number(error, digits)}"


def documented_first(network: NetworkSummary) -> str:
    """The first epoch at the target in the documented log, and the claimed epoch if it is a different one."""
    first = network.documented_first
    if not network.is_documented:
        return NOTHING
    shown = "never" if first is None else str(first)
    claimed = [claim.value for claim in network.architecture.claims if claim.kind == "first_epoch"]
    return f"{shown} ({claimed[0]} claimed)" if claimed and claimed[0] != first else shown


def _claims(summary: Summary) -> list[str]:
    names_places = len(summary.labels) > 1
    header = ["network", "document", *(["on"] if names_places else []), *OUTCOMES, "claims that do not hold"]
    rows = []
    for network in summary.networks:
        judged = [(group.label, group.verdicts) for group in network.groups] or [
            (NOTHING, network.verdicts_without_runs)
        ]
        for label, verdicts in judged:
            wrong = [text(verdict.claim.text) for verdict in verdicts if verdict.outcome == "does not hold"]
            document = network.architecture.document
            cells = [code(network.name), text(document.title) if document else NOTHING]
            cells += [text(label)] if names_places else []
            rows.append([*cells, *map(str, _counts(verdicts)), "; ".join(wrong) or NOTHING])
    rules = (
        "The section of each network has every claim with its evidence. The rules are "
        "[below](#how-a-verdict-is-reached). A first epoch, a best accuracy or a last accuracy can get “does not hold” "
        "although the document's own log has it. It means that our seeds did not reproduce the value. It does not mean "
        "that the documented run did not happen. People publish the runs that went well. This choice alone can explain "
        "such a verdict."
    )
    return [
        "## Do the claims hold?",
        "",
        *table(header, rows, "lllrrrrl" if names_places else "llrrrrl"),
        rules,
        "",
    ]


def _counts(verdicts: Sequence[Verdict]) -> list[int]:
    return [sum(verdict.outcome == outcome for verdict in verdicts) for outcome in OUTCOMES]


def _tallies(of: str, verdicts: Sequence[Verdict], documents: str) -> str:
    """The numbers of verdicts on claims about training, and separately on claims about layers and parameters."""
    module = [verdict for verdict in verdicts if is_of_the_module(verdict.claim)]
    runs = [verdict for verdict in verdicts if not is_of_the_module(verdict.claim)]
    kinds = [(runs, "training"), (module, "layers and parameters")]
    told = [
        f"{len(some)} {'is' if len(some) == 1 else 'are'} about {about}: {_tally(some)}"
        for some, about in kinds
        if some
    ]
    return f"{of} the {len(verdicts)} claims {documents}, {'. The other '.join(told) or 'none can be judged'}."


def _tally(verdicts: Sequence[Verdict]) -> str:
    holds, fails, half, undecided = _counts(verdicts)
    about_half = f", {half} {'is' if half == 1 else 'are'} true of about half of all seeds" if half else ""
    return (
        f"{holds} hold{'s' if holds == 1 else ''}, {fails} do{'es' if fails == 1 else ''} not hold{about_half} "
        f"and {undecided} cannot be decided yet"
    )


def _target(summary: Summary) -> str:
    targets = dict.fromkeys(network.architecture.target for network in summary.networks)
    what = "" if summary.is_of_a_log else " test images"
    shown = [f"{one.correct / one.total:.2%} ({one.correct} of {one.total:,}{what})" for one in targets]
    return " or ".join(shown).replace("%", " %")


def _in_words(many: int) -> str:
    return _WORDS[many] if many < len(_WORDS) else str(many)
