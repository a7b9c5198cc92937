# SPDX-License-Identifier: MIT
"""Medians, quartiles, geometric means, and when a difference counts."""

import math
import statistics

SIGNIFICANT = 0.01


class Spread:
    """Median and quartiles of a list."""

    def __init__(self, values):
        values = sorted(values)
        self.median = statistics.median(values)
        if len(values) > 2:
            self.low, _, self.high = statistics.quantiles(values, n=4, method="inclusive")
        else:
            self.low, self.high = values[0], values[-1]

    def below(self, limit):
        """Below the limit, and with both quartiles below 1: for ratios."""
        return self.median < limit and self.high < 1

    def above(self, limit):
        return self.median > limit and self.low > 1

    def text(self):
        return "%.2f (%.2f-%.2f)" % (self.median, self.low, self.high)


def column(runs, key):
    return [run[key] for run in runs or [] if run is not None and key in run]


def median_of(runs, key):
    values = column(runs, key)
    return statistics.median(values) if values else None


def ratios(runs, base, key):
    """Spread of runs / base, formed within each round; None when there is nothing to form."""
    pairs = [(r[key], b[key]) for r, b in zip(runs or [], base or []) if r and b and r.get(key) and b.get(key)]
    return Spread([r / b for r, b in pairs]) if pairs else None


def geometric_mean(values):
    values = [value for value in values if value]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def rank_probability(first, second):
    """Probability that two samples of one distribution differ in rank as much as these do (Mann and Whitney, exact,
    both sides); ties count half."""
    n, m = len(first), len(second)
    u = sum((a > b) + 0.5 * (a == b) for a in first for b in second)
    ways = [[None] * (m + 1) for _ in range(n + 1)]  # ways[i][j][u]: orders of i and j values with that count
    for i in range(n + 1):
        for j in range(m + 1):
            if i == 0 or j == 0:
                ways[i][j] = [1]
                continue
            counts = [0] * (i * j + 1)
            for k, count in enumerate(ways[i - 1][j]):
                counts[k + j] += count
            for k, count in enumerate(ways[i][j - 1]):
                counts[k] += count
            ways[i][j] = counts
    distance = abs(u - n * m / 2)
    extreme = sum(count for k, count in enumerate(ways[n][m]) if abs(k - n * m / 2) >= distance)
    return extreme / sum(ways[n][m])
