#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run every misuse program: each must die by SIGABRT within 5 s with exactly one line on stderr that begins
with `mimalloc: error:`, says what is wrong and names the pointer; told to continue, each must exit with 0
after the same line.  With --forwards the program has another allocator behind ours: a pointer into somebody's
anonymous memory is that allocator's to judge.  Usage: misuse.py [--forwards] PROGRAM [NAME...]"""
import os
import re
import signal
import subprocess
import sys

# The words that must be in the line; alternatives separated by |.
DOUBLE = "double free|freed before"
FOREIGN = "not allocated by|not a block of this allocator"
INSIDE = "not the start of a block|inside|" + FOREIGN
WORDS = [
    (r"double_free", DOUBLE),
    (r"freed_huge", DOUBLE + "|" + INSIDE),
    (r"interior|misaligned", INSIDE),
    (r"uncarved|unused|never", INSIDE + "|" + DOUBLE),
    (r"", FOREIGN),
]


FORWARDED = ["foreign_pointer"]


def run(program, name, **environment):
    env = dict(os.environ, **environment)
    env.pop("MIMALLOC_SHOW_ERRORS", None)
    try:
        done = subprocess.run([program, name], env=env, capture_output=True, text=True, timeout=5, errors="replace")
    except subprocess.TimeoutExpired:
        return None, "", "(hangs)"
    return done.returncode, done.stdout, done.stderr


def judge_line(name, stdout, stderr):
    """What is wrong with the message, or None."""
    lines = [line for line in stderr.splitlines() if line.startswith("mimalloc:")]
    if len(lines) != 1 or len(stderr.splitlines()) != 1:
        return "expected one line, not: %r" % stderr
    line = lines[0]
    if not line.startswith("mimalloc: error:"):
        return "the line does not begin with `mimalloc: error:`: %r" % line
    pointer = re.search(r"pointer=(\S+)", stdout)
    if not pointer or pointer.group(1).lower() not in line.lower():
        return "the line does not name the pointer %s: %r" % (pointer and pointer.group(1), line)
    words = next(words for pattern, words in WORDS if re.search(pattern, name))
    if not any(word in line for word in words.split("|")):
        return "the line does not say `%s`: %r" % (words, line)
    return None


def judge(program, name, forwards):
    code, stdout, stderr = run(program, name)
    if forwards and name in FORWARDED and code == -signal.SIGABRT and "invalid pointer" in stderr:
        return None
    if code != -signal.SIGABRT:
        return "ends with %s, not SIGABRT; stderr: %r" % (code, stderr)
    wrong = judge_line(name, stdout, stderr)
    if wrong:
        return wrong
    code, stdout, stderr = run(program, name, MIMALLOC_CONTINUE_ON_ERROR="1")
    if code != 0 or "continued" not in stdout:
        return "told to continue, it ends with %s; stderr: %r" % (code, stderr)
    return judge_line(name, stdout, stderr)


def main():
    forwards = sys.argv[1] == "--forwards"
    program, *names = sys.argv[2:] if forwards else sys.argv[1:]
    names = names or subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    failures = 0
    for name in names:
        wrong = judge(program, name, forwards)
        failures += wrong is not None
        print("%-40s %s" % (name, wrong or "ok"), flush=True)
    if not names:
        print("no misuse programs found")
        failures = 1
    return 1 if failures else 0


sys.exit(main())
