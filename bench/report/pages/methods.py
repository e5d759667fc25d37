"""The page of methods: the rules of the verdicts, what the documents have in common, a survey, and the definitions."""

from __future__ import annotations

from collections.abc import Sequence

from bench.evidence import verdicts
from bench.evidence.summary import Summary
from bench.network.specification import Target
from bench.report.markdown import METHODS, table, text
from bench.report.pages.definitions import HOW_READ, VERDICTS, Term
from bench.report.pages.head import navigation
from bench.wording import count_in_words
from models import ARCHITECTURES
from models.documents import COMMON
from models.documents.survey import SURVEY


def lines(summary: Summary, defined: Sequence[Term]) -> list[str]:
    """All lines of the page. `defined` are the terms that it defines."""
    is_documented = any(network.is_documented for network in summary.networks)
    definitions = [line for term in defined for line in (f"### {term.name}", "", text(term.meaning), "")]
    return [
        "# Methods and definitions",
        "",
        *navigation(summary.networks, METHODS),
        f"## {VERDICTS}",
        "",
        *(f"- {text(rule)}" for rule in verdicts.RULE),
        "",
        "In detail:",
        "",
        *(f"- {text(rule)}" for rule in verdicts.RULES if is_documented or "the document's own" not in rule),
        "",
        *(_how_read(summary) if summary.is_of_a_log else []),
        *([*_in_common(), *_context()] if is_documented else []),
        "## Definitions",
        "",
        *definitions,
    ]


def _how_read(summary: Summary) -> list[str]:
    """How the log was read, for the runs of another program."""
    return [f"## {HOW_READ}", "", *(f"- {text(problem.reason)}" for problem in summary.problems), ""]


def _in_common() -> list[str]:
    documents = count_in_words(len(ARCHITECTURES), "document")
    title = f"## What the {documents} of this project and their notebooks have in common"
    return [title, "", *(f"- {text(fact)}" for fact in COMMON), ""]


def _context() -> list[str]:
    these, plain = SURVEY.assignment, SURVEY.plain_sgd
    low, middle, high = these.first_epoch_quartiles
    rows = [
        [f"{band.at_least:,} to {band.below - 1:,}", f"{band.best_reached} of {band.notebooks}"] for band in plain.bands
    ]
    first, last = SURVEY.epochs
    reached = Target().correct
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
            f"The best epoch has at least {reached} images in {these.best_reached} of them, the last epoch in "
            f"{these.last_reached}. The median of the first such epoch is {middle} (quartiles {low} and {high}). The "
            f"best epoch has {these.mean_best_minus_last} images more than the last one on average, and "
            f"{these.largest_best_minus_last} at most."
        ),
        (
            f"- Plain SGD: {plain.notebooks} notebooks of this assignment and the next one. The best epoch has at "
            f"least {reached} images in {plain.best_reached} of them, the last epoch in {plain.last_reached}. The "
            f"median is {plain.median_best} images in the best epoch and {plain.median_last} in the last one. By size:"
        ),
        "",
        *table(["parameters", f"best epoch with at least {reached} images"], rows, "lr"),
        f"Notebooks that train with more than one seed: {SURVEY.repeated_over_seeds or 'none'}.",
        "",
    ]
