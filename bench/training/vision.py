"""Import torchvision with any build of torch.

The wheel of torchvision on the package index is built for CUDA. A CPU build of torch cannot load its compiled part. The
import then fails where torchvision describes two operators of that part to torch: "operator torchvision::nms does not
exist". The import succeeds if the schemas of the two operators are declared first. The operators themselves are still
missing, but this package does not use them.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []  # torch forgets a schema when its library object is collected


def import_torchvision() -> ModuleType:
    """Import torchvision, even if its compiled operators do not match this build of torch."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _declared.append(library)
    return importlib.import_module("torchvision")
