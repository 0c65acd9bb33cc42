# SPDX-License-Identifier: MIT
"""Medians, spreads, and whether two sets of samples differ."""

import functools
import math
import statistics

EXACT_MOST = 24  # samples in both sets together, up to which p is counted out


def median(values):
    return statistics.median(values)


def spread(values):
    """The median absolute deviation from the median, as a part of the median."""
    middle = median(values)
    deviation = median([abs(value - middle) for value in values])
    return deviation / abs(middle) if middle else 0.0


def quartiles(values):
    """(lower, upper), by linear interpolation between the samples."""
    ordered = sorted(values)

    def at(part):
        place = (len(ordered) - 1) * part
        below = math.floor(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (ordered[above] - ordered[below]) * (place - below)

    return at(0.25), at(0.75)


def rank_sum(first, second):
    """Mann and Whitney's U of the first set: pairs in which it is the larger; a tie is a half."""
    return sum((a > b) + 0.5 * (a == b) for a in first for b in second)


@functools.lru_cache(maxsize=None)
def arrangements(first, second, larger):
    """In how many orders of FIRST and SECOND samples U is LARGER."""
    if larger < 0:
        return 0
    if first == 0 or second == 0:
        return 1 if larger == 0 else 0
    return (arrangements(first - 1, second, larger - second)
            + arrangements(first, second - 1, larger))


def p_exact(first, second, larger):
    """Two-sided p of U without ties: the part of all orders that are at least as uneven."""
    smaller = min(larger, first * second - larger)
    uneven = sum(arrangements(first, second, u) for u in range(int(smaller) + 1))
    return min(1.0, 2 * uneven / math.comb(first + second, first))


def p_normal(first, second, larger):
    """The same by the normal distribution, with corrections for ties and for continuity."""
    n, m = len(first), len(second)
    both = sorted(first + second)
    total = n + m
    ties = sum(count**3 - count for count in (both.count(value) for value in set(both)))
    variance = n * m / 12 * ((total + 1) - ties / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    distance = max(0.0, abs(larger - n * m / 2) - 0.5)
    return min(1.0, math.erfc(distance / math.sqrt(2 * variance)))


def mann_whitney(first, second):
    """How probable samples at least as far apart are when both come from the same distribution."""
    larger = rank_sum(first, second)
    has_ties = len(set(first) | set(second)) < len(first) + len(second)
    if has_ties or len(first) + len(second) > EXACT_MOST:
        return p_normal(list(first), list(second), larger)
    return p_exact(len(first), len(second), larger)


def smallest_p(first, second):
    """What mann_whitney() can give at best for so many samples."""
    return min(1.0, 2 / math.comb(first + second, first))
