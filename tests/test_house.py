"""The rules of the house: style, types, imports, the place of the tests, and pages that tell the truth."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import bench

BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        pytest.param(["mypy"], marks=pytest.mark.slow),
        ["lint-imports"],
    ],
    ids=" ".join,
)
def test_the_tools_have_nothing_to_say(command, root):
    tool = BIN / command[0]
    if not tool.exists():
        pytest.fail(f"{tool} is missing: install the extra `test`")
    done = subprocess.run([tool, *command[1:]], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_has_a_contract_of_its_own_and_few_modules(root):
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    ruled = {name for one in contracts if one.get("exhaustive") for name in one["containers"]}
    for package in sorted(path.parent for path in (root / "bench").rglob("__init__.py")):
        name = ".".join(package.relative_to(root).parts)
        inside = [path for path in package.iterdir() if path.suffix == ".py" and path.name != "__init__.py"]
        assert len(inside) <= 12, f"{name} has more than twelve modules"
        assert name in ruled or name.count(".") > 1, f"no contract says who may use whom in {name}"


def test_every_module_has_its_tests_in_the_same_room(root):
    untested = []
    for module in sorted((root / "bench").rglob("*.py")):
        room = root / "tests" / module.parent.relative_to(root / "bench")
        named = f"`{module.stem}`" in " ".join(_first_line(path) for path in room.glob("test_*.py"))
        if not (module.stem.startswith("__") or named or (room / f"test_{module.stem}.py").exists()):
            untested.append(str(module.relative_to(root)))
    assert not untested, f"no test file in the same room has the name of {untested}, or names it in its first line"


def test_every_file_of_tests_in_a_room_names_modules_of_this_room(root):
    for package in (path.parent for path in (root / "bench").rglob("__init__.py") if path.parent.name != "bench"):
        modules = {path.stem for path in package.glob("*.py")}
        for path in (root / "tests" / package.relative_to(root / "bench")).glob("test_*.py"):
            said = re.match(r"Tests of ([\w`, ]+): ", _first_line(path))
            assert said, f"{path}: its first line does not name the modules that it tests"
            assert set(re.findall(r"`(\w+)`", said[1])) <= modules, (
                f"{path}: its first line names a module of another room"
            )


@cache
def _first_line(path):
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


@pytest.mark.parametrize("room", ["jobs", "network"])
def test_the_rooms_that_readers_pass_through_import_nothing(room, root):
    body = ast.parse((root / "bench" / room / "__init__.py").read_text()).body
    assert [type(one) for one in body] == [ast.Expr]


@pytest.mark.slow
def test_the_names_of_the_tests_are_the_same_in_every_process_and_second(root):
    """Otherwise two workers of pytest-xdist collect different tests, and the whole run fails by chance."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "slow or not slow",
    ]
    collected = []
    for _ in range(2):  # one after the other takes some seconds, and each process has hashes of its own
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        collected.append([line for line in done.stdout.splitlines() if "::" in line])
    assert len(collected[0]) > 1000
    assert collected[0] == collected[1]


def test_ci_runs_the_very_commands_of_the_readme(root):
    readme = (root / "README.md").read_text()
    commands = [line for line in readme.splitlines() if line.startswith("python3 -m venv .venv && ")]
    assert len(commands) == 2, "the README has one command for the main job and one for the tests"
    assert commands[0].endswith(".venv/bin/python -m bench all --seeds 5")
    assert commands[1] in (root / ".ci" / "run").read_text().splitlines()
    assert "bash .ci/run" in (root / ".github" / "workflows" / "tests.yml").read_text()


def test_the_citation_is_of_this_release(root):
    import yaml

    cited = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert (cited["version"], cited["license"]) == (bench.__version__, project["license"])
    assert cited["title"].startswith(f"{project['name']}: ")
    assert {"cff-version", "message", "authors"} <= set(cited)


def test_every_pin_satisfies_the_ranges(root):
    from packaging.requirements import Requirement

    pins = dict(
        line.split("==") for line in (root / "constraints.txt").read_text().splitlines() if line and line[0] != "#"
    )
    text = (root / "pyproject.toml").read_text()
    requirements = [Requirement(one) for one in re.findall(r'^    "([a-z-]+>=[0-9.]+)",$', text, flags=re.MULTILINE)]
    assert len(requirements) > 15
    for requirement in requirements:
        assert pins[requirement.name] in requirement.specifier


def test_the_oldest_releases_that_are_tested_are_the_oldest_that_are_allowed(root):
    allowed = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    oldest = (root / "tox.ini").read_text().partition("[testenv:oldest]")[2].partition("[testenv:")[0]
    assert sorted(re.findall(r"^    (\w+)==", oldest, flags=re.MULTILINE)) == sorted(
        name.partition(">=")[0] for name in allowed
    )
    assert [one for one in allowed if f"    {one.replace('>=', '==')}\n" not in oldest] == []


def test_every_documented_command_line_is_one(root):
    from bench.cli.parser import _parser

    pages = [*root.glob("*.md"), *root.glob("docs/*.md"), root / "report" / "README.md"]
    found = dict.fromkeys(pages, 0)
    for page in pages:
        said = re.findall(r"^(?:\$ )?(?:\.venv/bin/)?python -m bench ([^#\n]+)", page.read_text(), flags=re.MULTILINE)
        said += re.findall(r"`(?:\.venv/bin/)?python -m bench ([^`\n]+)`", page.read_text())
        lines = [line.split() for line in said if line.split()[0].islower()]  # COMMAND stands for any command
        found[page] = len(lines)
        for words in lines:
            _parser().parse_args(words)
    assert {"README.md", "CONTRIBUTING.md", "own-networks.md", "logs.md"} <= {one.name for one in pages if found[one]}
