"""The five documented networks, in document order. A network's module, and torch with it, is imported when built."""

from __future__ import annotations

from bench.specification import Architecture
from models import documents

ARCHITECTURES: dict[str, Architecture] = {
    name: Architecture(name, f"models.{name}:{class_name}", source.RECIPE, source.DOCUMENT)
    for name, class_name, source in (
        ("squeeze_fc", "SqueezeFC", documents.squeeze_fc),
        ("expand_squeeze", "ExpandSqueeze", documents.expand_squeeze),
        ("unpadded", "Unpadded", documents.unpadded),
        ("ten_twenty_thirty", "TenTwentyThirty", documents.ten_twenty_thirty),
        ("gap_head", "GapHead", documents.gap_head),
    )
}
