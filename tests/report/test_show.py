"""Tests of `show`: the lines that `list` and `show` print about a network, and the mark of a difference."""

from __future__ import annotations

import dataclasses
import re

import pytest

from bench.network.specification import Architecture, Document, Layer
from bench.network.structure_facts import FunctionCall, Structure, load
from bench.report.show import format_list, format_show
from models import ARCHITECTURES

STRUCTURES = load(ARCHITECTURES)


def show(name: str, **changes: object) -> list[str]:
    """The lines about a network whose structure has these changes."""
    return format_show(ARCHITECTURES[name], dataclasses.replace(STRUCTURES[name], **changes))  # type: ignore[arg-type]


def row(lines: list[str], number: int) -> str:
    """The cells of a numbered row from its layer on, one space apart."""
    (found,) = (line for line in lines if re.match(rf" *{number}  ", line))
    return " ".join(found.split()[1:])


def fact(lines: list[str], name: str) -> list[str]:
    return [line.removeprefix(name).strip() for line in lines if line.startswith(name + "  ")]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_row_of_the_networks_equals_the_documented_one(name: str) -> None:
    lines = show(name)
    layers = len(ARCHITECTURES[name].document.layers)
    assert [row(lines, number).split()[-1] for number in range(1, layers + 1)] == ["equal"] * layers
    assert fact(lines, "layers") == [f"{layers} of {layers} rows equal"]
    assert "different" not in " ".join(lines)


def test_a_row_has_layer_output_and_parameters_beside_the_documented_ones() -> None:
    assert row(show("unpadded"), 4) == "Conv2d 20x24x24 2,180 Conv2d 20x24x24 2,180 equal"
    assert row(show("squeeze_fc"), 26) == "Linear 10 170 Linear 10 170 equal"


def test_rows_that_differ_are_marked() -> None:
    layers = list(STRUCTURES["gap_head"].layers)
    layers[1] = Layer("BatchNorm2d", (16, 28, 28), 31)
    layers.pop()
    lines = show("gap_head", layers=tuple(layers), parameters=19_121)
    assert row(lines, 1).endswith(" equal")
    assert row(lines, 2) == "BatchNorm2d 16x28x28 31 BatchNorm2d 16x28x28 32 different"
    assert row(lines, 20) == "none AvgPool2d 10x1x1 0 different"
    assert fact(lines, "layers") == ["18 of 20 rows equal"]
    assert fact(lines, "parameters") == ["19,121 measured, 19,122 documented: different"]


def test_a_row_too_many_is_marked() -> None:
    lines = show("gap_head", layers=(*STRUCTURES["gap_head"].layers, Layer("ReLU", (10, 1, 1), 0)))
    assert row(lines, 21) == "ReLU 10x1x1 0 none different"


@pytest.mark.parametrize(("name", "source"), [("unpadded", "printed in the document"), ("expand_squeeze", "notebook")])
def test_the_source_of_the_documented_table_is_named(name: str, source: str) -> None:
    (line,) = (line for line in show(name) if line.startswith("Shapes"))
    assert source in line


def test_functions_stand_in_brackets_where_they_are_called() -> None:
    lines = show("unpadded")
    first = next(i for i, line in enumerate(lines) if "Conv2d" in line)
    assert lines[first + 1].strip() == "(relu)"
    assert "BatchNorm2d" in lines[first + 2]
    assert sum(line.strip() == "(relu)" for line in lines) == 7
    before_all = show("unpadded", functions=(FunctionCall("pad", 0),))
    assert before_all[first].strip() == "(pad)"


def test_functions_that_cannot_be_traced_are_said_to_be_left_out() -> None:
    assert any("cannot be traced" in line for line in show("unpadded", functions=None))
    assert not any("functions in brackets" in line for line in show("unpadded", functions=()))


def test_size_and_recipe_come_with_their_sources() -> None:
    lines = show("unpadded")
    assert fact(lines, "parameters") == ["14,120 measured, 14,120 documented: equal"]
    assert fact(lines, "work") == ["1,853,488 multiply-accumulates in the forward pass of one image"]
    (recipe,) = fact(lines, "recipe")
    assert recipe == (
        "SGD, learning rate 0.07 (notebook), batch size 128 (document), epochs 19 (document), momentum 0.9 (notebook)"
    )


@pytest.mark.parametrize("document", [None, ARCHITECTURES["unpadded"].document], ids=["own", "documented"])
@pytest.mark.parametrize(
    ("uncovered", "on_gpu", "said"),
    [
        ((), (), "exact, with the same bits on every machine"),
        (
            (),
            ("Add", "Cat"),
            "exact on the CPU, with the same bits on every machine; native on a GPU, which does not cover: Add; Cat",
        ),
        (
            ("torch.cumsum", "an augmentation"),
            (),
            "native, by PyTorch's operators; exact arithmetic does not cover: torch.cumsum; an augmentation",
        ),
    ],
)
def test_the_arithmetic_is_named_with_what_stands_in_the_way_of_the_exact_one(
    document: Document | None, uncovered: tuple[str, ...], on_gpu: tuple[str, ...], said: str
) -> None:
    one = ARCHITECTURES["unpadded"]
    one = dataclasses.replace(one, uncovered=uncovered, uncovered_on_gpu=on_gpu, document=document)
    assert fact(format_show(one, STRUCTURES["unpadded"]), "arithmetic") == [said]


@pytest.mark.parametrize(
    ("name", "parameters", "limits"),
    [
        ("unpadded", 14_120, ["parameters: met, 14,120", "epochs: met, 19"]),
        ("unpadded", 20_000, ["parameters: not met, 20,000", "epochs: met, 19"]),
        ("gap_head", 19_999, ["parameters: met, 19,999", "epochs: not met, 20"]),
    ],
)
def test_limits_are_met_or_not(name: str, parameters: int, limits: list[str]) -> None:
    expected = [f"fewer than {bound} {limit}" for bound, limit in zip(("20,000", "20"), limits, strict=True)]
    assert fact(show(name, parameters=parameters), "limit") == expected


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_remark_is_a_line(name: str) -> None:
    assert fact(show(name), "remark") == list(ARCHITECTURES[name].document.remarks)


def test_the_list_has_document_parameters_recipe_and_claims() -> None:
    lines = format_list(ARCHITECTURES, STRUCTURES)
    starts = [i for i, line in enumerate(lines) if line.split(" ")[0] in ARCHITECTURES]
    assert [lines[i].split()[0] for i in starts] == list(ARCHITECTURES)
    assert max(len(line) for line in lines) <= 120
    gap_head = [re.sub(r"\s{2,}", "  ", line) for line in lines[starts[-1] :]]
    assert gap_head[0].startswith("gap_head  Task: To acheive  19,122  SGD 0.01  fewer than 20,000 parameters;")
    assert " batch 64 " in gap_head[1]
    assert " 20 epochs " in gap_head[2]
    assert "99.55 %" in " ".join(gap_head)


def test_the_list_shows_what_is_measured() -> None:
    only: dict[str, Architecture] = {"unpadded": ARCHITECTURES["unpadded"]}
    measured: dict[str, Structure] = {"unpadded": dataclasses.replace(STRUCTURES["unpadded"], parameters=15_000)}
    text = " ".join(format_list(only, measured))
    assert "15,000" in text
    assert "14,120" not in text


@pytest.mark.parametrize("document", [None, ARCHITECTURES["unpadded"].document], ids=["own", "documented"])
def test_the_digests_of_the_record_are_shown_with_those_of_every_kind_that_varies(document: Document | None) -> None:
    one = dataclasses.replace(ARCHITECTURES["unpadded"], document=document)
    weights, order, dropout = (one.varied(vary).digest for vary in ("weights", "order", "dropout"))
    said = f"{one.digest}; with --vary weights {weights}, order {order}, dropout {dropout}"
    assert fact(format_show(one, STRUCTURES["unpadded"]), "digest") == [said]
