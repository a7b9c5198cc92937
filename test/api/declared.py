#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""declared.py FOLDER OUTPUT [LIBRARY]: a program that uses every function that the headers in FOLDER declare.

It takes each address: that the declaration compiles, in every language version, and that the library has it.  With
LIBRARY, every mi_ function that it shows must be declared, too."""

import os
import re
import subprocess
import sys

HEADERS = ["mimalloc.h", "mimalloc-stats.h"]

PROGRAM = """/* Made by declared.py. */
#include <stdio.h>

{includes}

typedef void any_function(void);
#ifdef __cplusplus
#define ADDRESS(name) reinterpret_cast<any_function*>(&name)
#else
#define ADDRESS(name) ((any_function*)&name)
#endif

int main(void) {{
  any_function* const volatile functions[] = {{
{uses}
  }};
  size_t found = 0;
  for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) found += functions[i] ? 1 : 0;
  printf("%zu functions\\n", found);
  return found == {count} ? 0 : 1;
}}
"""


def declared(path):
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", file.read(), flags=re.DOTALL)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.MULTILINE)
    return re.findall(r"\bmi_decl_(?:export|result|fresh)\b[^;{(]*?\b(mi_\w+)\s*\(", text)


def shown(library):
    output = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r" T (mi_\w+)", output))


def main():
    folder, output, *library = sys.argv[1:]
    names = [name for header in HEADERS for name in declared(os.path.join(folder, header))]
    twice = {name for name in names if names.count(name) > 1}
    undeclared = shown(library[0]) - set(names) if library else set()
    for name in sorted(twice | undeclared):
        print(f"{name}: {'declared twice' if name in twice else 'shown by the library and not declared'}")
    uses = "\n".join(f"    ADDRESS({name})," for name in names)
    includes = "\n".join(f'#include "{header}"' for header in HEADERS)
    with open(output, "w", encoding="utf-8") as file:
        file.write(PROGRAM.format(includes=includes, uses=uses, count=len(names)))
    print(f"{len(names)} functions declared")
    return 1 if twice or undeclared or not names else 0


sys.exit(main())
