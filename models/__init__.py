"""The five documented networks, in the order of the documents. Each has a file of its name. No torch is imported."""

from __future__ import annotations

from pathlib import Path

from bench.network import network_file
from bench.network.specification import Architecture
from models import documents

ARCHITECTURES: dict[str, Architecture] = {
    name: network_file.read(Path(__file__).parent / f"{name}.py", source.RECIPE, source.DOCUMENT)
    for name, source in (
        ("squeeze_fc", documents.squeeze_fc),
        ("expand_squeeze", documents.expand_squeeze),
        ("unpadded", documents.unpadded),
        ("ten_twenty_thirty", documents.ten_twenty_thirty),
        ("gap_head", documents.gap_head),
    )
}
