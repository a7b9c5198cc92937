#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The statistics' JSON, of the process and of a heap, against a parser and the fields of the header.

usage: statistics_json.py <program that prints it> <mimalloc-stats.h>
"""

import json
import re
import subprocess
import sys

PROCESS = ["elapsed_msecs", "user_msecs", "system_msecs", "page_faults", "rss_current", "rss_peak", "commit_current",
           "commit_peak"]
COUNT = ["total", "peak", "current"]


def fail(text):
    sys.exit(f"statistics_json: {text}")


def no_twins(pairs):
    if len({key for key, _ in pairs}) != len(pairs):
        fail(f"a key stands twice: {[key for key, _ in pairs]}")
    return dict(pairs)


def read(program, which):
    run = subprocess.run([program, which], capture_output=True, text=True, check=True)
    return json.loads(run.stdout, object_pairs_hook=no_twins)


def check(stats, fields):
    expected = ["stat_version", "mimalloc_version", "process", *[name for _, name in fields], "malloc_bins",
                "page_bins", "chunk_bins"]
    if list(stats) != expected:
        fail(f"keys {list(stats)}, expected {expected}")
    if (stats["stat_version"], stats["mimalloc_version"]) != (6, 30600):
        fail("versions")
    if list(stats["process"]) != PROCESS or stats["process"]["rss_current"] <= 0:
        fail(f"process {stats['process']}")
    for kind, name in fields:
        value = stats[name]
        if not isinstance(value, int) if kind == "COUNTER" else list(value) != COUNT:
            fail(f"{name}: {value}")
    for name, length, more in (("malloc_bins", 74, ["block_size", "page_size"]),
                               ("page_bins", 74, ["block_size", "page_size"]), ("chunk_bins", 6, ["bin"])):
        if len(stats[name]) != length or any(list(entry) != COUNT + more for entry in stats[name]):
            fail(name)
    blocks = [entry["current"] * entry["block_size"] for entry in stats["malloc_bins"]]
    if sum(blocks) != stats["malloc_normal"]["current"]:
        fail("malloc_bins do not add up to malloc_normal")


def main():
    program, header = sys.argv[1:]
    with open(header, encoding="utf-8") as file:
        text = file.read()
    listed = text[text.index("#define MI_STAT_FIELDS()"):text.index("mi_chunkbin_e")]
    fields = re.findall(r"MI_STAT_(COUNT|COUNTER)\((\w+)\)", listed)
    check(read(program, "process"), fields)
    heap = read(program, "heap")
    check(heap, fields)
    if heap["allocated"] != {"total": 112, "peak": 112, "current": 112} or heap["malloc_count"] != 1:
        fail(f"a heap with one block: {heap['allocated']}")


if __name__ == "__main__":
    main()
