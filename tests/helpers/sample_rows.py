"""The rows of one made-up run, and the text of a record of such rows."""

from __future__ import annotations

from dataclasses import replace

from bench.record.rows import COLUMNS, Row, format_line, format_row

HEADER = format_line(COLUMNS)


def row(epoch: int = 1, seed: int = 1, **changes: object) -> Row:
    """A finished epoch."""
    one = Row(
        *("unpadded", "0123abcd", "cpu", "89ef4567", seed, epoch),
        *(9800 + epoch, 10_000, 0.5 / epoch, 1 / (3 * epoch), 21.5, 1.25, "ok", "", "2026-01-31T12:00:00Z"),
        machine="a processor",
    )
    return replace(one, **changes)


def closing(epoch: int, seed: int = 1, status: str = "error", note: str = "why") -> Row:
    """A row that closes a run in an epoch."""
    nothing = dict.fromkeys(("correct", "total", "test_loss", "train_loss", "train_seconds", "eval_seconds"))
    return row(epoch, seed, status=status, note=note, **nothing)


def text_of(*rows: Row) -> str:
    """A record of these rows, with its header."""
    return HEADER + "".join(map(format_row, rows))
