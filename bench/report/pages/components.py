"""How much of the variance comes from where: images, training, epochs, seeds, random numbers, rounding, choosing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from bench.evidence.statistics import HALVES
from bench.evidence.summary import FINAL_EPOCHS, MOST_CHOICES, GroupSources, Kind, Kinds, Sources, Spread, TwoPlaces
from bench.network.specification import VARIED, Vary
from bench.report.markdown import COMPONENTS, NOTHING, code, image, number, signed, table, text
from bench.report.pages import variance
from bench.wording import listed


def lines(sources: Sources, alts: Mapping[str, str]) -> list[str]:
    """Tables of the components of each group, of kinds of random numbers, of what choosing adds, of pairs of places."""
    several = [one for one in (*sources.groups, *sources.together) if one.flips or one.epochs]
    found = image(alts, COMPONENTS)
    if several:
        found += [*_components(several), *_how_to_read_components()]
        if fallen := sum(one.collapsed for one in sources.groups):
            found += [f"This table, and best − last below, leave out {variance.runs_that_collapse(fallen)}.", ""]
    if sources.kinds:
        found += [*_kinds(sources.kinds), *_how_to_read_kinds(sources.kinds)]
    elif sources.groups:
        found += [f"**Weights, order of the images, dropout**: Not measured. {_how_to_measure(list(VARIED))}", ""]
    if sources.groups:
        is_documented = any(one.is_documented for one in sources.groups)
        several = [*sources.groups, *sources.together]
        found += [*_choice(several, is_documented), *_how_to_read_choice(is_documented)]
    return found + (_places(sources.places) if sources.places else [])


def _components(several: list[GroupSources]) -> list[str]:
    header = ["network", "on", "runs", "variance of the last epoch", "flips of single images", "left for training"]
    header += ["one epoch: standard deviation", "one seed: standard deviation"]
    rows = [[*_name(one), str(one.runs), *_split(one), *_epochs(one)] for one in several]
    return table(header, rows, "llr")


def _name(one: GroupSources) -> list[str]:
    return [code(one.model) if one.model else "**all**", text(one.label)]


def _split(one: GroupSources) -> Iterator[str]:
    if one.flips is None:
        yield from (NOTHING,) * 3
        return
    yield number(one.flips.whole, 1)
    yield number(one.flips.flips, 1)
    yield f"{number(one.flips.left, 1)} ± {number(one.flips.left_error, 1)}"


def _epochs(one: GroupSources) -> Iterator[str]:
    if one.epochs is None:
        yield from (NOTHING,) * 2
        return
    yield number(math.sqrt(one.epochs.epoch), 1)
    yield number(math.sqrt(max(0.0, one.epochs.seed)), 1)


def _how_to_read_components() -> list[str]:
    return [
        (
            "The variances are over seeds, in images squared, with one standard error. Each test image is right in "
            "some runs and wrong in others. If this did not depend on the other images, the variance would be that of "
            "the flips. The rest is what training does to the accuracy on all possible images (Jordan, arXiv "
            "2304.01910). By chance it can be negative. Its error is that of a variance of normal counts. The standard "
            f"deviations, in images, are of the last {FINAL_EPOCHS} epochs: from epoch to epoch within a run, and from "
            "seed to seed, without the noise of single epochs. They are from an analysis of variance that removes what "
            "all seeds have in common in an epoch; a negative variance is shown as 0. If the first is the larger one, "
            "a last accuracy mostly says at which epoch the run stopped. “All” pools the networks by their degrees of "
            "freedom, each around its own mean; its error assumes that they have the same variance."
        ),
        "",
    ]


def _kinds(found: tuple[Kinds, ...]) -> list[str]:
    header = ["network", "on", "the seed changes", "runs", "left out: they collapse"]
    header += [f"{epoch} epoch: standard deviation (95 % interval)" for epoch in ("last", "best")]
    rows = []
    for network in found:
        for one in network.kinds:
            changes = VARIED[one.vary] if one.vary else "everything"
            cells = [code(network.model), text(network.label), changes, str(one.runs), str(one.collapsed)]
            rows.append([*cells, _spread(network, one, one.last), _spread(network, one, one.best)])
    return table(header, rows, "lllr")


def _spread(network: Kinds, one: Kind, spread: Spread | None) -> str:
    if one.is_constant:
        return "0, all runs are equal"
    if spread is None:
        return "no dropout" if _lacks_dropout(network, one) else "not measured"
    lower, upper = (number(math.sqrt(bound), 1) for bound in (spread.interval.lower, spread.interval.upper))
    return f"{number(math.sqrt(spread.variance), 1)} ({lower} to {upper})"


def _lacks_dropout(network: Kinds, one: Kind) -> bool:
    return one.vary == "dropout" and network.has_dropout is False


def _how_to_read_kinds(found: tuple[Kinds, ...]) -> list[str]:
    missing = [
        one.vary
        for one in {
            one.vary: one
            for network in found
            for one in network.kinds
            if one.vary and not one.last and not _lacks_dropout(network, one)
        }.values()
    ]
    return [
        (
            "Each seed draws the first weights, the order of the images and dropout. “Everything” are the ordinary "
            "runs. In the other rows, the seed changes one of the three, and the other two are those of seed 1. The "
            "standard deviations are over seeds, in images, and the intervals are those of a normal distribution. Each "
            "of the three includes what it does together with the other two. So their variances may add up to more "
            "than the variance of everything (Homma and Saltelli 1996). If each alone is as large as everything, then "
            "any small change moves a run as far as a new seed does (Summers and Dinneen, arXiv 2103.04514)."
            + (f" {_how_to_measure(missing)}" if missing else "")
        ),
        "",
    ]


def _how_to_measure(missing: Sequence[Vary]) -> str:
    first, *others = missing
    said = f"To measure the effect of {VARIED[first]}, train these networks with `--vary {first} --seeds 1-8` too."
    return said + (
        f" For the rest, write {listed(list(map(code, others)))} in place of {code(first)}." if others else ""
    )


def _choice(several: list[GroupSources], is_documented: bool) -> list[str]:
    header = ["network", "on", "best − last", "best − honest best (runs)"]
    header += ["seeds for the documented last", "seeds for the documented best"] if is_documented else []
    rows = []
    for one in several:
        flattery = f"{number(one.flattery, 1)} ({one.with_misses})" if one.with_misses else NOTHING
        typical = [_typical(one, k) for k in (one.typical_last, one.typical_best)] if is_documented else []
        rows.append([*_name(one), number(one.best_minus_last, 1), flattery, *typical])
    return table(header, rows, "llr")


def _typical(one: GroupSources, k: int | None) -> str:
    if not one.model:
        return ""
    if not one.is_documented:
        return NOTHING
    return f"more than {one.runs + one.collapsed}" if k is None else str(k)


def _how_to_read_choice(is_documented: bool) -> list[str]:
    typical = (
        " The last two columns say how many seeds one must train so that the best of them is as good as the "
        "documented value, on average (Tang et al., arXiv 2004.13705)."
    )
    return [
        (
            "Best minus last is the mean over complete runs, in images. A best epoch is chosen on the images that "
            "it is reported on, and gains by it. The honest best has no such gain: one random half of the images "
            "chooses the epoch, and the other half scores it; then they change places. It is the mean over "
            f"{HALVES} divisions that are always the same ones; of equally good epochs the first is chosen. This needs "
            f"the misses of every epoch, and of more than {MOST_CHOICES:,} runs it uses the lowest seeds of each "
            "network. Half of the images choose less well than all of them, so the true gain is, if anything, a little "
            "smaller. It can be more than best minus last, because an honest best epoch can be worse than the last one."
            + typical
            * is_documented
        ),
        "",
    ]


def _places(places: tuple[TwoPlaces, ...]) -> list[str]:
    header = ["network", "first place", "second place", "pairs of runs", "with equal counts in every epoch"]
    header += ["mean difference", "one run: standard deviation at the same seed", "over seeds"]
    rows = []
    for one in places:
        pairs = one.pairs
        own, seeds = (NOTHING if value is None else number(math.sqrt(value), 1) for value in (pairs.own, pairs.seeds))
        cells = [code(one.model), text(one.first), text(one.second), str(pairs.pairs), str(pairs.equal)]
        rows.append([*cells, signed(pairs.difference), own, seeds])
    note = (
        "A pair is the same seed in two places: the same initial weights, order of the images and dropout. Only the "
        "arithmetic or the device differs. If the standard deviation at the same seed is as large as that over seeds, "
        "rounding alone moves a run as far as a new seed does."
    )
    return [*table(header, rows, "lllr"), note, ""]
