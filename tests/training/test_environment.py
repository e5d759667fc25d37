"""Tests of `environment`: the digest changes with everything that can change native bits, and with nothing else."""

from __future__ import annotations

import ast
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version

import numba
import numpy
import pytest
import torch
from threadpoolctl import threadpool_info

from bench.children import child_command, child_variables
from bench.errors import UnusableInput
from bench.training import environment


def test_the_digest_is_eight_hex_digits_and_the_same_twice():
    digest = environment.describe("cpu").digest
    assert len(digest) == 8
    assert int(digest, 16) >= 0
    assert environment.describe("cpu").digest == digest


CAUSES = {
    "PyTorch": lambda patch: patch.setattr(torch, "__version__", "99.0"),
    "system": lambda patch: patch.setattr(platform, "system", lambda: "another system"),
    "architecture": lambda patch: patch.setattr(platform, "machine", lambda: "another architecture"),
    "processor": lambda patch: patch.setattr(environment, "_processor", lambda: "another processor"),
    "instruction set": lambda patch: patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another"),
    "threads": lambda patch: patch.setattr(environment, "THREADS", 2),
    "operators": lambda patch: patch.setattr(environment, "OPERATORS", "float64"),
    **{
        name: lambda patch, name=name: patch.setenv(name, "another")
        for name in (
            "ATEN_CPU_CAPABILITY",
            "DNNL_DEFAULT_FPMATH_MODE",
            "DNNL_MAX_CPU_ISA",
            "MKL_CBWR",
            "MKL_ENABLE_INSTRUCTIONS",
            "NVIDIA_TF32_OVERRIDE",
            "OPENBLAS_CORETYPE",
            "ONEDNN_DEFAULT_FPMATH_MODE",
            "ONEDNN_MAX_CPU_ISA",
        )
    },
}


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_everything_that_can_change_native_bits_changes_the_digest(cause, monkeypatch):
    here = environment.describe("cpu").digest
    cause(monkeypatch)
    assert environment.describe("cpu").digest != here


GPU_CAUSES = {
    "model": lambda patch: patch.setattr(torch.cuda, "get_device_name", lambda: "another GPU"),
    "CUDA": lambda patch: patch.setattr(torch.version, "cuda", "99.0"),
    "cuDNN": lambda patch: patch.setattr(torch.backends.cudnn, "version", lambda: 99_000),
}


@pytest.mark.parametrize("cause", GPU_CAUSES.values(), ids=GPU_CAUSES)
def test_everything_of_a_gpu_that_can_change_native_bits_changes_the_digest(cause, monkeypatch):
    monkeypatch.setattr(environment, "available_devices", lambda: ("cpu", "cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91_000)
    here = environment.describe("cuda").digest
    cause(monkeypatch)
    assert environment.describe("cuda").digest != here


def digest_in_another_process(**variables: str) -> str:
    code = "from bench.training import environment; print(environment.describe('cpu').digest)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **variables}
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_another_instruction_set_is_another_environment():
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this processor has only one")
    assert digest_in_another_process() == environment.describe("cpu").digest
    assert digest_in_another_process(ATEN_CPU_CAPABILITY="default") != environment.describe("cpu").digest
    assert digest_in_another_process(ONEDNN_MAX_CPU_ISA="SSE41") != environment.describe("cpu").digest


HERE = """
import json, sys
import numpy, torch
from threadpoolctl import threadpool_info
from bench.training import environment
environment.configure("cpu")
threads = {one["num_threads"] for one in threadpool_info()}
json.dump([environment.describe("cpu").digest, sorted(threads), torch.get_num_threads()], sys.stdout)
"""


def in_a_worker(code=HERE):
    command = child_command("bench")
    variables = child_variables(environment.worker_variables())
    done = subprocess.run(
        [*command[: command.index("-m")], "-c", code], env=variables, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_a_worker_has_one_thread_in_every_library_whatever_its_caller_sets(monkeypatch):
    for name in (
        "OPENBLAS_NUM_THREADS",
        "GOTO_NUM_THREADS",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ):
        monkeypatch.setenv(name, "2")
    assert in_a_worker() == [environment.describe("cpu").digest, [1], 1]


def test_a_library_that_a_network_loads_later_has_one_thread_too(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    code = HERE.replace('environment.configure("cpu")', 'environment.configure("cpu")\nimport scipy.linalg')
    assert in_a_worker(code) == [environment.describe("cpu").digest, [1], 1]


def test_a_setting_that_chooses_other_kernels_reaches_the_worker_and_its_environment(monkeypatch):
    before = environment.describe("cpu").digest
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    assert in_a_worker()[0] == environment.describe("cpu").digest != before


def test_the_environment_names_what_the_process_has_loaded():
    details = dict(environment.describe("cpu").details)
    assert details["numpy"] == numpy.__version__
    assert (details["numba"], details["torchvision"]) == (numba.__version__, version("torchvision"))
    loaded = [one for one in threadpool_info() if one["user_api"] == "blas" and "scipy.libs" not in one["filepath"]]
    for one in loaded:
        assert f"{one['internal_api']} {one['version']}" in details["libraries"]
    if platform.system() == "Linux":
        assert details["system library"] == " ".join(platform.libc_ver())


@pytest.mark.parametrize(
    "changed",
    [
        lambda patch: patch.setattr(numpy, "__version__", "99"),
        lambda patch: patch.setattr(environment, "version", lambda name: "99"),
        lambda patch: patch.setattr(environment.platform, "libc_ver", lambda: ("glibc", "99")),
        lambda patch: patch.setattr(environment.torch.__config__, "show", lambda: "another build"),
        lambda patch: patch.setattr(environment, "threadpool_info", list),
        lambda patch: patch.setattr(environment, "_code", lambda: "other code"),
    ],
    ids=["numpy", "torchvision", "system", "build of PyTorch", "libraries", "code"],
)
def test_another_version_of_what_computes_is_another_environment(changed, monkeypatch):
    here = environment.describe("cpu").digest
    changed(monkeypatch)
    assert environment.describe("cpu").digest != here


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("/v/lib/python3.11/site-packages/numpy.libs/libopenblas.so", True),
        ("/v/lib/python3.11/site-packages/torch/lib/libmkl_rt.so", True),
        ("/usr/lib/x86_64-linux-gnu/libopenblas.so.0", True),
        ("/home/me/.local/lib/python3.11/site-packages/scipy.libs/libopenblas.so", False),
    ],
)
def test_a_library_of_a_package_that_only_some_processes_load_does_not_count(path, counts, monkeypatch):
    one = {"user_api": "blas", "internal_api": "openblas", "version": "1.2", "architecture": "ZEN", "filepath": path}
    monkeypatch.setattr(environment, "threadpool_info", lambda: [one])
    assert environment._libraries() == ("openblas 1.2 ZEN" if counts else "none of their own")


def test_the_code_counts_but_not_its_comments(monkeypatch, tmp_path):
    for name in environment.COMPUTING:
        (tmp_path / f"{name}.py").write_text('"""One."""\nx = 1  # one\n')
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "environment.py"))
    first = environment._code.__wrapped__()
    (tmp_path / "native.py").write_text('"""Two."""\n\nx = (1)\n')
    assert environment._code.__wrapped__() == first
    (tmp_path / "native.py").write_text("x = 2")
    assert environment._code.__wrapped__() != first


DESCRIBING = {
    *("bench", "bench.errors", "bench.files", "bench.network", "bench.network.calls", "bench.network.loading"),
    *("bench.network.opened", "bench.network.source", "bench.network.source.canonical", "bench.network.specification"),
    *("bench.network.settings", "bench.network.source.names", "bench.network.source.text"),
    "bench.network.vision",
    "bench.training",
}
"""Modules that compute nothing: they say what is trained, bring the network's own code, or read files and report."""


def imported_by(module):
    """The modules of this package that a module imports anywhere, also inside a function, and their packages."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for parts in (name.split(".") for name in names):
            yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1) if parts[0] == "bench")


def test_every_module_that_computes_a_native_run_counts(root):
    """The modules that `loop` imports, directly or not, in every room; the exact arithmetic is another environment."""
    found, waiting = set(), ["bench.training.loop"]
    while waiting:
        name = waiting.pop()
        path = root.joinpath(*name.split("."))
        file = next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()), None)
        if file is not None and name not in (*found, "bench.training.exact"):
            found.add(name)
            waiting += imported_by(file)
    assert found - DESCRIBING == {f"bench.training.{name}" for name in environment.COMPUTING}
    assert found >= DESCRIBING


def test_an_unrelated_variable_is_the_same_environment():
    assert digest_in_another_process(COLUMNS="40", HOME="/nowhere") == environment.describe("cpu").digest


def test_a_configured_process_has_the_number_of_threads_in_the_digest():
    code = (
        "from bench.training import environment; environment.configure('cpu'); "
        "import torch; print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == environment.THREADS
    assert ("threads", str(environment.THREADS)) in environment.describe("cpu").details


def test_the_json_has_every_detail():
    here = environment.describe("cpu")
    assert json.loads(here.to_json()) == dict(here.details)


X86 = (
    "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\nstepping\t: 1\n"
)
ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n"


@pytest.mark.parametrize(
    ("machine", "content", "expected"),
    [
        ("x86_64", X86, "AMD EPYC (26/2/1)"),
        ("aarch64", ARM, "aarch64 (0x41/0xd0c/0x3/1)"),
        ("aarch64", X86, "aarch64 emulated on AMD EPYC (26/2/1)"),
        ("aarch64", "", "aarch64"),
    ],
)
def test_a_processor_is_named_by_its_model_and_an_emulated_one_says_so(monkeypatch, machine, content, expected):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(environment.Path, "read_text", lambda *_, **__: content)
    assert environment._processor() == expected


def test_a_machine_is_described_by_processor_pytorch_and_system(monkeypatch):
    here = environment.machine(environment.describe("cpu"))
    assert here.startswith(environment._processor())
    assert torch.backends.cpu.get_cpu_capability() in here
    assert f"PyTorch {torch.__version__}" in here
    assert here.endswith(f"{platform.system()} {platform.machine()}")
    assert "," not in here  # it is a field of a CSV file, and people split such lines at commas
    monkeypatch.setattr(environment, "_processor", lambda: "another processor")
    assert environment.machine(environment.describe("cpu")).startswith("another processor")


def test_an_absent_device_is_an_error_that_names_those_present():
    absent = [device for device in ("cuda", "mps") if device not in environment.available_devices()]
    assert absent, "every kind of device is here?"
    with pytest.raises(UnusableInput, match=rf"{absent[0]}.*this machine has no such device.*cpu"):
        environment.describe(absent[0])
