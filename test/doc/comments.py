#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""comments.py FILE...: every public function of a header has a comment in front, and the pages (.md) speak of no
function, type or option that the headers lack.

A comment holds for the declarations behind it up to the next blank line."""
import re
import sys


def undocumented(text):
    for paragraph in re.split(r"\n[ \t]*\n", text):
        comment = re.search(r"/\*(?! ----)", paragraph)
        start = comment.start() if comment else len(paragraph)
        for declaration in re.finditer(r"^mi_decl_(?:export|result|fresh)\b[^;{]*?\b(mi_\w+)\(", paragraph, re.M):
            if declaration.start() < start:
                yield declaration.group(1)


assert list(undocumented("/* A */\nmi_decl_export void mi_a(void);\n\nmi_decl_fresh void* mi_b(int);")) == ["mi_b"]
# Exported by 3.6.0 without a declaration, and, as doc/moving.md says, not there.
ABSENT = {"mi_heap_new_qsbr", "mi_heap_profile", "mi_heap_profile_disable", "mi_subproc_profile", "mi_profile"}


def named(text):
    """Names of the interface, but for prefixes (mi_heap_)."""
    return set(re.findall(r"\bmi_\w*[a-z0-9]\b(?!_)", text))


count, bad, known, mentioned = 0, [], set(), []
for header in sys.argv[1:]:
    with open(header, encoding="utf-8") as file:
        content = file.read()
    if header.endswith(".md"):
        mentioned += [(header, name) for name in named(content)]
        continue
    known |= named(content)
    count += len(re.findall(r"^mi_decl_(?:export|result|fresh)\b", content, re.M))
    bad += [f"{header}: {name} has no comment" for name in undocumented(content)]
bad += [f"{page}: {name} is not in the headers" for page, name in mentioned if name not in known | ABSENT]
bad += [f"{name} is in the headers, and said to be absent" for name in known & ABSENT]
print("\n".join(bad) or f"{count} declarations, each with a comment; {len(mentioned)} names on pages")
sys.exit(1 if bad or count < 200 else 0)
