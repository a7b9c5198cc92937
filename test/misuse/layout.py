#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""layout.py PROGRAM LIBRARY [whole]: can the places of blocks be foretold?

PROGRAM, attacks.cc, prints those of a class that was not used before, in 100 processes: no order may come twice, and
the memory must begin elsewhere each time.  At secure level 2, pages are mixed as a whole: with `whole`, the order must
not be that of addresses either (level 1 mixes 4 KiB at a time)."""
import os
import subprocess
import sys

PROCESSES, MOST_CORRELATION, LEAST_BASES = 100, 0.1, 95  # of 2^16 bases or more, 100 draws seldom have one twice


def places():
    environment = dict(os.environ, LD_PRELOAD=sys.argv[2])
    done = subprocess.run([sys.argv[1], "layout"], env=environment, capture_output=True, text=True, check=True)
    return [int(line, 16) for line in done.stdout.split()]


def correlation(values):
    """Spearman's: 1 for a rising order, 0 for none"""
    ranks = {value: rank for rank, value in enumerate(sorted(values))}
    n = len(values)
    distance = sum((ranks[value] - i) ** 2 for i, value in enumerate(values))
    return 1 - 6 * distance / (n * (n * n - 1))


def main():
    runs = [places() for _ in range(PROCESSES)]
    orders = {tuple(sorted(range(len(run)), key=run.__getitem__)) for run in runs}
    bases = {min(run) >> 30 for run in runs}
    mean = sum(abs(correlation(run)) for run in runs) / PROCESSES
    print("%d processes: %d orders, %d bases, rank correlation %.3f" % (PROCESSES, len(orders), len(bases), mean))
    mixed = mean < MOST_CORRELATION or "whole" not in sys.argv
    return 0 if len(orders) == PROCESSES and len(bases) >= LEAST_BASES and mixed else 1


sys.exit(main())
