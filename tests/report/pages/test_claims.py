"""Tests of `claims`: the claims on the first page, decided or open."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic
from pages import section, tables
from reports import NO_PICTURES, readme, without_links

from bench.evidence.summary import summarise
from bench.network import structure_facts
from bench.network.specification import Claim
from bench.report.files import pages
from models import ARCHITECTURES

DECIDED, OPEN = "## Which claims are decided?", "## Which claims are open, and what would decide them?"
DESCRIBED = "## Are the networks as described?"


def with_claims(*claims: Claim) -> dict[str, object]:
    """A user's own network with these claims, which has the stored structure of `unpadded`."""
    return {"unpadded": synthetic.with_recipe(ARCHITECTURES["unpadded"], document=None, own_claims=claims)}


def test_every_claim_about_training_is_either_decided_or_open(tmp_path: Path) -> None:
    page = readme(tmp_path, synthetic.full())
    texts = [row[1] for title in (DECIDED, OPEN) for row in tables(section(page, title))[0][2:]]
    claims = [claim for one in ARCHITECTURES.values() for claim in one.claims]
    of_training = [
        claim.text
        for claim in claims
        if claim.kind in ("reaches_target", "epochs_below", "sustained", "first_epoch", "best", "last")
    ]
    assert sorted("; ".join(texts).split("; ")) == sorted("; ".join(of_training).split("; "))
    assert {row[2].strip("*") for row in tables(section(page, DECIDED))[0][2:]} <= {"holds", "does not hold"}


def test_an_open_claim_says_what_would_decide_it(tmp_path: Path) -> None:
    rows = synthetic.full({"unpadded": 9900}, seeds=(1, 2))
    shown = {row[1]: row[2:] for row in tables(section(readme(tmp_path, rows, "unpadded"), OPEN))[0][2:]}
    found, remedy = shown["; ".join(claim.text for claim in ARCHITECTURES["unpadded"].claims[2:4])]
    assert found.startswith("0 of 2 seeds reached 9940 within 19 epochs")
    assert remedy == "3 further seeds would decide “does not hold” if the share stays the same"


def test_claims_that_do_not_fit_the_network_are_listed_and_the_others_counted(tmp_path: Path) -> None:
    described = section(readme(tmp_path, []), DESCRIBED)
    assert "Of 21 claims about layers and parameters, 18 hold. These do not:" in described
    assert len(tables(described)[0]) == 2 + 3
    assert "Of 3 claims about layers and parameters, 3 hold." in section(readme(tmp_path, [], "gap_head"), DESCRIBED)


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        (
            [Claim("last", 9950, "a", "file")],
            "The one claim on one network is about training: it cannot be decided yet.",
        ),
        (
            [Claim("parameters", 14_120, "a", "file")],
            "The one claim on one network is about layers and parameters: it holds.",
        ),
        (
            [Claim("last", 9950, "a", "file"), Claim("parameters", 1, "b", "file")],
            (
                "Of the 2 claims on one network, 1 is about training: it cannot be decided yet. "
                "The other one is about layers and parameters: it does not hold."
            ),
        ),
        (
            [Claim("last", 9950, "a", "file"), Claim("best", 9960, "b", "file")],
            "Of the 2 claims on one network, all are about training: 2 cannot be decided yet.",
        ),
        ([], "Of the claims on one network, none can be judged."),
    ],
)
def test_one_claim_and_several_are_counted_in_the_right_words(tmp_path: Path, claims: list[Claim], said: str) -> None:
    rows = synthetic.run_rows("unpadded", 1, [9900] * 19)
    assert f"**{said}** 0 of 1 run reached the target" in readme(tmp_path, rows, architectures=with_claims(*claims))


def test_documents_and_other_networks_are_counted_apart(tmp_path: Path) -> None:
    own = synthetic.with_recipe(ARCHITECTURES["unpadded"], name="mine", document=None)
    both = {**synthetic.architectures("gap_head", "unpadded"), "mine": own}
    assert " claims in two documents and on one other network, " in readme(tmp_path, [], architectures=both)


@pytest.mark.slow
def test_many_networks_leave_the_first_page_short(tmp_path: Path) -> None:
    names = [f"network_{number}" for number in range(60)]
    claims = (
        Claim("last", 9950, "a", "file"),
        Claim("reaches_target", 9940, "b", "file"),
        Claim("convolutions", 99, "c", "file"),
    )
    several = {
        name: synthetic.with_recipe(ARCHITECTURES["unpadded"], name=name, document=None, own_claims=claims)
        for name in names
    }
    rows = [
        row
        for environment in range(8)
        for name in names[environment:]
        for seed in range(1, 6)
        for row in synthetic.run_rows(name, seed, [9900 + seed] * 19, environment=f"0000000{environment}")
    ]
    record = synthetic.record(tmp_path, rows)
    summary = summarise(record, several, dict.fromkeys(names, structure_facts.load()["unpadded"]))
    front = without_links(pages(summary, NO_PICTURES, record.path, tmp_path / "report")["README.md"])
    assert 130 < len(front.splitlines()) <= 150
    assert "more rows, in the table of all networks." in front
    assert front.count(" more, on the pages of the networks.") == 3
