"""Tests of `vision`: torchvision can be imported beside any build of torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_torchvision_is_imported_whether_or_not_its_operators_are_there():
    code = (
        "import torch\n"
        "from bench.network.vision import import_torchvision\n"
        "vision = import_torchvision()\n"
        "assert import_torchvision() is vision\n"
        "print(vision.datasets.MNIST.__name__, hasattr(torch.ops.torchvision, 'nms'))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "MNIST True\n"), result.stderr


def test_another_failure_of_its_import_is_not_hidden(tmp_path: Path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('something else')")
    code = "from bench.network.vision import import_torchvision; import_torchvision()"
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.strip().endswith("RuntimeError: something else")
