"""Read the Python text of a file or a notebook, without running it.

Lines that only a notebook understands, such as `!pip install …` and `%matplotlib inline`, become empty. Exports of
Colab have such lines too. A cell that writes a Python file (`%%writefile net.py`) is read as the code of this file.
"""

from __future__ import annotations

import ast
import codecs
import io
import json
import linecache
import re
import tokenize
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UnusableInput, one_line
from bench.files import cause

NOTEBOOK = ".ipynb"

_MAGIC = re.compile(
    r"(\s*)(?:(?:[\w., ()]+=\s*)?(?:![^=]|%%?[A-Za-z]|\?{1,2}\w).*|[\w.]+\?{1,2}\s*|(?:pip3?|conda) install\b.*)"
)
_WRITTEN = re.compile(r"""\s*%%(?:write)?file\s+(-a\s+)?["']?([^\s"']+)\.py["']?[ \t]*(?=\n|$)""")
_OTHER_LANGUAGE = re.compile(r"%%(?!time\b|timeit\b|capture\b|prun\b)")


@dataclass(frozen=True)
class SourceText:
    """The Python text of a file. `cells` has the first line of each cell of a notebook, and its number.

    `left_out` says which lines and cells are no Python.
    """

    path: Path
    text: str
    tree: ast.Module
    cells: tuple[tuple[int, int], ...] = ()
    left_out: tuple[str, ...] = ()

    def place(self, line: int) -> str:
        """Return the place of a line, for a message."""
        cell = [number for first, number in self.cells if first <= line]
        return f"{self.path}, cell {cell[-1]}" if cell else f"{self.path}:{line}"


def place_of_code(file: str, line: int) -> str:
    """Return the place of a line that is executed, in words. Of a notebook, only the line's text tells where it is."""
    where = f"`{linecache.getline(file, line).strip()}`" if file.endswith(NOTEBOOK) else f"line {line}"
    return f"{where} of {Path(file).name}"


def read(path: Path) -> SourceText:
    """Read a Python file or a notebook.

    Raises:
        UnusableInput: the file cannot be read, or it is not valid Python.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        advice = "name a Python file, a notebook or a folder of Python files"
        raise UnusableInput(f"{path}: cannot be read ({cause(error)}): {advice}") from error
    return _notebook(path, content) if path.suffix == NOTEBOOK else _file(path, content)


def _file(path: Path, content: bytes) -> SourceText:
    text = _decoded(path, content)
    try:
        python, magic = _without_magic(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else one_line(error)
        raise UnusableInput(f"{path}{line}: this is not valid Python ({reason}): correct the file") from error
    return SourceText(path, python, ast.parse(python), (), tuple(magic))


def _decoded(path: Path, content: bytes) -> str:
    """Decode a file as Python does: by its mark or by its line `# coding: …`, otherwise as UTF-8."""
    problem = "it is not UTF-8"
    if b"\0" in content and not content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnusableInput(f"{path}: is no text, such as a saved model: name the Python file that defines the network")
    try:
        name, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        problem = f"it is not {name.removesuffix('-sig').upper()}"
        return io.TextIOWrapper(io.BytesIO(content), codecs.lookup(name).name).read()
    except SyntaxError as error:
        problem = one_line(error.msg) if "unknown" in error.msg else problem
    except UnicodeDecodeError:
        pass
    advice = "save it as UTF-8, or name its encoding in the first line, like `# coding: latin-1`"
    raise UnusableInput(f"{path}: cannot be read ({problem}): {advice}")


def _without_magic(text: str) -> tuple[str, list[str]]:
    """Return valid Python, and the lines of a notebook that are replaced in it.

    Only lines that Python cannot parse are replaced, so text in quotes stays as it is.

    Raises:
        SyntaxError, ValueError, RecursionError or MemoryError: the other lines are not valid Python.
    """
    lines, magic = text.split("\n"), dict[int, str]()
    while True:
        try:
            ast.parse("\n".join(lines))
            return "\n".join(lines), [magic[number] for number in sorted(magic)]
        except SyntaxError as error:
            number = (error.lineno or 0) - 1
            found = _MAGIC.fullmatch(lines[number]) if 0 <= number < len(lines) else None
            if found is None:
                raise
            magic[number] = lines[number].strip()
            while lines[number].endswith("\\") and number + 1 < len(lines):  # the command goes on
                lines[number] = ""
                number += 1
            lines[number] = f"{found[1]}pass" if found[1] else ""


def _notebook(path: Path, content: bytes) -> SourceText:
    advice = "save it again in Jupyter or Colab, or give a Python file"
    try:
        cells = list(_code_cells(json.loads(content)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnusableInput(f"{path}: this is not a notebook: {advice}") from error
    parts, starts, left_out, line = list[str](), list[tuple[int, int]](), list[str](), 1
    found = {number: _WRITTEN.match(source) for number, source in cells}
    written = {number: one for number, one in found.items() if one is not None}
    for number, source in cells:
        try:
            if number in written:
                if any(one[2] == written[number][2] and not one[1] for later, one in written.items() if later > number):
                    continue  # a later cell writes this file anew
                source = source[: written[number].end()].count("\n") * "\n" + source[written[number].end() :]
            if _OTHER_LANGUAGE.match(source.lstrip()):
                raise SyntaxError
            python, magic = _without_magic(source)
            python = _without_imports(python, {one[2].removeprefix("./").replace("/", ".") for one in written.values()})
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            left_out.append(f"cell {number}, which is not Python")
            continue
        left_out += magic
        python = python if python.endswith("\n") else python + "\n"
        parts.append(python)
        starts.append((line, number))
        line += python.count("\n")
    text = "".join(parts)
    return SourceText(path, text, ast.parse(text), tuple(starts), tuple(left_out))


def _without_imports(python: str, modules: Collection[str]) -> str:
    """Return Python without the imports from some modules, whose names are already there. Every line stays."""
    lines = [line.encode() for line in python.split("\n")]
    for node in ast.walk(ast.parse(python) if modules else ast.Module([], [])):
        if isinstance(node, ast.ImportFrom) and any(f".{one}".endswith(f".{node.module}") for one in modules):
            renamed = (f"{alias.asname} = {alias.name}" for alias in node.names if alias.asname)
            first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
            statement = lines[first][: node.col_offset] + ("; ".join(renamed) or "pass").encode()
            lines[first : last + 1] = [statement + lines[last][node.end_col_offset :], *[b""] * (last - first)]
    return b"\n".join(lines).decode()


def _code_cells(notebook: Any) -> Iterator[tuple[int, str]]:
    """Yield number and source of every cell of code. Cells of all kinds count, from 1. Format 3 has worksheets."""
    cells: Iterable[Any] = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
    for number, cell in enumerate(cells, start=1):
        if cell["cell_type"] == "code":
            source = cell["source"] if "source" in cell else cell["input"]
            text = source if isinstance(source, str) else "".join(source)
            yield number, text.replace("\r\n", "\n")
