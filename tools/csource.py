# SPDX-License-Identifier: MIT
"""The project's files, and C sources taken apart into code and comments.  Used by the checks in tools/."""

import os
import re
import subprocess

FOLDERS = ["base", "os", "core", "memory", "page", "heap", "thread", "sample", "alloc", "report", "override"]
C_SUFFIXES = (".c", ".h", ".cc", ".cpp", ".def")
MAX_COLUMNS = 110
TOKEN = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'""", re.DOTALL | re.VERBOSE)


def project_files(root):
    """Paths, relative to root, of the files that belong to the project (git's word, else what lies there)."""
    listed = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z"],
                            capture_output=True, check=False)
    if listed.returncode == 0:
        paths = listed.stdout.decode().split("\0")
        return sorted(p for p in paths if p and os.path.isfile(os.path.join(root, p)))
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(("build", "."))]
        found += [os.path.relpath(os.path.join(folder, f), root) for f in files]
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def split_comments(text):
    """(code, comments): each as long as the text, with the other part blank, so that line numbers stay."""
    code, comments, last = [], [], 0
    for match in TOKEN.finditer(text):
        between = text[last:match.start()]
        is_comment = match.group().startswith("/")
        code.append(between + (_blank(match.group()) if is_comment else match.group()))
        comments.append(_blank(between) + (match.group() if is_comment else _blank(match.group())))
        last = match.end()
    return "".join(code) + text[last:], "".join(comments) + _blank(text[last:])


def code_lines(text):
    """Lines that hold more than blanks and comments."""
    return sum(1 for line in split_comments(text)[0].splitlines() if line.strip())


def folder_of(path):
    """The folder of src/ that a path lies in, or None."""
    parts = path.replace(os.sep, "/").split("/")
    for before, name in zip(parts, parts[1:]):
        if before == "src" and name in FOLDERS:
            return name
    return None


def functions(text):
    """(name, parameters, first line, last line) of each function defined in column 0."""
    lines = split_comments(text)[0].splitlines()
    start, body = None, None
    for number, line in enumerate(lines, 1):
        if body is None:
            if re.match(r"[A-Za-z_]", line):
                start = number
            ends_here = line.rstrip()
            if start and ends_here.endswith(("{", "}")) and "(" in "".join(lines[start - 1:number]):
                header = " ".join(lines[start - 1:number])
                match = re.match(r"[\w\s*()\",]*?\b(\w+)\s*\(([^{}=;]*)\)\s*\{", header)
                if match and not header.startswith(("#", "typedef", "enum", "struct {")):
                    if ends_here.endswith("}"):
                        yield match.group(1), match.group(2), start, number
                    else:
                        body = (match.group(1), match.group(2), start)
                start = None
            elif ends_here.endswith(";") or ends_here.startswith("#"):
                start = None
        elif line.startswith("}"):
            yield (*body, number)
            body, start = None, None
