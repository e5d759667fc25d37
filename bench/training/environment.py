"""The environment of a run on this machine: everything that can change its bits.

PyTorch promises equal results only for the same release, platform and device (PyTorch documentation,
"Reproducibility"). On a processor, results also depend on the number of threads, the instruction set, and the libraries
that the process has really loaded. All of that is the environment, and so is the code of this package that computes.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from bench.errors import UnusableInput
from bench.network.source.canonical import canonical
from bench.network.specification import DEVICES
from bench.record.environments import Environment

THREADS = 1
"""The threads of a run on the CPU. With one thread, `--jobs` and the number of cores do not change any bit."""

OPERATORS = "float32, PyTorch's operators, channels last where the network computes the same in it"
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

# The libraries read the first of their own variables, and OMP_NUM_THREADS only if those are not set.
_THREAD_VARIABLES = (
    "BLIS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

COMPUTING = ("data", "dropout", "loop", "native", "randomness", "recipe")
"""The modules of this room that compute a native run."""

_X86 = ("cpu family", "model", "stepping")
_ARM = ("CPU implementer", "CPU part", "CPU variant", "CPU revision")
"""The numbers of a processor's model in /proc/cpuinfo. They differ between processors of one name, or of none."""

_REQUIRED_VARIABLES = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # without it cuBLAS may choose another order of sums
    "TORCHDYNAMO_DISABLE": "1",  # torch.compile then returns a network as it is; compiled code has bits of its own
}

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
    """Return the environment variables for the start of a worker process.

    The caller's settings of numerical libraries are among them, because they are a part of the environment.
    """
    settings = {name: os.environ[name] for name in _LIBRARY_VARIABLES if name in os.environ}
    return {**_ALLOCATOR, **settings, **_REQUIRED_VARIABLES, **dict.fromkeys(_THREAD_VARIABLES, str(THREADS))}


def configure(device: str) -> None:
    """Set the threads, determinism and precision of this process. Call it only in a process that does nothing else."""
    torch.set_num_threads(THREADS)
    threadpool_limits(THREADS)
    torch._C._set_graph_executor_optimize(False)  # TorchScript would compute other bits from its second call on
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


def describe(device: str) -> Environment:
    """Return the native environment of training on a device of this machine after `configure`.

    Raises:
        UnusableInput: this machine does not have the device.
    """
    require(device)
    details = {
        "arithmetic": OPERATORS,
        "determinism": "deterministic algorithms, no autotuning, no TF32" if device != "cpu" else "one thread",
        "device": device,
        "code": _code(),
        "libraries": _libraries(),
        "numba": version("numba"),
        "numpy": numpy.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "pytorch": torch.__version__,
        "pytorch build": hashlib.sha256(torch.__config__.show().encode()).hexdigest()[:8],
        "system library": platform.mac_ver()[0] or " ".join(platform.libc_ver()),
        "torchvision": version("torchvision"),
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


@cache
def _code() -> str:
    """Return eight hex digits over the code of the modules that compute."""
    sources = [(Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8") for name in COMPUTING]
    return hashlib.sha256("\n".join(map(canonical, sources)).encode()).hexdigest()[:8]


def _libraries() -> str:
    """Return the libraries for matrices that numpy and PyTorch have loaded.

    Another package, such as SciPy, can bring its own library. That one does not count, because some processes load it
    and others do not.
    """
    found = set()
    for one in threadpool_info():
        package = re.search(r"(?:site|dist)-packages/([^/]+)/", one["filepath"])
        is_ours = package is None or package[1].startswith(("numpy", "torch"))  # without a package: of the system
        if one["user_api"] == "blas" and is_ours:
            found.add(" ".join(str(one[key]) for key in ("internal_api", "version", "architecture") if one.get(key)))
    return ", ".join(sorted(found)) or "none of their own"


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
    numbers = "/".join(first[name] for name in (*_X86, *_ARM) if name in first)
    name = first.get("model name", platform.machine()) + (f" ({numbers})" if numbers else "")
    is_x86 = platform.machine() in ("x86_64", "i686")  # an emulator shows the file of the machine that it runs on
    return f"{platform.machine()} emulated on {name}" if _X86[0] in first and not is_x86 else name
