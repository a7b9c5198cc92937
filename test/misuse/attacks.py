#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""attacks.py PROGRAM NAME=LIBRARY...: run every attack on each library, preloaded, and print what became of it.

stopped     the process ended with one line that begins with `mimalloc: error:` (Debug: or names an invariant)
faulted     it ended by a fault, at the access itself
prevented   it found that what it was after is not there
-           nothing: the attack went through

A library is named after its build: default, secure, full or guarded; what that build must stop is below, and the exit
status is 1 if it does not.  Options for it may follow (guarded=LIBRARY,MIMALLOC_...=1).  Any other name is only
tabled (glibc=: nothing is preloaded)."""
import os
import re
import signal
import subprocess
import sys

ALWAYS = "double_(8|10+|delayed|elsewhere|both_elsewhere|by_realloc|after_realloc|aligned)$"
OVERRUN = "overflow_(?!zero|read|jump)"  # the first byte behind a block is 0 anyway
INVALID = "inside_|before_|stack_|static_|small_number|unmapped_|never_|realloc_inside|usable_"
MUST = {
    "default": [ALWAYS, INVALID, "confuse_across"],
    "secure": [ALWAYS, "double_", INVALID, OVERRUN, "underflow_(?!.*00000)", "write_freed_link", "(read|write)_empty",
               "sized_", "_size_wrong", "_alignment_wrong", "read_freed$", "secret_small", "calloc", "confuse_across"],
    "full": [ALWAYS, "double_", INVALID, OVERRUN, "overflow_(read|jump)", "underflow_", "write_freed_",
             "_empty", "sized_", "_wrong", "delete_", "free_new", "read_freed", "reuse_at_once", "secret_", "calloc",
             "confuse_across"],
    "guarded": [ALWAYS, INVALID, "overflow_(16|200)_", "overflow_1_of_100000", "overflow_(read|jump)",
                "underflow_5000", "write_freed", "read_freed", "confuse_across"],
}
CLASSES = [("double free", "double_"),
           ("invalid free", "inside_|before_|stack_|static_|small_|unmapped_|never_|realloc_"),
           ("overflow", "overflow_"), ("underflow", "underflow_"), ("use after free", "write_freed|read_freed|reuse_"),
           ("access to a block of size 0", "(read|write)_empty"), ("size, kind, alignment", "sized_|delete_|free_new"),
           ("usable size of a bad pointer", "usable_"), ("zeroing and reuse", "secret_|calloc_"),
           ("one type in the place of another", "confuse_")]


def run(program, name, library):
    environment = dict(os.environ)
    library, *options = library.split(",")
    environment.update(option.split("=", 1) for option in options)
    if library:
        environment["LD_PRELOAD"] = library
    command = [program, name]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, errors="replace")
    except subprocess.TimeoutExpired:
        return "- hangs"
    lines = done.stderr.splitlines()
    if done.returncode == -signal.SIGABRT:
        told = [line for line in lines if not line.startswith("mimalloc:   ")]  # both lives of a sampled block
        ours = len(told) == 1 and re.match("mimalloc: (error|internal invariant)", told[0])
        return "stopped" if ours or "mimalloc" not in os.path.basename(library or "") else "aborted: %r" % done.stderr
    return {0: "-", 3: "prevented", -signal.SIGSEGV: "faulted", -signal.SIGBUS: "faulted"}.get(
        done.returncode, "status %d: %r" % (done.returncode, done.stderr))


def main():
    program, *libraries = sys.argv[1:]
    libraries = [text.split("=", 1) for text in libraries]
    names = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    results, failures = {}, 0
    for name in names:
        for build, library in libraries:
            result = results[name, build] = run(program, name, library)
            wanted = any(re.search(pattern, name) for pattern in MUST.get(build, []))
            if wanted and result not in ("stopped", "faulted", "prevented") or ":" in result:
                failures += 1
                print("%s is not stopped by the %s build: %s" % (name, build, result))
        print("%-28s %s" % (name, "  ".join("%-9s" % results[name, build] for build, _ in libraries)), flush=True)
    for label, pattern in CLASSES:
        chosen = [name for name in names if re.search("^(?:%s)" % pattern, name)]
        print("| %s (%d) | %s |" % (label, len(chosen), " | ".join(
            str(sum(results[name, build][0] != "-" for name in chosen)) for build, _ in libraries)))
    return 1 if failures or not names else 0


sys.exit(main())
