"""Tests of `children`: a child process imports this very package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.children import child_variables


def test_a_child_gets_the_variables_of_this_process_and_the_others(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BENCH_TEST_OURS", "kept")
    monkeypatch.setenv("BENCH_TEST_BOTH", "ours")
    found = child_variables({"BENCH_TEST_BOTH": "theirs"})
    assert (found["BENCH_TEST_OURS"], found["BENCH_TEST_BOTH"]) == ("kept", "theirs")
    assert os.environ["BENCH_TEST_BOTH"] == "ours"


@pytest.mark.parametrize("before", [None, "", "/one:/two"])
def test_the_package_comes_first_on_the_path_of_a_child(
    root: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if before is not None:
        monkeypatch.setenv("PYTHONPATH", before)
    assert child_variables({})["PYTHONPATH"] == os.pathsep.join(filter(None, [str(root), before]))


def test_a_child_does_not_import_another_package_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", "import bench; print(bench.__file__)"],
        cwd=tmp_path.parent,
        env=child_variables({}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == Path(bench.__file__)
