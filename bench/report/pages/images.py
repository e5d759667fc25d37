"""The test images on which runs differ, and the test images that runs miss most often."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.evidence.summary import Agreement, Images, MissedImage
from bench.report.markdown import MISSED, NOTHING, code, image, number, table, text
from bench.wording import count


def lines(found: Images, alts: Mapping[str, str]) -> list[str]:
    """A table of how far runs agree, one row for each network and device, and the images missed most often."""
    title = ["## Which test images do runs miss?", ""]
    if found.together is None:
        only = "Every run with stored predictions collapses in the epoch that is looked at."
        return [*title, only if found.collapsed else "No predictions are kept yet for the runs of this report.", ""]
    return [
        *title,
        *_sentences(found.together, found.without, found.collapsed),
        *table(
            ["network", "on", "after epoch", "runs", "images on which runs differ", "mean over pairs of runs"]
            + ["missed by any run", "missed by every run"],
            [_row(one) for one in (*found.groups, found.together)],
            "llr",
        ),
        *(_most_missed(found, alts) if found.most_missed else []),
    ]


def _sentences(together: Agreement, without: int, collapsed: int) -> Iterator[str]:
    if together.runs == 1:
        yield f"The predictions of one run are kept. It misses {together.missed_by_any:,} of {together.total:,} images."
    else:
        yield (
            f"On {together.differ:,} of {together.total:,} test images, at least two of {together.runs:,} runs see "
            f"different digits. Every run misses {count(together.missed_by_all, 'test image')}. Two runs with the same "
            "number of correct images can miss different images."
        )
    yield ""
    if collapsed:
        collapses = "runs that collapse" if collapsed > 1 else "run that collapses"
        yield f"Left out: {collapsed} {collapses} in the epoch that is looked at."
        yield ""
    if without:
        yield f"Not in this table: {count(without, 'complete run')} without stored predictions of that epoch."
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
    found = [f"**The {count(len(several), 'test image')} missed most often by {count(runs, 'run')}.**"]
    if images.as_often:
        further = f"{count(images.as_often, 'further image')} {'is' if images.as_often == 1 else 'are'}"
        found[0] += f" {further} missed as often as the last of these. Lower image numbers come first."
    drawn = ["The images are not drawn, because the file of test images was missing or unusable.", ""]
    rows = [[str(one.image), str(one.label), f"{one.missed_by} of {runs}", _seen_as(one)] for one in several]
    return [
        *found,
        "",
        *(image(alts, MISSED) or drawn),
        "<details>",
        "<summary>These images as a table</summary>",
        "",
        *table(["number, from 0", "label", "missed by", "seen as (number of runs)"], rows, "rrrl"),
        "</details>",
        "",
    ]


def _seen_as(one: MissedImage) -> str:
    return ", ".join(f"{digit} ({runs})" for digit, runs in one.seen_as)
