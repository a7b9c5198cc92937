# SPDX-License-Identifier: MIT
"""Run a program on a chosen allocator; report time, peak RSS and page faults; prove which malloc served it.

Two small C files help: launcher.c (peak RSS and CPU of the program's whole tree, free of the caller's own)
and witness.c (preloaded everywhere: names the file that `malloc` resolves to, from /proc/self/maps). The
counters are the second proof: our library prints `mimalloc: served: blocks=N bytes=M pid=P` at exit when
MIMALLOC_SHOW_STATS is set, and of any other allocator the witness tells how many bytes glibc's heap holds.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SERVED = re.compile(rb"mimalloc: served: blocks=(\d+) bytes=(\d+) pid=(\d+)")
# No program stays below this on glibc's malloc: its first extension of the heap alone is 132 KiB.
GLIBC_IDLE_BYTES = 64 * 1024


class Failure(Exception):
    """A run that crashed, hung, or was not served by the allocator it should run on."""


class Allocator:
    """A name and the shared library to preload; no library is the system's malloc."""

    def __init__(self, name, path=None):
        self.name = name
        self.path = os.path.realpath(path) if path else None
        self.counts = False     # prints the `served` line
        if self.path and not os.path.isfile(self.path):
            raise Failure(f"{self.path}: no such library")

    def probe(self, tools):
        """Find out whether the library prints our counters."""
        if self.path:
            environment = dict(os.environ, LD_PRELOAD=self.path, MIMALLOC_SHOW_STATS="1")
            result = subprocess.run([tools.launcher, os.devnull, "--", "/bin/true"], env=environment,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)
            self.counts = SERVED.search(result.stderr) is not None
        return self


class Tools:
    """The compiled helpers, in a directory that other users may read."""

    def __init__(self, directory):
        self.directory = directory
        self.launcher = os.path.join(directory, "launcher")
        self.witness = os.path.join(directory, "witness.so")
        compiler = os.environ.get("CC") or next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
        if compiler is None:
            raise Failure("no C compiler for launcher.c and witness.c")
        flags = compiler.split() + ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"]
        library = ["-shared", "-fPIC", "-fplt", "-fno-builtin", "-Wl,-z,now"]
        for target, extra in ((self.launcher, []), (self.witness, library)):
            source = os.path.splitext(os.path.basename(target))[0] + ".c"
            subprocess.run(flags + extra + [os.path.join(HERE, source), "-o", target, "-ldl"], check=True)


@contextlib.contextmanager
def work_directory(keep=None):
    """A directory for one whole session; short, because socket paths are limited to 107 bytes."""
    path = keep or tempfile.mkdtemp(prefix="programs-")
    os.makedirs(path, exist_ok=True)
    os.chmod(path, 0o755)
    try:
        yield path
    finally:
        if keep is None:
            shutil.rmtree(path, ignore_errors=True)


def describe_status(status):
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit status {os.WEXITSTATUS(status)}"


def backtrace_of(pid):
    """Where a hanging process is, when gdb is there to tell."""
    if shutil.which("gdb") is None:
        return "(install gdb for a backtrace)"
    result = subprocess.run(["gdb", "-p", str(pid), "-batch", "-nx", "-ex", "thread apply all bt 25"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            timeout=120, env=dict(os.environ, DEBUGINFOD_URLS=""))
    return result.stdout.decode(errors="replace")


class Usage:
    """What one or several runs used: times add up, the peak is the largest."""

    def __init__(self, wall=0.0, cpu=0.0, peak=0, minor=0, major=0):
        self.wall, self.cpu, self.peak, self.minor, self.major = wall, cpu, peak, minor, major

    def add(self, other):
        self.wall += other.wall
        self.cpu += other.cpu
        self.peak = max(self.peak, other.peak)
        self.minor += other.minor
        self.major += other.major


def parse_usage(text):
    field = dict(pair.split("=") for pair in text.split()[1:])
    usage = Usage(int(field["wall_ns"]) / 1e9, (int(field["user_us"]) + int(field["system_us"])) / 1e6,
                  int(field["peak_kib"]), int(field["minor"]), int(field["major"]))
    return int(field["status"]), usage


class Process:
    """One measured program, running or ended. Its files live in `directory`."""

    def __init__(self, tools, allocator, command, directory, *, environment=None, cwd=None, stdin=None,
                 user=None, statistics=False, preload_libc=False):
        self.allocator, self.command, self.statistics = allocator, [str(word) for word in command], statistics
        self.directory = tempfile.mkdtemp(prefix="run-", dir=directory)
        os.chmod(self.directory, 0o777)
        for name in ("witness", "report", "stdout", "stderr"):
            with open(self.path(name), "wb"):
                pass
            os.chmod(self.path(name), 0o666)
        self.library = self._visible_library(tools, user)
        settings = [f"{name}={value}" for name, value in (environment or {}).items()]
        settings += [f"PROGRAMS_WITNESS={self.path('witness')}", "LC_ALL=C.UTF-8"]
        if statistics and allocator.path:
            settings.append("MIMALLOC_SHOW_STATS=1")
        preload = [self.library] if self.library else ["libc.so.6"] if preload_libc else []
        settings.append("LD_PRELOAD=" + ":".join([tools.witness] + preload))
        arguments = [tools.launcher, self.path("report"), *settings, "--", *self.command]
        identity = {"user": user, "group": user, "extra_groups": []} if user else {}
        clean = {name: value for name, value in os.environ.items()
                 if name not in ("LD_PRELOAD", "PROGRAMS_WITNESS", "MIMALLOC_SHOW_STATS")}
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(open(stdin, "rb")) if stdin else subprocess.DEVNULL
            out = stack.enter_context(open(self.path("stdout"), "wb"))
            errors = stack.enter_context(open(self.path("stderr"), "wb"))
            self.handle = subprocess.Popen(arguments, stdin=source, stdout=out, stderr=errors, cwd=cwd,
                                           env=clean, start_new_session=True, **identity)

    def path(self, name):
        return os.path.join(self.directory, name)

    def _visible_library(self, tools, user):
        """Another user may not be able to reach the build tree: give it a copy."""
        if self.allocator.path is None or user is None or os.geteuid() != 0:
            return self.allocator.path
        copy = os.path.join(tools.directory, f"{self.allocator.name}-{os.path.basename(self.allocator.path)}")
        if not os.path.exists(copy):
            shutil.copyfile(self.allocator.path, copy)
            os.chmod(copy, 0o755)
        return copy

    def pid(self):
        """The program's pid (the launcher is its parent), or None before it runs."""
        match = re.match(r"pid (\d+)", self.text("report").decode())
        return int(match.group(1)) if match else None

    def text(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def running(self):
        return self.handle.poll() is None

    def wait(self, timeout):
        """Wait for the end; a program that hangs is looked at, killed, and a failure."""
        try:
            self.handle.wait(timeout)
        except subprocess.TimeoutExpired:
            where = backtrace_of(self.pid()) if self.pid() else ""
            self.kill()
            raise Failure(f"{self.command[0]} still runs after {timeout} s\n{where}") from None

    def terminate(self):
        if self.running() and self.pid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid(), signal.SIGTERM)

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.handle.pid, signal.SIGKILL)
        self.handle.wait()

    def usage(self):
        """(wait status, Usage) of the ended program."""
        lines = self.text("report").decode().splitlines()
        if not lines or not lines[-1].startswith("end "):
            raise Failure(f"{self.command[0]}: the launcher left no report: {self.errors()}")
        return parse_usage(lines[-1])

    def errors(self):
        """The end of stderr, without our statistics."""
        lines = [line for line in self.text("stderr").decode(errors="replace").splitlines()
                 if "served:" not in line]
        return "\n".join(lines[-15:])

    def witnesses(self):
        """[event, pid, program, provider, libraries, glibc bytes] of every process of the tree."""
        return [line.split("\t") for line in self.text("witness").decode().splitlines()]

    def served(self):
        """{pid: (blocks, bytes)} that our library counted."""
        return {int(pid): (int(blocks), int(size))
                for blocks, size, pid in SERVED.findall(self.text("stderr"))}

    def told_at_exit(self):
        """Whether a process of the tree ran its exit handlers and left the counters there."""
        if self.allocator.path and self.statistics and self.allocator.counts:
            return bool(self.served())
        return any(record[0] == "exit" for record in self.witnesses())

    def prove(self, counted=True):
        """Raise unless the allocator served every process of the tree; return a Proof. A program that leaves
        by a signal or by _exit has the evidence of its start only: the file that its calls of malloc go to."""
        return Proof(self, counted)


class Proof:
    """Which malloc served the processes of one run."""

    def __init__(self, process, counted):
        self.processes, self.blocks, self.bytes, self.glibc = set(), 0, 0, 0
        self.provider, self.mapped, self.counted = None, set(), counted
        expected = process.library
        for _, pid, program, provider, libraries, glibc in process.witnesses():
            right = os.path.realpath(provider) == expected if expected else self.is_libc(provider)
            if not right:
                raise Failure(f"{program} (pid {pid}) runs on the malloc of {provider}, "
                              f"not of {expected or 'libc'}")
            self.processes.add(pid)
            self.provider = provider
            self.mapped.update(name for name in libraries.split(",") if name)
            self.glibc = max(self.glibc, int(glibc))
        if not self.processes:
            raise Failure(f"{process.command[0]}: no process told which malloc serves it: {process.errors()}")
        if process.pid() is not None and str(process.pid()) not in self.processes:
            raise Failure(f"{process.command[0]}: the program itself did not tell which malloc serves it")
        if counted:
            self._count(process, expected)

    @staticmethod
    def is_libc(path):
        return re.fullmatch(r"libc(\.so\.6|-2\.\d+\.so)", os.path.basename(path)) is not None

    def _count(self, process, expected):
        if expected is None:
            if self.glibc <= GLIBC_IDLE_BYTES:
                raise Failure(f"{process.command[0]}: glibc's heap holds only {self.glibc} bytes")
            return
        if not (process.statistics and process.allocator.counts):
            return
        served = process.served()
        self.blocks = sum(blocks for blocks, _ in served.values())
        self.bytes = sum(size for _, size in served.values())
        if self.blocks == 0:
            raise Failure(f"{process.command[0]}: our counters show no allocation: {process.errors()}")

    def merge(self, other):
        self.processes |= other.processes
        self.blocks += other.blocks
        self.bytes += other.bytes
        self.glibc = max(self.glibc, other.glibc)
        self.mapped |= other.mapped
        self.provider = self.provider or other.provider
        return self

    def text(self):
        many = f"{len(self.processes)} process{'es' if len(self.processes) > 1 else ''}"
        counted = f", {self.blocks:,} blocks of {self.bytes:,} bytes served" if self.blocks else ""
        heap = f", glibc's heap {self.glibc // 1024:,} KiB" if self.counted else ", as told at the start"
        return f"{many} on {self.provider}{counted}{heap}"


def run(tools, allocator, command, directory, *, timeout=300, expect=0, **settings):
    """Run to the end; returns the ended Process. A crash or unexpected exit status is a Failure."""
    process = Process(tools, allocator, command, directory, **settings)
    try:
        process.wait(timeout)
    except BaseException:
        process.kill()
        raise
    status, _ = process.usage()
    if not (os.WIFEXITED(status) and os.WEXITSTATUS(status) == expect):
        raise Failure(f"{' '.join(process.command[:6])}: {describe_status(status)}\n{process.errors()}")
    return process


def wait_until(ready, timeout, what):
    """Poll `ready()` until it is true."""
    end = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > end:
            raise Failure(f"{what}: not ready after {timeout} s")
        time.sleep(0.01)
