"""A job works with strange clocks, names and locales, without a home or a terminal, beside a read-only checkout."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from jobs import ONE, Undisturbed, deterministic
from quickly import ROOT, TRACEBACK, Server

from bench.record import record

PROGRAM = Path(__file__).with_name("few_images.py")
STRANGE = "Größe, 50 % „fertig“ 🚀's $HOME"
NOWHERE = "/dev/null/home"  # nobody can make this folder
PLAIN_LOCALE = {"LC_ALL": "C", "LANG": "", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
PLAIN_TERMINAL = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "ascii:strict"}  # it knows the name and cannot show it
NO_HOME = {"HOME": "", "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "", "MPLCONFIGDIR": ""}


def everything(
    folder: Path,
    undisturbed: Undisturbed,
    variables: Mapping[str, str],
    before: Sequence[str] = (),
    runs: str = "runs.csv",
    commands: Sequence[str] = ("all", "plan", "verify"),
) -> None:
    """Train a run, report, plan and verify it, each in an interpreter of its own. The surroundings must not matter."""
    environment = {name: text for name, text in {**os.environ, **variables}.items() if text}
    for command in commands:
        words = [command, *(("--models", "unpadded", "--epochs", "1") if command == "verify" else ONE), "--runs", runs]
        done = subprocess.run(
            [*before, sys.executable, str(PROGRAM), *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # the new session has no terminal
        )
        said = done.stderr.decode(errors="replace")
        assert done.returncode == 0, (words, said)
        assert TRACEBACK not in said, (words, said)
        assert "\x1b" not in said, (words, said)
    assert record.read(folder / runs).problems == ()
    assert deterministic(folder / runs) == undisturbed.rows_of_one
    assert (folder / "report" / "README.md").exists() == ("all" in commands)


def read_only(tmp_path: Path) -> list[str]:
    """The words before a command that make the checkout and the folders beside it read-only for it."""
    mounts = f'mount --bind "{ROOT}" "{ROOT}" && mount -o remount,bind,ro "{ROOT}" && exec "$@"'
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    before = [*unshare, "sh", "-c", mounts, "sh"]
    try:
        tried = subprocess.run([*before, "touch", str(ROOT / "nothing")], capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    if "Read-only file system" not in tried.stderr:
        pytest.skip(f"nothing can be mounted here: {tried.stderr.strip()}")
    return before


@pytest.mark.faults
def test_a_strange_place(undisturbed: Undisturbed, tmp_path: Path):
    """There is no home and no terminal, and the plain locale cannot spell the name of the folder."""
    folder = tmp_path / STRANGE
    folder.mkdir()
    everything(folder, undisturbed, {**PLAIN_LOCALE, **NO_HOME, "HOME": NOWHERE}, (), "läufe, alle.csv", ["run"])


@pytest.mark.faults
def test_a_strange_place_beside_a_read_only_checkout(undisturbed: Undisturbed, tmp_path: Path):
    folder = tmp_path / STRANGE
    folder.mkdir()
    variables = {**PLAIN_LOCALE, **NO_HOME, "HOME": NOWHERE}
    everything(folder, undisturbed, variables, read_only(tmp_path), runs="läufe, alle.csv")


@pytest.mark.faults
@pytest.mark.parametrize("variables", [NO_HOME, {**NO_HOME, "HOME": NOWHERE}], ids=["unset", "nowhere"])
def test_no_home_folder(undisturbed: Undisturbed, tmp_path: Path, variables: dict[str, str]):
    everything(tmp_path, undisturbed, variables)


@pytest.mark.faults
def test_a_read_only_checkout(undisturbed: Undisturbed, tmp_path: Path):
    everything(tmp_path, undisturbed, {}, read_only(tmp_path))


@pytest.mark.faults
def test_a_cache_of_compiled_kernels_that_is_cut_short(undisturbed: Undisturbed, tmp_path: Path):
    kept = tmp_path / "kept"
    everything(tmp_path, undisturbed, {"NUMBA_CACHE_DIR": str(kept)}, commands=["run"])
    paths = [path for path in kept.rglob("*") if path.is_file()]
    assert len(paths) > 20
    for path in paths:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    everything(tmp_path, undisturbed, {"NUMBA_CACHE_DIR": str(kept)}, runs="again.csv", commands=["run"])
    assert min(path.stat().st_size for path in paths) > 1000


@pytest.mark.faults
def test_a_path_with_spaces_and_umlauts(undisturbed: Undisturbed, tmp_path: Path):
    folder = tmp_path / STRANGE
    folder.mkdir()
    everything(folder, undisturbed, {}, runs="läufe, alle.csv")


@pytest.mark.faults
def test_a_plain_locale(undisturbed: Undisturbed, tmp_path: Path):
    everything(tmp_path, undisturbed, PLAIN_LOCALE)


@pytest.mark.parametrize("variables", [PLAIN_LOCALE, PLAIN_TERMINAL], ids=["plain locale", "plain terminal"])
def test_a_record_in_a_folder_without_a_name_in_ascii_is_named_in_any_locale(tmp_path: Path, variables: dict[str, str]):
    folder = tmp_path / STRANGE
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "bench", "compare", "fehlt ß.csv", "fehlt ß.csv"],
        cwd=folder,
        env={**os.environ, **variables, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert TRACEBACK.encode() not in done.stderr
    assert re.match(rb"bench: fehlt .*\.csv: no such file", done.stderr)


@pytest.mark.parametrize("words", [("list",), ("plan", "--models", "unpadded", "--seeds", "1", "--devices", "cpu")])
def test_files_of_the_user_with_the_names_of_modules_are_not_imported(tmp_path: Path, words: tuple[str, ...]):
    for name in ("models", "random", "numpy", "torch"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the user was imported')\n")
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_folder_that_was_deleted_gets_one_line(tmp_path: Path):
    done = subprocess.run(
        ["sh", "-c", f'mkdir deleted && cd deleted && rmdir ../deleted && exec "{sys.executable}" -m bench plan'],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, "bench: the current folder was deleted: change to another folder\n")


def test_a_folder_whose_path_is_too_long_for_pytorch_gets_one_line(tmp_path: Path):
    code = (
        "import os, sys; from bench.cli import parser\n"
        "while len(os.getcwd()) < 4096: os.mkdir('d' * 200); os.chdir('d' * 200)\n"
        "sys.exit(parser.main(['show', 'unpadded']))"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=variables, capture_output=True, check=False)
    assert done.returncode == 2
    said = rb"bench: the path of the current folder has 4\d\d\d bytes: change to one with a shorter path\n"
    assert re.fullmatch(said, done.stderr)


@pytest.mark.faults
def test_a_clock_that_goes_backwards_changes_nothing_but_the_times_of_day(
    server: Server, undisturbed: Undisturbed, tmp_path: Path
):
    for epochs in (2, 3):
        job = server.run("run", *ONE, "--epochs", epochs, folder=tmp_path, clock=True)
        assert job.code == 0, job.errors
    found = record.read(tmp_path / "runs.csv")
    assert found.problems == ()
    assert deterministic(tmp_path / "runs.csv") == undisturbed.rows_of_one
    hours = [text[11:13] for text in found.rows["recorded_at"]]
    assert hours == ["11", "10", "11"]  # the clock of the second job starts again
    assert found.epochs["train_seconds"].between(0, 60, inclusive="neither").all()
    for words in (("report",), ("verify", "--epochs", 1)):
        job = server.run(*words, folder=tmp_path, clock=True)
        assert job.code == 0, job.errors


@pytest.mark.faults
@pytest.mark.parametrize("vanishes", [False, True])
def test_a_terminal_shows_bars_and_may_vanish(undisturbed: Undisturbed, tmp_path: Path, vanishes: bool):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    job = subprocess.Popen(
        [sys.executable, str(PROGRAM), "run", *ONE],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    shown = bytearray()

    def look() -> None:
        while not (vanishes and b"run done" in shown):
            try:
                block = os.read(ours, 4096)
            except OSError:
                break
            if not block:
                break
            shown.extend(block)
        os.close(ours)

    looking = threading.Thread(target=look)
    looking.start()
    assert job.wait(120) == 0
    looking.join(20)
    assert not looking.is_alive()
    assert b"run done" in shown
    assert deterministic(tmp_path / "runs.csv") == undisturbed.rows_of_one
