"""Sections, tables and headings of a report's page, and the golden files that it must equal."""

from __future__ import annotations

import os
import re
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"


def section(page: str, title: str) -> str:
    """The text from a heading to the next one of its level or above."""
    level = title.split()[0]
    without_comments = re.sub(r"```.*?```", lambda code: code.group().replace("\n#", "\n\0#"), page, flags=re.DOTALL)
    _, _, rest = without_comments.partition(f"\n{title}\n")
    assert rest, title
    return re.split(rf"\n#{{1,{len(level)}}} ", rest)[0].replace("\0", "")


def tables(page: str) -> list[list[list[str]]]:
    """Every table of a page, split into rows and cells as on GitHub."""
    found: list[list[list[str]]] = []
    previous = ""
    for line in page.split("\n"):
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            if not previous.startswith("|"):
                found.append([])
            found[-1].append([cell.strip() for cell in cells])
        previous = line
    return found


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_golden(path: Path, text: str) -> None:
    """Compare a text with a golden file, or rewrite the file if `UPDATE_GOLDEN` is set."""
    if "UPDATE_GOLDEN" in os.environ:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
