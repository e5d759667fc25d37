"""The environment of a run on this machine: everything that can change its bits.

PyTorch promises equal results only for the same release, platform and device (PyTorch documentation,
"Reproducibility"). On a processor, results also depend on the number of threads and the instruction set. All of that
is the environment.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

import torch

from bench.errors import UnusableInput
from bench.network.specification import DEVICES, Arithmetic
from bench.record.environments import EXACT, Environment

THREADS = 1
"""The threads of a run on the CPU. With one thread, `--jobs` and the number of cores do not change any bit."""

OPERATORS = "float32, channels last, PyTorch's operators"
"""How a native step is computed. Arithmetic that rounds differently is another environment."""

# These settings make the numerical libraries choose other kernels.
_LIBRARY_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE",
    "OPENBLAS_CORETYPE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
)
_REQUIRED_VARIABLES = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # without it cuBLAS may choose another order of sums

# These settings of glibc keep memory in the process from one step to the next. Without them, the allocator gives the
# memory back to the kernel, and the next step pays one page fault per page. They change the speed but no bit. Systems
# without glibc ignore them.
_ALLOCATOR = {
    "GLIBC_TUNABLES": ":".join(
        f"glibc.malloc.{setting}"
        for setting in ("mmap_threshold=4294967296", "trim_threshold=4294967296", "top_pad=536870912", "hugetlb=1")
    )
}


def available_devices() -> tuple[str, ...]:
    """Return the kinds of device that this machine can train on, the CPU first."""
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return tuple(device for device in DEVICES if present[device])


def worker_variables() -> dict[str, str]:
    """Return the environment variables for the start of a worker process."""
    return {**_ALLOCATOR, **_REQUIRED_VARIABLES, "OMP_NUM_THREADS": str(THREADS), "MKL_NUM_THREADS": str(THREADS)}


def configure(device: str) -> None:
    """Set the threads, determinism and precision of this process. Call it only in a process that does nothing else."""
    torch.set_num_threads(THREADS)
    if device != "cpu":
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def require(device: str) -> None:
    """Raise UnusableInput if this machine does not have the device."""
    if device not in available_devices():
        choices = ", ".join(available_devices())
        raise UnusableInput(f"--devices {device}: this machine has no such device: choose from {choices}")


def describe(device: str, arithmetic: Arithmetic) -> Environment:
    """Return the environment of training on a device of this machine after `configure`.

    Raises:
        UnusableInput: this machine does not have the device.
    """
    require(device)
    if arithmetic == "exact":
        return EXACT
    details = {
        "arithmetic": OPERATORS,
        "determinism": "deterministic algorithms, no autotuning, no TF32" if device != "cpu" else "one thread",
        "device": device,
        "platform": f"{platform.system()} {platform.machine()}",
        "pytorch": torch.__version__,
    }
    if device == "cuda":
        details["gpu"] = torch.cuda.get_device_name()
        details["cuda"] = str(torch.version.cuda)
        details["cudnn"] = str(torch.backends.cudnn.version())
    else:
        details["processor"] = _processor()
        details["instruction set"] = torch.backends.cpu.get_cpu_capability()
        details["threads"] = str(THREADS)
    for name in _LIBRARY_VARIABLES:
        value = {**os.environ, **_REQUIRED_VARIABLES}.get(name)
        if value is not None:
            details[name] = value
    return Environment(tuple(sorted(details.items())))


def machine(native: Environment) -> str:
    """Return in words what trains in a native environment: hardware, PyTorch and system."""
    facts = dict(native.details)
    hardware = " ".join(facts[name] for name in ("gpu", "processor", "instruction set") if name in facts)
    return f"{hardware}; PyTorch {facts['pytorch']}; {facts['platform']}"


def _processor() -> str:
    """Return the processor's model, with family and stepping because several processors can share a model name."""
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return str(subprocess.run(command, capture_output=True, text=True, check=True).stdout).strip()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or "unknown"
    first: dict[str, str] = dict(re.findall(r"^([^\t:\n]+?)\s*: (.*)$", text.split("\n\n")[0], flags=re.MULTILINE))
    numbers = "/".join(first[name] for name in ("cpu family", "model", "stepping") if name in first)
    return first.get("model name", platform.machine()) + (f" ({numbers})" if numbers else "")
