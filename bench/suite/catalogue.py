# SPDX-License-Identifier: MIT
"""Which workloads there are, with how many threads each runs, and how they are built."""

import os
import subprocess

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCES = os.path.join(HERE, "workloads")
ALL = (1, 2, 8)


class Family:
    """One workload program in one mode, with the numbers of threads that it runs with: in a full run, in a quick one
    (one number or none), in a test.  `idle`: its sleep is what takes time; it runs in few rounds, with a scale of its
    own.  `heaps`: it needs an allocator with the functions of mimalloc's heaps."""

    def __init__(self, name, program=None, mode="", threads=ALL, quick=1, test=(1, 2), idle=False, heaps=False):
        self.heaps = heaps
        self.name, self.program, self.mode = name, program or name.replace("-", "_"), mode
        self.threads, self.quick, self.test, self.idle = threads, quick, test, idle

    def chosen_threads(self, kind):
        return {"full": self.threads, "quick": (self.quick,) if self.quick else (), "test": self.test}[kind]

    def label(self, threads):
        return self.name if len(self.threads) == 1 else "%s-%d" % (self.name, threads)


class Entry:
    """What is run: a label, a program and its arguments."""

    def __init__(self, family, threads, scale, idle_scale):
        self.label, self.program, self.idle = family.label(threads), family.program, family.idle
        self.heaps = family.heaps
        scale = idle_scale if family.idle else scale
        self.arguments = [str(threads), str(scale)] + ([family.mode] if family.mode else [])
        self.family, self.threads = family.name, threads

    def record(self):
        return {"program": self.program, "arguments": self.arguments, "family": self.family, "threads": self.threads}


IDLE_SCALE = {"full": 100, "quick": 50, "test": 40}
ONE = {"threads": (1,), "test": (1,)}

FAMILIES = [
    # published tests, after their descriptions
    Family("larson", quick=8),
    Family("larson-sized", "larson", "sized", quick=2),
    Family("xmalloc-test", quick=2),
    Family("xmalloc-random", "xmalloc_test", "random", threads=(2,), quick=2, test=(2,)),
    Family("cache-scratch", "false_sharing", "scratch", quick=8),
    Family("cache-thrash", "false_sharing", "thrash", quick=8),
    Family("mstress", quick=8),
    Family("alloc-test"),
    Family("sh6-batches", "batches", "own"),
    Family("sh8-batches", "batches", "pass", quick=8),
    Family("glibc-simple"),
    Family("glibc-thread", quick=8),
    Family("rptest", quick=8),
    Family("mleak", quick=8),
    Family("malloc-large"),
    # what programs do
    Family("random-replace"),
    Family("binary-trees"),
    Family("refcount"),
    Family("vectors"),
    Family("strings"),
    Family("calloc-aligned"),
    Family("phases"),
    Family("short-threads", quick=2),
    Family("pairs", "producer_consumer", threads=(2, 8, 32), quick=8, test=(2,)),
    Family("startup", **ONE),
    Family("latency", **ONE),
    Family("full-pages", **ONE),
    Family("heaps", threads=(1, 2), heaps=True),
    Family("visit", heaps=True, **ONE),
    # big blocks, and the program's own time
    Family("big-buffers"),
    Family("big-again"),
    Family("list-walk", threads=(1, 2)),
    Family("buffer-walk", threads=(1, 2)),
    # idleness
    Family("burst-idle", idle=True, **ONE),
    Family("storm-idle-parked", "storm_idle", "park", threads=(8,), quick=8, test=(8,), idle=True),
    Family("storm-idle-ended", "storm_idle", "exit", threads=(8,), quick=0, test=(8,), idle=True),
    Family("scattered-idle", threads=(1,), quick=0, test=(), idle=True),
    Family("scattered-idle-threads", "scattered_idle", "threads", idle=True, **ONE),
]


def entries(kind, scale, only, threads):
    """The chosen entries.  `only`: texts of which a label must contain one; `threads`: numbers, or none for all."""
    idle_scale = IDLE_SCALE[kind]
    chosen = [Entry(family, number, scale, idle_scale) for family in FAMILIES
              for number in (threads or family.chosen_threads(kind)) if not threads or number in family.threads]
    return [entry for entry in chosen if not only or any(text in entry.label for text in only)]


def compile_file(command, source, target, newest):
    if not os.path.exists(target) or os.path.getmtime(target) <= max(newest, os.path.getmtime(source)):
        subprocess.run(command + ["-o", target, source], check=True)


def build(folder, programs):
    """Build the programs of that list, and the empty library that the start-up workload compares with."""
    os.makedirs(folder, exist_ok=True)
    compiler, cxx = os.environ.get("CC", "cc").split(), os.environ.get("CXX", "c++").split()
    flags = ["-O2", "-g", "-fno-builtin", "-pthread"]
    header = max(os.path.getmtime(os.path.join(SOURCES, name)) for name in ("workload.h", "heap_functions.h"))
    common = os.path.join(folder, "workload.o")
    compile_file(compiler + ["-std=gnu11", "-c"] + flags, os.path.join(SOURCES, "workload.c"), common, header)
    newest = max(header, os.path.getmtime(common))
    for program in sorted(set(programs)):
        source = os.path.join(SOURCES, program)
        target = os.path.join(folder, program)
        if os.path.exists(source + ".cc"):
            compile_file(cxx + ["-std=c++17", "-fsized-deallocation", common] + flags, source + ".cc", target, newest)
        else:
            compile_file(compiler + ["-std=gnu11", common] + flags, source + ".c", target, newest)
    micro = os.path.join(HERE, "micro", "calls.c")
    compile_file(compiler + ["-std=gnu11"] + flags, micro, os.path.join(folder, "calls"), 0)
    empty = os.path.join(folder, "libempty.so")
    if not os.path.exists(empty):
        subprocess.run(compiler + ["-shared", "-fPIC", "-x", "c", os.devnull, "-o", empty], check=True)
    return empty
