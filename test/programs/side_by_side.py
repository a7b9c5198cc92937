#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/run on small programs that end in different ways: its exit status is the program's, the library is
proven to have served it, its statistics are printed once or their absence is explained.

  side_by_side.py LIBRARY
"""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STATISTICS = "mimalloc: statistics of process"
# A program; the exit status of tools/run; how many processes print statistics; words of its output.
CASES = (
    (["true"], 0, 1, ["its statistics"]),
    (["false"], 1, 1, ["its statistics", "failed, preloaded: exit status 1"]),
    (["sh", "-c", "exit 0"], 0, 0, ["no statistics", "left by _exit"]),
    (["sh", "-c", "exit 7"], 7, 0, ["no statistics", "failed, preloaded: exit status 7"]),
    (["sh", "-c", "kill -9 $$"], 137, 0, ["no statistics", "ended by SIGKILL"]),
    (["sh", "-c", "echo hello >&2; exec ls /"], 0, 1, ["stderr of the program, preloaded:\nhello"]),
    ([sys.executable, "-c", "import os; os._exit(0)"], 0, 0, ["no statistics", "left by _exit"]),
)


def main():
    failed = False
    for command, status, statistics, words in CASES:
        done = subprocess.run([sys.executable, "-B", os.path.join(ROOT, "tools", "run"), "--lib", sys.argv[1], "--",
                               *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, timeout=120)
        wrong = [f"it lacks: {word}" for word in words if word not in done.stdout]
        if done.returncode != status:
            wrong.append(f"exit status {done.returncode}, not {status}")
        if done.stdout.count(STATISTICS) != statistics:
            wrong.append(f"{done.stdout.count(STATISTICS)} statistics, not {statistics}")
        if "NOT PROVEN" in done.stdout:
            wrong.append("not proven")
        print(f"{' '.join(command)}: {'; '.join(wrong) or 'ok'}")
        if wrong:
            print(done.stdout)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
