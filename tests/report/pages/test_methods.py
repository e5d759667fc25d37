"""Tests of `methods` and `definitions`: every term is defined, and linked where a page first uses it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import synthetic
from pages import anchors, section
from reports import MIXED, TWO, page, rendered, written

from bench.evidence.summary import summarise
from bench.network import structure_facts
from bench.network.specification import Target
from bench.report.pages.definitions import Term, terms, with_links
from models import ARCHITECTURES

OWN = Target(9950, 20_000)


def own_network() -> dict[str, object]:
    """A network without a document, with a target and a number of epochs of its own."""
    recipe = dataclasses.replace(ARCHITECTURES["unpadded"].recipe, epochs=7)
    return {
        "mine": synthetic.with_recipe(ARCHITECTURES["unpadded"], name="mine", document=None, target=OWN, recipe=recipe)
    }


def test_every_term_has_a_heading_and_its_meaning(tmp_path: Path) -> None:
    summary = summarise(synthetic.record(tmp_path, MIXED), synthetic.architectures(*TWO), structure_facts.load())
    shown = page("methods.md", tmp_path, MIXED, *TWO)
    for term in terms(summary):
        assert section(shown, f"### {term.name}").strip()


def test_a_term_is_linked_where_a_page_first_uses_it_and_nowhere_else(tmp_path: Path) -> None:
    for name, shown in written(tmp_path, MIXED, *TWO).items():
        to = "" if name == "methods.md" else "methods.md"
        for anchor, used in (("seed", r"\b[Ss]eeds?\b"), ("recipe", r"\b[Rr]ecipes?\b")):
            assert shown.count(f"]({to}#{anchor})") == 1, (name, anchor)
            words = re.sub(r"^(#|!\[|<).*$|`[^`\n]*`", "", shown.partition("## Definitions")[0], flags=re.MULTILINE)
            first = re.search(used, words)
            assert first, (name, anchor)
            assert words[: first.start()].endswith("["), (name, anchor, words[first.start() - 40 : first.end()])


def test_no_link_is_put_into_code_headings_pictures_links_or_a_longer_term() -> None:
    target, late = Term("target", "", "target"), Term("last at the target", "", "last at the target")
    before = (
        "# target\n![target](a.svg)\n`target` <b title=target>\n[target](x.md) &target; \\target\n```\ntarget\n```\n"
    )
    linked = with_links(before + "last at the target, target and target\n", (target, late), "README.md")
    last = "[last at the target](methods.md#last-at-the-target), [target](methods.md#target) and target\n"
    assert linked == before + last


def test_every_link_within_the_report_leads_to_a_file_or_a_heading(tmp_path: Path) -> None:
    files = rendered(tmp_path, MIXED, *TWO)
    texts = {name: content.decode() for name, content in files.items() if name.endswith(".md")}
    for name, shown in texts.items():
        found = re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", re.sub(r"```.*?```", "", shown, flags=re.DOTALL))
        assert found
        for path, anchor in found:
            assert (path or name) in files, (name, path)
            assert not anchor or anchor in anchors(texts[path or name]), (name, path, anchor)


def test_every_page_leads_to_every_other_page(tmp_path: Path) -> None:
    shown = written(tmp_path, MIXED, *TWO)
    assert sorted(shown) == ["README.md", "data.md", "expand_squeeze.md", "methods.md", "unpadded.md"]
    for name, text in shown.items():
        for other in shown.keys() - {name}:
            assert f"]({other})" in text.split("\n\n")[2], (name, other)


def test_the_words_of_a_users_own_network_follow_from_its_values(tmp_path: Path) -> None:
    rows = synthetic.run_rows("mine", 1, [9900] * 7)
    shown = written(tmp_path, rows, architectures=own_network())
    everything = "\n".join(shown.values())
    assert "# 49.75 % on MNIST in 7 epochs? One network, trained over seeds" in shown["README.md"]
    assert "49.75 % (9950 of 20,000 test images)" in section(shown["methods.md"], "### target")
    assert "70.7 images" in section(shown["methods.md"], "### sampling error")
    for foreign in (
        "9940",
        "9939",
        "99.4",
        "10,000 test images",
        "20 epochs",
        "five",
        "notebook of this assignment",
        "documented run",
        "documented last",
        "own log",
    ):
        assert foreign not in everything, foreign
