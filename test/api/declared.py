#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""declared.py FOLDER OUTPUT [LIBRARY]: a program that uses every function that the headers in FOLDER declare.

It takes each address, and so finds that the declaration compiles, in every language version, and that the library has
the function; and its type must be the one in prototypes.txt.  Both lists must have the same names.  With LIBRARY,
every mi_ function that it shows must be declared, too; and macros.h must use every macro of the headers."""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
HEADERS = ["mimalloc.h", "mimalloc-stats.h"]
MACRO_HEADERS = [*HEADERS, "mimalloc-override.h"]
INLINE = {"mi_stats_header_init", "mi_stats_init"}  # need no library
# Those that do not promise C++ to throw nothing.
THROWING = re.compile(r"mi_(heap_|theap_alloc_|heap_alloc_)?new(_n|_aligned|_realloc|_reallocn)?"
                      r"|mi_stats_(header_)?init|mi_option_\w+")
NEVER = {"mi_heap_new"}
# Macros for the headers' own declarations.
OWN = re.compile(r"MIMALLOC_\w+|mi_(attr|decl)_\w+|mi_cdecl|MI_STAT_COUNT(ER)?|MI_STAT_FIELDS")

PROGRAM = """/* Made by declared.py. */
#include <stdio.h>

{includes}

typedef void any_function(void);
#ifdef __cplusplus
#define ADDRESS(name) reinterpret_cast<any_function*>(&name)
#if __cplusplus >= 201703L
#define THROWS_NOTHING(throwing) noexcept(!throwing)
#else
#define THROWS_NOTHING(throwing)
#endif
#define HAS_TYPE(name, throwing, type, ...) \\
  extern type (*typed_##name)(__VA_ARGS__) THROWS_NOTHING(throwing);  \\
  type (*typed_##name)(__VA_ARGS__) THROWS_NOTHING(throwing) = &name;
#else
#define ADDRESS(name) ((any_function*)&name)
#define HAS_TYPE(name, throwing, type, ...) \\
  _Static_assert(_Generic(&name, type (*)(__VA_ARGS__): 1, default: 0), #name);
#endif

{types}

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


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def declared(path):
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", read(path), flags=re.DOTALL)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.MULTILINE)
    return re.findall(r"\bmi_decl_(?:export|result|fresh)\b[^;{(]*?\b(mi_\w+)\s*\(", text)


def prototypes():
    """name -> (type of the result, types of the parameters)"""
    types, current = {}, None
    for line in read(os.path.join(HERE, "prototypes.txt")).splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line.startswith(" "):
            types.update((name, current) for name in line.split())
        else:
            current = re.fullmatch(r"(.*?)\((.*)\)", line).groups()
    return types


def unused_macros(folder):
    """Macros of the headers that macros.h does not use."""
    text = re.sub(r"/\*.*?\*/", " ", read(os.path.join(HERE, "macros.h")), flags=re.DOTALL)
    used = set(re.findall(r"\w+", re.sub(r'"[^"\n]*"', " ", text)))
    for header in MACRO_HEADERS:
        for name in re.findall(r"^# *define +(\w+)", read(os.path.join(folder, header)), re.MULTILINE):
            if not OWN.fullmatch(name) and name not in used:
                yield name


def shown(library):
    output = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r" T (mi_\w+)", output))


def main():
    folder, output, *library = sys.argv[1:]
    names = [name for header in HEADERS for name in declared(os.path.join(folder, header))]
    types = prototypes()
    wrong = {name: "declared twice" for name in names if names.count(name) > 1}
    wrong.update({name: "declared, and not in prototypes.txt" for name in set(names) - set(types)})
    wrong.update({name: "in prototypes.txt, and not declared" for name in set(types) - set(names) - INLINE})
    if library:
        wrong.update({name: "shown by the library and not declared" for name in shown(library[0]) - set(names)})
        wrong.update({name: "a macro that macros.h does not use" for name in unused_macros(folder)})
    for name, what in sorted(wrong.items()):
        print(f"{name}: {what}")
    throwing = {name for name in types if THROWING.fullmatch(name)} - NEVER
    with open(output, "w", encoding="utf-8") as file:
        file.write(PROGRAM.format(
            includes="\n".join(f'#include "{header}"' for header in HEADERS),
            types="\n".join(f"HAS_TYPE({name}, {int(name in throwing)}, {result}, {parameters})"
                            for name, (result, parameters) in types.items()),
            uses="\n".join(f"    ADDRESS({name})," for name in names), count=len(names)))
    print(f"{len(names)} functions declared, {len(types)} types, {len(throwing)} may throw")
    return 1 if wrong or not names else 0


sys.exit(main())
