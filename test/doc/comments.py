#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every public function has a comment in front: comments.py HEADER...

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
count, bad = 0, []
for header in sys.argv[1:]:
    with open(header, encoding="utf-8") as file:
        content = file.read()
    count += len(re.findall(r"^mi_decl_(?:export|result|fresh)\b", content, re.M))
    bad += [f"{header}: {name} has no comment" for name in undocumented(content)]
print("\n".join(bad) or f"{count} declarations, each with a comment")
sys.exit(1 if bad or count < 200 else 0)
