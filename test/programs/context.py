# SPDX-License-Identifier: MIT
"""What a program's entry sees: its input, a fresh directory per run, ways to run and serve."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys

import measure

PROGRAMS = {}
INPUTS = os.path.join(measure.HERE, "inputs")
# A pyenv or asdf shim is a shell script around the interpreter; measure the interpreter.
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


class Program:
    def __init__(self, name, needs, function, short):
        self.name, self.needs, self.function, self.short = name, needs, function, short
        self.prepare = None

    def missing(self):
        return [need for need in self.needs if find(need) is None]


def program(name, needs, short=True):
    """Register a function(context) -> bytes: the results, which must not depend on the allocator."""
    def register(function):
        PROGRAMS[name] = Program(name, needs, function, short)
        return function
    return register


def prepares(name):
    """Register a function(context) that generates the input of a program once, into context.data."""
    def register(function):
        PROGRAMS[name].prepare = function
        return function
    return register


def find(name):
    """The path of a program; PostgreSQL and servers are off the usual PATH on Debian."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    if found is None and os.path.isdir("/usr/lib/postgresql"):
        for version in sorted(os.listdir("/usr/lib/postgresql"), key=lambda v: (len(v), v), reverse=True):
            found = found or shutil.which(name, path=f"/usr/lib/postgresql/{version}/bin")
    return found


def input_file(name):
    return os.path.join(INPUTS, name)


class Context:
    """One run of one program on one allocator; `data` is shared by all runs of the program."""

    def __init__(self, tools, allocator, data, work, *, full=False, statistics=True):
        self.tools, self.allocator, self.data, self.work = tools, allocator, data, work
        self.full, self.statistics = full, statistics
        self.usage, self.proof = measure.Usage(), None

    def pick(self, short, full):
        return full if self.full else short

    def random(self):
        return random.Random(20211)

    def _account(self, process, counted=True):
        self.usage.add(process.usage()[1])
        proof = process.prove(counted)
        self.proof = self.proof.merge(proof) if self.proof else proof

    def run(self, command, counted=True, **settings):
        """Run a command to its end on the allocator; returns its stdout."""
        settings.setdefault("cwd", self.work)
        process = measure.run(self.tools, self.allocator, command, self.work, statistics=self.statistics,
                              **settings)
        self._account(process, counted)
        return process.text("stdout")

    @contextlib.contextmanager
    def serve(self, command, ready, **settings):
        """Start a server on the allocator, yield it once `ready()`, then end it by SIGTERM."""
        settings.setdefault("cwd", self.work)
        process = measure.Process(self.tools, self.allocator, command, self.work, statistics=self.statistics,
                                  **settings)
        try:
            measure.wait_until(lambda: ready() or not process.running(), 60, command[0])
            if not process.running():
                raise measure.Failure(f"{command[0]} did not start: {process.errors()}")
            try:
                yield process
            except (OSError, subprocess.SubprocessError) as error:
                state = "is alive" if process.running() else measure.describe_status(process.usage()[0])
                raise measure.Failure(f"{command[0]} ({state}): {error}\n{process.errors()}") from error
            process.terminate()
            process.wait(60)
        except BaseException:
            process.kill()
            raise
        status = process.usage()[0]
        if status != 0:
            raise measure.Failure(f"{command[0]}: {measure.describe_status(status)}\n{process.errors()}")
        self._account(process)

    def client(self, command, **settings):
        """Run a load generator or a tool on the system's malloc, unmeasured; returns its stdout."""
        result = subprocess.run([str(word) for word in command], cwd=settings.pop("cwd", self.work),
                                stdin=settings.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, timeout=300, **settings)
        if result.returncode != 0:
            end = result.stderr.decode(errors="replace")[-500:]
            raise measure.Failure(f"{command[0]}: exit status {result.returncode}: {end}")
        return result.stdout

    def write(self, name, text, directory=None):
        path = os.path.join(directory or self.work, name)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return path

    def data_file(self, name):
        return os.path.join(self.data, name)

    def read(self, name):
        with open(os.path.join(self.work, name), "rb") as file:
            return file.read()


def connect(path):
    """A connection to a Unix socket, with a time limit: a server that hangs is an error, not a wait."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    connection.connect(path)
    return connection


def accepts(path):
    """Whether somebody listens on a Unix socket."""
    try:
        connect(path).close()
        return True
    except OSError:
        return False
