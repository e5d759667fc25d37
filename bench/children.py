"""Start child processes that run modules of this package: with this very package, and nothing else of the caller."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

PASSED = (
    # places
    *("HOME", "LOGNAME", "NUMBA_CACHE_DIR", "PATH", "TEMP", "TMP", "TMPDIR", "USER", "XDG_CACHE_HOME"),
    # texts and times
    *("LANG", "LC_ALL", "LC_CTYPE", "TZ"),
    # libraries and GPUs
    *("CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"),
    *("DYLD_FALLBACK_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LD_LIBRARY_PATH"),
    # downloads
    *("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_DIR", "SSL_CERT_FILE"),
    *("all_proxy", "https_proxy", "http_proxy", "no_proxy"),
)
"""The environment variables that a child gets from its caller. Any other variable could change what it computes."""


NEEDED = ("numba", "numpy", "pandas", "torch")
"""Packages that a child imports. On clusters, they often lie in folders that PYTHONPATH names."""


def child_command(module: str, *words: str) -> list[str]:
    """Return the command that runs a module as a child. The current folder is not on its path."""
    user_site = ["-s"] if sys.flags.no_user_site else []
    return [sys.executable, "-P", *user_site, "-m", module, *words]


def child_variables(others: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of a child that imports this same package: those of `PASSED`, and `others`.

    Texts have the same hash in every child. So a set of them has one order, which can be that of a network's layers.
    Of the caller's PYTHONPATH, only the folders count that have a package of `NEEDED`.
    """
    passed = {name: os.environ[name] for name in PASSED if name in os.environ}
    package_root = str(Path(__file__).resolve().parent.parent)
    theirs = [Path(one).absolute() for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    needed = [str(one) for one in theirs if any((one / name).is_dir() for name in NEEDED)]
    return {**passed, **others, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join([package_root, *needed])}
