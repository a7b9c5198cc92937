#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""reference.py OUTPUT: Doxygen makes the reference without a warning, and it has every public function.

Each function that the headers declare or that mimalloc 3.6.0 exports is on a page of a group, with a description;
each group of functions shows an example; and a header without a comment is noticed (exit 77: no doxygen here)."""

import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

# Exported by mimalloc 3.6.0 and declared in none of its headers that Debian installs.
UNDECLARED = {"mi_heap_new_qsbr", "mi_heap_profile", "mi_heap_profile_disable", "mi_pprof_profiler_delete",
              "mi_pprof_profiler_new", "mi_profile", "mi_profiler_snapshot", "mi_profiler_start", "mi_profiler_stop",
              "mi_subproc_profile"}
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def doxygen(root, output, *more):
    """What it says of errors and warnings."""
    settings = read(root, "doc", "Doxyfile") + "\n".join([f'OUTPUT_DIRECTORY = "{output}"', *more])
    done = subprocess.run(["doxygen", "-"], input=settings, cwd=root, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip() or (f"exit status {done.returncode}" if done.returncode else "")


def declared():
    names = set()
    for header in ("mimalloc.h", "mimalloc-stats.h"):
        text = re.sub(r"/\*.*?\*/", " ", read(ROOT, "include", header), flags=re.S)
        names.update(re.findall(r"^(?:mi_decl_\w+|static inline)\b[^;{(]*?\b(mi_\w+)\s*\(", text, re.M))
    exported = re.findall(r"^(mi_\w+)$", read(ROOT, "test", "port", "names-3.6.0.txt"), re.M)
    return names | (set(exported) - UNDECLARED)


def documented(output):
    """({function: its description}, [titles of groups of functions without an example])"""
    found, bare = {}, []
    for name in sorted(os.listdir(os.path.join(output, "xml"))):
        if not name.startswith("group__"):
            continue
        group = ElementTree.parse(os.path.join(output, "xml", name)).getroot().find("compounddef")
        page = read(output, "html", name.removesuffix(".xml") + ".html")
        plain = html.unescape(" ".join(re.sub(r"<[^>]*>", "", page).split()))
        members = list(group.iter("memberdef"))
        if members and group.find("detaileddescription//programlisting") is None:
            bare.append(group.findtext("title"))
        for member in members:
            anchor = member.get("id").rsplit("_1", 1)[1]
            text = "".join(member.find("briefdescription").itertext()).strip()
            shown = f'id="{anchor}"' in page and " ".join(text.split()) in plain
            found[member.findtext("name")] = text if shown else ""
    return found, bare


def raw_markup(output):
    """Pages that show Doxygen's commands instead of what they mean."""
    folder = os.path.join(output, "html")
    return [name for name in os.listdir(folder) if name.endswith(".html") and "\\ref " in read(folder, name)]


def notices_a_missing_comment(folder):
    """The same with a header one of whose functions has lost its comment."""
    for part in ("include", "doc", "tools", "examples"):
        shutil.copytree(os.path.join(ROOT, part), os.path.join(folder, part))
    shutil.copy(os.path.join(ROOT, "README.md"), folder)
    path = os.path.join(folder, "include", "mimalloc.h")
    text = read(path)
    bare = re.sub(r"/\* Return a block.*?\*/\n(?=mi_decl_export void mi_free\()", "", text, flags=re.S)
    with open(path, "w", encoding="utf-8") as file:
        file.write(bare)
    return bare != text and "mi_free" in doxygen(folder, os.path.join(folder, "output"))


def main():
    if not shutil.which("doxygen"):
        print("no doxygen here: not tested")
        return 77
    output = os.path.abspath(sys.argv[1])
    shutil.rmtree(output, ignore_errors=True)
    os.makedirs(output)
    failures = [text for text in [doxygen(ROOT, output, "GENERATE_XML = YES")] if text]
    found, bare = documented(output)
    names = declared()
    failures += [f"{name}: not in the reference, or without a description" for name in sorted(names)
                 if not found.get(name)]
    failures += [f"{title}: no example is shown" for title in bare]
    failures += [f"{name}: shows a command of Doxygen's" for name in raw_markup(output)]
    with tempfile.TemporaryDirectory() as folder:
        if not notices_a_missing_comment(folder):
            failures.append("a function without a comment is not noticed")
    print("\n".join(failures) or f"{len(names)} functions, each with a description; every group has an example")
    return 1 if failures or len(names) < 213 else 0


sys.exit(main())
