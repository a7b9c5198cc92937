#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run real programs on the system's malloc and on preloaded allocators; compare results, time and peak RSS.

  run.py --lib build/libmimalloc.so                       the short set, once
  run.py --lib PATH --set full --rounds 5 --json out.json medians of five interleaved rounds after a warm-up
  run.py --lib ours=PATH --lib other=PATH --only gcc      several allocators side by side

Every run proves which malloc served it (see measure.py). The first round is the proof round, with our
statistics switched on; with more than one round it is not timed.
Exit status: 0 all good, 1 something failed, 77 all skipped.
"""

import argparse
import hashlib
import json
import math
import os
import shutil
import statistics
import sys
import tempfile

import commands
import compilers
import servers
from context import PROGRAMS, Context
from measure import Allocator, Failure, Tools, work_directory

MODULES = (commands, compilers, servers)    # importing them registers the programs
SKIPPED = 77


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lib", action="append", default=[], metavar="[NAME=]PATH",
                        help="a library to preload (repeatable)")
    parser.add_argument("--set", choices=("short", "full"), default="short", help="size of the workloads")
    parser.add_argument("--only", action="append", default=[], metavar="NAME",
                        help="only this program (repeatable)")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="timed rounds; the median counts")
    parser.add_argument("--json", metavar="FILE", help="also write everything measured to FILE")
    parser.add_argument("--no-skip", action="store_true",
                        help="an absent program is a failure (implied by CI=true)")
    parser.add_argument("--require-counters", action="store_true",
                        help="the first library must print our counters")
    parser.add_argument("--keep", metavar="DIR", help="work in DIR and keep it")
    parser.add_argument("--list", action="store_true", help="print the programs' names and exit")
    options = parser.parse_args()
    unknown = [name for name in options.only if name not in PROGRAMS]
    if unknown:
        parser.error(f"no program {unknown[0]}; there are {', '.join(PROGRAMS)}")
    if not options.lib and not options.list:
        parser.error("--lib PATH is needed")
    options.no_skip = options.no_skip or os.environ.get("CI", "").lower() in ("1", "true", "yes")
    return options


def allocators_of(options, tools):
    chosen = [Allocator("system")]
    for number, text in enumerate(options.lib):
        name, _, path = text.rpartition("=")
        allocator = Allocator(name or ("preloaded" if len(options.lib) == 1 else f"lib{number + 1}"), path)
        chosen.append(allocator.probe(tools))
    if options.require_counters and not chosen[1].counts:
        raise Failure(f"{chosen[1].path}: no line `mimalloc: served:` at exit with MIMALLOC_SHOW_STATS=1")
    return chosen


class Session:
    """All runs of one program, for every allocator."""

    def __init__(self, program, options, tools, allocators, directory):
        self.program, self.options, self.tools, self.allocators = program, options, tools, allocators
        self.directory = tempfile.mkdtemp(prefix="p", dir=directory)
        os.chmod(self.directory, 0o755)
        self.usages = {allocator.name: [] for allocator in allocators}
        self.digests, self.proofs = {}, {}

    def _context(self, allocator, *, proving):
        work = tempfile.mkdtemp(prefix="w", dir=self.directory)
        os.chmod(work, 0o755)
        return Context(self.tools, allocator, os.path.join(self.directory, "data"), work,
                       full=self.options.set == "full", statistics=proving)

    def _one(self, allocator, turn):
        context = self._context(allocator, proving=turn == 0)
        result = self.program.function(context)
        if len(result) < 16:
            raise Failure(f"the result is only {len(result)} bytes: {result!r}")
        digest = hashlib.sha256(result).hexdigest()
        known = self.digests.setdefault("system", digest)
        self.digests[allocator.name] = digest
        if digest != known:
            raise Failure(f"result {digest[:12]} differs from the system's {known[:12]}")
        if turn == 0:
            self.proofs[allocator.name] = context.proof
        if turn > 0 or self.options.rounds == 1:
            self.usages[allocator.name].append(context.usage)
        if self.options.keep is None:
            shutil.rmtree(context.work, ignore_errors=True)

    def run(self, progress):
        """Interleaved rounds, the order turned by one each time; {allocator: failure text}."""
        os.mkdir(os.path.join(self.directory, "data"), 0o755)
        if self.program.prepare:
            self.program.prepare(self._context(self.allocators[0], proving=False))
        failures = {}
        turns = 1 if self.options.rounds == 1 else self.options.rounds + 1
        for turn in range(turns):
            shift = turn % len(self.allocators) if turn else 0
            for allocator in self.allocators[shift:] + self.allocators[:shift]:
                if allocator.name in failures:
                    continue
                progress(f"round {turn + 1}/{turns} on {allocator.name}")
                try:
                    self._one(allocator, turn)
                except Failure as failure:
                    failures[allocator.name] = str(failure)
            if "system" in failures:
                break
        return failures


def median_and_spread(values):
    """The median, and half the range as a share of it."""
    middle = statistics.median(values)
    return middle, (max(values) - min(values)) / 2 / middle if middle else 0.0


def summary_of(usages):
    if not usages:
        return None
    cpu, cpu_spread = median_and_spread([usage.cpu for usage in usages])
    peak, peak_spread = median_and_spread([usage.peak for usage in usages])
    return {"cpu": cpu, "cpu_spread": cpu_spread, "peak_kib": peak, "peak_spread": peak_spread,
            "wall": statistics.median(usage.wall for usage in usages),
            "faults": statistics.median(usage.minor + usage.major for usage in usages)}


def record_of(session, failures):
    """Everything known of one program, for the table and the JSON file."""
    rows = {}
    for allocator in session.allocators:
        row = summary_of(session.usages[allocator.name]) or {}
        proof = session.proofs.get(allocator.name)
        row["digest"] = session.digests.get(allocator.name)
        row["failure"] = failures.get(allocator.name)
        if proof:
            row["proof"] = {"malloc": proof.provider, "processes": len(proof.processes),
                            "blocks": proof.blocks, "bytes": proof.bytes, "glibc_heap": proof.glibc,
                            "mapped": sorted(proof.mapped)}
            row["proof_text"] = proof.text()
        rows[allocator.name] = row
    base = rows["system"]
    for row in rows.values():
        if row.get("cpu") and base.get("cpu"):
            row["cpu_ratio"] = row["cpu"] / base["cpu"]
            row["peak_ratio"] = row["peak_kib"] / base["peak_kib"]
    return rows


def print_rows(name, rows):
    print(f"{name}: digest {(rows['system'].get('digest') or 'none')[:12]}")
    for allocator, row in rows.items():
        if row.get("cpu") is not None:
            ratio = f"  {row['cpu_ratio']:6.3f} x {row['peak_ratio']:6.3f} x" if allocator != "system" else ""
            print(f"  {allocator:<12} cpu {row['cpu']:7.3f} s +-{row['cpu_spread']:4.0%}  "
                  f"wall {row['wall']:7.3f} s  peak {row['peak_kib'] / 1024:8.1f} MiB  "
                  f"faults {row['faults']:9,.0f}{ratio}")
        if row.get("proof_text"):
            print(f"  {'':<12} proof: {row['proof_text']}")
        if row.get("failure"):
            print(f"  {allocator:<12} FAILED: {row['failure']}")
    sys.stdout.flush()


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else float("nan")


def print_means(records, allocators):
    for allocator in allocators[1:]:
        rows = [record[allocator.name] for record in records.values()]
        rows = [row for row in rows if "cpu_ratio" in row]
        if rows:
            print(f"geometric mean of {len(rows)} programs, {allocator.name} / system: "
                  f"cpu {geometric_mean([row['cpu_ratio'] for row in rows]):.3f} x, "
                  f"peak {geometric_mean([row['peak_ratio'] for row in rows]):.3f} x")


def run_all(options, directory):
    tools = Tools(directory)
    allocators = allocators_of(options, tools)
    names = options.only or list(PROGRAMS)
    records, failed, skipped = {}, [], []
    for number, name in enumerate(names, 1):
        program = PROGRAMS[name]
        missing = program.missing()
        if missing:
            print(f"{name}: SKIPPED, {', '.join(missing)} not installed", flush=True)
            skipped.append(name)
            continue

        def progress(text, prefix=f"[{number}/{len(names)}] {name}"):
            print(f"{prefix}: {text}", file=sys.stderr, flush=True)

        session = Session(program, options, tools, allocators, directory)
        failures = session.run(progress)
        records[name] = record_of(session, failures)
        print_rows(name, records[name])
        failed += [f"{name} on {allocator}" for allocator in failures]
        if options.keep is None:
            shutil.rmtree(session.directory, ignore_errors=True)
    print_means(records, allocators)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"set": options.set, "rounds": options.rounds, "skipped": skipped, "programs": records,
                       "libraries": {each.name: each.path for each in allocators}}, file, indent=1)
    return records, failed, skipped


def main():
    options = parse_arguments()
    if options.list:
        print("\n".join(PROGRAMS))
        return 0
    with work_directory(options.keep) as directory:
        try:
            records, failed, skipped = run_all(options, directory)
        except Failure as failure:
            print(f"FAILED: {failure}")
            return 1
    if skipped:
        print(f"skipped: {', '.join(skipped)}")
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    else:
        print(f"passed: {', '.join(records) or 'nothing'}")
    if failed or (skipped and options.no_skip):
        return 1
    return 0 if records else SKIPPED


if __name__ == "__main__":
    sys.exit(main())
