"""The exception that the command line shows as one line instead of a traceback."""


class UnusableInput(Exception):
    """Wrong usage or unusable input. The message is one line: what is wrong, where, and what to do."""


def one_line(error: BaseException | str) -> str:
    """Return the text of an error on one line, without newlines and control characters."""
    text = str(error) or type(error).__name__
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
