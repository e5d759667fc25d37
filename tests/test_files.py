"""Tests of `files`: a replaced file has its old content or its new one, whatever fails."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import files
from bench.record import record

Failing = Callable[[str, int], None]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    """Lets one call of a function in `os` fail: the call with the given number, from 1."""

    def install(name: str, which: int) -> None:
        original: Callable[..., Any] = getattr(os, name)
        calls = 0

        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == which:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return original(*arguments, **options)

        monkeypatch.setattr(os, name, call)

    return install


@pytest.mark.parametrize("content", [b"", b"new", b"n" * 300_000])
def test_a_file_gets_its_new_content(tmp_path: Path, content: bytes):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    files.replace(path, content)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_the_folder_is_made_if_there_is_none(tmp_path: Path):
    path = tmp_path / "a" / "b" / "file"
    files.replace(path, b"new")
    assert path.read_bytes() == b"new"


def test_the_old_content_is_kept_under_another_name_on_request(tmp_path: Path):
    path, previous = tmp_path / "file", tmp_path / "previous"
    for number in (1, 2, 3):
        files.replace(path, b"%d" % number, previous)
        assert previous.exists() == (number > 1)
    assert (path.read_bytes(), previous.read_bytes()) == (b"3", b"2")
    assert sorted(tmp_path.iterdir()) == [path, previous]


@pytest.mark.parametrize(
    ("name", "which", "keeps_previous"),
    [
        *((name, 1, keeps) for name in ("open", "write", "fsync", "close", "replace") for keeps in (False, True)),
        ("replace", 2, True),
    ],
)
def test_a_failing_step_leaves_the_old_content_and_no_other_file(
    tmp_path: Path, failing: Failing, name: str, which: int, keeps_previous: bool
):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    failing(name, which)
    with pytest.raises(OSError, match="Input/output error"):
        files.replace(path, b"new", tmp_path / "previous" if keeps_previous else None)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_synced_is_an_error_with_the_new_content_in_place(tmp_path: Path, failing: Failing):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    failing("fsync", 2)
    with pytest.raises(OSError, match="Input/output error"):
        files.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def folders_answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets every sync of a folder fail with an error, as on a CIFS or FUSE file system."""

    def install(code: int) -> None:
        fsync = os.fsync

        def call(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(code, os.strerror(code))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", call)

    files._warn_once.cache_clear()
    return install


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_folders_gets_one_warning_and_all_files(
    tmp_path: Path, folders_answer: Callable[[int], None], caplog: pytest.LogCaptureFixture, code: int
):
    folders_answer(code)
    for number in range(3):
        files.replace(tmp_path / f"{number}", b"new")
    record.Writer(tmp_path / "runs.csv").prepare()
    assert [path.read_bytes() for path in sorted(tmp_path.glob("[0-9]"))] == [b"new"] * 3
    assert (tmp_path / "runs.csv").exists()
    (message,) = caplog.messages
    assert message.startswith(f"this file system cannot sync a folder ({os.strerror(code)}): ")


def test_a_folder_that_was_not_synced_because_the_disk_fails_is_an_error(
    tmp_path: Path, folders_answer: Callable[[int], None]
):
    folders_answer(errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        files.replace(tmp_path / "file", b"new")


def test_the_content_is_on_the_disk_before_the_name_and_then_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file"
    steps = []

    def noted(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            is_folder = step == "fsync" and os.fstat(arguments[0]).st_ino == tmp_path.stat().st_ino
            steps.append("fsync of the folder" if is_folder else step)
            return function(*arguments)

        return call

    for name in ("write", "fsync", "replace"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    files.replace(path, b"new")
    assert steps == ["write", "fsync", "replace", "fsync of the folder"]


def test_an_interrupt_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.replace(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


def test_everything_is_written_even_if_a_few_bytes_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:3]))
    files.replace(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/some/file"), "No space left on device"),
        (OSError("two\nlines"), "two lines"),
        (OSError(), "OSError"),
    ],
)
def test_a_cause_is_one_line_without_a_file_name(error: OSError, said: str):
    assert files.cause(error) == said
