"""The report: a record's numbers as Markdown, pictures and JSON, the same bytes for the same rows."""

from bench.report.files import render, write

__all__ = ["render", "write"]
