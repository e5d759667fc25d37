"""The terms of the report: what each means, and the link from its first use on a page to its definition."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.evidence.statistics import LEVEL
from bench.evidence.summary import FINAL_EPOCHS, MOST_SEEDS, STREAK, Summary
from bench.network.specification import COLLAPSE, Target
from bench.report.markdown import METHODS, anchor, in_full, link, percent
from bench.wording import listed

VERDICTS = "How a verdict is reached"
HOW_READ = "How the log was read"
CONFIDENCE = percent(1 - LEVEL)

MEANING = (
    "“Holds” has two meanings. A claim on most seeds holds if most seeds do so. A first epoch, a best or a last "
    "accuracy holds if it cannot be told from our seeds: such a run is possible, but it need not be usual."
)
"""What a verdict on each kind of claim means. A reader sees it beside the verdicts."""


@dataclass(frozen=True)
class Term:
    """A term, which is also its heading, its meaning, and a pattern of the words that stand for it on a page."""

    name: str
    meaning: str
    mentions: str


_NOT_OF_A_LOG = (
    "paired permutation test",
    "p after Holm",
    "correct with batch statistics",
    "smallest running variance",
    "misses",
    "repeat variance",
    "seconds per epoch",
    "sampling error",
)
"""The terms that the report of a log does not use, because a log has no such values."""


def terms(summary: Summary) -> tuple[Term, ...]:
    """The terms of a report, in the order of the page of methods."""
    is_documented = any(network.is_documented for network in summary.networks)
    unused = {*(_NOT_OF_A_LOG if summary.is_of_a_log else ()), *(() if is_documented else ("documented",))}
    return tuple(term for term in _terms(summary) if term.name not in unused)


def _terms(summary: Summary) -> tuple[Term, ...]:
    targets = list(dict.fromkeys(network.architecture.target for network in summary.networks)) or [Target()]
    of = "" if summary.is_of_a_log else " test images"
    below = listed([f"{target.correct - 1} images are below {target.correct}" for target in targets])
    errors = listed([f"{_sampling_error(target):.1f} images for {in_full(target)}" for target in targets])
    return (
        Term(
            "target",
            f"The accuracy to reach: {' or '.join(in_full(target, of) for target in targets)}. It is a number of "
            f"images, and {below}, whatever the percentage rounds to.",
            r"\btargets?\b",
        ),
        Term("correct", "The number of test images that are classified correctly.", r"\bcorrect(?: test)? images\b"),
        Term(
            "run",
            "One network, trained once from one seed on one device in one environment. In exact arithmetic, the same "
            "seed on several devices and machines is one run, because all of them compute the same bits.",
            r"(?<!new )(?<!more )\bruns?\b",
        ),
        Term(
            "seed",
            "The number that determines everything random in a run: the initial weights, the order of the images, "
            "dropout and augmentation. The same seed draws the same numbers on every device. Our seed 1 does not draw "
            "the same numbers as seed 1 of a document.",
            r"\b[Ss]eeds?\b",
        ),
        Term(
            "recipe",
            "The network and its training settings, such as learning rate, momentum, batch size and number of epochs. "
            "They are the same for every seed. If a document describes the network, they are the documented ones. A "
            "run is complete with all epochs of its recipe.",
            r"\b[Rr]ecipes?\b",
        ),
        Term(
            "documented",
            "As the public document of a network says, or the notebook of its author. The documented run is one run.",
            r"\b[Dd]ocumented\b",
        ),
        Term(
            "environment",
            "Everything else that can change the bits of a result. In exact arithmetic this is the version of the "
            "arithmetic alone, because every machine computes the same bits; it does not mean that nothing is rounded. "
            "For other runs it is the PyTorch release, the processor or GPU, the instruction set, the number of "
            "threads and the precision.",
            r"\b[Ee]nvironments?\b",
        ),
        Term(
            "first at the target",
            "The first epoch with an accuracy at or above the target. One lucky epoch is enough.",
            r"\b[Ff]irst epochs?\b|\bfirst at the target\b",
        ),
        Term(
            f"first of {STREAK} in a row",
            f"The first epoch of the first {STREAK} consecutive epochs at or above the target.",
            rf"\bfirst of {STREAK} in a row\b",
        ),
        Term(
            "last at the target",
            "The last epoch at or above the target within the epochs of the recipe.",
            r"\blast at the target\b",
        ),
        Term(
            "best",
            "The highest accuracy of a run. It is chosen on the test set. It is therefore too high as an estimate for "
            "new images.",
            r"\b[Bb]est\b(?! before)",
        ),
        Term(
            "last",
            "The accuracy of the last epoch of the recipe. This epoch is not chosen by its accuracy.",
            r"(?<=\| )last\b(?! at)|\b[Ll]ast accurac(?:y|ies)\b",
        ),
        Term(
            f"mean of the last {FINAL_EPOCHS} epochs",
            f"The mean accuracy of the last {FINAL_EPOCHS} epochs of a complete run. It varies less than the accuracy "
            "of one epoch.",
            rf"\b[Mm]ean of the last {FINAL_EPOCHS} epochs\b",
        ),
        Term(
            "planned",
            "The number of epochs of the recipe, added up over all recorded seeds. For a seed that diverged, only the "
            "epochs before that count, because it is over.",
            r"\bplanned\b",
        ),
        Term(
            "unfinished",
            "A run that crashed, was interrupted, ran out of time or is still running, before it had all epochs of its "
            "recipe.",
            r"\bunfinished\b",
        ),
        Term(
            "censored",
            "A run that has not reached the target when it ends. Its time to target is not missing, but longer than "
            "the epochs that were seen. A run that diverged never reaches the target. An unfinished run is censored "
            "where it stopped.",
            r"\bcensored\b",
        ),
        Term(
            "k of n",
            "k is the number of seeds that reach the target within the epochs of the recipe. n is the number of "
            "recorded seeds. A run that diverged is not in k, even if it had reached the target. An unfinished run is "
            "in k if it has reached the target. In the column “last at the target” it is not, because its last epoch "
            "at the target is not known yet.",
            r"\bk of n\b|\bseeds at the target\b",
        ),
        Term(
            "e-value",
            "How strong the evidence is, as a number that may be looked at after every seed. It begins at 1. If the "
            "claim is wrong, the e-value for it ever reaches 20 with a probability of at most 5 %. A value of 1 or "
            "less is no evidence. The pages round e-values down, so that no open claim seems decided.",
            r"\be-values?\b",
        ),
        Term(
            "confidence sequence",
            "A range of the share of seeds after every seed. With a probability of 90 %, each of these ranges has the "
            "true share inside.",
            r"\bconfidence sequence\b",
        ),
        Term(
            "share of seeds",
            "The share of all possible seeds that would succeed, not only of the recorded ones. Its interval is "
            f"Clopper and Pearson's exact {CONFIDENCE} interval, and “at least” and “at most” are its one-sided "
            f"{CONFIDENCE} bounds. They describe the seeds so far, and no verdict uses them. An unfinished run that "
            "has not reached the target counts as a failure in the lower bound. The upper bound leaves it out.",
            r"\bshare of seeds\b|\bshare at least\b|\bestimated share\b",
        ),
        Term(
            "Kaplan–Meier median",
            "The first epoch by which an estimated half of the seeds have reached the target. The estimate takes "
            "censored runs into account. If there are unfinished runs, the median can come before half of the seeds "
            "were seen to reach the target.",
            r"\bKaplan–Meier median\b",
        ),
        Term(
            "restricted mean",
            "The mean over all seeds of the smaller of two numbers: the time to target and the number of epochs of the "
            "recipe. It leaves out no seed. If there are unfinished runs, it is the area under the Kaplan–Meier curve, "
            "and the standard error comes from Greenwood's formula. The error is unknown for one run, and if the "
            "unfinished runs leave too little data for the formula.",
            r"\brestricted mean\b",
        ),
        Term(
            "aRT",
            "The average runtime to a hit. A hit is the first epoch of a seed at the target. The epochs of all seeds "
            "up to the hit, or up to the end of the run, are added up and divided by the number of hits. This is the "
            "cost of one success if you start again after every failure. A run that diverged counts with all epochs of "
            "its recipe.",
            r"\baverage runtime to a hit\b|\baRT\b",
        ),
        Term(
            "conditional values",
            "The conditional mean, variance (divisor k − 1) and standard deviation are over the k seeds that reached "
            "the target. If other seeds never reach it, these values make a network look faster than it is.",
            r"\bconditional (?:values|mean|variance|standard deviation)\b",
        ),
        Term(
            "prediction interval",
            f"The range of one new run with {CONFIDENCE} confidence: mean ± t·s·√(1 + 1/n). Here s is the standard "
            "deviation of the n complete runs, and t is the quantile of Student's t with n − 1 degrees of freedom. For "
            "a first epoch it is the range of the seeds, with the confidence (n − 1)/(n + 1). It is so for an accuracy "
            "too from 39 seeds on, and where mean ± t·s·√(1 + 1/n) goes beyond what is possible. The pages round its "
            "ends inwards.",
            r"\bprediction interval\b|\b[Oo]ne (?:new|more) run\b",
        ),
        Term(
            "paired permutation test",
            "Tests whether two sets of runs with the same seeds differ in the mean. The mean difference is first minus "
            "second. The test changes the sign of each seed's difference, in all 2ⁿ ways. It is two-sided and uses at "
            f"most the {MOST_SEEDS} lowest seeds. The smallest p possible is the smallest p of any arrangement of "
            "these values. A seed that reaches the target never, or later than the smaller of the two recipes' numbers "
            "of epochs, counts with this number. A run that diverged counts in the same way, and as 0 correct images. "
            "Unfinished runs are left out, even if they have reached the target. To include only the fast ones would "
            "make a network look faster than it is.",
            r"\b[Pp]aired tests?\b",
        ),
        Term(
            "p after Holm",
            "The p-value, corrected for all tests of the same table.",
            r"\bp after Holm\b|\bHolm's correction\b",
        ),
        Term(
            "collapse",
            f"An epoch more than {COLLAPSE} images below the best epoch before it in the same run, or more than "
            "0.5 % of a larger number of test images.",
            r"\b[Cc]ollapses?\b",
        ),
        Term(
            "correct with batch statistics",
            "The correct images of the same weights in a second evaluation. There, batch norm uses the mean and "
            "variance of each test batch instead of its running values. It is recorded for epochs that collapse.",
            r"\bcorrect with batch statistics\b",
        ),
        Term(
            "smallest running variance",
            "The smallest running variance of all channels of all batch norms after the epoch.",
            r"\bsmallest running variance\b",
        ),
        Term(
            "misses",
            "The test images that a run classifies wrongly. They are stored beside the record: after every epoch, in "
            "old records only after the last one. Two runs differ on an image if they see different digits in it, "
            "even if both are wrong. The mean is over all pairs of runs.",
            r"\bmiss(?:es|ed)?\b",
        ),
        Term(
            "repeat variance",
            "The variance between a recorded run and the same run, trained again in the same environment.",
            r"\brepeat variance\b",
        ),
        Term(
            "seconds per epoch",
            "Measured with a monotonic clock after the device has finished its work. Training and evaluation are timed "
            "separately.",
            r"\bs/epoch\b|\bseconds per epoch\b",
        ),
        Term(
            "sampling error",
            f"The binomial standard error of an accuracy at the target, on as many test images: {errors}. All runs "
            "share this error, because they see the same images. It limits what the results say about other digits. It "
            "does not limit the comparison of runs on the same images.",
            r"\bsampling error\b",
        ),
    )


def _sampling_error(target: Target) -> float:
    share = target.correct / target.total
    return math.sqrt(target.total * share * (1 - share))


_UNTOUCHED = re.compile(
    r"^```.*?^```$|^(?:#|!\[|<)[^\n]*$|<[^>\n]*>|`[^`\n]+`|\[[^\]\n]*\]\([^)\n]*\)|\\.|&#?\w+;",
    re.MULTILINE | re.DOTALL,
)
"""Code, headings, pictures, HTML, links and escapes: no link can be put there."""


def with_links(page: str, defined: Sequence[Term], name: str) -> str:
    """The page, with a link from the first use of each term to its definition. `name` is the file name of the page."""
    methods = "" if name == METHODS else METHODS
    free = _UNTOUCHED.sub(lambda found: re.sub(r"[^\n]", "\0", found.group()), page)
    links: list[tuple[int, int, str]] = []
    for term in sorted(defined, key=lambda term: -len(term.name)):  # "last at the target" comes before "target"
        own = re.search(rf"^### {re.escape(term.name)}\n.*?(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
        for found in re.finditer(term.mentions, free):
            if own is None or not own.start() <= found.start() < own.end():
                start, end = found.span()
                links.append((start, end, f"{methods}#{anchor(term.name)}"))
                free = free[:start] + "\0" * (end - start) + free[end:]
                break
    for start, end, target in sorted(links, reverse=True):
        page = page[:start] + link(page[start:end], target) + page[end:]
    return page
