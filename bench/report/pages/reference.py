"""What the numbers mean, by which rules claims are judged, what was left out, and how to make it all again."""

from __future__ import annotations

from collections.abc import Sequence

from bench.evidence import verdicts
from bench.evidence.summary import FINAL_EPOCHS, STREAK, Summary
from bench.record.ledger import Problem
from bench.report.pages.markdown import table, text
from bench.wording import count
from models.documents import COMMON
from models.documents.survey import SURVEY

_PROBLEMS_SHOWN = 20

DEFINITIONS: tuple[tuple[str, str], ...] = (
    (
        "correct",
        "test images classified correctly, an integer; 99.40 % of 10,000 is exactly 9940, and 9939 is below it",
    ),
    ("run", "one network trained once, from one seed, on one device in one environment"),
    (
        "seed",
        (
            "what initial weights, the order of the images and dropout follow from; the same seed draws the same "
            "numbers on every device. Our seed 1 is not the documents' seed 1: it draws other numbers"
        ),
    ),
    ("recipe", "network, learning rate, momentum, batch and number of epochs; documented, and the same for every seed"),
    (
        "environment",
        "what else can change the bits: release of PyTorch, processor or GPU, instruction set, threads, precision",
    ),
    ("first at the target", "the first epoch with an accuracy at or above the target; one lucky epoch is enough"),
    (f"first of {STREAK} in a row", f"the first epoch of the first {STREAK} consecutive epochs at or above the target"),
    ("last at the target", "the last epoch at or above the target within the documented number of epochs"),
    (
        "best",
        (
            "the highest accuracy of a run; chosen on the test set, as the documents do, and therefore too high "
            "for new images"
        ),
    ),
    ("last", "the accuracy of the last documented epoch; it is not chosen by looking"),
    (
        f"mean of the last {FINAL_EPOCHS} epochs",
        "of each complete run: the level that it ends at, with less of the jitter that any one epoch has",
    ),
    ("planned", "the documented number of epochs of every seed that is recorded"),
    (
        "censored",
        (
            "a run that has not reached the target when it ends: its time is longer than what was seen, not missing. A "
            "run that diverged never reaches it; an unfinished one is censored where it stopped"
        ),
    ),
    (
        "k of n",
        (
            "how many of the recorded seeds reach the target within the documented number of epochs. A run that "
            "diverged does not, even if it had reached it; an unfinished one does if it has reached it"
        ),
    ),
    (
        "interval of the share",
        (
            "Clopper and Pearson's exact 95 % interval for the share of all seeds that would; the one-sided bounds are "
            "those of the verdicts. A run unfinished without having reached it is a failure in the lower bound and "
            "left out of the upper one"
        ),
    ),
    (
        "Kaplan–Meier median",
        (
            "the epoch by which an estimated half of the seeds have reached the target, censored runs taken into "
            "account: with unfinished runs it may come before half of them are seen to"
        ),
    ),
    (
        "restricted mean",
        (
            "the mean of the smaller of time to target and documented number of epochs; with its standard error, for "
            "which Greenwood's formula is used where runs are unfinished, and unknown where these leave it nothing to "
            "go by. It leaves out no seed"
        ),
    ),
    (
        "aRT",
        (
            "average runtime: all epochs spent until the first one at the target (a hit) or the end, over the number "
            "of hits; what one success costs "
            "with restarts. A run that diverged counts as all documented epochs"
        ),
    ),
    (
        "conditional mean, variance, standard deviation",
        "of the seeds that reached the target alone (divisor n − 1); biased towards fast",
    ),
    (
        "prediction interval",
        "where one new run falls with 95 % confidence: mean ± t·s·√(1 + 1/n), Student's t with n − 1 degrees",
    ),
    (
        "paired permutation test",
        (
            "whether two sets of runs with the same seeds differ in the mean: the sign of every seed's difference "
            "changes, in all 2ⁿ ways; two-sided; the 17 lowest seeds at most. Smallest p possible: the least that any "
            "arrangement of these very values gives. A seed that never reaches the target counts as the smaller of the "
            "two documented numbers of epochs, one that diverged as that and as none correct; unfinished ones are left "
            "out, even if they have reached it: to let in the fast and not the slow would flatter"
        ),
    ),
    ("p after Holm", "the p-value corrected for all tests of the same table"),
    ("collapse", "an epoch more than 50 images below the best epoch before it in the same run"),
    (
        "correct with batch statistics",
        (
            "the same weights evaluated once more, with batch norm using the mean and variance of each test batch "
            "instead of its running ones; recorded for epochs that collapse"
        ),
    ),
    ("smallest running variance", "the smallest of any channel of any batch norm after the epoch"),
    (
        "misses",
        (
            "the test images that a run classifies wrongly after the last epoch it was asked for, kept beside the "
            "record. Two runs "
            "differ on an image if they see different digits in it, be both wrong or not; the mean is over all pairs"
        ),
    ),
    ("repeat variance", "between a recorded run and the same run trained again in the same environment"),
    ("seconds per epoch", "monotonic clock, the device synchronised; training and evaluation are timed apart"),
    (
        "sampling error of the test set",
        (
            "99.40 % of 10,000 images has a binomial standard error of 7.7 images. It is shared by all runs, which see "
            "the same images: it limits what is said of other digits, not the comparison of runs on these"
        ),
    ),
)


def lines(summary: Summary) -> list[str]:
    """The part of the report that explains it."""
    return [
        "## How each number is defined",
        "",
        *table(["term", "meaning"], [[text(term), text(meaning)] for term, meaning in DEFINITIONS], "l"),
        *(_in_common() if any(network.is_documented for network in summary.networks) else []),
        "## How a verdict is reached",
        "",
        *(f"- {text(rule)}" for rule in verdicts.RULES),
        "",
        *_context(),
        *_left_out(summary),
        *_commands(summary),
    ]


def _in_common() -> list[str]:
    return ["What all five documents have in common:", "", *(f"- {text(fact)}" for fact in COMMON), ""]


def _context() -> list[str]:
    these, plain = SURVEY.assignment, SURVEY.plain_sgd
    low, middle, high = these.first_epoch_quartiles
    rows = [
        [f"{band.at_least:,} to {band.below - 1:,}", f"{band.best_reached} of {band.notebooks}"] for band in plain.bands
    ]
    first, last = SURVEY.epochs
    return [
        "## Context: published runs of the same assignment",
        "",
        (
            f"A survey ({SURVEY.date}) of the logs printed in public course notebooks: {SURVEY.repositories} "
            f"repositories, networks of fewer than {SURVEY.parameters_below:,} parameters, {first} to {last} "
            "epochs. Published runs are chosen ones, so that their successes are an upper bound: this is context, "
            "not evidence, and no verdict rests on it."
        ),
        "",
        (
            f"- This assignment, {these.notebooks} notebooks of at least {these.repositories_at_least} "
            f"repositories: the best epoch is at the target in {these.best_reached}, the last one in "
            f"{these.last_reached}; first at the target in epoch {middle} (median; quartiles {low} and {high}); "
            f"best minus last {these.mean_best_minus_last} images in the mean, {these.largest_best_minus_last} at "
            "most."
        ),
        (
            f"- Plain SGD, {plain.notebooks} notebooks of this assignment and the next: best at the target in "
            f"{plain.best_reached}, last in {plain.last_reached}; median best {plain.median_best}, median last "
            f"{plain.median_last}. By size:"
        ),
        "",
        *table(["parameters", "best epoch at the target"], rows, "lr"),
        f"Notebooks that repeat a run over seeds: {SURVEY.repeated_over_seeds or 'none'}.",
        "",
    ]


def _left_out(summary: Summary) -> list[str]:
    found = ["## What was left out", ""]
    if summary.problems:
        found += _problems("runs.csv", summary.problems)
    else:
        found += ["Nothing: every line of `runs.csv` was read and used.", ""]
    for name, problems in (
        ("runs.misses.csv", summary.problems_of_misses),
        ("runs.verified.csv", summary.problems_of_verifications),
    ):
        found += _problems(name, problems) if problems else []
    return found


def _problems(name: str, problems: Sequence[Problem]) -> list[str]:
    rows = [
        [str(problem.line), text(problem.reason), "left out" if problem.left_out else "read all the same"]
        for problem in problems[:_PROBLEMS_SHOWN]
    ]
    more = len(problems) - len(rows)
    return [
        f"{count(len(problems), 'problem')} in `{name}`:",
        "",
        *table(["line", "what is wrong", "line was"], rows, "rll"),
        *([f"… and {more:,} more.", ""] if more else []),
    ]


def _commands(summary: Summary) -> list[str]:
    seeds = sorted({run.seed for group in summary.current for run in group.group.runs})
    devices = dict.fromkeys(group.group.device for group in summary.current)
    selection = f"--seeds {_seeds(seeds)}" + (f" --devices {','.join(devices)}" if devices else "")
    files = "" if all(network.is_documented for network in summary.networks) else " --models FILES"
    return [
        "## Make it again",
        "",
        "```sh",
        "python -m bench report                       # this report, from runs.csv and the files beside it",
        f"python -m bench all{files} {selection}  # trains what is not recorded, then the report",
        f"python -m bench all{files} {selection} --runs again.csv --report again  # everything anew",
        f"python -m bench verify {selection}  # recorded runs once more: the same bits?",
        "```",
        "",
        "`summary.json` beside this file has the same numbers for scripts.",
        "",
    ]


def _seeds(seeds: Sequence[int]) -> str:
    """Seeds as the command line takes them."""
    if not seeds:
        return "5"
    if list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return str(seeds[-1]) if seeds[0] == 1 else f"{seeds[0]}-{seeds[-1]}"
    return ",".join(map(str, seeds))
