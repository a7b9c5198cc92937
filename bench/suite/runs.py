# SPDX-License-Identifier: MIT
"""Runs: one run and what it used, the rounds in which the allocators take turns, and the two separate passes that count
OS calls and instructions."""

import mmap
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from suite.allocators import RunError, prove, prove_startup, say

RUN_TIMEOUT_S = 300
TAIL = [name + part for name in ("malloc", "free") for part in ("_p50", "_p99", "_p999", "_p9999", "_max")]
FIGURES = {"ns_empty": "a heap created and destroyed", "ns_10": "the same with 10 blocks",
           "ns_1000": "the same with 1,000 blocks", "ns_destroy_1000": "its end alone", "ns_area": "an area visited",
           "ns_block": "a block visited"}
EXTRA = ["live_kib", "freed_kib", "idle_kib", "idle2_kib", "ns_few", "ns_many"] + TAIL + list(FIGURES)
EMPTY = "empty library"  # preloaded instead of an allocator, by the start-up workload only
MEMORY_CALLS = ("brk", "mmap", "munmap", "mremap", "madvise", "mprotect", "process_madvise")
CALLS_OF_MODES = 20000


def warm_memory(megabytes):
    """Touch memory once, so that no run pays for pages that the host has never given to this guest."""
    with open("/proc/meminfo", encoding="ascii") as file:
        available = next(int(line.split()[1]) for line in file if line.startswith("MemAvailable:")) // 1024
    megabytes = min(megabytes, available * 7 // 10)
    if megabytes <= 0:
        return
    say("touching %d MiB of memory once" % megabytes)
    memory = mmap.mmap(-1, megabytes << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    chunk = b"\1" * (4 << 20)
    for _ in range(megabytes // 4):
        memory.write(chunk)
    memory.close()


# ------------------------------------------------------------------------------------------------------- one run

def parse_result(text):
    line = next((line for line in text.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise RunError("no line of results")
    return dict(item.split("=", 1) for item in line.split()[1:])


def read_until_stopped(pid, pipe):
    """Wait for the workload to stop itself; returns what it wrote.  Its line is far below a pipe's capacity."""
    state = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    os.set_blocking(pipe, False)
    try:
        text = os.read(pipe, 1 << 16).decode()
    except BlockingIOError:
        text = ""
    if state.si_code != os.CLD_STOPPED:
        os.waitpid(pid, 0)
        raise RunError("ended early (status %d)" % state.si_status)
    return text


def environment_for(program, library, hold):
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith(("LD_", "MIMALLOC_", "MALLOC_", "GLIBC_TUNABLES", "BENCH_", "SCUDO_"))}
    if hold:
        environment["BENCH_HOLD"] = "1"
    if library:
        environment["BENCH_PRELOAD" if program == "startup" else "LD_PRELOAD"] = library
    return environment


def spawn(path, arguments, environment):
    reader, writer = os.pipe()
    pid = os.posix_spawn(path, [path] + arguments, environment, file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)])
    os.close(writer)
    return pid, reader


def status_number(pid, key):
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return next((int(line.split()[1]) for line in file if line.startswith(key)), 0)


def run_once(folder, entry, library):
    """One run; returns its measured values.  The peak is VmHWM of the program itself, which begins at its exec."""
    pid, pipe = spawn(os.path.join(folder, entry.program), entry.arguments,
                      environment_for(entry.program, library, True))
    killer = threading.Timer(RUN_TIMEOUT_S, os.kill, (pid, signal.SIGKILL))
    killer.start()
    try:
        fields = parse_result(read_until_stopped(pid, pipe))
        peak = status_number(pid, "VmHWM:")
        error = None
        try:
            prove(pid, fields.get("malloc", "?"), "" if entry.program == "startup" else library)
        except RunError as problem:
            error = problem
        os.kill(pid, signal.SIGCONT)
        _, status, usage = os.wait4(pid, 0)
        if error or status != 0:
            raise error or RunError("status %d" % status)
    finally:
        killer.cancel()
        os.close(pipe)
    values = {"cpu_ms": (usage.ru_utime + usage.ru_stime) * 1e3, "user_ms": usage.ru_utime * 1e3,
              "system_ms": usage.ru_stime * 1e3, "wall_ms": float(fields["wall_ms"]), "peak_kib": float(peak),
              "faults": float(usage.ru_minflt), "switches": float(usage.ru_nvcsw + usage.ru_nivcsw)}
    if entry.program == "startup":
        values.update((key, float(fields["child_" + key])) for key in ("cpu_ms", "user_ms", "system_ms", "faults",
                                                                        "switches", "peak_kib"))
    values.update((key, float(fields[key])) for key in EXTRA if key in fields)
    return values


# ----------------------------------------------------------------------------------------------------- the rounds

def turned(names, number):
    """The order of a round: turned by one each time, every other one reversed."""
    order = names[number % len(names):] + names[:number % len(names)]
    return order[::-1] if number % 2 else order


def can_run(entry, library):
    """Has the allocator the functions that the workload calls by name?"""
    if not entry.heaps:
        return True
    if not library:
        return False
    with open(library, "rb") as file:
        return b"\0mi_heap_visit_blocks\0" in file.read()


def run_rounds(plan, allocators, entries):
    """{label: {allocator: [values of round 0, ...]}}; a failed run leaves None.  `plan` has folder, empty, rounds,
    idle_rounds and budget (seconds after which no further round begins)."""
    samples = {entry.label: {name: [] for name in allocators} for entry in entries}
    if any(entry.program == "startup" for entry in entries):
        for name, library in allocators.items():
            prove_startup(library)
            say("proved: /bin/true takes malloc from %s" % name)
    start = time.monotonic()
    for number in range(plan.rounds):
        for index, entry in enumerate(entries):
            if entry.idle and number >= plan.idle_rounds:
                continue
            libraries = {name: library for name, library in allocators.items() if can_run(entry, library)}
            if entry.program == "startup":
                libraries[EMPTY] = plan.empty
            for name in turned(list(libraries), number):
                try:
                    values = run_once(plan.folder, entry, libraries[name])
                except RunError as problem:
                    say("FAILED: %s on %s: %s" % (entry.label, name, problem))
                    values = None
                samples[entry.label].setdefault(name, []).append(values)
            say("round %d/%d, %d/%d, %.0f s: %s" % (number + 1, plan.rounds, index + 1, len(entries),
                                                     time.monotonic() - start, entry.label))
        if time.monotonic() - start > plan.budget:
            say("stopping after round %d: the time is used up" % (number + 1))
            break
    return samples


# ------------------------------------------------------------------------------------------------ separate passes

def parse_strace(text):
    """{call: times} of strace -c."""
    counts = {}
    for line in text.splitlines():
        match = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
        if match and match.group(2) != "total":
            counts[match.group(2)] = int(match.group(1))
    return counts


def count_calls(folder, entry, library):
    """OS calls of one run: those about memory, and those for waiting (futex, which are also the program's)."""
    with tempfile.NamedTemporaryFile("r", prefix="bench-calls-") as report:
        preload = ["-E", "LD_PRELOAD=" + library] if library and entry.program != "startup" else []
        environment = environment_for(entry.program, library if entry.program == "startup" else "", False)
        command = ["strace", "-f", "--seccomp-bpf", "-qq", "-c", "-o", report.name, "-e",
                   "trace=futex,sched_yield," + ",".join(MEMORY_CALLS)] + preload
        result = subprocess.run(command + [os.path.join(folder, entry.program)] + entry.arguments, env=environment,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
                                timeout=RUN_TIMEOUT_S)
        counts = parse_strace(report.read())
    if result.returncode != 0 or not counts:
        raise RunError("strace: status %d: %s" % (result.returncode, result.stderr[-200:].strip()))
    return {"memory": sum(counts.get(name, 0) for name in MEMORY_CALLS),
            "waiting": counts.get("futex", 0) + counts.get("sched_yield", 0)}


def count_all_calls(folder, allocators, entries):
    """{label: {allocator: counts}}, or nothing where strace is missing or may not trace."""
    if shutil.which("strace") is None:
        say("no strace: OS calls are not counted")
        return {}
    counts = {}
    for index, entry in enumerate(entries):
        say("OS calls %d/%d: %s" % (index + 1, len(entries), entry.label))
        for name, library in allocators.items():
            if not can_run(entry, library):
                continue
            try:
                counts.setdefault(entry.label, {})[name] = count_calls(folder, entry, library)
            except (RunError, subprocess.TimeoutExpired) as problem:
                say("OS calls of %s on %s: %s" % (entry.label, name, problem))
                if index == 0:
                    return {}
    return counts


MODES = {"small": "malloc + free, 16 to 1000 bytes", "medium": "malloc + free, 8 KiB",
         "zeroed": "calloc + free, 64 bytes", "aligned": "aligned_alloc + free, 64 bytes at 64",
         "resized": "malloc + realloc in place + free, 100 bytes",
         "large": "malloc + free, 1 MiB"}


def instructions_of(folder, mode, count, library):
    environment = environment_for("calls", library, False)
    result = subprocess.run(["valgrind", "--tool=callgrind", "--soname-synonyms=somalloc=nouserintercepts",
                             "--callgrind-out-file=/dev/null", os.path.join(folder, "calls"), mode, str(count)],
                            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
                            timeout=RUN_TIMEOUT_S)
    match = re.search(r"Collected : (\d+)", result.stderr)
    if result.returncode != 0 or match is None:
        raise RunError("callgrind: status %d" % result.returncode)
    return int(match.group(1))


def instructions_each(folder, mode, library):
    """Instructions of one turn of a mode's loop: the difference of two runs, so that start and exit do not count."""
    return (instructions_of(folder, mode, 2 * CALLS_OF_MODES, library)
            - instructions_of(folder, mode, CALLS_OF_MODES, library)) / CALLS_OF_MODES


def count_instructions(folder, allocators):
    """{mode: {allocator: instructions}}, the loop's own taken off; nothing without valgrind."""
    if shutil.which("valgrind") is None:
        say("no valgrind: instructions are not counted")
        return {}
    counts = {mode: {} for mode in MODES}
    loop = instructions_each(folder, "nothing", "")
    for name, library in allocators.items():
        say("instructions: %s" % name)
        for mode in MODES:
            try:
                counts[mode][name] = round(instructions_each(folder, mode, library) - loop, 1)
            except (RunError, subprocess.TimeoutExpired) as problem:
                say("instructions of %s on %s: %s" % (mode, name, problem))
    return counts
