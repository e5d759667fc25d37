"""The definitions of the numbers, the rules of the verdicts, the lines left out, and the commands to repeat it."""

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
        (
            "The number of test images that are classified correctly. 99.40 % of 10,000 images is exactly 9940, and "
            "9939 is below it."
        ),
    ),
    ("run", "One network, trained once from one seed on one device in one environment."),
    (
        "seed",
        (
            "The number that determines everything random in a run: the initial weights, the order of the images, "
            "dropout and augmentation. The same seed draws the same numbers on every device. Our seed 1 does not draw "
            "the same numbers as seed 1 of the documents."
        ),
    ),
    (
        "recipe",
        (
            "The network and its training settings, such as learning rate, momentum, batch size and number of epochs. "
            "The settings are the documented ones and the same for every seed."
        ),
    ),
    (
        "environment",
        (
            "Everything else that can change the bits of a result. In exact arithmetic this is the version of the "
            "arithmetic alone, because every machine computes the same bits; it does not mean that nothing is rounded. "
            "For other runs it is the PyTorch release, the processor or GPU, the instruction set, the number of "
            "threads and the precision."
        ),
    ),
    (
        "first at the target",
        "The first epoch with an accuracy at or above the target. One lucky epoch is enough.",
    ),
    (
        f"first of {STREAK} in a row",
        f"The first epoch of the first {STREAK} consecutive epochs at or above the target.",
    ),
    ("last at the target", "The last epoch at or above the target within the documented number of epochs."),
    (
        "best",
        (
            "The highest accuracy of a run. As in the documents, it is chosen on the test set. It is therefore too "
            "high as an estimate for new images."
        ),
    ),
    ("last", "The accuracy of the last documented epoch. This epoch is not chosen by its accuracy."),
    (
        f"mean of the last {FINAL_EPOCHS} epochs",
        (
            f"The mean accuracy of the last {FINAL_EPOCHS} documented epochs of a complete run. It varies less than "
            "the accuracy of one epoch."
        ),
    ),
    ("planned", "The documented number of epochs, added up over all recorded seeds."),
    (
        "censored",
        (
            "A run that has not reached the target when it ends. Its time to target is not missing, but longer than "
            "the epochs that were seen. A run that diverged never reaches the target. An unfinished run is censored "
            "where it stopped."
        ),
    ),
    (
        "k of n",
        (
            "k is the number of seeds that reach the target within the documented number of epochs. n is the number of "
            "recorded seeds. A run that diverged is not in k, even if it had reached the target. An unfinished run is "
            "in k if it has reached the target. In the column “last at the target” it is not, because its last epoch "
            "at the target is not known yet."
        ),
    ),
    (
        "interval of the share",
        (
            "Clopper and Pearson's exact 95 % interval for the share of all possible seeds that reach the target. It "
            "describes the seeds so far, and no verdict uses it. An unfinished run that has not reached the target "
            "counts as a failure in the lower bound. The upper bound leaves it out."
        ),
    ),
    (
        "Kaplan–Meier median",
        (
            "The first epoch by which an estimated half of the seeds have reached the target. The estimate takes "
            "censored runs into account. If there are unfinished runs, the median can come before half of the seeds "
            "were seen to reach the target."
        ),
    ),
    (
        "restricted mean",
        (
            "The mean over all seeds of the smaller of two numbers: the time to target and the documented number of "
            "epochs. If there are unfinished runs, it is the area under the Kaplan–Meier curve, and the standard error "
            "comes from Greenwood's formula. The error is unknown for one run, and if the unfinished runs leave too "
            "little data for the formula."
        ),
    ),
    (
        "aRT",
        (
            "The average runtime to a hit. A hit is the first epoch of a seed at the target. The epochs of all seeds "
            "up to the hit, or up to the end of the run, are added up and divided by the number of hits. This is the "
            "cost of one success if you start again after every failure. A run that diverged counts with all "
            "documented epochs."
        ),
    ),
    (
        "conditional mean, variance, standard deviation",
        (
            "The values over the k seeds that reached the target (divisor k − 1 for the variance). If other seeds "
            "never reach it, these values make a network look faster than it is."
        ),
    ),
    (
        "prediction interval",
        (
            "The range of one new run with 95 % confidence: mean ± t·s·√(1 + 1/n). Here s is the standard deviation of "
            "the n complete runs, and t is the quantile of Student's t with n − 1 degrees of freedom."
        ),
    ),
    (
        "paired permutation test",
        (
            "Tests whether two sets of runs with the same seeds differ in the mean. The mean difference is first minus "
            "second. The test changes the sign of each seed's difference, in all 2ⁿ ways. It is two-sided and uses at "
            "most the 17 lowest seeds. The smallest p possible is the smallest p of any arrangement of these values. A "
            "seed that never reaches the target counts with the smaller of the two documented numbers of epochs. A run "
            "that diverged counts in the same way, and as 0 correct images. Unfinished runs are left out, even if they "
            "have reached the target. To include only the fast ones would make a network look faster than it is."
        ),
    ),
    ("p after Holm", "The p-value, corrected for all tests of the same table."),
    ("collapse", "An epoch more than 50 images below the best epoch before it in the same run."),
    (
        "correct with batch statistics",
        (
            "The correct images of the same weights in a second evaluation. There, batch norm uses the mean and "
            "variance of each test batch instead of its running values. It is recorded for epochs that collapse."
        ),
    ),
    (
        "smallest running variance",
        "The smallest running variance of all channels of all batch norms after the epoch.",
    ),
    (
        "misses",
        (
            "The test images that a run classifies wrongly after the last epoch that it was asked for. They are stored "
            "beside the record. Two runs differ on an image if they see different digits in it, even if both are "
            "wrong. The mean is over all pairs of runs."
        ),
    ),
    (
        "repeat variance",
        "The variance between a recorded run and the same run, trained again in the same environment.",
    ),
    (
        "seconds per epoch",
        (
            "Measured with a monotonic clock after the device has finished its work. Training and evaluation are timed "
            "separately."
        ),
    ),
    (
        "sampling error of the test set",
        (
            "The binomial standard error of 99.40 % of 10,000 images is 7.7 images. All runs share this error, because "
            "they see the same images. It limits what the results say about other digits. It does not limit the "
            "comparison of runs on the same images."
        ),
    ),
)


def lines(summary: Summary) -> list[str]:
    """The lines that explain the report."""
    return [
        "## How each number is defined",
        "",
        *table(["term", "meaning"], [[text(term), text(meaning)] for term, meaning in DEFINITIONS], "l"),
        *(_in_common() if any(network.is_documented for network in summary.networks) else []),
        "## How a verdict is reached",
        "",
        " ".join(map(text, verdicts.RULE)),
        "",
        "In detail:",
        "",
        *(f"- {text(rule)}" for rule in verdicts.RULES),
        "",
        *(_how_read(summary) if summary.is_of_a_log else [*_context(), *_left_out(summary), *_commands(summary)]),
    ]


def _how_read(summary: Summary) -> list[str]:
    """How the log was read, for the runs of another program."""
    return ["## How the log was read", "", *(f"- {text(problem.reason)}" for problem in summary.problems), ""]


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
            f"This survey ({SURVEY.date}) read the logs in public course notebooks. It covers {SURVEY.repositories} "
            f"repositories, networks of fewer than {SURVEY.parameters_below:,} parameters and runs of {first} to "
            f"{last} epochs. People choose which runs they publish, so the shares of successes are upper bounds. The "
            "survey is context and not evidence. No verdict uses it."
        ),
        "",
        (
            f"- This assignment: {these.notebooks} notebooks from at least {these.repositories_at_least} repositories. "
            f"The best epoch is at the target in {these.best_reached} of them, the last epoch in {these.last_reached}. "
            f"The median of the first epoch at the target is {middle} (quartiles {low} and {high}). The best epoch has "
            f"{these.mean_best_minus_last} images more than the last one on average, and "
            f"{these.largest_best_minus_last} at most."
        ),
        (
            f"- Plain SGD: {plain.notebooks} notebooks of this assignment and the next one. The best epoch is at the "
            f"target in {plain.best_reached} of them, the last epoch in {plain.last_reached}. The median is "
            f"{plain.median_best} images in the best epoch and {plain.median_last} in the last one. By size:"
        ),
        "",
        *table(["parameters", "best epoch at the target"], rows, "lr"),
        f"Notebooks that train with more than one seed: {SURVEY.repeated_over_seeds or 'none'}.",
        "",
    ]


def _left_out(summary: Summary) -> list[str]:
    found = ["## What was left out", ""]
    if summary.problems:
        found += _problems("the record", summary.problems)
    else:
        found += ["Nothing. Every line of the record was read and used.", ""]
    for name, problems in (
        ("the misses beside the record", summary.problems_of_misses),
        ("the verifications beside the record", summary.problems_of_verifications),
    ):
        found += _problems(name, problems) if problems else []
    return found


def _problems(name: str, problems: Sequence[Problem]) -> list[str]:
    rows = [
        [str(problem.line), text(problem.reason), "left out" if problem.left_out else "used anyway"]
        for problem in problems[:_PROBLEMS_SHOWN]
    ]
    more = len(problems) - len(rows)
    return [
        f"{count(len(problems), 'problem')} in {name}:",
        "",
        *table(["line", "what is wrong", "the line was"], rows, "rll"),
        *([f"… and {more:,} more.", ""] if more else []),
    ]


def _commands(summary: Summary) -> list[str]:
    seeds = sorted({run.seed for group in summary.current for run in group.group.runs})
    devices = dict.fromkeys(group.group.device for group in summary.current)
    selection = f"--seeds {_seeds(seeds)}" + (f" --devices {','.join(devices)}" if devices else "")
    files = "" if all(network.is_documented for network in summary.networks) else " --models FILES"
    return [
        "## Reproduce this report",
        "",
        "```sh",
        "python -m bench report                       # writes the report of runs.csv and the files beside it",
        f"python -m bench all{files} {selection}  # trains what is not recorded, then writes the report",
        f"python -m bench all{files} {selection} --runs again.csv --report again  # trains everything again",
        f"python -m bench verify {selection}  # trains recorded runs again and compares the bits",
        "```",
        "",
        "The file `summary.json` in the same folder has the same numbers for scripts.",
        "",
    ]


def _seeds(seeds: Sequence[int]) -> str:
    """Ascending seeds in the form of the command line."""
    if not seeds:
        return "5"
    if seeds[-1] - seeds[0] == len(seeds) - 1:
        return str(seeds[-1]) if seeds[0] == 1 else f"{seeds[0]}-{seeds[-1]}"
    return ",".join(map(str, seeds))
