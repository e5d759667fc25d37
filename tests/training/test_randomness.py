"""Tests of `randomness`: every draw is a pure function of (seed, purpose, step, layer)."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.network.specification import VARIED
from bench.training import randomness
from bench.training.randomness import Purpose, Seeds, dropout_mask, keep_threshold, order, seeds, words
from models import ARCHITECTURES

UINT64 = 2**64 - 1


def test_the_generator_is_philox_4x64_10_of_the_published_known_answers():
    # From Random123's kat_vectors: counter and key all zero, all ones, and digits of pi. numpy counts up, then draws.
    for counter, key, expected in (
        (
            (0, 0, 0, 0),
            (0, 0),
            (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B),
        ),
        (
            (UINT64, UINT64, UINT64, UINT64),
            (UINT64, UINT64),
            (0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0),
        ),
        (
            (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89),
            (0x452821E638D01377, 0xBE5466CF34E90C6C),
            (0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6),
        ),
    ):
        number = sum(word << (64 * place) for place, word in enumerate(counter))
        one_less = (number - 1) % 2**256
        generator = numpy.random.Philox(
            counter=numpy.array([(one_less >> (64 * place)) & UINT64 for place in range(4)], dtype=numpy.uint64),
            key=numpy.array(key, dtype=numpy.uint64),
        )
        assert tuple(int(word) for word in generator.random_raw(4)) == expected


def test_words_are_known_answers_that_never_change():
    assert [hex(int(word)) for word in words(1, Purpose.DROPOUT, 2, 3, 5)] == [
        "0xb165f6ae47678369",
        "0xd9ccfabfe4e3dc59",
        "0xc64aafc2bbce16a0",
        "0xd97214af5c953c37",
        "0xaddeb920c492d587",
    ]


def test_words_come_from_the_counter_and_key_that_the_module_describes():
    for seed, purpose, step, layer in ((1, Purpose.DROPOUT, 2, 3), (UINT64, Purpose.ORDER, 7, 0)):
        blocks = [philox((block, step, layer, 0), (seed, purpose)) for block in (1, 2)]
        assert [int(word) for word in words(seed, purpose, step, layer, 8)] == [*blocks[0], *blocks[1]]


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Ten rounds of Philox4x64 as its authors describe them, in plain integers."""
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * counter[0], 2**64)
        high1, low1 = divmod(0xCA5A826395121157 * counter[2], 2**64)
        counter = (high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0)
        key = ((key[0] + 0x9E3779B97F4A7C15) % 2**64, (key[1] + 0xBB67AE8584CAA73B) % 2**64)
    return counter


@given(st.integers(0, UINT64), st.sampled_from(list(Purpose)), st.integers(0, UINT64), st.integers(0, UINT64))
def test_a_draw_is_repeatable_and_a_longer_one_only_goes_on(seed, purpose, step, layer):
    short = words(seed, purpose, step, layer, 5)
    assert (words(seed, purpose, step, layer, 9)[:5] == short).all()


@given(
    st.tuples(st.integers(0, UINT64), st.sampled_from(list(Purpose)), st.integers(0, UINT64), st.integers(0, UINT64)),
    st.integers(0, 3),
    st.integers(1, 1000),
)
def test_changing_any_ingredient_changes_the_stream(ingredients, place, difference):
    other = list(ingredients)
    if place == 1:
        other[1] = Purpose(other[1] % len(Purpose) + 1)
    else:
        other[place] = (other[place] + difference) % 2**64
    assert not (words(*ingredients, 4) == words(*other, 4)).any()


def test_every_layer_step_and_seed_has_a_stream_of_its_own():
    firsts = {int(words(*key, 1)[0]) for key in itertools.product(range(5), Purpose, range(20), range(12))}
    assert len(firsts) == 5 * len(Purpose) * 20 * 12


def test_the_order_of_an_epoch_is_a_permutation_that_seed_and_epoch_change():
    first = order(1, 1, 60_000)
    assert torch.equal(first.sort().values, torch.arange(60_000))
    assert torch.equal(first, order(1, 1, 60_000))
    for other in (order(2, 1, 60_000), order(1, 2, 60_000)):
        assert (first == other).sum() < 20  # one fixed point is expected by chance


def test_the_order_puts_every_image_anywhere():
    places = torch.stack([torch.argsort(order(seed, 1, 50)) for seed in range(2000)]).double()
    standard_error = ((50**2 - 1) / 12 / 2000) ** 0.5
    assert ((places.mean(dim=0) - 24.5).abs() < 5 * standard_error).all()


@given(st.floats(0, 1))
def test_the_keep_probability_is_within_two_to_the_minus_sixteen_of_the_documented_one(probability):
    assert abs(keep_threshold(probability) / 65_536 - (1 - probability)) < 2**-16


@pytest.mark.parametrize("probability", [0.05, 0.1, 0.3, 0.5])
def test_masks_keep_the_documented_share_within_five_standard_errors(probability):
    mask = dropout_mask(1, 0, 0, (100, 10, 30, 30), probability)
    kept = keep_threshold(probability) / 65_536
    standard_error = (kept * (1 - kept) / mask.size) ** 0.5
    assert abs((mask > 0).mean() - kept) < 5 * standard_error
    by_channel = (mask > 0).mean(axis=(0, 2, 3))
    assert (abs(by_channel - kept) < 5 * standard_error * 10**0.5).all()


def test_a_mask_scales_what_it_keeps_so_that_the_mean_stays():
    assert set(numpy.unique(dropout_mask(1, 0, 0, (64, 64), 0.3))) == {numpy.float32(0), numpy.float32(1 / 0.7)}
    assert (dropout_mask(1, 0, 0, (8, 8), 0.0) == 1).all()
    assert (dropout_mask(1, 0, 0, (8, 8), 1.0) == 0).all()


def test_a_mask_takes_the_sixteen_bit_words_in_logical_order_from_the_low_end():
    shape, probability = (3, 5, 7, 2), 0.3
    stream = words(9, Purpose.DROPOUT, 4, 2, 53)
    expected = [(int(stream[i // 4]) >> (16 * (i % 4)) & 0xFFFF) < keep_threshold(probability) for i in range(210)]
    assert (dropout_mask(9, 4, 2, shape, probability).reshape(-1) > 0).tolist() == expected


def test_initial_weights_depend_on_the_seed_alone_and_leave_the_global_generator_as_it_was():
    architecture = ARCHITECTURES["unpadded"]
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    first = randomness.build(architecture, 1).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(7)
    again, other = (randomness.build(architecture, seed).state_dict() for seed in (1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_initial_weights_are_pytorchs_default_ones_under_the_derived_seed():
    derived = int(words(5, Purpose.WEIGHTS, 0, 0, 1)[0])
    code = (
        "import torch; from models.unpadded import Unpadded;"
        f"torch.manual_seed({derived}); print(float(Unpadded().conv1.weight.detach().double().sum()).hex())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    built = randomness.build(ARCHITECTURES["unpadded"], 5)
    assert float(built.conv1.weight.detach().double().sum()).hex() == printed


def test_drawing_leaves_numpys_global_generator_as_it_was():
    numpy.random.seed(1)
    before = numpy.random.get_state()[1].copy()
    order(1, 1, 100)
    dropout_mask(1, 1, 1, (4, 4), 0.5)
    assert (numpy.random.get_state()[1] == before).all()


def test_the_seed_of_a_run_is_that_of_all_its_draws_or_of_one_kind():
    assert seeds("", 7) == Seeds(7, 7, 7)
    assert [seeds(vary, 7) for vary in VARIED] == [Seeds(7, 1, 1), Seeds(1, 7, 1), Seeds(1, 1, 7)]
    assert {seeds(vary, 1) for vary in ("", *VARIED)} == {Seeds(1, 1, 1)}
