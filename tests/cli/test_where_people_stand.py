"""Tests of `networks`, `parser`: the current folder may have files with the names of any module."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from students import STUDENTS


@pytest.fixture
def folder(tmp_path):
    """A folder with a network in models.py, and files that nobody must import."""
    STUDENTS["a_file_models_beside_a_file_random"].write(tmp_path)
    for name in ("random", "types", "json", "pickle", "torch", "numpy", "torchvision"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the {name} of the current folder')\n")
    return tmp_path


def bench(folder, root, *words):
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr, done.stdout.partition("\n")[0]


@pytest.mark.slow
def test_python_m_bench_imports_nothing_from_the_current_folder(folder, root):
    (folder / "bench.py").unlink()
    assert bench(folder, root, "-m", "bench", "show", "models.py") == (0, "", "models: Tiny in models.py")


@pytest.mark.slow
def test_the_command_bench_works_beside_a_file_of_its_name(folder, root):
    program = folder / "bin" / "bench"
    program.parent.mkdir()
    program.write_text("import sys\nfrom bench.cli.parser import main\nsys.exit(main())\n")
    code, errors, _ = bench(folder, root, str(program), "plan", "--models", "models.py", "--seeds", "1")
    assert (code, errors) == (0, "")
