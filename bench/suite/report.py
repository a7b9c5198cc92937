# SPDX-License-Identifier: MIT
"""The report in Markdown, from what bench/run wrote as JSON; the pictures; and the section of doc/benchmarks.md."""

import os

from suite import plots
from suite.runs import EMPTY, FIGURES, MODES, TAIL
from suite.spread import column, geometric_mean, median_of, ratios

FASTER, SMALLER, NOTICEABLE = 0.97, 0.90, 0.01
FEWEST_ROUNDS = 3
IDLE_FACTOR, IDLE_KIB = 1.2, 2048
BEGIN, END = "<!-- suite: begin -->", "<!-- suite: end -->"
# The rows of mimalloc's talk, there on a many-core machine: how many times faster than glibc's malloc.
TALK = [("redis", "1.25"), ("refcount", "1.13"), ("larson", "7.7"), ("xmalloc-test", "26"), ("cache-scratch", "37")]


def number(value, digits=2, scale=1.0):
    return "%.*f" % (digits, value / scale) if value is not None else "-"


def table(header, rows):
    return ["| %s |" % " | ".join(header), "|---|%s" % ("--:|" * (len(header) - 1))] + [
        "| %s |" % " | ".join(row) for row in rows]


class Results:
    """What one run of bench/run found."""

    def __init__(self, data):
        self.data, self.samples = data, data["samples"]
        self.names = list(data["allocators"])
        self.base = "ours" if "ours" in self.names else self.names[0]
        self.peers = [name for name in self.names if not name.startswith("ours")]

    def ratio(self, label, name, base, key):
        """Median of name / base over the rounds, or None."""
        found = ratios(self.samples[label].get(name), self.samples[label].get(base), key)
        return found.median if found else None

    def mean(self, name, base, key):
        return geometric_mean([self.ratio(label, name, base, key) for label in self.samples])

    def best_peer(self, label, key):
        values = [self.ratio(label, name, self.base, key) for name in self.peers]
        return min((value for value in values if value), default=None)

    def mean_against_best(self, key):
        """Ours against the best peer of each benchmark."""
        return geometric_mean([1 / best for best in (self.best_peer(label, key) for label in self.samples) if best])


# --------------------------------------------------------------------------------------------------- the verdicts

def judge_pair(peer, ours):
    """Why a peer does better than we do, or None; too few rounds show no spread, and allow no verdict."""
    times, peaks = ratios(peer, ours, "cpu_ms"), ratios(peer, ours, "peak_kib")
    if times is None or peaks is None or min(len(column(peer, "cpu_ms")), len(column(ours, "cpu_ms"))) < FEWEST_ROUNDS:
        return None
    if times.below(FASTER) and not peaks.above(1 + NOTICEABLE):
        return "%.0f %% faster, RSS %.2f x" % ((1 - times.median) * 100, peaks.median)
    if peaks.below(SMALLER) and not times.above(1 + NOTICEABLE):
        return "%.0f %% smaller, time %.2f x" % ((1 - peaks.median) * 100, times.median)
    return None


def lost(results, label):
    """Reasons, one for each peer that does better."""
    runs_of = results.samples[label]
    pairs = [(name, judge_pair(runs_of.get(name), runs_of.get(results.base))) for name in results.peers]
    return ["%s: %s" % pair for pair in pairs if pair[1]]


def lost_lines(results):
    rows = [[label, str(len(column(results.samples[label].get(results.base), "cpu_ms"))), "; ".join(reasons)]
            for label, reasons in ((label, lost(results, label)) for label in results.samples) if reasons]
    lines = ["", "### Where a peer does better", "",
             "More than 3 per cent faster (CPU time) without being larger (peak RSS), or more than 10 smaller without "
             "being slower; both quartiles on the same side of 1. %d of %d benchmarks." % (
                 len(rows), len(results.samples)), ""]
    few = [label for label, runs_of in results.samples.items()
           if len(column(runs_of.get(results.base), "cpu_ms")) < FEWEST_ROUNDS]
    lines += table(["benchmark", "rounds", "peers"], rows) if rows else ["None."]
    return lines + (["", "Fewer than %d rounds, so no verdict: %s." % (FEWEST_ROUNDS, ", ".join(few))] if few else [])


# ---------------------------------------------------------------------------------------------------- the tables

def machine_lines(data):
    machine = data["machine"]
    lines = ["%(processor)s, %(cores)s cores, %(memory_mib)s MiB; Linux %(kernel)s, %(system)s, %(libc)s, "
             "%(compiler)s; transparent huge pages: %(thp)s; %(date)s; commit %(commit)s." % machine,
             "A %(kind)s run: up to %(rounds)s rounds (%(idle_rounds)s of the idle ones), work scaled to %(scale)s %%."
             % data["options"], "", "| allocator | version |", "|---|---|"]
    lines += ["| %s | %s |" % (name, entry["version"]) for name, entry in data["allocators"].items()]
    return lines + ["| %s | missing |" % name for name in data["missing"]]


def summary_lines(results):
    header = ["allocator", "time x ours", "RSS x ours", "time x mimalloc3", "RSS x mimalloc3", "wall x ours"]
    rows = [[name] + [number(results.mean(name, base, key), 3) for base, key in (
        (results.base, "cpu_ms"), (results.base, "peak_kib"), ("mimalloc3", "cpu_ms"), ("mimalloc3", "peak_kib"),
        (results.base, "wall_ms"))] for name in results.names]
    rows += [[name] + ["missing"] * (len(header) - 1) for name in results.data["missing"]]
    return ["### Geometric means over %d benchmarks" % len(results.samples), "",
            "CPU time and peak RSS; above 1 ours is faster, or smaller.", ""] + table(header, rows) + [
        "", "%s against the best peer of each benchmark: time %s, peak RSS %s (below 1 ours is better)." % (
            results.base.capitalize(), number(results.mean_against_best("cpu_ms"), 3),
            number(results.mean_against_best("peak_kib"), 3))]


def compact_lines(results):
    """One line per benchmark: CPU time and peak RSS of each peer, relative to ours."""
    others = [name for name in results.names if name != results.base]
    rows = []
    for label, runs_of in results.samples.items():
        ours = runs_of.get(results.base)
        row = [label, "%s, %s" % (number(median_of(ours, "cpu_ms"), 0), number(median_of(ours, "peak_kib"), 1, 1024))]
        for name in others:
            runs = runs_of.get(name) or []
            row.append("FAILED" if None in runs else "%s, %s" % (
                number(results.ratio(label, name, results.base, "cpu_ms")),
                number(results.ratio(label, name, results.base, "peak_kib"))))
        rows.append(row)
    return ["", "### Each benchmark", "",
            "%s: CPU ms, peak MiB. The others: CPU time, peak RSS relative to that." % results.base,
            ""] + table(["benchmark", results.base] + others, rows)


def idle_lines(results):
    rows = []
    for label, runs_of in results.samples.items():
        if not column(runs_of.get(results.base), "idle_kib"):
            continue
        live = median_of(runs_of[results.base], "live_kib") or 0
        cells = []
        for name in results.names:
            idle, peak = median_of(runs_of.get(name), "idle_kib"), median_of(runs_of.get(name), "peak_kib")
            cells.append("-" if idle is None else "%s of %s (%.0f %%)" % (
                number(idle, 1, 1024), number(peak, 0, 1024), 100 * (1 - idle / peak)))
        rows.append([label, number(live * IDLE_FACTOR + IDLE_KIB, 1, 1024)] + cells)
    if not rows:
        return []
    return ["", "### Idle, one second after the last call", "",
            "Resident MiB of the peak's (and the share given back); the aim is 1.2 x what lives + 2 MiB.",
            ""] + table(["workload", "aim"] + results.names, rows)


def startup_lines(results):
    runs_of = results.samples.get("startup", {})
    if not runs_of.get(EMPTY):
        return []
    rows = [[name, number(median_of(runs, "cpu_ms"), 0), number(results.ratio("startup", name, EMPTY, "cpu_ms")),
             number((median_of(runs, "peak_kib") or 0) - (median_of(runs_of.get("glibc"), "peak_kib") or 0), 0)]
            for name, runs in runs_of.items()]
    return ["", "### Starting /bin/true", ""] + table(
        ["preloaded", "CPU ms of all", "x an empty library", "peak KiB above glibc's"], rows)


def talk_value(results, name, row):
    """(label, glibc / name in wall time) of each benchmark of a row of the talk."""
    programs = (results.data.get("programs") or {}).get("programs", {})
    if row == "redis":
        rows = programs.get("redis", {})
        ours, glibc = rows.get(name) or {}, rows.get("system") or {}
        return {"redis": glibc["cpu"] / ours["cpu"]} if ours.get("cpu") and glibc.get("cpu") else {}
    labels = [label for label in results.samples if results.data["workloads"][label]["family"] == row]
    return {label: results.ratio(label, "glibc", name, "wall_ms") for label in labels}


def talk_lines(results):
    rows = []
    for row, claimed in TALK:
        values = {name: talk_value(results, name, row) for name in results.names if name != "glibc"}
        labels = list(dict.fromkeys(label for found in values.values() for label in found))
        rows += [[label, claimed] + [number(found.get(label)) for found in values.values()] for label in labels]
    if not rows or "glibc" not in results.names:
        return []
    return ["", "### The talk's rows", "",
            "How many times faster than glibc's malloc (wall time; redis: CPU time of the server). The talk's figures "
            "come from a machine with many cores, where glibc's locks and shared cache lines cost most: a contended "
            "lock or line costs in proportion to the cores that fight for it, and here there are %s. What does not "
            "depend on that is what one thread gains." % results.data["machine"]["cores"], ""] + table(
                ["benchmark", "talk"] + [name for name in results.names if name != "glibc"], rows)


def count_lines(results):
    lines = []
    instructions, calls = results.data.get("instructions") or {}, results.data.get("calls") or {}
    if instructions:
        rows = [[MODES[mode]] + [number(found.get(name), 1) for name in results.names]
                for mode, found in instructions.items()]
        lines += ["", "### Instructions", "", "Exact, by callgrind; the loop's own are taken off.", ""]
        lines += table(["one turn"] + results.names, rows)
    if calls:
        rows = [[label] + ["%d + %d" % (found[name]["memory"], found[name]["waiting"]) if name in found else "-"
                           for name in results.names] for label, found in calls.items()]
        lines += ["", "### OS calls", "", "About memory (brk, mmap, munmap, mremap, madvise, mprotect) + for waiting "
                  "(futex, sched_yield: the program's own included).", ""]
        lines += table(["benchmark"] + results.names, rows)
    return lines


def program_lines(results):
    data = results.data.get("programs")
    if not data:
        return []
    names = [name for name in results.names if name != "glibc"]
    rows = []
    for program, record in data["programs"].items():
        base = record["system"]
        of = [record.get(name, {}) for name in names]
        cells = ["FAILED" if row.get("failure") else "%s, %s" % (number(row.get("cpu_ratio")),
                                                                 number(row.get("peak_ratio"))) for row in of]
        rows.append([program, "%s, %s" % (number(base.get("cpu")), number(base.get("peak_kib"), 0, 1024))] + cells)
    means = [[record.get(name, {}) for record in data["programs"].values()] for name in names]
    rows.append(["**geometric mean**", ""] + ["%s, %s" % (
        number(geometric_mean([row.get("cpu_ratio") for row in found]), 3),
        number(geometric_mean([row.get("peak_ratio") for row in found]), 3)) for found in means])
    worse = [row[0] for row, record in zip(rows, data["programs"].values())
             if (record.get(results.base) or {}).get("cpu_ratio", 0) > 1]
    return ["", "### Real programs", "",
            "The %s set of test/programs/run.py, %d rounds, results verified. On glibc's malloc: CPU s, peak MiB. The "
            "others: relative to that." % (data["set"], data["rounds"]), ""] + table(
                ["program", "glibc"] + names, rows) + [
                    "", "Slower than on glibc with %s: %s." % (results.base, ", ".join(worse) or "none")]


DETAILS = ["allocator", "CPU ms", "user", "system", "wall", "peak MiB", "x CPU", "x wall", "x peak", "faults",
           "switches", "rounds"]


def detail_lines(results):
    lines = ["", "## In detail", "", "Ratios to %s, within a round: median (quartiles)." % results.base]
    for label, runs_of in results.samples.items():
        base, rows = runs_of.get(results.base), []
        for name, runs in runs_of.items():
            found = [ratios(runs, base, key) for key in ("cpu_ms", "wall_ms", "peak_kib")]
            times = [number(median_of(runs, key), 0) for key in ("cpu_ms", "user_ms", "system_ms", "wall_ms")]
            peak = [number(median_of(runs, "peak_kib"), 1, 1024)]
            spreads = [spread.text() if spread else "-" for spread in found]
            counts = [number(median_of(runs, key), 0) for key in ("faults", "switches")]
            rows.append([name] + times + peak + spreads + counts + [str(len(column(runs, "cpu_ms")))])
        lines += ["", "### %s" % label, ""] + table(DETAILS, rows)
        if column(base, TAIL[0]):
            lines += ["", "One call, ns:", ""] + table(["allocator"] + [key.replace("_", " ") for key in TAIL], [
                [name] + [number(median_of(runs, key), 0) for key in TAIL] for name, runs in runs_of.items()])
        for key, what in FIGURES.items():
            if column(base, key):
                lines += ["", "%s, ns: " % what.capitalize() + "; ".join(
                    "%s %s" % (name, number(median_of(runs, key), 1)) for name, runs in runs_of.items() if runs)]
        if column(base, "ns_few"):
            lines += ["", "One operation with 20 and with 20,000 full pages live, ns: " + "; ".join(
                "%s %s, %s" % (name, number(median_of(runs, "ns_few"), 1), number(median_of(runs, "ns_many"), 1))
                for name, runs in runs_of.items())]
    return lines


def section(data):
    """What doc/benchmarks.md holds: all but the details."""
    results = Results(data)
    parts = [summary_lines, lost_lines, compact_lines, idle_lines, startup_lines, talk_lines, count_lines,
             program_lines]
    return machine_lines(data) + [""] + [line for part in parts for line in part(results)]


def summary(data):
    results = Results(data)
    return "\n".join(summary_lines(results) + lost_lines(results)) + "\n"


def full(data):
    return "\n".join(["# Benchmark suite", ""] + section(data) + detail_lines(Results(data))) + "\n"


def pictures(data):
    """{file name: SVG}."""
    results = Results(data)
    groups = {key: [(label, {name: results.ratio(label, name, results.base, key) for name in results.names})
                    for label in results.samples] for key in ("cpu_ms", "peak_kib")}
    points = {name: (results.mean(name, results.base, "cpu_ms"), results.mean(name, results.base, "peak_kib"))
              for name in results.names}
    base, names = results.base, results.names
    return {"time.svg": plots.bars("CPU time relative to %s (low is fast)" % base, groups["cpu_ms"], names),
            "memory.svg": plots.bars("Peak RSS relative to %s (low is small)" % base, groups["peak_kib"], names),
            "time-memory.svg": plots.scatter("Geometric means relative to %s" % results.base,
                                             {name: point for name, point in points.items() if all(point)})}


def write_pictures(data, folder):
    os.makedirs(folder, exist_ok=True)
    for name, text in pictures(data).items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)


def write_section(data, path):
    """Replace what stands between the two marks in a document, and put the pictures beside it."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError("%s: needs one line %s and one line %s" % (path, BEGIN, END))
    links = ["", "Pictures: [time](benchmarks/time.svg), [memory](benchmarks/memory.svg), "
             "[time against memory](benchmarks/time-memory.svg)."]
    head, tail = text.partition(BEGIN)[0], text.partition(END)[2]
    with open(path, "w", encoding="utf-8") as file:
        file.write(head + "\n".join([BEGIN] + section(data) + links + [END]) + tail)
    write_pictures(data, os.path.join(os.path.dirname(path), "benchmarks"))
