#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""guarded.py PROGRAM [default|secure]: which blocks are sampled, and what is said when the program runs into a guard.

PROGRAM is guarded.c.  A block that is freed twice is reported by its seal in secure builds."""
import os
import re
import signal
import subprocess
import sys

PROGRAM = sys.argv[1]
failures = []


def run(case, rate=1, **options):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MIMALLOC_")}
    environment.update({"MIMALLOC_GUARDED_SAMPLE_RATE": str(rate)} if rate is not None else {})
    environment.update({"MIMALLOC_" + name.upper(): str(value) for name, value in options.items()})
    done = subprocess.run([PROGRAM, case], env=environment, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def expect(holds, what, said=""):
    print("%-5s %s" % ("ok" if holds else "WRONG", what), flush=True)
    if not holds:
        failures.append(what)
        print("      " + str(said)[:2000].replace("\n", "\n      "))


def test_choice():
    for rate in (4000, 1000, 37):
        status, out, error = run("how_many", rate)
        wanted = 1000000 / rate
        expect(status == 0 and abs(int(out) - wanted) <= wanted * 0.02, "one block in %d" % rate, out + error)
    # More often than above: every class of sizes begins anywhere, which moves the sum by some 12 blocks.
    status, out, error = run("all_sizes", 250)
    expect(status == 0 and abs(int(out) - 4000) <= 80, "the same of all sizes together", out + error)
    first, again, other = (run("which", 1000, guarded_sample_seed=seed)[1] for seed in (7, 7, 8))
    expect(first == again and len(first) > 2000, "the same seed gives the same blocks", first + again)
    expect(first != other, "another seed gives others")
    expect(run("which", 1000)[1] != run("which", 1000)[1], "and none gives others each time")
    status, out, error = run("threads", 1000)
    expect(status == 0 and all(90 <= int(n) <= 110 for n in out.split()), "every thread samples", out + error)
    status, out, error = run("how_many", None)
    expect(int(out) == 0, "no sampling by default", out + error)
    for case, options in (("every_one", {}), ("window", {"guarded_min": 1000, "guarded_max": 2000}),
                          ("precise", {"unsafe_guarded_precise": 1})):
        status, out, error = run(case, **options)
        expect(status == 0 and not error, case, error)
    status, out, error = run("run_time", None)
    expect(status == 0 and not error, "run_time", error)


STACK = r"(?:mimalloc:     #\d+ 0x[0-9a-f]+ \S+\+0x[0-9a-f]+\n)+"


def reported(error, line, *lives):
    parts = "".join(r"mimalloc:   %s by thread \d+:\n%s" % (life, STACK) for life in ("accessed", "allocated") + lives)
    return re.fullmatch(r"mimalloc: error: %s\n%s" % (line, parts), error) is not None


def test_reports():
    block = r"the block at 0x[0-9a-f]+ of %d bytes"
    at = r"access at 0x[0-9a-f]+, %d bytes "
    after = "use after free: " + at + "behind the start of " + block
    for case, line, lives in (
            ("overflow", ("overflow: " + at + "behind " + block) % (5, 32), ()),
            ("overflow_big", ("overflow: " + at + "behind " + block) % (0, 100000), ()),
            ("underflow", ("underflow: " + at + "before " + block) % (5000, 32), ()),
            ("after_free", after % (7, 32), ("freed",)),
            ("after_free_by_others", after % (0, 32), ("freed",)),
            ("still_guarded", after % (0, 32), ("freed",)),
            ("old_kernel_overflow", ("overflow: " + at + "behind " + block) % (5, 32), ()),
            ("old_kernel_after_free", after % (7, 32), ("freed",))):
        status, _, error = run(case)
        expect(status == -signal.SIGSEGV and reported(error, line, *lives), case, error)
    _, _, error = run("after_free_by_others")
    threads = re.findall(r"(\w+) by thread (\d+)", error)
    expect(len(threads) == 3 and len({number for _, number in threads}) == 3, "threads are named", error)
    expect(" a_block+0x" in error or " free_block+0x" in error, "frames are named", error)
    status, _, error = run("twice")
    expect(status == -signal.SIGABRT and "freed before" in error and len(re.findall(r" by thread", error)) == 2,
           "a second free tells of both lives", error)
    status, _, error = run("elsewhere")
    expect(status == -signal.SIGSEGV and not error, "other faults are the program's own", error)


def test_handlers():
    status, _, error = run("handler_before", 10)
    expect(status == 42 and "overflow" in error, "a handler set before the first sample runs after the report", error)
    status, _, error = run("handler_after")
    expect(status == 43 and "overflow" in error, "so does one that was set later", error)
    for case in ("handler_calls_old", "handler_sets_old", "handler_once"):
        status, _, error = run(case)
        expect(status == -signal.SIGSEGV and error.count("error:") == 1 and "overflow" in error, case, error)
    status, _, error = run("raised")
    expect(status == -signal.SIGSEGV and not error, "a signal that was sent is none of ours", error)


def test_limits():
    status, _, error = run("old_kernel_many")
    expect(status == 0 and len(error.splitlines()) == 1 and "guards:" in error,
           "without the kernel's guards, mappings are bounded, which is said once", error)
    for _ in range(3):
        status, _, error = run("forks", 3)
        expect(status == 0 and not error, "forked children", error)


def main():
    for test in (test_choice, test_reports, test_handlers, test_limits):
        test()
    return 1 if failures else 0


sys.exit(main())
