"""The one exception that reaches a user as a line instead of a traceback."""


class UnusableInput(Exception):
    """Wrong usage or unusable input. The message is one line: what is wrong, where, and what to do."""


def one_line(error: BaseException | str) -> str:
    """The text of an error on a single line, for a message or a note: no newline, no control character."""
    text = str(error) or type(error).__name__
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
