"""Tests of `models.documents`: the logs, recipes and claims are those of the five documents."""

from __future__ import annotations

import math
from typing import get_args

import pytest

from bench.network.specification import ClaimKind, Document, Recipe
from models import ARCHITECTURES
from models.documents import COMMON
from models.documents.survey import SURVEY

NAMES = tuple(ARCHITECTURES)

# The numbers before "/10000" in the text of each document, in the order of the text.
PRINTED = {
    "squeeze_fc": "9902 9904 9915 9916 9882 9921",
    "expand_squeeze": "9808 9878 9891 9906 9919 9911 9926 9916 9939 9912 9925 9946 9937 9941 9929 9950 9949 9943 9941",
    "unpadded": "9838 9886 9895 9889 9888 9916 9922 9906 9922 9917 9927 9930 9930 9941 9931 9942 9942 9937 9951",
    "ten_twenty_thirty": "9944",
    "gap_head": "9775 9852 9905 9922 9914 9918 9926 9924 9924 9941 9934 9939 9947 9951 9945 9950 9955 9944 9948 9952",
}

# The documents leave parts of their logs out. The notebooks have them, here by the first epoch of each stretch.
FROM_NOTEBOOKS = {
    "squeeze_fc": {1: "9699 9838 9855 9863 9869 9890 9879 9901 9899", 16: "9912 9899 9921 9922"},
    "expand_squeeze": {},
    "unpadded": {},
    "ten_twenty_thirty": {
        1: "9826 9880 9890 9920 9920 9926 9928 9934 9933 9940 9937 9928 9940 9938 9937 9937 9936 9933 9936"
    },
    "gap_head": {},
}
FIRST_PRINTED_EPOCH = {"squeeze_fc": 10, "expand_squeeze": 1, "unpadded": 1, "ten_twenty_thirty": 20, "gap_head": 1}

#                      learning rate, batch, epochs
RECIPES = {
    "squeeze_fc": (0.01, 128, 19),
    "expand_squeeze": (0.01, 128, 19),
    "unpadded": (0.07, 128, 19),
    "ten_twenty_thirty": (0.01, 128, 20),
    "gap_head": (0.01, 64, 20),
}
READ_IN_DOCUMENT = {
    "squeeze_fc": {"learning_rate", "batch_size"},
    "expand_squeeze": {"learning_rate", "batch_size", "epochs"},
    "unpadded": {"batch_size", "epochs"},
    "ten_twenty_thirty": {"batch_size", "epochs"},
    "gap_head": {"batch_size", "epochs"},
}
PRINTED_BATCHES = {
    "squeeze_fc": 469,
    "expand_squeeze": 469,
    "unpadded": 469,
    "ten_twenty_thirty": 469,
    "gap_head": 938,
}

#                      first epoch at 9940, best, (first) epoch of the best, last
SUMMARY: dict[str, tuple[int | None, int, int, int]] = {
    "squeeze_fc": (None, 9922, 19, 9922),
    "expand_squeeze": (12, 9950, 16, 9941),
    "unpadded": (14, 9951, 19, 9951),
    "ten_twenty_thirty": (10, 9944, 20, 9944),
    "gap_head": (10, 9955, 17, 9952),
}

CLAIMED: dict[str, dict[ClaimKind, int]] = {
    "squeeze_fc": {
        "parameters": 18_650,
        "parameters_below": 20_000,
        "reaches_target": 9940,
        "epochs_below": 20,
        "fully_connected_layers": 1,
        "global_average_pooling": 1,
    },
    "expand_squeeze": {
        "parameters": 15_938,
        "parameters_below": 20_000,
        "reaches_target": 9940,
        "epochs_below": 20,
        "first_epoch": 9,
        "sustained": 4,
        "last": 9941,
        "convolutions": 8,
        "fully_connected_layers": 1,
        "max_pools": 3,
        "batch_norm_after_every_convolution": 1,
        "dropout_after_every_convolution": 1,
        "global_average_pooling": 1,
    },
    "unpadded": {
        "parameters": 14_120,
        "parameters_below": 20_000,
        "reaches_target": 9940,
        "epochs_below": 20,
        "first_epoch": 14,
        "last": 9951,
        "fully_connected_layers": 0,
    },
    "ten_twenty_thirty": {
        "parameters": 18_430,
        "parameters_below": 20_000,
        "reaches_target": 9940,
        "epochs_below": 20,
        "last": 9944,
        "fully_connected_layers": 0,
    },
    "gap_head": {
        "parameters": 19_122,
        "parameters_below": 20_000,
        "reaches_target": 9940,
        "epochs_below": 20,
        "best": 9955,
        "fully_connected_layers": 0,
    },
}
CONTRADICTED: dict[str, set[ClaimKind]] = {
    "squeeze_fc": {"reaches_target", "epochs_below", "global_average_pooling"},
    "expand_squeeze": {"first_epoch", "batch_norm_after_every_convolution", "global_average_pooling"},
    "unpadded": set(),
    "ten_twenty_thirty": {"epochs_below"},
    "gap_head": {"epochs_below", "best"},
}


def document(name: str) -> Document:
    return ARCHITECTURES[name].document


def correct(name: str) -> list[int]:
    return [entry.correct for entry in document(name).log]


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split()]


@pytest.mark.parametrize("name", NAMES)
def test_the_log_has_every_epoch_of_the_recipe_once(name: str) -> None:
    epochs = [entry.epoch for entry in document(name).log]
    assert epochs == list(range(1, ARCHITECTURES[name].recipe.epochs + 1))


@pytest.mark.parametrize("name", NAMES)
def test_the_log_agrees_with_the_text_of_the_document(name: str) -> None:
    printed = [(entry.epoch, entry.correct) for entry in document(name).log if entry.source == "document"]
    assert printed == list(enumerate(numbers(PRINTED[name]), start=FIRST_PRINTED_EPOCH[name]))


@pytest.mark.parametrize("name", NAMES)
def test_the_rest_of_the_log_agrees_with_the_notebook(name: str) -> None:
    read = [(entry.epoch, entry.correct) for entry in document(name).log if entry.source == "notebook"]
    stretches = FROM_NOTEBOOKS[name].items()
    assert read == [pair for first, text in stretches for pair in enumerate(numbers(text), start=first)]


@pytest.mark.parametrize("name", NAMES)
def test_first_best_and_last_epoch_of_the_log(name: str) -> None:
    target = ARCHITECTURES[name].target.correct
    log = correct(name)
    first = next((epoch for epoch, hits in enumerate(log, start=1) if hits >= target), None)
    assert (first, max(log), log.index(max(log)) + 1, log[-1]) == SUMMARY[name]


def test_single_facts_of_the_logs() -> None:
    assert correct("expand_squeeze")[9 - 1] == 9939
    assert correct("expand_squeeze")[-4:] == [9950, 9949, 9943, 9941]
    reached = [epoch for epoch, hits in enumerate(correct("ten_twenty_thirty"), start=1) if hits >= 9940]
    assert reached == [10, 13, 20]
    assert max(numbers(PRINTED["squeeze_fc"])) == 9921


@pytest.mark.parametrize("name", NAMES)
def test_recipe(name: str) -> None:
    learning_rate, batch_size, epochs = RECIPES[name]
    assert ARCHITECTURES[name].recipe == Recipe(learning_rate, batch_size, epochs, momentum=0.9)


@pytest.mark.parametrize("name", NAMES)
def test_the_batch_size_gives_the_printed_number_of_batches(name: str) -> None:
    assert math.ceil(60_000 / ARCHITECTURES[name].recipe.batch_size) == PRINTED_BATCHES[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_the_recipe_has_its_source(name: str) -> None:
    sources = document(name).recipe_sources
    assert [field for field, _ in sources] == ["learning_rate", "batch_size", "epochs", "momentum"]
    assert {field for field, _ in sources} == set(ARCHITECTURES[name].recipe.facts)
    assert {field for field, source in sources if source == "document"} == READ_IN_DOCUMENT[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_layer_table_adds_up_to_the_documented_total(name: str) -> None:
    assert sum(layer.parameters for layer in document(name).layers) == document(name).parameters


def test_only_the_table_that_is_a_picture_comes_from_the_notebook() -> None:
    assert [name for name in NAMES if document(name).layers_source == "notebook"] == ["expand_squeeze"]


@pytest.mark.parametrize("name", NAMES)
def test_claims_are_those_of_the_document(name: str) -> None:
    claims = document(name).claims
    assert {claim.kind: claim.value for claim in claims} == CLAIMED[name]
    assert len({claim.kind for claim in claims}) == len(claims)
    assert {claim.kind for claim in claims} <= set(get_args(ClaimKind))
    assert {claim.source for claim in claims} == {"document"}


@pytest.mark.parametrize("name", NAMES)
def test_contradicted_claims_say_what_contradicts_them(name: str) -> None:
    assert {claim.kind for claim in document(name).claims if claim.contradiction} == CONTRADICTED[name]


@pytest.mark.parametrize(
    ("name", "kind", "numbers_named"),
    [
        ("squeeze_fc", "reaches_target", ["9921", "9922"]),
        ("squeeze_fc", "global_average_pooling", ["36 of 64"]),
        ("expand_squeeze", "first_epoch", ["9939", "epoch 12"]),
        ("expand_squeeze", "global_average_pooling", ["4 of 9"]),
        ("expand_squeeze", "batch_norm_after_every_convolution", ["third"]),
        ("ten_twenty_thirty", "epochs_below", ["20", "epoch 10"]),
        ("gap_head", "epochs_below", ["20", "epoch 10"]),
        ("gap_head", "best", ["epoch 17", "test set", "9952"]),
    ],
)
def test_contradictions_name_their_numbers(name: str, kind: ClaimKind, numbers_named: list[str]) -> None:
    (contradiction,) = (claim.contradiction for claim in document(name).claims if claim.kind == kind)
    assert [number for number in numbers_named if number not in contradiction] == []


@pytest.mark.parametrize("name", NAMES)
def test_statistical_claims_without_contradiction_hold_in_the_log(name: str) -> None:
    log = correct(name)
    reached = [epoch for epoch, hits in enumerate(log, start=1) if hits >= 9940]
    for claim in document(name).claims:
        holds = {
            "reaches_target": max(log) >= claim.value,
            "epochs_below": bool(reached) and len(log) < claim.value,
            "first_epoch": reached[:1] == [claim.value],
            "last": log[-1] == claim.value,
            "sustained": min(log[-claim.value :]) > 9940,
        }
        if claim.kind in holds:
            assert holds[claim.kind] == (not claim.contradiction), claim


@pytest.mark.parametrize("name", NAMES)
def test_texts_fit_a_table_cell(name: str) -> None:
    claims = document(name).claims
    for text in [text for claim in claims for text in (claim.text, claim.contradiction)] + list(document(name).remarks):
        assert "|" not in text
        assert "\n" not in text
        assert text == text.strip()
        assert len(text) < 120
    assert all(claim.text for claim in claims)


@pytest.mark.parametrize("name", NAMES)
def test_a_document_names_its_notebook(name: str) -> None:
    source = document(name)
    notebooks = {
        "squeeze_fc": ("Session 4 Assignment", "vivekmse0205/EVA6", "d4fb05f", "2021-05", 39),
        "expand_squeeze": ("Assignment 3b", "nitingarg2015/EVA8", "d7daf00", "2023-01", 28),
        "unpadded": ("Assignment 4", "Abhinavl3v3l/EVA5", "4a2ed46", "2020-08", 36),
        "ten_twenty_thirty": ("Session-4 Assignment Task", "velasoka-repo/EVA4", "2fee519", "2020-03", 29),
        "gap_head": ("Task: To acheive 99.4%", "abksyed/EVA4", "0a9c740", "2020-04", 65),
    }
    stated = (source.title, source.repository, source.commit, source.date, source.batches_per_second)
    assert stated == notebooks[name]


def test_remarks_add_to_the_figures() -> None:
    assert any("earlier network" in remark for remark in document("squeeze_fc").remarks)
    rerun = next(remark for remark in document("expand_squeeze").remarks if "rerun" in remark)
    assert [number for number in ("13", "9948", "9935") if number not in rerun] == []
    assert any("20 epochs" in remark and "19" in remark for remark in document("expand_squeeze").remarks)
    assert any("test set" in remark for remark in COMMON)


def test_the_survey_is_one_set_of_runs() -> None:
    plain = SURVEY.plain_sgd
    assert sum(band.notebooks for band in plain.bands) == plain.notebooks == 149
    assert sum(band.best_reached for band in plain.bands) == plain.best_reached == 65
    edges = [(band.at_least, band.below) for band in plain.bands]
    assert [above for above, _ in edges[1:]] == [below for _, below in edges[:-1]]
    assert (edges[0][0], edges[-1][1]) == (0, SURVEY.parameters_below)
    assert SURVEY.date == "2026-11"
    assert SURVEY.assignment.first_epoch_quartiles == (10, 13, 17)
    assert (SURVEY.assignment.notebooks, SURVEY.assignment.best_reached, SURVEY.assignment.last_reached) == (87, 67, 47)
