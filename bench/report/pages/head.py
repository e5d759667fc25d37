"""The top of the first page: the finding, the table of networks and one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.evidence.statistics import TimeToTarget
from bench.evidence.summary import MANY_NETWORKS, GroupSummary, NetworkSummary, Place, SeedResult, Summary
from bench.report.markdown import (
    DATA,
    MANY_ROWS,
    METHODS,
    NOTHING,
    OVERVIEW,
    README,
    SEED_LINES,
    anchor,
    code,
    image,
    in_full,
    link,
    linked_name,
    number,
    page_of,
    percent,
    span,
    table,
    text,
)
from bench.report.pages.claims import tallies, tally_on
from bench.wording import count, count_in_words, listed

TITLE_OF_A_LOG = "The runs of a log, judged"

MANY_SEEDS = 10
"""With more seeds than this, the report shows a summary instead of every seed."""

_PLACES = 5
"""The first page describes at most this many places of runs."""

SIDE_BY_SIDE = "Networks side by side"
OTHER_RECIPES = "Runs of another recipe"


def lines(summary: Summary, alts: Mapping[str, str]) -> list[str]:
    """The title, the finding, the table of networks and the overview figure."""
    return [
        f"# {_title(summary)}",
        "",
        *navigation(summary.networks),
        *_finding(summary),
        *_progress(summary),
        *_networks(summary),
        *_places(summary),
        *_overview(summary, alts),
    ]


def navigation(networks: Sequence[NetworkSummary], here: str = README) -> list[str]:
    """Links to all pages except the page `here`. The pages of many networks are left to the tables of networks."""
    pages = [(README, "The report"), (METHODS, "Methods and definitions")]
    if not all(network.architecture.is_logged for network in networks):
        pages.append((DATA, "Data"))
    if len(networks) <= MANY_NETWORKS:
        pages[1:1] = [(page_of(network.name), code(network.name)) for network in networks]
    return [" · ".join(shown if page == here else link(shown, page) for page, shown in pages), ""]


def _title(summary: Summary) -> str:
    if summary.is_of_a_log:
        return f"{_target(summary)}? {TITLE_OF_A_LOG}"
    networks = summary.networks
    targets = dict.fromkeys(network.architecture.target for network in networks)
    shown = listed([percent(target.correct / target.total) for target in targets])
    bounds = {
        next((claim.value for claim in network.architecture.claims if claim.kind == "epochs_below"), None)
        for network in networks
    }
    budgets = [network.architecture.recipe.epochs for network in networks]
    bound = bounds.pop() if len(bounds) == 1 else None
    within = f"in {span(budgets)} epoch{'' if set(budgets) == {1} else 's'}".replace("–", " to ")
    epochs = f"in fewer than {bound} epochs" if bound else within
    documented, again = ("documented ", "again") if _all_documented(summary) else ("", "over seeds")
    many = count_in_words(len(networks), f"{documented}network").capitalize()
    return f"{shown} on MNIST {epochs}? {many}, trained {again}"


def _all_documented(summary: Summary) -> bool:
    return all(network.is_documented for network in summary.networks)


def _overview(summary: Summary, alts: Mapping[str, str]) -> list[str]:
    counts = "A count above a panel is the number of seeds that reached the target. "
    has_counts = any(len(network.groups) < 2 for network in summary.networks)
    many = max((len(group.seeds) for group in summary.current), default=0) > SEED_LINES
    which = f"A thin line is one of the first {SEED_LINES} seeds" if many else "Every thin line is one seed"
    note = f"{counts * has_counts}{which}, without smoothing."
    return [*image(alts, OVERVIEW), note, ""] if OVERVIEW in alts else []


def _finding(summary: Summary) -> list[str]:
    if not summary.labels:
        verdicts = [verdict for network in summary.networks for verdict in network.verdicts_without_runs]
        return [f"**{nothing_recorded(summary)} {tallies(verdicts, summary)}**", ""]
    sentences = []
    for label in summary.labels[:_PLACES]:
        verdicts = [verdict for network in summary.networks for verdict in network.verdicts_on(label)]
        groups = [group for group in summary.current if group.label == label]
        reached, runs = sum(group.first.hits for group in groups), sum(group.first.runs for group in groups)
        unfinished = sum(group.first.undecided for group in groups)
        tally = tallies(verdicts, summary) if len(summary.labels) == 1 else tally_on(label, verdicts, summary)
        sentences.append(
            f"**{tally}** {reached} of {count(runs, 'run')}"
            f"{f' ({unfinished} unfinished)' if unfinished else ''} reached the target, {_target(summary)}, within "
            "the epochs of the recipe."
        )
    if len(summary.labels) > _PLACES:
        sentences.append(f"The runs of {count(len(summary.labels) - _PLACES, 'other place')} are judged apart too.")
    return [sentence for one in sentences for sentence in (one, "")]


def nothing_recorded(summary: Summary) -> str:
    """That no run is recorded whose recipe is the current one of its network, and which others are."""
    if not summary.other_recipes:
        return "No run is recorded yet."
    if all(other.vary for other in summary.other_recipes):
        return "No ordinary run is recorded yet, only runs of `--vary`."
    return "No run of the networks as they are now is recorded yet, only runs of other recipes."


def _progress(summary: Summary) -> list[str]:
    done, planned = sum(group.done for group in summary.current), sum(group.planned for group in summary.current)
    missing = [linked_name(network.name) for network in summary.networks if not network.groups]
    if done == planned and (not missing or not summary.current):
        return []
    sentence = (
        f"**This record is partial: {count(done, 'epoch')} done of {planned:,} planned.** The planned epochs are "
        "those of the recipe, for every recorded seed that did not diverge."
    )
    named = ", ".join(missing[:MANY_ROWS]) + (f" and {len(missing) - MANY_ROWS} more" * (len(missing) > MANY_ROWS))
    others = {other.model for other in summary.other_recipes}
    has_others = any(not network.groups and network.name in others for network in summary.networks)
    what = "a run of their current recipe" if has_others else "a run"
    return [sentence + (f" Networks without {what}: {named}." if missing else ""), ""]


def _networks(summary: Summary) -> list[str]:
    names_places = len(summary.labels) > 1
    is_partial = any(group.done < group.planned for group in summary.current)
    has_diverged = any(seed.diverged for group in summary.current for seed in group.seeds)
    is_documented = any(network.is_documented for network in summary.networks)
    header = ["network", *(["on"] if names_places else []), *(["documented parameters"] if is_documented else [])]
    header += ["measured parameters", *(["documented first epoch"] if is_documented else [])]
    header += ["seeds at the target", "first epoch, by seed", "mean¹", "variance¹", "best", "last"]
    header += ["epochs done"] if is_partial else []
    seeds = [len(group.seeds) for group in summary.current]
    order = [
        *(["in the order of the seeds"] if min(seeds, default=1) <= MANY_SEEDS else []),
        *([f"from lowest to highest for more than {MANY_SEEDS} seeds"] if max(seeds, default=1) > MANY_SEEDS else []),
    ]
    rows = []
    for network in summary.networks:
        for group in network.groups or (None,):
            cells = [linked_name(network.name), *([text(group.label) if group else NOTHING] if names_places else [])]
            document = network.architecture.document
            cells += [number(document.parameters if document else None)] if is_documented else []
            cells += [number(network.structure.parameters) if network.structure else NOTHING]
            cells += [documented_first(network)] if is_documented else []
            cells += _measured(group)
            cells += [f"{group.done} of {group.planned}" if group else "no run"] if is_partial else []
            rows.append(cells)
    notes = [
        (
            f"{'' if summary.labels else f'The target is {_target(summary)}. '}The first epoch is the first one at or "
            f"above the target. First epochs are {listed(order)}. “never” means that a seed did not reach the target "
            "within the epochs of its recipe."
        ),
        " “> 7”, for example, means that a seed did not reach it in its 7 recorded epochs." if is_partial else "",
        " “diverged” means that the loss was no longer finite. It counts as never." if has_diverged else "",
        " Best and last are numbers of correct images, lowest to highest seed.",
        " The best of an unfinished run may still rise." if is_partial else "",
        (
            " ¹ In epochs and epochs squared, over the seeds that reached the target. If other seeds never reach it, "
            "this mean makes a network look faster than it is. The restricted mean on each network's page leaves out "
            "no seed."
        ),
    ]
    more = []
    if len(rows) > MANY_ROWS:
        everything = link("the table of all networks", f"{DATA}#{anchor(SIDE_BY_SIDE)}")
        more = [f"… and {len(rows) - MANY_ROWS:,} more rows, in {everything}.", ""]
    return [*table(header, rows[:MANY_ROWS], "llr" if names_places else "lr"), *more, "".join(notes), ""]


def _places(summary: Summary) -> list[str]:
    """The machine behind each label, if there are several labels."""
    if len(summary.labels) < 2:
        return []
    note = (
        "“On” is the place of the runs: their device and arithmetic. Runs of different places are not pooled, except "
        f"to count missed test images ({link('details', f'{DATA}#environments')})."
    )
    places = [place for place in summary.places if place.label in summary.labels]
    shown = [
        f"- {text(place.label)}: {_arithmetic(place)}, trained on {machines_of(place)}" for place in places[:_PLACES]
    ]
    return [note, "", *shown, *(["- …"] if len(places) > len(shown) else []), ""]


def _arithmetic(place: Place) -> str:
    bits = (
        "in exact arithmetic" if place.is_exact else f"in the arithmetic of the environment {code(place.environment)}"
    )
    others = link("another recipe", f"{DATA}#{anchor(OTHER_RECIPES)}")
    of_others = f", {place.of_other_recipes} of them of {others}" if place.of_other_recipes else ""
    return f"{count(place.runs, 'run')} {bits}{of_others}"


def machines_of(place: Place) -> str:
    """The machines of a place in words. Of more than five, only the first five are named."""
    named = " or ".join(place.machines[:5])
    more = f" or {len(place.machines) - 5} more" if len(place.machines) > 5 else ""
    return text(named + more) or "machine not recorded"


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
        left = len(group.seeds) - len(hits)
        others = [f"{count(left, 'seed')} not at the target"] if left else []
        return ", ".join([*([span(hits)] if hits else []), *others])
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
    if not network.is_log_of_this_network:
        shown += " (an earlier network)"
    claimed = [claim.value for claim in network.architecture.claims if claim.kind == "first_epoch"]
    return f"{shown} ({claimed[0]} claimed)" if claimed and claimed[0] != first else shown


def _target(summary: Summary) -> str:
    of = "" if summary.is_of_a_log else " test images"
    return " or ".join(dict.fromkeys(in_full(network.architecture.target, of) for network in summary.networks))
