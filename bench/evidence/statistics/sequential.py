"""Whether more than half of all seeds succeed, decided at any time: a test that stays valid however often one looks.

Two tools, both exact in integers. The e-value of S successes and F failures is a mixture of likelihood ratios against
the hypothesis that at most half of all seeds succeed. Each of them is a supermartingale under every such share, so by
Ville's inequality their mixture ever reaches 20 with a probability of at most 1/20. The confidence sequence has the
shares p that the seeds do not contradict; with a probability of 90 % it has the true share at every n at once.

Sources: Robbins, Ann. Math. Stat. 41 (1970) 1397; Howard et al., arXiv 1810.08240; Waudby-Smith and Ramdas, arXiv
2010.09686.
"""

from __future__ import annotations

import functools
import itertools
import math
from fractions import Fraction
from math import comb
from typing import Literal

from bench.evidence.statistics.intervals import Interval

DECIDING = 20
"""The e-value that decides. A wrong decision has a probability of at most 1/20, whenever one looks."""

Share = Literal["most", "few", "about half"]
"""Of all seeds, more than half succeed, fewer than half succeed, or from 30 % to 70 % do."""


@functools.lru_cache(maxsize=10_000)
def e_value(successes: int, failures: int) -> Fraction:
    """The evidence that more than half of all seeds succeed, against at most half.

    11/20 of the weight is uniform over the shares in (1/2, 1), and 9/20 is on "every seed". Raises ValueError for a
    negative count.
    """
    _check(successes, failures)
    n = successes + failures
    # the sum of C(n + 1, j) over j <= successes, by its complement
    below = (1 << (n + 1)) - _sum_of_binomials(n + 1, failures)
    uniform = Fraction(below, (n + 1) * comb(n, successes))
    return Fraction(11, 20) * uniform + (Fraction(9, 20) * (1 << n) if failures == 0 else 0)


@functools.lru_cache(maxsize=10_000)
def share_decided(successes: int, failures: int, unfinished: int = 0) -> Share | None:
    """What the seeds decide about the share of all seeds that succeed, or None.

    An unfinished run counts as a failure where that hurts the successes, and is left out elsewhere. "about half" needs
    the whole 90 % confidence sequence inside (0.3, 0.7). Raises ValueError for a negative count.
    """
    _check(successes, failures, unfinished)
    if successes > failures + unfinished and e_value(successes, failures + unfinished) >= DECIDING:
        return "most"
    if failures > successes and e_value(failures, successes) >= DECIDING:
        return "few"
    # The share is above 0.3 exactly if the share of failures is below 0.7.
    if _is_below_seven_tenths(successes, failures) and _is_below_seven_tenths(failures + unfinished, successes):
        return "about half"
    return None


def further_seeds(successes: int, failures: int) -> int:
    """The number of further seeds that decide if the share stays the same. It is 0 if the seeds decide already.

    The expected successes are rounded both ways, and both must decide. Without a seed it is the least number that can
    decide, 5. Raises ValueError for a negative count.
    """
    _check(successes, failures)
    n = successes + failures
    if n == 0:
        return next(seeds for seeds in itertools.count(1) if share_decided(seeds, 0))
    return next(
        further
        for further in itertools.count()
        if all(share_decided(total, n + further - total) for total in expected_successes(successes, failures, further))
    )


def expected_successes(successes: int, failures: int, further: int) -> tuple[int, ...]:
    """The successes of all seeds after so many further ones, if the share stays the same: rounded down, and up."""
    n = successes + failures
    expected, rest = divmod(successes * (n + further), n)
    return (expected, expected + 1) if rest else (expected,)


def confidence_sequence(successes: int, failures: int) -> Interval:
    """The shares {p: (n + 1) C(n, S) p^S (1 - p)^F >= 1/10}, which have the true share at every n at once.

    The ends are numbers for a reader. `share_decided` does not use them. Raises ValueError for a negative count.
    """
    _check(successes, failures)
    n = successes + failures
    if n == 0:
        return Interval(0.0, 1.0, 0.9)
    most = math.log10(10 * (n + 1) * comb(n, successes))

    def is_inside(p: float) -> bool:
        return most + sum(some * math.log10(share) for some, share in ((successes, p), (failures, 1 - p)) if some) >= 0

    def end(outside: float) -> float:
        inside = successes / n
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if is_inside(middle) else (inside, middle)
        return inside

    return Interval(end(0.0) if successes else 0.0, end(1.0) if failures else 1.0, 0.9)


def expected_seeds(successes: int, failures: int, at_most: int) -> float:
    """The expected number of further seeds until they decide, or until there are `at_most` seeds in all.

    The share is unknown: every share is equally likely before the first seed, so that after S of n seeds the next one
    succeeds with a probability of (S + 1) / (n + 2). Raises ValueError for a negative count.
    """
    _check(successes, failures)
    paths, expected = {successes: 1.0}, 0.0
    for n in range(successes + failures, at_most):
        paths = {some: weight for some, weight in paths.items() if share_decided(some, n - some) is None}
        expected += sum(paths.values())
        after: dict[int, float] = {}
        for some, weight in paths.items():
            succeeds = weight * (some + 1) / (n + 2)
            after[some + 1] = after.get(some + 1, 0.0) + succeeds
            after[some] = after.get(some, 0.0) + weight - succeeds
        paths = after
    return expected


def _is_below_seven_tenths(successes: int, failures: int) -> bool:
    """Whether every share of the 90 % confidence sequence {p: (n + 1) C(n, S) p^S (1 - p)^F >= 1/10} is below 0.7."""
    n = successes + failures
    is_outside = 10 * (n + 1) * comb(n, successes) * 7**successes * 3**failures < 10**n
    return 10 * successes < 7 * n and is_outside


def _sum_of_binomials(n: int, last: int) -> int:
    """The sum of C(n, j) over j = 0 .. `last`."""
    total = term = 1
    for j in range(last):
        term = term * (n - j) // (j + 1)
        total += term
    return total


def _check(*counts: int) -> None:
    if min(counts) < 0:
        raise ValueError(f"a number of seeds cannot be negative: {min(counts)}")
