#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""example.py EXPECTED PROGRAM: the program succeeds and prints what the file says; "..." there stands for any text
within a line."""

import os
import re
import subprocess
import sys


def matches(expected, output):
    pattern = ".*".join(re.escape(part) for part in expected.split("..."))
    return re.fullmatch(pattern, output) is not None


assert matches("a ... c\n", "a b c\n") and not matches("a ... c\n", "a b\nc\n") and not matches("a\n", "a\nb\n")


def main():
    expected_file, program = sys.argv[1:]
    with open(expected_file, encoding="utf-8") as file:
        expected = file.read()
    environment = {**os.environ, "MIMALLOC_SHOW_ERRORS": "0"}  # the default differs between builds
    done = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0 and done.stderr == "" and expected and matches(expected, done.stdout):
        print(done.stdout, end="")
        return 0
    print(f"exit status {done.returncode}, printed:\n{done.stdout}{done.stderr}--- expected:\n{expected}")
    return 1


sys.exit(main())
