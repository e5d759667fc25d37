"""Tests of `digits`: the picture of the images that most runs miss."""

from __future__ import annotations

from xml.etree import ElementTree

import matplotlib
import numpy as np

from bench.evidence.summary import MissedImage
from bench.report import digits

IMAGES = (
    MissedImage(2, 4, 10, 25, ((9, 10),)),
    MissedImage(0, 6, 8, 25, ((0, 7), (5, 1))),
    MissedImage(3, 1, 6, 25, ((7, 3), (2, 2), (4, 1))),
)


def pixels(ink: int = 255) -> np.ndarray:
    drawn = np.zeros((4, 28, 28), dtype=np.uint8)
    drawn[:, 4:24, 13:15] = ink
    return drawn


def test_the_picture_is_xml_and_the_same_every_time():
    first = digits.missed(IMAGES, pixels())
    assert ElementTree.fromstring(first.svg).tag.endswith("svg")
    with matplotlib.rc_context({"font.size": 30, "path.simplify": False}):
        assert digits.missed(IMAGES, pixels()) == first
    assert b"<image" not in first.svg  # a page may not be allowed to show one


def test_the_words_say_what_runs_see():
    alt = digits.missed(IMAGES, pixels()).alt
    assert "The test images that 25 runs miss most often." in alt
    assert "image 2, label 4, 10 runs see 9; image 0, label 6, 7 runs see 0 and 1 run sees 5; " in alt
    assert "image 3, label 1, 3 runs see 7 and 3 see others." in alt


def test_every_image_is_drawn_from_its_own_pixels():
    changed = pixels()
    changed[1] = 255  # an image that nobody misses
    assert digits.missed(IMAGES, changed) == digits.missed(IMAGES, pixels())
    changed[3, 0, 0] = 255
    assert digits.missed(IMAGES, changed).svg != digits.missed(IMAGES, pixels()).svg


def test_more_ink_is_drawn_in_more_shades():
    sizes = [len(digits.missed(IMAGES, pixels(ink)).svg) for ink in (0, 60, 130, 200, 255)]
    assert sizes == sorted(set(sizes))


def test_twenty_images_stay_a_small_picture():
    noise = np.random.default_rng(1).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    twenty = [MissedImage(number, 1, 20, 25, ((7, 13), (2, 7))) for number in range(20)]
    assert len(digits.missed(twenty, noise).svg) < 2_000_000
    noise[:, :, 8:] = 0
    assert len(digits.missed(twenty, noise).svg) < 700_000
