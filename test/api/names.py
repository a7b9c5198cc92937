#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""names.py LIBRARY PROGRAM: the names of the C library that LIBRARY shows are those that PROGRAM --names tests."""

import re
import subprocess
import sys


def shown(library):
    output = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1].split("@")[0] for line in output.splitlines() if len(line.split()) >= 3}
    return {name for name in names if not re.match(r"mi_|_mi_|_Z", name)}  # ours; C++ operators have their own test


def main():
    library, program = sys.argv[1:]
    tested = set(subprocess.run([program, "--names"], capture_output=True, text=True, check=True).stdout.split())
    names = shown(library) - {"dlopen"}  # allocates nothing: test/programs loads PHP's modules through it
    for name in sorted(names ^ tested):
        print(f"{name}: {'shown by the library and not called by the test' if name in names else 'not shown'}")
    print(f"{len(names)} names shown, {len(tested)} tested")
    return 0 if names == tested and names else 1


sys.exit(main())
