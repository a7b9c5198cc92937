#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each variable that doc/moving.md calls ignored changes nothing in a program on our library.

  environment.py PAGE LIBRARY PROGRAM

The variables are read off the page's table: rows `| NAME=value | ignored | ...`.  To prove that the program
would notice, those of glibc's that have a visible effect there are tried on the system's malloc as well."""
import os
import re
import subprocess
import sys
import tempfile

# What glibc's malloc shows of them in the program.
VISIBLE = {"MALLOC_PERTURB_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_",
           "MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"}
MUST_BE_LISTED = VISIBLE | {"MALLOC_CONF", "MALLOC_CHECK_", "TCMALLOC_RELEASE_RATE", "HEAPPROFILE"}
MALLOPT = "mallopt: perturb 0 arena_max 0 mmap_threshold 0 top_pad 0 trim 0 trim-never 1 check 1"


def run(program, **variables):
    """Exit status, output, and the files that it has made."""
    plain = {name: value for name, value in os.environ.items()
             if not re.match(r"(MALLOC_|GLIBC_|TCMALLOC_|HEAP|LD_PRELOAD)", name)}
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run([os.path.abspath(program)], env={**plain, **variables}, cwd=folder, check=False,
                                capture_output=True, text=True, timeout=60)
        return result.returncode, result.stdout + result.stderr, os.listdir(folder)


def main():
    page, library, program = sys.argv[1:]
    library = os.path.abspath(library)
    with open(page, encoding="utf-8") as file:
        rows = re.findall(r"^\| `(\w+)=([^`]*)` \| (\w+)", file.read(), re.M)
    failures = []
    absent = MUST_BE_LISTED - {name for name, _, _ in rows}
    if absent:
        failures.append(f"not on the page: {sorted(absent)}")
    ours = run(program, LD_PRELOAD=library)
    system = run(program)
    if ours[0] != 0 or ours[2] or MALLOPT not in ours[1]:
        failures.append(f"on our library: {ours}")
    for name, value, verdict in rows:
        if verdict != "ignored":
            failures.append(f"{name}: the page says {verdict}, which no test here can judge")
        seen = run(program, LD_PRELOAD=library, **{name: value})
        if seen != ours:
            failures.append(f"{name}={value} is not ignored:\n{seen[1]}{seen[2]}")
        if name in VISIBLE and run(program, **{name: value}) == system:
            failures.append(f"{name}={value}: nor does the system's malloc show it, the test sees nothing")
    print("\n".join(failures) or f"{len(rows)} variables, all ignored\n{ours[1]}")
    return 1 if failures else 0


sys.exit(main())
