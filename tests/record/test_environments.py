"""Tests of `environments`: the digest of an environment is that of its details, and exact runs share one for ever."""

from __future__ import annotations

import hashlib
import subprocess
import sys

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


def test_environments_need_no_torch() -> None:
    code = "import sys, bench.record.environments; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
