#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The options of the build, each by its effect: configure and build the library with them, and look at what came
out, or run a program on it.  The library of the build that runs the test shows what happens without them.  Usage:
options.py TEST --cmake CMAKE --compiler CC --scratch FOLDER --ordinary LIBRARY"""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LIBC = {"malloc", "free", "calloc", "realloc", "posix_memalign", "_Znwm", "_ZdlPv", "dlopen", "__libc_malloc"}
VALGRIND = ["valgrind", "-q", "--leak-check=full", "--soname-synonyms=somalloc=nouserintercepts"]
faults = []


def expect(condition, what, shown=""):
    print(("ok    " if condition else "WRONG ") + what)
    if not condition:
        faults.append(what)
        if shown:
            print("      " + str(shown).strip().replace("\n", "\n      "))


def run(*command, **environment):
    """(exit status, stdout, stderr)"""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MIMALLOC_", "LD_PRELOAD"))}
    env.update(environment)
    done = subprocess.run(command, env=env, capture_output=True, text=True, errors="replace", timeout=200)
    return done.returncode, done.stdout, done.stderr


def must(*command):
    status, out, err = run(*command)
    if status != 0:
        sys.exit(f"{' '.join(command)}: exit status {status}\n{out}{err}")
    return out


def configure(name, *options):
    """(exit status, what CMake said)"""
    types = () if any("CMAKE_BUILD_TYPE" in o for o in options) else ("-DCMAKE_BUILD_TYPE=None",)
    tests = () if any("MI_BUILD_TESTS" in o for o in options) else ("-DMI_BUILD_TESTS=OFF",)
    status, out, err = run(args.cmake, "-S", ROOT, "-B", os.path.join(args.scratch, name), "-G", "Ninja",
                           "-DCMAKE_C_COMPILER=" + args.compiler, *types, *tests, *options)
    return status, out + " ".join(err.split())


def build(name, *options):
    """The folder of a build with the options."""
    status, said = configure(name, *options)
    if status != 0:
        sys.exit(f"{options}: cannot be configured\n{said}")
    folder = os.path.join(args.scratch, name)
    must(args.cmake, "--build", folder, "--parallel", "2")
    return folder


def only_shared(name, *options):
    folder = build(name, "-DMI_BUILD_STATIC=OFF", "-DMI_BUILD_OBJECT=OFF", *options)
    return folder, glob.glob(folder + "/libmimalloc*.so")[0]


def install(folder, prefix):
    """What is installed, relative to the prefix."""
    prefix = os.path.join(args.scratch, prefix)
    shutil.rmtree(prefix, ignore_errors=True)
    must(args.cmake, "--install", folder, "--prefix", prefix)
    found = [os.path.join(path, f) for path, _, files in os.walk(prefix) for f in files]  # links, too
    return prefix, {os.path.relpath(f, prefix).replace("/x86_64-linux-gnu", "") for f in found}


def program(name, source, *flags):
    target = os.path.join(args.scratch, name)
    must(args.compiler, "-g", "-O1", "-fno-builtin", "-std=gnu11", "-Wall", "-Wextra", "-I", ROOT + "/include",
         os.path.join(HERE, source), "-o", target, *flags, "-pthread", "-ldl")
    return target


def linked(library):
    """Flags to link with a shared library where it is."""
    return ["-Wl,--no-as-needed", library, "-Wl,-rpath," + os.path.dirname(library)]


def names(library, *flags):
    return {line.split()[-1].split("@")[0] for line in must("nm", *flags, library).splitlines() if line.split()[1:]}


def exported(library):
    return names(library, "-D", "--defined-only")


def dynamic(library):
    return must("readelf", "-dW", library)


# ---- what is built ----

def test_override():
    folder, library = only_shared("off", "-DMI_OVERRIDE=OFF", "-DMI_FREE_IS_CHECKED=OFF")
    with_malloc = exported(args.ordinary)
    expect(LIBC <= with_malloc, "the ordinary library exports " + " ".join(sorted(LIBC)), LIBC - with_malloc)
    others = {n for n in exported(library) if not n.startswith("mi_")}
    expect(not others, "MI_OVERRIDE=OFF: nothing but mi_ names is exported", others)
    ours, plain = (program(n, "errors.c", "-DSTANDARD_NAMES", *linked(l))
                   for n, l in (("ours", args.ordinary), ("plain", library)))
    expect("of a block" in run(ours, "twice")[2] or "a block of" in run(ours, "twice")[2], "malloc is ours")
    expect("mimalloc" not in run(plain, "twice")[2], "MI_OVERRIDE=OFF: malloc is the system's")
    checked, unchecked = (program(n, "errors.c", *linked(l))
                          for n, l in (("checked", args.ordinary), ("unchecked", library)))
    expect(run(checked, "twice")[0] == -6, "a double free ends the program")
    expect(run(unchecked, "twice")[0] == 0, "MI_FREE_IS_CHECKED=OFF: it is not noticed")


def test_parts():
    kinds = {"SHARED": "lib/libmimalloc.so", "STATIC": "lib/libmimalloc.a", "OBJECT": "lib/mimalloc.o"}
    for only in kinds:
        folder = build("parts", *(f"-DMI_BUILD_{kind}={'ON' if kind == only else 'OFF'}" for kind in kinds))
        for name in glob.glob(folder + "/*mimalloc.*[ao]"):
            os.remove(name)
        must(args.cmake, "--build", folder)
        _, files = install(folder, "only-" + only)
        there = {kind for kind, file in kinds.items() if file in files}
        expect(there == {only}, f"only MI_BUILD_{only}: no other library is built and installed", files)


def test_folders():
    folder = build("folders", "-DMI_INSTALL_TOPLEVEL=ON")
    _, files = install(folder, "top")
    for file in ("include/mimalloc.h", "lib/libmimalloc.so", "lib/libmimalloc.a", "lib/mimalloc.o",
                 "lib/pkgconfig/mimalloc.pc"):
        expect(file in files, "MI_INSTALL_TOPLEVEL=ON: " + file, files)
    build("folders", "-DMI_INSTALL_TOPLEVEL=OFF")
    prefix, files = install(folder, "versions")
    for file in ("include/mimalloc-3.6/mimalloc.h", "lib/libmimalloc.so", "lib/mimalloc-3.6/libmimalloc.a",
                 "lib/mimalloc-3.6/mimalloc.o", "lib/cmake/mimalloc-3.6/mimalloc-config.cmake"):
        expect(file in files, "MI_INSTALL_TOPLEVEL=OFF: " + file, files)
    consumer = os.path.join(args.scratch, "consumer")
    must(args.cmake, "-S", ROOT + "/test/install/found", "-B", consumer, "-G", "Ninja", "-DCMAKE_PREFIX_PATH=" + prefix,
         "-DCMAKE_C_COMPILER=" + args.compiler)
    must(args.cmake, "--build", consumer)
    for kind in ("shared", "static", "object"):
        said = run(consumer + "/consumer-" + kind)[1]
        expect("ours: yes" in said, f"find_package finds the {kind} library there", said)
    if shutil.which("pkg-config"):
        config = os.path.dirname(glob.glob(prefix + "/lib/**/mimalloc.pc", recursive=True)[0])
        said = run("pkg-config", "--cflags", "--libs", "--static", "mimalloc", PKG_CONFIG_PATH=config)[1]
        for flag, file in (("-I", "mimalloc.h"), ("-L", "libmimalloc.so"), ("-L", "libmimalloc.a")):
            there = [w for w in said.split() if w.startswith(flag) and os.path.exists(os.path.join(w[2:], file))]
            expect(there, f"pkg-config names the folder of {file}", said)


def test_names():
    folder = build("debug", "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS_DEBUG=-O0")
    _, files = install(folder, "installed")
    for file in ("lib/libmimalloc-debug.so", "lib/libmimalloc-debug.so.3", "lib/libmimalloc-debug.a",
                 "lib/mimalloc-debug.o"):
        expect(file in files, "Debug: " + file, files)
    library = folder + "/libmimalloc-debug.so"
    expect("[libmimalloc-debug.so.3]" in dynamic(library), "its SONAME is libmimalloc-debug.so.3", dynamic(library))
    with open(folder + "/mimalloc.pc", encoding="utf-8") as pc:
        expect("-lmimalloc-debug" in pc.read().split(), "pkg-config links it by its name")
    expect(not os.path.exists(folder + "/CPackConfig.cmake"), "no package is made of it")
    step = levels_of(library)
    expect("slow" not in step and 1 < step.count("step") <= 65, "Debug checks at every 64th step", step)
    build("debug", "-DCMAKE_BUILD_TYPE=Debug", "-DMI_NO_DEBUG=ON")
    step = levels_of(library)
    expect(step.endswith("end\n"), "MI_NO_DEBUG=ON: it does not", step)


# ---- what it does ----

def levels_of(library):
    status, out, err = run(program("levels", "dies.c", *linked(library)), "levels")
    expect(out.endswith("end\n") == (status == 0), f"exit status {status}")
    expect(status == 0 or "page_is_valid" in err, "the failed check is named", err)
    return out


def flags_of(name):
    with open(os.path.join(args.scratch, name, "build.ninja"), encoding="utf-8") as ninja:
        return [line for line in ninja if "DEFINES" in line or "FLAGS" in line]


def test_levels():
    expect(levels_of(args.ordinary).endswith("end\n"), "the ordinary library does not look for damage")
    for option, wanted in (("MI_DEBUG", "slow"), ("MI_DEBUG_INTERNAL", "later"), ("MI_CHECK_FULL", "next")):
        _, library = only_shared(option, f"-D{option}=ON")
        said = levels_of(library)
        found = "slow" if said.endswith("slow\n") else "end" if said.endswith("end\n") else \
            "next" if said == "step\n" else "later" if said.count("step") <= 65 else "too late"
        expect(found == wanted, f"{option}: damage is found at the {wanted} step", said)
    before = flags_of("MI_CHECK_FULL")
    configure("MI_CHECK_FULL", "-UMI_CHECK_FULL", "-DMI_DEBUG_FULL=ON")
    expect(before == flags_of("MI_CHECK_FULL"), "MI_DEBUG_FULL is the newer name of MI_CHECK_FULL")


def test_behaviour():
    _, library = only_shared("behaviour", "-DMI_XMALLOC=ON", "-DMI_NO_THP=ON")
    usual = run(program("usual", "dies.c", *linked(args.ordinary)), "failures")
    expect(usual[0] == 0 and usual[1].count("NULL") == 3 and usual[2] == "", "ordinary: NULL, and not a word", usual)
    changed = program("changed", "dies.c", *linked(library))
    status, out, err = run(changed, "failures")
    expect("alignment: NULL" in out and "alignment" not in err, "MI_XMALLOC: not for a wrong alignment", err)
    expect(status == -6 and "hook 75" in out and "too large" not in out,
           "MI_XMALLOC: too large a size ends the program", out)
    expect(re.fullmatch(r"mimalloc: error: .*more than PTRDIFF_MAX\n", err), "... with a line", err)
    expect("allow_thp 0" in out and "allow_thp 0" not in usual[1], "MI_NO_THP: allow_thp is 0", out)
    if "huge pages: -1" not in out and os.path.exists("/sys/kernel/mm/transparent_hugepage"):
        expect("huge pages: 1" in out, "MI_NO_THP: the system gives none", out)
    out = run(changed, "failures", MIMALLOC_ALLOW_THP="2")[1]
    expect("allow_thp 2" in out and "huge pages: 1" not in out, "... unless the environment says otherwise", out)
    status, out, err = run("sh", "-c", f"ulimit -v 200000; exec {program('memory', 'memory.c', *linked(library))}")
    expect(status in (-6, 134) and "out of memory" in err and "NULL" not in out,
           "MI_XMALLOC: no memory left ends it, too", (status, err))
    _, library = only_shared("errors", "-DMI_SHOW_ERRORS=ON", "-DMI_LOCAL_DYNAMIC_TLS=ON")
    shows = program("shows", "dies.c", *linked(library))
    status, out, err = run(shows, "failures")
    expect(status == 0 and err.count("mimalloc: error:") == 3, "MI_SHOW_ERRORS: failed requests are printed", err)
    err = run(shows, "failures", MIMALLOC_SHOW_ERRORS="0")[2]
    expect(err == "", "... unless the environment says otherwise", err)
    late_open(library)


def late_open(library):
    expect("STATIC_TLS" in dynamic(args.ordinary), "the ordinary library takes static thread-local storage")
    expect("STATIC_TLS" not in dynamic(library), "MI_LOCAL_DYNAMIC_TLS: none")
    fillers = [program(f"filler{i}.so", "filler.c", "-shared", "-fPIC", f"-DSIZE={8 << i}") for i in range(12, -1, -1)]
    opener = program("opener", "late.c")
    out = run(opener, args.ordinary, *fillers)[1]
    expect("filled" in out and "static TLS" in out, "ordinary: cannot be opened when that is used up", out)
    out = run(opener, library, *fillers)[1]
    expect("filled" in out and "opened" in out, "MI_LOCAL_DYNAMIC_TLS: can, and serves threads", out)


# ---- how it is compiled ----

def test_compile():
    folder, library = only_shared("compile", "-DCMAKE_BUILD_TYPE=Release", "-DMI_OPT_ARCH=ON", "-DMI_SEE_ASM=ON",
                                  "-DMI_USE_LIBATOMIC=ON",
                                  "-DMI_EXTRA_CPPDEFS=mi_is_redirected=mi_by_another_name;EXTRA=2")
    if os.uname().machine == "x86_64":
        newer = re.compile(r"\t(shlx|shrx|sarx|rorx|andn|mulx|blsr)\b")
        expect(not newer.search(must("objdump", "-d", args.ordinary)), "by default for every processor")
        expect(newer.search(must("objdump", "-d", library)), "MI_OPT_ARCH: for newer ones")
    expect(glob.glob(folder + "/**/fre*.s", recursive=True), "MI_SEE_ASM: free.c's assembly is kept")
    with open(folder + "/build.ninja", encoding="utf-8") as ninja:
        expect(re.search(r"LINK_LIBRARIES =.*-latomic", ninja.read()), "MI_USE_LIBATOMIC: linked")
    expect("mi_by_another_name" in exported(library), "MI_EXTRA_CPPDEFS: reaches the sources")
    expect("mi_is_redirected" not in exported(library), "... all of them")
    status, said = configure("compile", "-DMI_NO_OPT_ARCH=ON")
    with open(folder + "/build.ninja", encoding="utf-8") as ninja:
        expect(status == 0 and "-march=" not in ninja.read(), "MI_NO_OPT_ARCH: not for newer processors", said)


def test_sanitizers():
    for option, mark in (("MI_DEBUG_TSAN", "__tsan_"), ("MI_DEBUG_UBSAN", "__ubsan_")):
        folder = build(option, f"-D{option}=ON", "-DMI_BUILD_SHARED=OFF")
        needed = names(folder + "/libmimalloc.a", "-u")
        expect(any(n.startswith(mark) for n in needed), f"{option}: calls {mark}...")


def test_messages():
    status, said = configure("messages", "-DMI_SKIP_COLLECT_ON_EXIT=ON", "-DMI_TLS_MODEL_LOCAL=ON",
                             "-DMI_NO_USE_CXX=ON")
    expect(status == 0 and "Warning" not in said, "what is always so is accepted without a word", said)
    for name, word in (("MI_PADDING", "a part of MI_SECURE"),):
        status, said = configure(name, f"-D{name}=ON")
        expect(status != 0 and re.search(f"{name}: .*{word}", said), f"{name} is refused", said)
        status, said = configure("messages", f"-D{name}=OFF")
        expect(status == 0 and "Warning" not in said, f"... and {name}=OFF is not", said)
    for name, word in (("MI_WIN_REDIRECT", "other systems"), ("MI_OSX_ZONE", "other systems"),
                       ("MI_TRACK_ETW", "other systems"), ("MI_USE_CXX", "has no effect"),
                       ("MI_OPT_SIMD", "has no effect"), ("MI_LIBC_MUSL", "musl-gcc")):
        status, said = configure("messages", f"-D{name}=ON")
        expect(status == 0 and re.search(f"Warning.*{name}.*{word}", said), name + ": it has no effect, it says", said)
        configure("messages", f"-D{name}=OFF")
    status, said = configure("messages", "-DMI_OVERIDE=OFF")
    expect(status == 0 and "MI_OVERIDE: there is no such option" in said, "a misspelt option is warned about", said)
    status, said = configure("both", "-DMI_TRACK_VALGRIND=ON", "-DMI_TRACK_ASAN=ON")
    expect(status != 0 and "choose one" in said, "two memory checkers are refused", said)


def test_secure():
    for setting, name, level in (("MI_SECURE=ON", "-secure", 1), ("MI_SECURE=FULL", "-secure-full", 2),
                                 ("MI_SECURE_FULL=ON", "-secure-full", 2), ("MI_SECURE=OFF", "", 0),
                                 ("MI_GUARDED=ON", "-guarded", 0)):
        status, said = configure("secure", "-UMI_SECURE", "-UMI_SECURE_FULL", "-UMI_GUARDED", f"-D{setting}")
        with open(os.path.join(args.scratch, "secure", "build.ninja"), encoding="utf-8") as ninja:
            rules = ninja.read()
        expect(status == 0 and "Warning" not in said and f"libmimalloc{name}.so.3" in rules
               and f"-DMI_SECURE={level}" in rules, f"{setting}: libmimalloc{name}, level {level}", said)
    status, said = configure("secure", "-DMI_SECURE=ful")
    expect(status != 0 and "OFF, ON or FULL" in said, "a misspelt level is refused", said)
    status, said = configure("both", "-DMI_TRACK_VALGRIND=ON", "-DMI_SECURE=ON")
    expect(status != 0 and "choose one" in said, "a memory checker and MI_SECURE are refused", said)


def test_tests():
    for setting in ("OFF", "ON"):
        status, said = configure("tests", f"-DMI_BUILD_TESTS={setting}", "-DMI_TEST_SETS=api")
        listed = run("ctest", "--test-dir", os.path.join(args.scratch, "tests"), "-N")[1] if status == 0 else said
        count = int(re.search(r"Total Tests: (\d+)|$", listed).group(1) or 0)
        expect((count > 5) == (setting == "ON"), f"MI_BUILD_TESTS={setting}: {count} tests")


# ---- memory checkers ----

BY_VALGRIND = {
    "use_after_free": ("Invalid read", "20 bytes inside a block of size 40 free'd"),
    "use_after_free_start": ("Invalid read", "0 bytes inside a block of size 40 free'd"),
    "use_after_free_big": ("Invalid read", "100 bytes inside a block of size 300,000 free'd"),
    "overflow": ("Invalid write", "0 bytes after a block of size 40 alloc'd"),
    "overflow_odd": ("Invalid write", "0 bytes after a block of size 13 alloc'd"),
    "overflow_class": ("Invalid write", "0 bytes after a block of size 64 alloc'd"),
    "overflow_big": ("Invalid write", "0 bytes after a block of size 300,000 alloc'd"),
    "underflow": ("Invalid read",),
    "uninitialised": ("Conditional jump or move depends on uninitialised",),
    "grown_uninitialised": ("Conditional jump or move depends on uninitialised", "errors.c:LINE"),
    "leak": ("definitely lost", "errors.c"),
    "moved": ("Invalid read", "1 bytes inside a block of size 40 free'd"),
    "twice": ("double free",),
    "destroyed_heap": ("Invalid read", "7 bytes inside a block of size 40 free'd"),
}
# The functions behind the two sets of names are the same, so of the second a few prove it.
OF_BOTH_NAMES = ("use_after_free", "overflow", "uninitialised", "leak", "moved")


def line_of(text):
    with open(HERE + "/errors.c", encoding="utf-8") as source:
        return next(i for i, line in enumerate(source, 1) if text in line)


def test_valgrind():
    if not shutil.which("valgrind"):
        print("SKIPPED: no valgrind here")
        sys.exit(77)
    folder = build("valgrind", "-DMI_TRACK_VALGRIND=ON", "-DCMAKE_BUILD_TYPE=RelWithDebInfo")
    shared, archive = folder + "/libmimalloc-valgrind.so", folder + "/libmimalloc-valgrind.a"
    expect("[libmimalloc-valgrind.so.3]" in dynamic(shared), "its SONAME is libmimalloc-valgrind.so.3")
    programs = {"malloc": program("standard", "errors.c", "-DSTANDARD_NAMES", *linked(shared)),
                "mi_malloc": program("own", "errors.c", archive)}
    for name, file in programs.items():
        status, out, err = run(*VALGRIND, file, "clean")
        expect(status == 0 and out == "done: clean\n" and err == "", name + ": a clean program gives no report", err)
        status, out, err = run(file, "clean")
        expect(status == 0 and err == "", name + ": and it runs without valgrind", err)
        for case, words in BY_VALGRIND.items():
            if name == "mi_malloc" and case not in OF_BOTH_NAMES:
                continue
            err = run(*VALGRIND, file, case)[2]
            lines = [w.replace("LINE", str(line_of("p[15] == 17"))) for w in words]
            reports = len(re.findall(r"== (?:Thread \d+:\n==\d+== )?(?:Invalid|Conditional|.*definitely lost)", err))
            expect(all(w in err for w in lines) and reports == (case != "twice"),
                   f"{name}: {case} is found, and nothing else", err)
    one_file()
    status, out, err = run(*VALGRIND, "--error-exitcode=9", "--leak-check=no", "sort", __file__, LD_PRELOAD=shared)
    expect(status == 0 and err == "" and out.count("\n") > 100,
           "a program of the system runs on it preloaded without a report", err)


def one_file():
    """The amalgamation does the same when the flags ask for it, and needs the header of valgrind only then."""
    folder = os.path.join(args.scratch, "one-file")
    must(ROOT + "/tools/amalgamate", folder)
    os.makedirs(folder + "/absent/valgrind")
    with open(folder + "/absent/valgrind/memcheck.h", "w", encoding="utf-8") as header:
        header.write("#error there is no valgrind here\n")
    source, absent = folder + "/mimalloc.c", folder + "/absent"
    must(args.compiler, "-fsyntax-only", "-I", absent, source)
    status = run(args.compiler, "-fsyntax-only", "-DMI_TRACK_VALGRIND=1", "-I", absent, source)[0]
    expect(status != 0, "amalgamation: valgrind's header is needed with MI_TRACK_VALGRIND only")
    file = program("one", "errors.c", "-DMI_TRACK_VALGRIND=1", source)
    status, out, err = run(*VALGRIND, file, "clean")
    expect(status == 0 and err == "", "amalgamation: a clean program gives no report", err)
    err = run(*VALGRIND, file, "use_after_free")[2]
    expect("20 bytes inside a block of size 40 free'd" in err, "amalgamation: use_after_free is found", err)


def test_asan():
    folder = build("asan", "-DMI_TRACK_ASAN=ON")
    shared, archive = folder + "/libmimalloc-asan.so", folder + "/libmimalloc-asan.a"
    expect("[libmimalloc-asan.so.3]" in dynamic(shared), "its SONAME is libmimalloc-asan.so.3")
    expect("malloc" not in exported(shared), "malloc stays the sanitizer's")
    flags = ("-fsanitize=address", "-fno-omit-frame-pointer")
    for name, file in (("static", program("static", "errors.c", *flags, archive)),
                       ("shared", program("shared", "errors.c", *flags, *linked(shared)))):
        status, out, err = run(file, "clean")
        expect(status == 0 and out == "done: clean\n" and err == "", name + ": a clean program gives no report", err)
        for case in ("use_after_free", "use_after_free_start", "use_after_free_big", "overflow", "overflow_odd",
                     "overflow_class", "overflow_big", "underflow", "moved", "destroyed_heap"):
            status, out, err = run(file, case)
            kind = "WRITE" if "overflow" in case else "READ"
            expect(status != 0 and "AddressSanitizer: use-after-poison" in err and kind + " of size 1" in err
                   and "errors.c" in err, f"{name}: {case} is found", err)
        expect("double free" in run(file, "twice")[2], name + ": a double free is reported")


TESTS = {name[5:]: function for name, function in list(globals().items()) if name.startswith("test_")}
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("test", choices=TESTS)
for option in ("--cmake", "--compiler", "--scratch", "--ordinary"):
    parser.add_argument(option, required=True)
args = parser.parse_args()
shutil.rmtree(args.scratch, ignore_errors=True)
os.makedirs(args.scratch)
TESTS[args.test]()
sys.exit(1 if faults else 0)
