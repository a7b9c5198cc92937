# SPDX-License-Identifier: MIT
"""The allocators that are compared: where they are, which version, and the proof that one of them serves a process."""

import glob
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEERS = ["jemalloc", "tcmalloc", "mimalloc2", "mimalloc3", "tbb", "scudo"]
VARIANTS = ["secure", "guarded"]
KNOWN_NAMES = ("jemalloc", "tcmalloc", "mimalloc", "tbbmalloc", "scudo", "snmalloc", "rpmalloc", "hoard",
               "hardened_malloc")


class RunError(Exception):
    pass


def say(text):
    print(text, file=sys.stderr, flush=True)


def our_library(given):
    if given:
        return os.path.abspath(given)
    found = glob.glob(os.path.join(ROOT, "build*", "**", "libmimalloc.so.3*"), recursive=True)
    # What tests build is built with options.
    found = [path for path in found if "/test/" not in os.path.relpath(path, ROOT)]
    release = [path for path in found if "elease" in path] or found
    return max(release, key=os.path.getmtime) if release else None


def our_variant(library, variant):
    """A secure or guarded build lies beside the default one, or in a build folder of its own."""
    places = [os.path.join(os.path.dirname(library), "libmimalloc-%s.so" % variant),
              os.path.join(ROOT, "build", "*%s*" % variant, "libmimalloc*.so")]
    return next((path for place in places for path in sorted(glob.glob(place))), None)


def find_peers(names, offline):
    """The peers that tools/fetch-peers finds or fetches, as {name: path}; it says why on stderr where it cannot."""
    command = [os.path.join(ROOT, "tools", "fetch-peers")] + (["--installed"] if offline else []) + names
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return dict(line.split(None, 1) for line in result.stdout.splitlines())


def find(library, only, further, offline):
    """(ordered {name: library or "" for the system's malloc}, names of what is missing)."""
    wanted = {name: None for name in ["ours"] + ["ours-" + variant for variant in VARIANTS] + ["glibc"] + PEERS}
    wanted.update({name: os.path.abspath(path) for name, path in further.items()})
    if only:
        wanted = {name: path for name, path in wanted.items() if name in only}
    ours = our_library(library)
    peers = [name for name in PEERS if name in wanted and wanted[name] is None]
    wanted.update(find_peers(peers, offline) if peers else {})
    if "ours" in wanted:
        wanted["ours"] = ours
    for variant in VARIANTS:
        if "ours-" + variant in wanted and ours:
            wanted["ours-" + variant] = our_variant(ours, variant)
    if "glibc" in wanted:
        wanted["glibc"] = ""
    missing = [name for name, path in wanted.items() if path is None or (path and not os.path.isfile(path))]
    for name in missing:
        say("missing: %s; the report shows it as missing" % name)
    return {name: path for name, path in wanted.items() if name not in missing}, missing


def output_of(command):
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    except OSError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def commit():
    text = output_of(["git", "-C", ROOT, "rev-parse", "--short=12", "HEAD"])
    changed = output_of(["git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no"])
    return text + ("+changes" if text and changed else "")


def version(name, path):
    """What is known of a library's version: our commit, the C library's, a Debian package's, or the file's name."""
    if name.startswith("ours"):
        return "commit " + (commit() or "unknown")
    if not path:
        return " ".join(os.confstr("CS_GNU_LIBC_VERSION").split())
    real = os.path.realpath(path)
    unpacked = os.path.join(os.path.normpath(os.path.join(os.path.dirname(real), "..", "..", "..")), "version")
    if os.path.isfile(unpacked):
        with open(unpacked, encoding="utf-8") as file:
            return file.read().strip()
    package = output_of(["dpkg", "-S", real]).partition(": ")[0].split(",")[0]
    installed = package and output_of(["dpkg-query", "-W", "-f", "${Package} ${Version}", package])
    return installed or os.path.basename(real)


# ---------------------------------------------------------------------------------------------------- the proof

def same_file(first, second):
    return os.path.realpath(first) == os.path.realpath(second)


def belongs_to(path, library):
    """TBB's proxy loads the allocator proper from a second library beside it."""
    base = os.path.basename(path)
    return same_file(path, library) or ("tbbmalloc" in base and "tbbmalloc" in os.path.basename(library))


def prove(pid, serving, library):
    """Raise RunError unless exactly the expected library serves the (stopped) process; `serving` is what the process
    says the names malloc and free resolve to."""
    with open("/proc/%d/maps" % pid, encoding="utf-8") as file:
        mapped = {line.split(None, 5)[5].strip() for line in file if "/" in line}
    others = [path for path in mapped if any(name in os.path.basename(path) for name in KNOWN_NAMES)]
    if library:
        if not any(same_file(path, library) for path in mapped):
            raise RunError("%s is not mapped" % library)
        if not same_file(serving, library):
            raise RunError("malloc is served by %s instead of %s" % (serving, library))
        others = [path for path in others if not belongs_to(path, library)]
    elif "libc" not in os.path.basename(serving):
        raise RunError("malloc is served by %s instead of the system's" % serving)
    if others:
        raise RunError("another allocator is mapped too: %s" % ", ".join(others))


def prove_startup(library):
    """The children of the start-up workload are too short to look at: ask the dynamic linker about one."""
    environment = {"LD_DEBUG": "bindings", "LD_BIND_NOW": "1", "PATH": "/usr/bin:/bin"}
    if library:
        environment["LD_PRELOAD"] = library
    text = subprocess.run(["/bin/true"], env=environment, stderr=subprocess.PIPE, text=True, check=True).stderr
    bound = [line for line in text.splitlines() if "symbol `malloc'" in line and " [" in line]
    bound = [line for line in bound if "/bin/true" in line.partition("binding file ")[2].split()[0]] or bound
    wanted = os.path.basename(library) if library else "libc.so"
    if not bound or not all(wanted in line.split(" to ", 1)[1] for line in bound):
        raise RunError("/bin/true does not take malloc from %s" % wanted)
