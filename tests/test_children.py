"""Tests of `children`: a child process imports this very package, and gets nothing else of its caller."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import bench
from bench.children import PASSED, child_command, child_variables

LOOKS = """
import json, os, random, sys
import bench
found = {"bench": bench.__file__, "path": sys.path, "variables": dict(os.environ), "set": list(set("abcdefgh"))}
json.dump(found, sys.stdout)
"""


def look(folder: Path) -> dict[str, object]:
    """What a child sees that starts in a folder."""
    command = child_command("bench")
    done = subprocess.run(
        [*command[: command.index("-m")], "-c", LOOKS],
        cwd=folder,
        env=child_variables({}),
        capture_output=True,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_child_gets_chosen_variables_of_this_process_and_the_others(monkeypatch: pytest.MonkeyPatch, root: Path):
    monkeypatch.setenv("BENCH_TEST_OURS", "ours")
    monkeypatch.setenv("LANG", "ours")
    monkeypatch.setenv("TZ", "ours")
    monkeypatch.delenv("TMPDIR", raising=False)
    found = child_variables({"BENCH_TEST_THEIRS": "theirs", "TZ": "theirs"})
    assert found["LANG"] == "ours"
    assert found["BENCH_TEST_THEIRS"] == found["TZ"] == "theirs"
    assert found.keys() <= {*PASSED, "BENCH_TEST_THEIRS", "PYTHONHASHSEED", "PYTHONPATH"}
    assert "TMPDIR" not in found
    assert found["PYTHONPATH"] == str(root)
    assert os.environ["TZ"] == "ours"


def test_a_child_runs_in_isolation_from_the_folder_and_the_python_variables_of_its_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for folder in (tmp_path / "path", tmp_path / "here"):
        (folder / "bench").mkdir(parents=True)
        for name in ("bench/__init__.py", "random.py", "sitecustomize.py"):
            (folder / name).write_text("raise SystemExit('the wrong module')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    monkeypatch.setenv("PYTHONSTARTUP", "nothing")
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    found = look(tmp_path / "here")
    assert found["bench"] == bench.__file__
    assert not any(str(one).startswith(str(tmp_path)) or one == "" for one in found["path"])
    variables = found["variables"]
    assert {name for name in variables if name.startswith("PYTHON")} == {"PYTHONHASHSEED", "PYTHONPATH"}


def test_a_child_finds_the_packages_that_its_caller_has_from_pythonpath(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path
):
    (tmp_path / "site" / "torch").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "other", "site", str(tmp_path / "absent")]))
    assert child_variables({})["PYTHONPATH"] == os.pathsep.join([str(root), str(tmp_path / "site")])


def test_a_set_of_texts_has_the_same_order_in_every_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    orders = []
    for seed in ("1", "2", "random"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        orders.append(look(tmp_path)["set"])
    assert orders[0] == orders[1] == orders[2]


def test_a_child_starts_in_a_folder_that_is_gone(tmp_path: Path):
    command = child_command("bench.network.calls")
    script = f'rmdir {tmp_path}/gone; exec "$@"'
    (tmp_path / "gone").mkdir()
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command], cwd=tmp_path / "gone", env=child_variables({}), capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
