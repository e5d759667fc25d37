"""Environments: what can change the bits of a run, and the digest of it that the record has.

A run in exact arithmetic has the same bits on every machine. Its environment is the version of the arithmetic and
nothing else; the machine is only noted. A native run depends on much more; `training.environment` describes it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Environment:
    """The environment of a run, as pairs of a name and a value in words."""

    details: tuple[tuple[str, str], ...]

    @cached_property
    def digest(self) -> str:
        """Eight hex digits over the details."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:8]

    def to_json(self) -> str:
        """Return the details as JSON. The same details give the same text."""
        return json.dumps(dict(self.details), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


EXACT_VERSION = "exact 1"
"""The version of `docs/arithmetic.md`. If the order of any sum changes, this is another version."""

EXACT = Environment((("arithmetic", EXACT_VERSION),))
"""The environment of every run in exact arithmetic."""
