"""Numbers and lists as words in sentences."""

from __future__ import annotations

from collections.abc import Sequence

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def count(number: int, thing: str) -> str:
    """Return a number with its noun, as in "1 run" and "2 runs"."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def count_in_words(many: int, thing: str) -> str:
    """A small number as a word, with its noun."""
    word = _WORDS[many] if many < len(_WORDS) else str(many)
    return f"{word} {thing}{'' if many == 1 else 's'}"


def listed(things: Sequence[object]) -> str:
    """Join things as in "a", "a and b", "a, b and c"."""
    words = [str(thing) for thing in things]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def markdown_cell(text: str) -> str:
    """Escape what would end a cell of a Markdown table, or begin a tag of HTML."""
    return text.replace("|", r"\|").replace("<", "&lt;")
