"""The record published with the code is sound, and its report is what it gives; the pages lead to each other."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from pages import anchors

from bench import catalogue, misses, verifications
from bench.cli import main

PAGES = ("README.md", "CONTRIBUTING.md", "data/README.md", "docs/*.md", "report/README.md")


def test_every_line_of_the_record_is_sound(root: Path):
    record = catalogue.read_record(root / "runs.csv")[0]
    assert len(record.epochs) > 0
    assert record.problems == ()
    assert misses.read(record).problems == ()
    assert verifications.read(record).problems == ()


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
