"""Check the golden digests on emulated processors: three of x86-64, and two of ARM64; and compiled for one without FMA.

    python tests/processors/emulated.py [CACHE_FOLDER]

It needs Linux on x86-64 with Debian's package qemu-user, and apt-get for Debian's Python of ARM64. The packages for
ARM64 are unpacked into the cache folder, by default ~/.cache/bench994-processors. Emulation is some 50 times slower.
All processors are emulated at the same time, which takes half an hour to two and a half hours on two cores.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ("-m", "bench.training.golden")
MODELS = ("Haswell", "EPYC-Milan", "max")
OLD = {"NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": "", "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4"}
"""Makes numba compile for SSE only, and glibc multiply and add as on a processor that cannot do so in one step."""

SCALABLE = {"NUMBA_CPU_NAME": "neoverse-v1", "NUMBA_CPU_FEATURES": "+neon,+sve"}
"""Makes numba compile for vectors of any length (SVE), as on a Graviton 3. QEMU 7 does not tell it that it has them."""

DEBIAN = (
    "libbz2-1.0",
    "libc6",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "libgomp1",
    "liblzma5",
    "libncursesw6",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libreadline8",
    "libsqlite3-0",
    "libssl3",
    "libstdc++6",
    "libtinfo6",
    "libuuid1",
    "python3.11-minimal",
    "zlib1g",
)
"""What Debian's Python 3.11 needs."""

OURS = ("filelock", "llvmlite", "numba", "numpy", "pandas", "scipy", "tabulate", "threadpoolctl", "tqdm")
OTHERS = ("torch==2.7.1", "sympy", "networkx", "jinja2", "fsspec", "typing-extensions", "mpmath", "markupsafe")
"""The last PyTorch for ARM64 that needs no libraries of a GPU, and what it imports."""
DATES = ("python-dateutil", "tzdata", "six")

PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux2014", "manylinux_2_17")


def main() -> int:
    cache = Path(sys.argv[1] if len(sys.argv) > 1 else "~/.cache/bench994-processors").expanduser()
    for program in ("qemu-x86_64", "qemu-aarch64", "apt-get", "dpkg"):
        if shutil.which(program) is None:
            print(f"{program} is missing: install Debian's package qemu-user, on Debian or Ubuntu", file=sys.stderr)
            return 2
    processors = _processors(cache)
    with ThreadPoolExecutor(len(processors)) as threads:
        return 0 if all(list(threads.map(lambda processor: _agrees(*processor), processors))) else 1


def _processors(cache: Path) -> list[tuple[str, list[str], dict[str, str]]]:
    """Each processor with the command that runs Python on it, and its environment variables."""
    compiled = {"NUMBA_CACHE_DIR": str(cache / "numba"), "PYTHONPATH": str(ROOT)}
    found = [("this processor", [sys.executable], compiled), ("without FMA", [sys.executable], compiled | OLD)]
    for model in MODELS:
        found.append((f"x86-64 as {model}", ["qemu-x86_64", "-cpu", model, sys.executable], compiled))
    root, site = _arm64(cache / "arm64")
    variables = compiled | {"PYTHONPATH": f"{ROOT}:{site}"}
    python = ["qemu-aarch64", "-cpu", "max", "-L", str(root), str(root / "usr" / "bin" / "python3.11")]
    return [*found, ("ARM64", python, variables), ("ARM64 with SVE", python, variables | SCALABLE)]


def _agrees(name: str, command: list[str], variables: dict[str, str]) -> bool:
    started = time.monotonic()
    done = subprocess.run([*command, *PROGRAM], cwd=ROOT, env=os.environ | variables, capture_output=True, text=True)
    lines = done.stdout.splitlines() or done.stderr.splitlines()[-1:]
    found = "as defined" if done.returncode == 0 else f"NOT as defined, exit code {done.returncode}"
    print("\n    ".join([f"{name}: {found}, {time.monotonic() - started:.0f} s", *lines]), flush=True)
    return done.returncode == 0


def _arm64(folder: Path) -> tuple[Path, Path]:
    """The root of Debian's files for ARM64, and the folder of the Python packages. Missing ones are made."""
    root, site, packages = folder / "root", folder / "site", folder / "packages"
    if site.exists():
        return root, site
    unpacked = folder / "unpacked"
    for made in (folder / "lists" / "partial", root, unpacked, packages):
        made.mkdir(parents=True, exist_ok=True)
    apt = ["apt-get", *(f"-oAPT::{name}=arm64" for name in ("Architecture", "Architectures"))]
    apt.append(f"-oDir::State::Lists={folder / 'lists'}")
    subprocess.run([*apt, "update", "-qq"], check=True)
    subprocess.run([*apt, "download", *DEBIAN], check=True, cwd=packages)
    for package in packages.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, root], check=True)
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
    wanted = [f"{name}=={pins[name]}" for name in OURS]
    tags = [f"--platform={name}_aarch64" for name in PLATFORMS]
    versions = ("--python-version=3.11", "--implementation=cp", "--abi=cp311", "--abi=none", "--only-binary=:all:")
    download = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(packages)]
    subprocess.run([*download, *versions, *tags, *wanted, *OTHERS, *DATES], check=True)
    for wheel in packages.glob("*.whl"):
        with zipfile.ZipFile(wheel) as file:
            file.extractall(unpacked)
    unpacked.rename(site)  # only now, so that nothing is missing after an interrupted download
    return root, site


if __name__ == "__main__":
    sys.exit(main())
