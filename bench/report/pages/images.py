"""On which test images runs disagree, and which of them most runs miss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.evidence.summary import Agreement, Images, MissedImage
from bench.report.pages.markdown import MISSED, NOTHING, code, image, number, table, text
from bench.wording import count


def lines(found: Images, alts: Mapping[str, str]) -> list[str]:
    """Agreement of runs, a row for each network, and the images that most runs miss."""
    title = ["### Which test images do runs miss?", ""]
    if found.together is None:
        return [*title, "No predictions are kept yet: `runs.misses.csv` has none of a run of this report.", ""]
    return [
        *title,
        *_sentences(found.together, found.without),
        *table(
            ["network", "on", "after epoch", "runs", "images that any two see differently", "mean over pairs"]
            + ["missed by any run", "missed by every run"],
            [_row(one) for one in (*found.groups, found.together)],
            "llr",
        ),
        *(_most_missed(found, alts) if found.most_missed else []),
    ]


def _sentences(together: Agreement, without: int) -> Iterator[str]:
    if together.runs == 1:
        yield f"The predictions of one run are kept; it misses {together.missed_by_any:,} of {together.total:,} images."
    else:
        yield (
            f"On {together.differ:,} of {together.total:,} test images at least two of {together.runs:,} runs see "
            f"different digits; {together.missed_by_all:,} {'is' if together.missed_by_all == 1 else 'are'} missed by "
            "every run. Runs with as many correct images need not miss the same."
        )
    yield ""
    if without:
        yield f"Not in this table: {count(without, 'complete run')} whose predictions in the last epoch are not kept."
        yield ""


def _row(one: Agreement) -> list[str]:
    several = one.runs > 1
    return [
        code(one.model) if one.model else "**all**",
        text(one.label) if one.label else NOTHING,
        number(one.epoch),
        f"{one.runs:,}",
        f"{one.differ:,}" if several else NOTHING,
        number(one.pairwise, 1),
        f"{one.missed_by_any:,}",
        f"{one.missed_by_all:,}" if several else NOTHING,
    ]


def _most_missed(images: Images, alts: Mapping[str, str]) -> list[str]:
    several, runs = images.most_missed, images.most_missed[0].runs
    found = [f"**The {count(len(several), 'test image')} that most of {count(runs, 'run')} miss.**"]
    if images.as_often:
        found[0] += f" Another {images.as_often:,} are missed as often as the last of these; lower numbers come first."
    drawn = ["They are not drawn: the file of test images was not there when this report was written.", ""]
    rows = [[str(one.image), str(one.label), f"{one.missed_by} of {runs}", _seen_as(one)] for one in several]
    return [
        *found,
        "",
        *(image(alts, MISSED) or drawn),
        "<details>",
        "<summary>These images as a table</summary>",
        "",
        *table(["number, from 0", "label", "missed by", "seen as (by so many runs)"], rows, "rrrl"),
        "</details>",
        "",
    ]


def _seen_as(one: MissedImage) -> str:
    return ", ".join(f"{digit} ({runs})" for digit, runs in one.seen_as)
