"""Environments: what can change the bits of a run, and the digest of it that the record has.

A run in exact arithmetic has the same bits on every machine. Its environment is the version of the arithmetic and
nothing else; the machine is only noted. A native run depends on much more; `training.environment` describes it.

This module writes and reads <runs>.environments.json, the details of each environment of a record by its digest. A
report publishes them as one file for each, in its folder `environments`. Release 0.1.0 had them only there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench import files
from bench.errors import UnusableInput
from bench.record import beside, schema


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


def device_of_bits(device: str, environment: str) -> str:
    """The device on which the bits of a run depend. It is empty for an exact run: every device computes the same."""
    return "" if environment == EXACT.digest else device


def path_beside(runs: Path) -> Path:
    """The path of the file with the details of a record's environments."""
    return beside.path(runs, "environments", ".json")


def path_in_report(report: Path, digest: str) -> Path:
    """The path of the published details of an environment, in the folder of a report."""
    return report / "environments" / f"{digest}.json"


def read(runs: Path) -> dict[str, Environment]:
    """Read the environments of the file beside a record, by digest. A missing file has none.

    Raises:
        UnusableInput: the file cannot be read, or its content is not what `add` writes.
    """
    path = path_beside(runs)
    found = _read(path, dict[str, dict[str, str]]) or {}
    return {digest: _environment(path, digest, details) for digest, details in found.items()}


def read_published(report: Path, digests: Iterable[str]) -> dict[str, Environment]:
    """Read those of the environments that have their details in the folder of a report.

    Raises:
        UnusableInput: a file cannot be read, or its name is not the digest of its content.
    """
    found = {}
    for digest in digests:
        path = path_in_report(report, digest)
        details = _read(path, dict[str, str])
        if details is not None:
            found[digest] = _environment(path, digest, details)
    return found


def add(runs: Path, environments: Iterable[Environment]) -> None:
    """Add environments to the file beside a record.

    Raises:
        UnusableInput: the file exists but cannot be read, or it cannot be written.
    """
    before = read(runs)
    after = before | {one.digest: one for one in environments}
    if after != before:
        path = path_beside(runs)
        try:
            files.replace(path, format_environments(after).encode())
        except OSError as error:
            raise UnusableInput(
                f"{path}: cannot be written ({files.cause(error)}): name another --runs file"
            ) from error


def format_environments(environments: Mapping[str, Environment]) -> str:
    """Format environments as the text of the file, by ascending digest."""
    content = {digest: dict(one.details) for digest, one in environments.items()}
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _read(path: Path, kind: Any) -> Any:
    try:
        files.require_regular(path)
        return schema.read(path.read_bytes(), kind)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be read ({files.cause(error)}): repair it or move it away") from error
    except schema.Mismatch as error:
        raise UnusableInput(f"{path}: {error}: get the file again, or move it away") from error


def _environment(path: Path, digest: str, details: Mapping[str, str]) -> Environment:
    found = Environment(tuple(sorted(details.items())))
    if found.digest != digest:
        raise UnusableInput(f"{path}: {digest} is not the digest of its details: get the file again, or move it away")
    return found
