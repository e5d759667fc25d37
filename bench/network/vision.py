"""Import torchvision beside any build of torch. This module imports neither of them before it is asked to."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

# The wheel of torchvision on the package index is for CUDA. A CPU build of torch cannot load its compiled part, and the
# import fails where torchvision describes two operators of that part to torch. It succeeds if their schemas are
# declared first. The operators themselves are still missing, but this package does not use them.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[Any] = []  # torch forgets a schema when its library object is collected


def import_torchvision() -> ModuleType:
    """Import torchvision, even if its compiled operators do not match this build of torch."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    library = importlib.import_module("torch.library").Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _declared.append(library)
    return importlib.import_module("torchvision")
