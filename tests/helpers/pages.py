"""How tests read a report: its sections, its tables, and what it was before."""

from __future__ import annotations

import os
import re
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"


def section(page: str, title: str) -> str:
    """From a heading to the next one of its level or above."""
    level = title.split()[0]
    _, _, rest = page.partition(f"\n{title}\n")
    assert rest, title
    return re.split(rf"\n#{{1,{len(level)}}} ", rest)[0]


def tables(page: str) -> list[list[list[str]]]:
    """Every table of a report, as a browser of GitHub would split it into rows and cells."""
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
    """What a repository browser calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_golden(path: Path, text: str) -> None:
    if "UPDATE_GOLDEN" in os.environ:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
