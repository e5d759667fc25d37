"""The page of one network: its claims, its accuracies by epoch, its time to target and its collapses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

from bench.evidence.statistics import TimeToTarget, first_hit, last_hit, prediction_interval_ranks, sustained_hit
from bench.evidence.summary import FINAL_EPOCHS, STREAK, GroupSummary, NetworkSummary, SeedResult, Summary
from bench.evidence.verdicts import Verdict, is_about_a_share, is_of_the_module
from bench.report.markdown import (
    DATA,
    METHODS,
    NOTHING,
    anchor,
    code,
    figure_of,
    image,
    link,
    number,
    page_of,
    signed,
    span,
    table,
    text,
)
from bench.report.pages import epochs
from bench.report.pages.definitions import CONFIDENCE, HOW_READ, MEANING, VERDICTS
from bench.report.pages.head import MANY_SEEDS, OTHER_RECIPES, first_of, navigation, restricted_mean
from bench.wording import count, listed


def lines(network: NetworkSummary, summary: Summary, alts: Mapping[str, str]) -> list[str]:
    """All lines about one network of a report."""
    found = [f"# {code(network.name)}", "", *navigation(summary.networks, page_of(network.name)), *_origin(network)]
    if not network.groups:
        found += [f"**{_nothing_recorded(network, summary)}**", "", "## Claims", ""]
        found += _claims(network.verdicts_without_runs)
    of_module = [one for one in network.verdicts_without_runs if is_of_the_module(one.claim)]
    once = len(network.groups) > 1 and bool(of_module)  # the module decides them, so they are the same in every place
    for group in network.groups:
        shown = [one for one in group.verdicts if not (once and is_of_the_module(one.claim))]
        found += [f"## Claims{_where(network, group)}", "", *_progress(group), *_claims(shown)]
    if once:
        found += ["## Claims about layers and parameters", "", *_claims(of_module)]
    found += image(alts, figure_of(network.name))
    for group in network.groups:
        where = _where(network, group)
        found += [f"## Correct test images by epoch{where}", "", *epochs.lines(network, group)]
        found += [f"## Time to target in epochs{where}", "", *_time_to_target(network, group)]
        found += [f"## {_title_of_seeds(group)}{where}", "", *_by_seed(network, group)]
        found += [*_last(network, group), *_final(network, group)]
        found += [f"## Collapses{where}", "", *epochs.collapsed(group)]
    return found


def _nothing_recorded(network: NetworkSummary, summary: Summary) -> str:
    if all(other.model != network.name for other in summary.other_recipes):
        return "No run of this network is recorded."
    return f"Only runs of other recipes are recorded: see {link(OTHER_RECIPES, f'{DATA}#{anchor(OTHER_RECIPES)}')}."


def _where(network: NetworkSummary, group: GroupSummary) -> str:
    return f" on {text(group.label)}" if len(network.groups) > 1 else ""


def _origin(network: NetworkSummary) -> list[str]:
    document, recipe = network.architecture.document, network.architecture.recipe
    if network.architecture.is_logged:
        unknown = (
            "Another program trained these runs, and only their log is known: not the network, not its parameters and "
            "not its recipe. “The epochs of the recipe” means the number that the log is judged by, "
            f"{recipe.epochs}. A “seed” is a run of the log."
        )
        how = link("how the log was read", f"{METHODS}#{anchor(HOW_READ)}")
        return [f"{unknown} The page of methods says {how}.", ""]
    where = dict(document.recipe_sources) if document else {}
    values = {
        "learning_rate": f"learning rate {recipe.learning_rate:g}",
        "momentum": f"momentum {recipe.momentum:g}",
        "batch_size": f"batches of {recipe.batch_size}",
        "epochs": count(recipe.epochs, "epoch"),
    }
    if recipe.dropout is not None:
        values["dropout"] = f"dropout {recipe.dropout:g}"
    if recipe.augmentation:
        values["augmentation"] = f"augmentation {' then '.join(recipe.augmentation)}"
    if recipe.schedule:
        values["schedule"] = f"schedule {recipe.schedule}"
    shown = [text(f"{words} ({where[name]})" if name in where else words) for name, words in values.items()]
    measured = f"{network.structure.parameters:,} measured" if network.structure else "not measured"
    if document is None:
        return [f"This is a user's own network. Recipe: SGD, {listed(shown)}. Parameters: {measured}.", ""]
    repository = text(f"{document.repository} at commit {document.commit}")
    return [
        (
            f"Document: “{text(document.title)}”, {text(document.date)}. Notebook: {repository}. Recipe: SGD, "
            f"{listed(shown)}. The brackets say where each value was read. Parameters: {document.parameters:,} "
            f"documented, {measured}."
        ),
        "",
        *(f"- {text(remark)}" for remark in document.remarks),
        *([""] if document.remarks else []),
    ]


def _progress(group: GroupSummary) -> list[str]:
    stopped = [f"seed {seed.seed} after epoch {seed.done} ({text(seed.ending)})" for seed in group.seeds if seed.ending]
    found = []
    recorded = {seed.seed for seed in group.seeds}
    between = (seed for seed in range(1, max(recorded)) if seed not in recorded)
    if skipped := list(itertools.islice(between, 11)):
        seeds = ", ".join(map(str, skipped[:10])) + (" …" if len(skipped) > 10 else "")
        note = "The verdicts assume that no seed is missing because of its result."
        found += [f"Seeds not recorded: {seeds}. {note}", ""]
    if group.done < group.planned:
        whole = f"{len(group.group.complete)} of {count(len(group.seeds), 'run')} complete"
        found += [f"**{count(group.done, 'epoch')} done of {group.planned} planned; {whole}.**", ""]
    if stopped:
        more = f" and {len(stopped) - 20} more" if len(stopped) > 20 else ""
        found += [f"Ended early: {'; '.join(stopped[:20])}{more}.", ""]
    return found


def _claims(verdicts: Sequence[Verdict]) -> list[str]:
    if not verdicts:
        return ["The structure of this network is not stored, so none of its claims is judged.", ""]
    rows = [
        [
            text(verdict.claim.text),
            verdict.claim.source,
            f"**{verdict.outcome}**" if verdict.outcome != "cannot be decided yet" else verdict.outcome,
            text(verdict.evidence),
        ]
        for verdict in verdicts
    ]
    rules = link("The rules", f"{METHODS}#{anchor(VERDICTS)}")
    share = (
        " “Share” means the share of all possible seeds that would succeed. “At least” and “at most” are its one-sided "
        f"{CONFIDENCE} bounds. They are valid for one look only, so the e-values decide."
    )
    about_training = any(not is_of_the_module(one.claim) for one in verdicts)
    note = (f"{MEANING} " * about_training) + rules + " say how each verdict is reached."
    note += share * any(is_about_a_share(one.claim) for one in verdicts)
    return [*table(["claim", "read in", "verdict", "evidence"], rows, "l"), note, ""]


def _time_to_target(network: NetworkSummary, group: GroupSummary) -> list[str]:
    log, target = network.documented[: group.group.budget], network.architecture.target.correct
    documented = (first_hit(log, target), sustained_hit(log, target, STREAK), last_hit(log, target))
    ways = (group.first, group.sustained, group.latest)
    rows = [[name, *map(cell, ways)] for name, cell in _MEASURES]
    if any(way.undecided for way in ways):
        rows.insert(1, ["of these n, unfinished and without a value yet", *(str(way.undecided) for way in ways)])
    if network.is_documented:
        rows.append(
            [f"the {network.documented_run}", *("never" if epoch is None else str(epoch) for epoch in documented)]
        )
    header = ["", "first at the target", f"first of {STREAK} in a row", "last at the target"]
    note = (
        "The average runtime to a hit is the number of all epochs spent, divided by the number of hits. The "
        "conditional values leave out the seeds that never reach the target, so they can make the network look faster "
        "than it is. The restricted mean leaves out no seed. In the column “last at the target”, later is better, but "
        "a seed that never reaches the target also counts as late. So look at “seeds, k of n” first."
    )
    return [*table(header, rows, "lr"), note, ""]


def _median(way: TimeToTarget) -> str:
    if way.median is None and way.runs:
        return "not determined yet" if way.undecided else "not reached"
    return number(way.median)


_MEASURES: tuple[tuple[str, Callable[[TimeToTarget], str]], ...] = (
    ("seeds, k of n", lambda way: f"{way.hits} of {way.runs}"),
    (f"share of seeds, {CONFIDENCE} interval", lambda way: f"{way.share.lower:.3f} to {way.share.upper:.3f}"),
    (f"share, one-sided {CONFIDENCE} bounds", lambda way: f"≥ {way.share_at_least:.3f}, ≤ {way.share_at_most:.3f}"),
    ("Kaplan–Meier median", _median),
    ("restricted mean ± standard error", lambda way: restricted_mean(way, 2)),
    ("average runtime to a hit (aRT)", lambda way: number(way.average_runtime, 2)),
    ("conditional mean", lambda way: f"{number(way.conditional_mean, 2)} (k = {way.hits})"),
    ("conditional variance", lambda way: number(way.conditional_variance, 2)),
    ("conditional standard deviation", lambda way: number(way.conditional_deviation, 2)),
)


def _title_of_seeds(group: GroupSummary) -> str:
    return "Seed by seed" if len(group.seeds) <= MANY_SEEDS else "All seeds together"


def _by_seed(network: NetworkSummary, group: GroupSummary) -> list[str]:
    budget = group.group.budget
    log = network.documented
    seeds = group.seeds if len(group.seeds) <= MANY_SEEDS else ()
    rows = [[f"seed {seed.seed}", f"{seed.done} of {budget}", *_results(seed)] for seed in seeds]
    if not seeds and group.best:
        rows.append(
            [
                f"all {len(group.seeds)} seeds",
                f"{group.done} of {group.planned}",
                "",
                span(group.best),
                "",
                span(group.last),
                "",
            ]
        )
    if log:
        best = max(log)
        first = network.documented_first
        rows.append(
            [
                "documented",
                f"{len(log)} of {budget}",
                "never" if first is None else str(first),
                str(best),
                str(log.index(best) + 1),
                str(log[-1]),
                str(best - log[-1]),
            ]
        )
    header = ["run", "epochs", "first at the target", "best", "in epoch", f"last (epoch {budget})", "best − last"]
    return table(header, rows, "lr")


def _results(seed: SeedResult) -> Iterator[str]:
    yield first_of(seed)
    yield NOTHING if seed.best is None else str(seed.best)
    yield number(seed.best_epoch)
    yield NOTHING if seed.last is None else str(seed.last)
    yield NOTHING if seed.last is None or seed.best is None else str(seed.best - seed.last)


def _last(network: NetworkSummary, group: GroupSummary) -> list[str]:
    complete = len(group.last)
    if not complete:
        return ["No run has all epochs of its recipe yet, so there is no last accuracy.", ""]
    reached = f"At the target in the last epoch: {group.at_target_last} of {count(complete, 'complete run')}."
    interval = group.last_interval
    if interval is None:
        return [f"{reached} One run gives no prediction interval.", ""]
    documented = network.documented[-1] if network.documented else None
    place = ""
    if documented is not None:
        inside = "inside" if interval.lower <= documented <= interval.upper else "outside"
        place = f" The {network.documented_run} ends at {documented}, {inside} this interval."
    kind = f"Student's t, n = {complete}, if the last accuracies are normally distributed"
    if interval == prediction_interval_ranks(group.last):
        kind = f"the range of the {complete} seeds, for any distribution"
    lower, upper = math.ceil(10 * interval.lower) / 10, math.floor(10 * interval.upper) / 10
    return [
        (
            f"{reached} One more run would end between {number(lower, 1)} and {number(upper, 1)} with "
            f"{100 * interval.confidence:.0f} % confidence ({kind}).{place}"
        ),
        "",
    ]


def _final(network: NetworkSummary, group: GroupSummary) -> list[str]:
    means = [seed.final_mean for seed in group.seeds if seed.final_mean is not None]
    if not means:
        return []
    middle, documented = median(means), network.documented_final_mean
    between = f"from {number(min(means), 1)} to {number(max(means), 1)}, median " if len(means) > 1 else ""
    seeds = f"{between}{number(middle, 1)}"
    log = ""
    if documented is not None:
        below = sum(mean < documented for mean in means)
        log = (
            f" The {network.documented_run}: {number(documented, 1)}, above {below} of {len(means)} (difference from "
            f"the median {signed(documented - middle)})."
        )
    return [f"Mean of the last {FINAL_EPOCHS} epochs of {count(len(means), 'complete run')}: {seeds}.{log}", ""]
