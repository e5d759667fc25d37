"""The published record is whole and of this very code, and the pages have its numbers."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from pages import anchors

from bench.cli.parser import main
from bench.evidence.verdicts import is_about_a_share, is_of_the_module
from bench.record import catalogue, misses, verifications
from bench.record.environments import EXACT
from bench.record.record import Record
from models import ARCHITECTURES

SEEDS = range(1, 6)
PAGES = ("README.md", "CONTRIBUTING.md", "data/README.md", "docs/*.md", "report/*.md")

ANSWERS = {
    "holds": "yes",
    "does not hold": "no",
    "about half of all seeds do": "about half",
    "cannot be decided yet": "open",
}
"""The README's answer to whether most seeds reach the target, by the verdict."""


@pytest.fixture(scope="module")
def record(root: Path) -> Record:
    return catalogue.read_record(root / "runs.csv")[0]


@pytest.fixture(scope="module")
def runs(record: Record) -> set[tuple[str, str, int]]:
    """Network, environment and seed of every complete run of the current code."""
    counts = record.epochs.groupby(["model", "recipe", "environment", "seed"]).size()
    return {
        (model, environment, seed)
        for (model, recipe, environment, seed), epochs in counts.items()
        if recipe == ARCHITECTURES[model].digest and epochs == ARCHITECTURES[model].recipe.epochs
    }


@pytest.fixture(scope="module")
def environment(runs: set[tuple[str, str, int]]) -> str:
    """The environment in which every network has all seeds. That of exact runs comes first."""
    for environment in sorted({one for _, one, _ in runs}, key=lambda one: (one != EXACT.digest, one)):
        if all((name, environment, seed) in runs for name in ARCHITECTURES for seed in SEEDS):
            return environment
    pytest.fail("no environment has five seeds of every network as it is now: `python -m bench all --seeds 5`")


@pytest.fixture(scope="module")
def networks(root: Path) -> dict[str, Any]:
    """The numbers of the published report, by network."""
    return json.loads((root / "report" / "summary.json").read_text(encoding="utf-8"))["networks"]


def test_every_line_of_the_record_is_sound(record: Record):
    assert record.problems == ()
    assert misses.read(record).problems == ()
    assert verifications.read(record).problems == ()


def test_the_exact_runs_are_whole(record: Record):
    exact = record.epochs[record.epochs["environment"] == EXACT.digest]
    counts = exact.groupby(["model", "recipe", "seed"]).size()
    assert len(counts) > 0
    for (model, recipe, _), epochs in counts.items():
        varied = {ARCHITECTURES[model].varied(kind).digest for kind in ("weights", "order", "dropout")}
        assert recipe in {ARCHITECTURES[model].digest, *varied}
        assert epochs == ARCHITECTURES[model].recipe.epochs


def test_every_network_has_five_seeds_of_all_its_epochs_and_their_misses(record: Record, environment: str):
    found = {
        (model, seed)
        for model, _, _, place, seed, epoch in (one.key for one in misses.read(record).runs)
        if place == environment and epoch == ARCHITECTURES[model].recipe.epochs
    }
    assert {(name, seed) for name in ARCHITECTURES for seed in SEEDS} <= found


def test_the_first_seed_of_every_network_was_trained_again_with_the_same_bits(record: Record, environment: str):
    found = verifications.read(record).found
    assert all(one.identical for one in found if one.environment == one.verified_in)
    whole = {
        (one.model, one.seed)
        for one in found
        if one.environment == one.verified_in == environment and one.epochs == ARCHITECTURES[one.model].recipe.epochs
    }
    assert {(name, 1) for name in ARCHITECTURES} <= whole


def test_the_report_is_what_the_record_gives(root: Path, tmp_path: Path):
    for path in root.glob("runs*"):
        shutil.copy(path, tmp_path)
    shutil.copytree(root / "report" / "environments", tmp_path / "report" / "environments")
    words = ["report", "--runs", str(tmp_path / "runs.csv"), "--report", str(tmp_path / "report")]
    assert main([*words, "--data", str(root / "data")]) == 0
    published, rendered = (
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (root / "report", tmp_path / "report")
    )
    assert sorted(rendered) == sorted(published)
    for name, content in rendered.items():
        assert content == published[name], f"report/{name} is of another record: `python -m bench report`"


def test_the_readme_has_the_numbers_of_the_report(root: Path, networks: dict[str, Any], environment: str):
    readme = (root / "README.md").read_text(encoding="utf-8")
    lines = [line for line in readme.splitlines() if re.match(r"\| `\w+` [0-9,]+ \|", line)]
    rows = [line.strip("| ").split(" | ") for line in lines]
    assert [row[0].split("`")[1] for row in rows] == list(ARCHITECTURES)
    for name, _, reached, firsts, documented_first, last, documented_last, verdict in rows:
        network = networks[name.split("`")[1]]
        assert name.split()[1] == f"{network['parameters_measured']:,}"
        group = _current(network, environment)
        seeds = group["seeds"]
        outcomes = {one["kind"]: one["outcome"] for one in group["claims"]}
        log = network["documented_log"]
        lasts = [seed["last"] for seed in seeds]
        assert reached == f"{sum(seed['first'] is not None for seed in seeds)} of {len(seeds)}"
        median = group["time_to_target"]["first"]["median"]
        earliest, *_, latest = sorted(seed["first"] or math.inf for seed in seeds)
        assert firsts == f"{median or 'never'} ({earliest}–{'never' if latest == math.inf else latest})"
        assert documented_first == str(network["documented_first_epoch"] or "never")
        assert last == f"{min(lasts)}–{max(lasts)}"
        assert documented_last == str(log[str(max(map(int, log)))])
        assert verdict.strip("*") == ANSWERS[outcomes["reaches_target"]]
    groups = [_current(network, environment) for network in networks.values()]
    runs = [seed["first"] for group in groups for seed in group["seeds"]]
    in_the_last = sum(group["complete_runs_at_target_in_the_last_epoch"] for group in groups)
    assert _found(r"in some epoch, (\d+) of (\d+); few are there in the last, (\d+) of (\d+)", readme) == tuple(
        map(str, (sum(first is not None for first in runs), len(runs), in_the_last, len(runs)))
    )
    unpadded = _current(networks["unpadded"], environment)["seeds"]
    fallen = sum(bool(seed["collapses"]) for seed in unpadded)
    for page in (readme, (root / "docs" / "checked.md").read_text(encoding="utf-8")):
        found = _found(r"(\d+) of (\d+) seeds of `unpadded` \[?collapse", page)
        assert found == (str(fallen), str(len(unpadded)))
    assert len((root / "report" / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_readme_counts_the_claims_as_the_report_judges_them(root: Path, networks: dict[str, Any], environment: str):
    readme = (root / "README.md").read_text(encoding="utf-8")
    groups = {name: _current(networks[name], environment) for name in ARCHITECTURES}
    judged = [
        (found["outcome"], name, claim, found["evidence"])
        for name, group in groups.items()
        for claim, found in zip(ARCHITECTURES[name].claims, group["claims"], strict=True)
        if not is_of_the_module(claim)
    ]
    holding, failing, still_open = (
        [rest for outcome, *rest in judged if outcome == one]
        for one in ("holds", "does not hold", "cannot be decided yet")
    )
    claims = r"the (\d+) claims about training (\d+) hold, (\d+) do not, and (\d+) cannot be"
    assert _numbers(claims, readme) == [len(judged), len(holding), len(failing), len(still_open)]
    (limit,) = _numbers(r"with our limit of (\d+) seeds reached", readme)
    assert {len(groups[name]["seeds"]) for name, *_ in still_open} == {limit}
    targets = sum("(set as a target" in claim.text for _, claim, _ in holding + failing + still_open)
    words = r"(\d+) of the (\d+) are targets that the documents set, and (\d+) are results"
    assert _numbers(words, readme) == [targets, len(judged), len(judged) - targets]
    of_most = sum(is_about_a_share(claim) for _, claim, _ in holding)
    words = r"(\w+) of the (\d+) are about most seeds; the other (\w+) describe one run"
    assert _numbers(words, readme) == [of_most, len(holding), len(holding) - of_most]
    causes = Counter(_cause(name, evidence) for name, _, evidence in failing)
    words = (
        r"Of the (\d+), (\w+) are the target of `squeeze_fc`, which has no documented result; "
        r"(\w+) are in a document's own log, but not in our seeds; (\w+) is 9939 images, rounded up to"
    )
    assert _numbers(words, readme) == [len(failing), *(causes[one] for one in ("no result", "in a log", "rounded up"))]
    assert len(causes) == 3


def _cause(name: str, evidence: str) -> str:
    """Why the README says that a claim of a network does not hold."""
    if name == "squeeze_fc":
        return "no result"
    if "the document's own log has it" in evidence:
        return "in a log"
    return "rounded up" if "has 9939, which rounds to 99.4 %" in evidence else evidence


def test_the_readme_counts_the_documents_and_their_logs(root: Path, networks: dict[str, Any], environment: str):
    readme = (root / "README.md").read_text(encoding="utf-8")
    reported = sum(network["documented_first_epoch"] is not None for network in networks.values())
    assert _numbers(r"Each of (\w+) public documents .*? (\w+) of them report 99\.4 % or more", readme) == [
        len(networks),
        reported,
    ]
    above = []
    for name, network in networks.items():
        means = [seed["final_mean"] for seed in _current(network, environment)["seeds"]]
        if ARCHITECTURES[name].document.is_log_of_this_network:
            above.append(sum(mean < network["documented_final_mean"] for mean in means) / len(means))
    words = r"(\w+) of the (\w+) logs that are of these very networks end, .*?, above nearly all our seeds"
    assert _numbers(words, readme) == [sum(share > 0.9 for share in above), len(above)]


def test_what_was_checked_has_the_epochs_of_the_record(
    root: Path, record: Record, networks: dict[str, Any], environment: str
):
    page = (root / "docs" / "checked.md").read_text(encoding="utf-8")
    cells = r"(\S+) to (\S+) \| (\S+) \| (\S+) \| (\S+) \| (\d+ of \d+) \| (\d+ of \d+) \|"
    rows = re.findall(rf"^\| `(\w+)` \| {cells}", page, flags=re.MULTILINE)
    assert [name for name, *_ in rows] == list(ARCHITECTURES)
    for name, lowest, highest, middle, documented, apart, above_early, above_last in rows:
        group = _current(networks[name], environment)
        means = [seed["final_mean"] for seed in group["seeds"]]
        log = networks[name]["documented_final_mean"]
        expected = [min(means), max(means), median(means), log]
        assert [lowest, highest, middle, documented] == [f"{one:.1f}" for one in expected]
        assert apart == f"{log - median(means):+.1f}".replace("-", "−")
        assert above_last == f"{sum(mean < log for mean in means)} of {len(means)}"
        runs = record.epochs.query("model == @name and recipe == @group['recipe'] and environment == @environment")
        early = runs[runs["epoch"].between(5, 9)].groupby("seed")["correct"].sum()
        logged = sum(one.correct for one in ARCHITECTURES[name].log if 5 <= one.epoch <= 9)
        assert above_early == f"{sum(early < logged)} of {len(means)}"


def _current(network: dict[str, Any], environment: str) -> dict[str, Any]:
    """The one group of current runs of a network in an environment."""
    (group,) = (one for one in network["groups"] if one["environment"] == environment and one["is_current"])
    return group


def _found(pattern: str, page: str) -> tuple[str, ...]:
    """The groups of a pattern. The page must match it exactly once."""
    (match,) = re.finditer(pattern, re.sub(r"\s+", " ", page))
    return match.groups()


def _numbers(pattern: str, page: str) -> list[int]:
    """The numbers that a pattern finds in a page, in digits or in words."""
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return [words.index(one.lower()) if one.isalpha() else int(one) for one in _found(pattern, page)]


def test_every_link_leads_somewhere(root: Path):
    pages = [path for pattern in PAGES for path in root.glob(pattern)]
    assert len(pages) > len(PAGES)
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for link in re.findall(r"\]\((?!https?://)([^)\s]+)\)", text):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.relative_to(root)}: {link}"
            if anchor:
                assert anchor in anchors(target.read_text(encoding="utf-8")), f"{page.relative_to(root)}: {link}"
