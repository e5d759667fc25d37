"""Tests of `compiled`: a fused multiply-add rounds once, nothing is reordered, and no damage to the cache matters."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import shutil
from pathlib import Path

import numba
import numpy
import pytest

from bench.training.arithmetic.kernels import compiled as module
from bench.training.arithmetic.kernels.compiled import bits, fma, fma64, from_bits


@numba.njit(error_model="numpy")
def fused(a, b, c):
    return fma(a, b, c)


@numba.njit(error_model="numpy")
def fused64(a, b, c):
    return fma64(a, b, c)


@numba.njit(error_model="numpy")
def there_and_back(value):
    return from_bits(bits(value))


@module.compiled
def product_and_sum(a, b, c):
    return a * b + c


@module.compiled
def chain(values):
    total = numpy.float32(0)
    for i in range(len(values)):
        total += values[i]
    return total


def test_a_fused_multiply_add_rounds_once_and_a_product_and_a_sum_round_twice():
    a = numpy.float32(1 + 2**-12)
    exact = float(a) * float(a) - 1  # 2^-11 + 2^-24: the product alone loses its last bit
    assert fused(a, a, numpy.float32(-1)) == numpy.float32(exact)
    assert product_and_sum(a, a, numpy.float32(-1)) == a * a - numpy.float32(1) != numpy.float32(exact)
    b = 1 + 2**-27
    assert fused64(b, b, -1.0) == 2**-26 + 2**-54
    assert product_and_sum(b, b, -1.0) == 2**-26


def test_subnormal_results_are_not_flushed():
    tiny = numpy.float32(2**-126)
    assert fused(tiny, numpy.float32(0.5), numpy.float32(0)) == numpy.float32(2**-127)
    assert product_and_sum(tiny, numpy.float32(0.5), numpy.float32(0)) == numpy.float32(2**-127)


def test_a_chain_is_added_in_its_order():
    values = numpy.random.default_rng(1).standard_normal(1000).astype(numpy.float32)
    expected = numpy.float32(0)
    for one in values:
        expected += one
    assert chain(values) == expected
    assert chain(values) != chain(values[::-1].copy())


@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, -math.inf, 2.0**-1074])
def test_a_number_has_the_bits_of_its_format(value):
    assert math.copysign(1, there_and_back(value)) == math.copysign(1, value)
    assert there_and_back(value) == value


# What is compiled is kept on disk


def scaled(factor):
    """A compiled function of a number. All such functions have one name and one signature."""

    def scale(a):
        return a * factor

    return module.compiled(scale)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that keeps compiled code. The folder of the user is `home`, beside it."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "cache" / module._VERSION


def is_kept(factor=2.0):
    """Call a new function and check its result. Return whether its code was kept, and not compiled."""
    function = scaled(factor)
    assert function(3.0) == 3.0 * factor
    return sum(function.stats.cache_misses.values()) == 0


def test_a_function_is_compiled_once(folder):
    assert [is_kept() for _ in range(3)] == [False, True, True]
    assert len(list(folder.iterdir())) == 1


def test_functions_of_one_name_and_signature_are_kept_apart(folder):
    assert [is_kept(factor) for factor in (2.0, 5.0, 2.0, 5.0)] == [False, False, True, True]


def cut(share):
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def flip(place):
    def change(path):
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)

    return change


def exchange(path):
    """Put the valid code of another function in the place of a file's second half."""
    content = path.read_bytes()
    path.unlink()
    is_kept(7.0)
    (other,) = path.parent.iterdir()
    path.write_bytes(content[:200] + other.read_bytes()[200:])


@pytest.mark.parametrize(
    "damage",
    [*map(cut, (0, 0.001, 0.3, 0.999)), *map(flip, (0, 40, 4000, -1)), exchange, Path.unlink],
    ids=["empty", "start", "cut", "almost whole", "checksum", "first", "middle", "last", "exchanged", "deleted"],
)
def test_code_that_is_damaged_or_gone_is_compiled_anew_and_kept_again(folder, damage):
    is_kept()
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    damage(path)
    assert path.exists() is (damage is not Path.unlink)
    assert [is_kept(), is_kept()] == [False, True]
    assert len(path.read_bytes()) > len(whole) / 2


@pytest.mark.parametrize("what", [b"", b"x" * 32, hashlib.sha256(b"x").digest() + b"x"])
def test_a_file_of_something_else_is_replaced(folder, what):
    is_kept()
    (path,) = folder.iterdir()
    path.write_bytes(what)
    assert [is_kept(), is_kept()] == [False, True]


def test_a_cache_that_is_emptied_is_filled_again(folder):
    is_kept()
    shutil.rmtree(folder.parent)
    assert [is_kept(), is_kept()] == [False, True]


def test_without_a_folder_that_can_be_written_the_folder_of_the_user_keeps_the_code(folder):
    folder.parent.write_text("a file is in the place of the folder")
    assert [is_kept(), is_kept()] == [False, True]
    assert len(list((folder.parents[1] / "home" / "bench994" / module._VERSION).iterdir())) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_a_function_is_compiled_even_where_nothing_can_keep_it(folder, monkeypatch, code):
    def fails(path, content):
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(module.files, "replace", fails)
    assert [is_kept(), is_kept()] == [False, False]
    assert not folder.exists()


def test_no_folder_is_made_in_the_current_folder_where_there_is_no_home(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert [place.is_absolute() for place in module._folders()] == [True]


def test_another_version_of_any_kernel_has_another_folder(tmp_path, monkeypatch):
    copied = shutil.copytree(Path(module.__file__).parent, tmp_path / "kernels")
    monkeypatch.setattr(module, "__file__", str(copied / "compiled.py"))
    assert module._version() == module._VERSION
    for path in sorted(copied.glob("*.py")):
        before = module._version()
        path.write_text(path.read_text() + "# changed\n")
        assert module._version() != before


def test_code_is_not_kept_after_its_files_have_changed(folder, monkeypatch):
    """The process could have read one file before the change, and another one after it."""
    monkeypatch.setattr(module, "_version", lambda: "another version")
    assert [is_kept(), is_kept()] == [False, False]
    assert not folder.exists()
