# SPDX-License-Identifier: MIT
"""The suite's own test: every workload once, tiny, on ours and on the system's malloc; what the runner writes; and that
bench/compare judges what it should and nothing else.

  test_suite.py run LIBRARY FOLDER [COMPILER]     the runner
  test_suite.py logic                             spreads, reports and verdicts on made-up figures"""

import json
import os
import random
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

sys.dont_write_bytecode = True
from suite import catalogue, report, runs  # noqa: E402
from suite.spread import Spread, rank_probability  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
FIELDS = ("cpu_ms", "user_ms", "system_ms", "wall_ms", "peak_kib", "faults", "switches")
MACHINE = ("processor", "cores", "memory_mib", "kernel", "system", "libc", "compiler", "thp", "date", "commit")
IDLE_LIMIT_KIB = 20 * 1024


def check(condition, text):
    if not condition:
        sys.exit("FAILED: " + text)
    print("ok: " + text)


# ---------------------------------------------------------------------------------------------------- the runner

def check_samples(data):
    for label, runs_of in data["samples"].items():
        for name in ("ours", "glibc") if runs_of["glibc"] else ("ours",):
            values = runs_of[name][0]
            if not all(isinstance(values.get(field), float) and values[field] >= 0 for field in FIELDS):
                sys.exit("FAILED: %s on %s: %r" % (label, name, values))
            if not values["peak_kib"] > 500 or not values["faults"] > 20:
                sys.exit("FAILED: %s on %s: not the figures of a process: %r" % (label, name, values))
    print("ok: %d benchmarks have all figures on both allocators" % len(data["samples"]))


def check_idle(data):
    for label in ("burst-idle", "storm-idle-parked", "storm-idle-ended"):
        kib = data["samples"][label]["ours"][0]["idle2_kib"]
        check(kib <= IDLE_LIMIT_KIB, "%s: %.1f MiB held two seconds after all was freed" % (label, kib / 1024))


def test_run(library, folder, compiler="cc"):
    result = os.path.join(folder, "result.json")
    document = os.path.join(folder, "document.md")
    os.makedirs(folder, exist_ok=True)
    with open(document, "w", encoding="utf-8") as file:
        file.write("before\n%s\nold\n%s\nafter\n" % (report.BEGIN, report.END))
    environment = dict(os.environ, CC=compiler, PEERS="absent=%s/no.so" % folder)
    command = [sys.executable, "-B", os.path.join(HERE, "run"), "--test", "--library", library, "--offline",
               "--build-dir", folder, "--json", result, "--doc", document]
    for name in ("ours", "glibc", "absent"):
        command += ["--only-allocator", name]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    check(done.returncode == 0, "the runner's exit status is %d" % done.returncode)
    with open(result, encoding="utf-8") as file:
        data = json.load(file)
    expected = [entry.label for entry in catalogue.entries("test", 1, [], [])]
    check(list(data["samples"]) == expected, "every benchmark ran")
    check(data["missing"] == ["absent"] and list(data["allocators"]) == ["ours", "glibc"], "what is missing is said")
    check(all(data["machine"].get(key) for key in MACHINE), "machine and versions are named")
    check_samples(data)
    check_idle(data)
    heaps = data["samples"]["heaps-1"]
    check(heaps["ours"][0]["ns_empty"] > 0 and heaps["glibc"] == [], "heaps are asked only of who has them")
    check(data["samples"]["visit"]["ours"][0]["ns_block"] > 0, "visiting has its figures")
    check(runs.EMPTY in data["samples"]["startup"], "starting is compared with an empty library")
    with open(document, encoding="utf-8") as file:
        text = file.read()
    check(text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text, "the section is replaced")
    tables = ("| absent | missing |", "| larson-2 |", "### The talk's rows")
    check(all(part in text for part in tables), "it has its tables")
    for name in ("time.svg", "memory.svg", "time-memory.svg"):
        root = xml.etree.ElementTree.parse(os.path.join(folder, "benchmarks", name)).getroot()
        check(len(root) > 10, "%s is a picture of %d parts" % (name, len(root)))
    test_wrong_library(library, folder)


def test_wrong_library(library, folder):
    """A run that another allocator serves must fail: the proof is what the whole comparison rests on."""
    entry = catalogue.entries("test", 1, ["strings-1"], [])[0]
    real = runs.environment_for
    for wanted, preloaded, what in ((library, "", "the system's malloc"), ("", library, "ours")):
        runs.environment_for = lambda program, _, hold, given=preloaded: real(program, given, hold)
        try:
            runs.run_once(folder, entry, wanted)
            sys.exit("FAILED: a run on %s passed for one on the other" % what)
        except runs.RunError as problem:
            print("ok: a run on %s is found out: %s" % (what, problem))
        finally:
            runs.environment_for = real


# ----------------------------------------------------------------------------------------------------- the logic

def made_up(factors, rounds, noise, seed):
    """A result with one benchmark for each factor: ours takes 100 ms and 10 MiB times the factor; and a peer."""
    values = random.Random(seed)
    samples, labels = {}, ["b%d" % number for number in range(len(factors))]
    for label, factor in zip(labels, factors):
        found = {"ours": [], "glibc": [], "peer": []}
        for _ in range(rounds):
            mood = values.uniform(0.8, 1.3)  # of the machine in this round: the same for all
            for name, level in (("ours", factor), ("glibc", 1.0), ("peer", 0.9)):
                time = 100 * level * mood * values.uniform(1 - noise, 1 + noise)
                found[name].append({"cpu_ms": time, "user_ms": time, "system_ms": 0.0, "wall_ms": time,
                                    "peak_kib": 10240 * level, "faults": 100.0, "switches": 1.0})
        samples[label] = found
    machine = {key: "x" for key in MACHINE}
    return {"format": 1, "machine": machine, "missing": [], "samples": samples,
            "options": {"kind": "test", "rounds": rounds, "idle_rounds": 1, "scale": 1, "pin": None},
            "allocators": {name: {"path": "", "version": "1"} for name in ("ours", "glibc", "peer")},
            "workloads": {label: {"family": label} for label in labels}}


def compared(folder, first, second, *options):
    paths = [os.path.join(folder, name) for name in ("a.json", "b.json")]
    for path, data in zip(paths, (first, second)):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(data, file)
    return subprocess.run([sys.executable, "-B", os.path.join(HERE, "compare"), *paths, "--all", *options],
                          stdout=subprocess.PIPE, text=True, check=False)


def said(text, label, figure):
    line = next(line for line in text.splitlines() if line.startswith("| %s | %s |" % (label, figure)))
    return line.split(" | ")[2]


def test_compare():
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        before, after = made_up([1, 1, 1], 7, 0.02, 1), made_up([1, 1.1, 0.9], 7, 0.02, 2)
        done = compared(folder, before, after, "--gate")
        verdicts = [said(done.stdout, label, "time") for label in ("b0", "b1", "b2")]
        check(verdicts == ["no difference shown", "slower", "faster"], "10 %% are seen in 2 %% of noise: %s" % verdicts)
        sizes = [said(done.stdout, label, "peak RSS") for label in ("b0", "b1", "b2")]
        check(sizes == ["no difference shown", "larger", "smaller"], "so are sizes: %s" % sizes)
        check(done.returncode == 1, "the gate closes when something is worse")
        check(compared(folder, before, made_up([1, 1, 0.9], 7, 0.02, 3), "--gate").returncode == 0,
              "the gate stays open when nothing is")
        noisy = compared(folder, made_up([1], 7, 0.4, 4), made_up([1.1], 7, 0.4, 5)).stdout
        check(said(noisy, "b0", "time") == "no difference shown", "10 % are not seen in 40 % of noise")
        few = compared(folder, made_up([1], 3, 0.001, 6), made_up([1.5], 3, 0.001, 7)).stdout
        check(said(few, "b0", "time") == "too few rounds", "three rounds allow no verdict")
        moody = compared(folder, before, after, "--reference", "").stdout
        check(said(moody, "b1", "time") == "no difference shown", "without a reference the machine's mood hides it")
        check(compared(folder, before, dict(after, format=2)).returncode != 0, "another format is refused")


def test_chance():
    """Of many comparisons of equal things about 1 % or fewer may get a verdict."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        text = compared(folder, made_up([1] * 300, 7, 0.1, 8), made_up([1] * 300, 7, 0.1, 9)).stdout
        wrong = sum(said(text, "b%d" % number, "time") != "no difference shown" for number in range(300))
        check(wrong <= 6, "%d of 300 comparisons of equal things got a verdict" % wrong)


def test_logic():
    spread = Spread([1, 2, 3, 4, 5])
    check((spread.low, spread.median, spread.high) == (2, 3, 4), "median and quartiles")
    check(abs(rank_probability([1, 2, 3, 4], [5, 6, 7, 8]) - 2 / 70) < 1e-12, "ranks: four below four, 2 of 70")
    check(rank_probability([1, 3], [2, 4]) == 4 / 6, "ranks: two and two in turn, 4 of 6")
    check("".join(runs.turned(list("abcd"), 1)) == "adcb", "the order is turned")
    calls = runs.parse_strace(" 60.00    0.1    3      20        4 futex\n 40.00  0.1   3   5           mmap\n"
                              "100.00  0.2   3   25    4 total\n")
    check(calls == {"futex": 20, "mmap": 5}, "strace's table is read")
    results = report.Results(made_up([1, 1, 0.8], 7, 0.005, 10))
    check([bool(report.lost(results, label)) for label in results.samples] == [True, True, False],
          "a peer that is 10 % faster and smaller is named, one that is slower is not")
    check(report.lost(report.Results(made_up([1], 2, 0.005, 11)), "b0") == [], "two rounds show no loss")
    check(abs(results.mean_against_best("peak_kib") - (1 / 0.9 * 1 / 0.9 * 0.8 / 0.9) ** (1 / 3)) < 1e-9,
          "the mean against the best peer of each benchmark")
    test_compare()
    test_chance()


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        test_run(*sys.argv[2:])
    else:
        test_logic()
