# SPDX-License-Identifier: MIT
"""The statistics of bench/tool/stats.py and compare.py, beside values worked out otherwise."""

import itertools
import math
import random
import unittest

import compare
import stats


def p_by_all_orders(first, second):
    """Mann-Whitney by its definition: every way to deal the samples out."""
    both = first + second
    middle = len(first) * len(second) / 2
    distance = abs(stats.rank_sum(first, second) - middle)
    deals = list(itertools.combinations(range(len(both)), len(first)))
    uneven = 0
    for deal in deals:
        mine = [both[i] for i in deal]
        its = [both[i] for i in range(len(both)) if i not in deal]
        uneven += abs(stats.rank_sum(mine, its) - middle) >= distance
    return uneven / len(deals)


class Spread(unittest.TestCase):
    def test_one_wild_sample_moves_neither_median_nor_spread(self):
        self.assertEqual(stats.median([10, 11, 12, 13, 1000]), 12)
        self.assertAlmostEqual(stats.spread([10, 11, 12, 13, 1000]), 1 / 12)

    def test_spread_of_equal_samples_and_of_zeros_is_zero(self):
        self.assertEqual(stats.spread([5, 5, 5]), 0)
        self.assertEqual(stats.spread([0, 0, 3]), 0)

    def test_quartiles_lie_between_samples(self):
        self.assertEqual(stats.quartiles([1, 2, 3, 4, 5]), (2, 4))
        self.assertEqual(stats.quartiles([4, 1, 3, 2]), (1.75, 3.25))
        self.assertEqual(stats.quartiles([7]), (7, 7))


class MannWhitney(unittest.TestCase):
    def test_exact_p_is_the_part_of_all_orders(self):
        source = random.Random(1)
        for sizes in ((3, 3), (2, 6), (5, 5), (4, 5)):
            samples = source.sample(range(100), sum(sizes))
            first, second = samples[: sizes[0]], samples[sizes[0] :]
            self.assertAlmostEqual(stats.mann_whitney(first, second),
                                   p_by_all_orders(first, second))

    def test_five_apart_from_five_is_two_of_all_orders(self):
        self.assertAlmostEqual(stats.mann_whitney([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]), 2 / 252)
        self.assertEqual(stats.smallest_p(5, 5), 2 / 252)

    def test_equal_sets_are_no_difference(self):
        self.assertEqual(stats.mann_whitney([3, 3, 3], [3, 3, 3]), 1)
        self.assertEqual(stats.mann_whitney([1, 4], [2, 3]), 1)

    def test_ties_and_many_samples_are_close_to_the_exact_p(self):
        first, second = list(range(0, 20, 2)), list(range(7, 27, 2))
        exact = stats.p_exact(10, 10, stats.rank_sum(first, second))
        normal = stats.p_normal(first, second, stats.rank_sum(first, second))
        self.assertLess(abs(exact - normal), 0.01)
        tied = stats.mann_whitney([1, 2, 2, 3, 3], [3, 4, 4, 5, 5])
        self.assertLess(abs(tied - p_by_all_orders([1, 2, 2, 3, 3], [3, 4, 4, 5, 5])), 0.02)

    def test_noise_alone_is_rarely_called_a_difference(self):
        source = random.Random(2)
        found = 0
        for _ in range(500):
            samples = [source.gauss(100, 5) for _ in range(14)]
            found += stats.mann_whitney(samples[:7], samples[7:]) < compare.LEVEL
        self.assertLess(found, 15)  # 5 are expected


class Judge(unittest.TestCase):
    LESS = {"better": "less"}
    MORE = {"better": "more"}
    LOW = [100, 101, 102, 103, 104]
    HIGH = [110, 111, 112, 113, 114]

    def test_a_clear_change_is_worse_or_better_by_the_row(self):
        self.assertEqual(compare.judge(self.LESS, self.LOW, self.HIGH)[2], "worse")
        self.assertEqual(compare.judge(self.MORE, self.LOW, self.HIGH)[2], "better")
        self.assertEqual(compare.judge(self.LESS, self.HIGH, self.LOW)[2], "better")

    def test_a_sure_but_small_change_is_the_same(self):
        small = [value + 0.01 for value in [105, 105.1, 105.2, 105.3, 105.4]]
        large = [value + 1 for value in small]
        change, p, verdict = compare.judge(self.LESS, small, large)
        self.assertLess(p, compare.LEVEL)
        self.assertLess(change, compare.LEAST)
        self.assertEqual(verdict, "same")

    def test_sets_that_overlap_are_the_same(self):
        self.assertEqual(compare.judge(self.LESS, [100, 120, 140, 160, 180],
                                       [110, 130, 150, 170, 190])[2], "same")

    def test_few_runs_are_never_called_a_difference(self):
        change, p, verdict = compare.judge(self.LESS, [1, 1, 1, 1], [9, 9, 9, 9])
        self.assertEqual((p, verdict), (1.0, "too few runs"))
        self.assertTrue(math.isclose(change, 8))


if __name__ == "__main__":
    unittest.main()
