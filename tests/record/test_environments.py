"""Tests of `environments`: the digest of an environment is that of its details, and exact runs share one for ever."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import UnusableInput
from bench.record import environments
from bench.record.environments import EXACT, Environment

DETAILS = '{\n  "device": "cpu"\n}\n'


def test_the_digest_is_that_of_the_details_as_they_are_stored() -> None:
    found = Environment((("device", "cpu"),))
    assert (found.to_json(), found.digest) == (DETAILS, hashlib.sha256(DETAILS.encode()).hexdigest()[:8])


def test_the_order_of_the_details_does_not_matter_and_every_value_does() -> None:
    one, other = ("device", "cpu"), ("processor", "Überprozessor")
    assert Environment((one, other)).digest == Environment((other, one)).digest
    assert "Überprozessor" in Environment((other,)).to_json()
    assert Environment((one,)).digest != Environment((("device", "mps"),)).digest


def test_the_environment_of_exact_runs_is_the_version_of_the_arithmetic_alone() -> None:
    """All exact runs of all records have this digest. Another arithmetic must have another version."""
    assert EXACT.details == (("arithmetic", "exact 1"),)
    assert EXACT.digest == "3448ed4c"


def test_environments_are_kept_beside_the_record_and_come_back(tmp_path: Path) -> None:
    runs = tmp_path / "runs.csv"
    assert environments.read(runs) == {}
    other = Environment((("device", "cpu"), ("processor", "Überprozessor")))
    environments.add(runs, [EXACT])
    environments.add(runs, [other])
    assert environments.read(runs) == {EXACT.digest: EXACT, other.digest: other}
    assert environments.path_beside(runs) == tmp_path / "runs.environments.json"


def test_nothing_is_written_if_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environments.add(tmp_path / "runs.csv", [])
    assert list(tmp_path.iterdir()) == []
    environments.add(tmp_path / "runs.csv", [EXACT])
    monkeypatch.setattr(environments.files, "replace", lambda *_: pytest.fail("written"))
    environments.add(tmp_path / "runs.csv", [EXACT])


def test_the_details_in_a_report_are_read_by_their_digests(tmp_path: Path) -> None:
    path = environments.path_in_report(tmp_path, EXACT.digest)
    path.parent.mkdir()
    path.write_text(EXACT.to_json())
    assert environments.read_published(tmp_path, [EXACT.digest, "0123abcd"]) == {EXACT.digest: EXACT}
    assert environments.read_published(path, [EXACT.digest]) == {}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"3448ed4c": {"arithmetic": 1}}',
        '{"3448ed4c": {"arithmetic": "exact 2"}}',
        '{"a": []}',
    ],
    ids=["empty", "list", "cut", "nested", "number", "changed", "no details"],
)
def test_a_damaged_file_is_refused_and_not_replaced(tmp_path: Path, content: str) -> None:
    runs = tmp_path / "runs.csv"
    path = environments.path_beside(runs)
    path.write_text(content)
    for attempt in (lambda: environments.read(runs), lambda: environments.add(runs, [EXACT])):
        with pytest.raises(UnusableInput, match=rf"^{path}: .*: get the file again, or move it away$"):
            attempt()
    assert path.read_text() == content


def test_environments_need_no_torch() -> None:
    code = "import sys, bench.record.environments; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_bits_of_an_exact_run_depend_on_no_device_and_those_of_a_native_run_on_its_own() -> None:
    native = Environment((("device", "cpu"),)).digest
    assert [environments.device_of_bits(device, EXACT.digest) for device in ("cpu", "cuda")] == ["", ""]
    assert [environments.device_of_bits(device, native) for device in ("cpu", "cuda")] == ["cpu", "cuda"]
