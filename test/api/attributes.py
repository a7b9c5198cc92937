#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""attributes.py warnings|fortify INCLUDE LIBRARY SCRATCH

warnings   what compilers find with the attributes of the headers: each wrong use is warned about by gcc, and a correct
           program by no compiler
fortify    programs built with _FORTIFY_SOURCE=3 that write past the end of a block are stopped, others are not

What a machine has no compiler for is skipped, with a word (exit status 77)."""

import os
import shutil
import signal
import subprocess
import sys

SKIPPED = 77

# language, warning, body of a function with a size_t n that the compiler does not know
WRONG = [
    ("c", "mismatched-dealloc", "char* p = mi_malloc(n); use(p); free(p);"),
    ("c", "mismatched-dealloc", "char* p = mi_calloc(n, 2); use(p); free(p);"),
    ("c", "mismatched-dealloc", "char* p = mi_zalloc_aligned(n, 64); use(p); free(p);"),
    ("c", "mismatched-dealloc", "char* p = mi_strdup(\"text\"); use(p); free(p);"),
    ("c", "mismatched-dealloc", "char* p = mi_realloc(NULL, n); use(p); free(p);"),
    ("c", "mismatched-dealloc", "char* p = mi_umalloc(n, NULL); use(p); free(p);"),
    ("c", "mismatched-dealloc", "char* p = mi_heap_malloc(NULL, n); use(p); free(p);"),
    ("c", "mismatched-dealloc", "char* p = mi_theap_calloc(NULL, n, 4); use(p); free(p);"),
    ("c", "mismatched-dealloc", "char* p = mi_malloc(n); use(p); p = realloc(p, 2 * n); use(p); mi_cfree(p);"),
    ("c", "mismatched-dealloc", "char* p = malloc(n); use(p); mi_free(p);"),
    ("c", "mismatched-dealloc", "char* p = calloc(n, 2); use(p); mi_free_size(p, 2 * n);"),
    ("c", "mismatched-dealloc", "char* p = strdup(\"text\"); use(p); mi_free(p);"),
    ("c", "mismatched-dealloc", "char* p = malloc(n); use(p); p = mi_realloc(p, 2 * n); use(p); mi_cfree(p);"),
    ("c", "mismatched-dealloc", "char* p = malloc(n); use(p); p = mi_heap_realloc(NULL, p, n); mi_cfree(p);"),
    ("c", "free-nonheap-object", "char array[9]; use(array); mi_free(array); (void)n;"),
    ("c", "free-nonheap-object", "char* p = mi_malloc(n); use(p); mi_free(p + 8);"),
    ("c", "unused-result", "mi_malloc(n);"),
    ("c", "alloc-size-larger-than=", "use(mi_malloc((size_t)-1)); (void)n;"),
    ("c", "array-bounds", "char* p = mi_malloc(3); memset(p, (int)n, 4); use(p); mi_free(p);"),
    ("c++", "mismatched-new-delete", "char* p = new char[n]; use(p); mi_free(p);"),
    ("c++", "mismatched-new-delete", "int* p = new int(int(n)); use(p); mi_free(p);"),
    ("c++", "mismatched-new-delete", "int* p = mi_malloc_tp(int); use(p); delete p; (void)n;"),
]

# Correct, in C and C++, to every warning that is usual.
RIGHT = """
int f(char** v, size_t n) {
  char* p = (char*)mi_malloc(n);
  if (p == NULL) return 1;
  char* q = (char*)mi_realloc(p, 2 * n);
  if (q == NULL) { mi_free(p); return 1; }
  q = (char*)mi_heap_reallocf(NULL, q, 3 * n);
  p = (char*)mi_expand(q, 4 * n);
  if (p == NULL) p = q;
  if (!mi_cfree(p)) *v = p;
  return 0;
}
void* g(void* p, size_t n) {
  void* q = mi_reallocarray(p, n, 8);
  if (q == NULL && n != 0 && p != NULL) mi_free(p);
  return q;
}
void h(mi_heap_t* heap, char* any) {
  size_t size;
  char* p = (char*)mi_umalloc(10, &size);
  if (p != NULL) memset(p, 0, size);
  mi_ufree(p, &size);
  p = (char*)mi_heap_zalloc_aligned(heap, 100, 64);
  mi_free_size_aligned(p, 100, 64);
  p = (char*)mi_aligned_recalloc(mi_calloc_aligned(10, 10, 64), 20, 10, 64);
  mi_free_aligned(p, 64);
  mi_free_small(mi_malloc_small(8));
  mi_free(mi_new(10));
  mi_free(mi_new_realloc(mi_new_n(10, 10), 30));
  mi_free(mi_realpath("/", NULL));
  mi_free(mi_strndup(any, 3));
  mi_free_csize(mi_malloc_csize(40), 40);
  int* numbers = mi_mallocn_tp(int, 10);
  numbers = mi_reallocn_tp(int, numbers, 20);
  mi_free(numbers);
  void* slot = NULL;
  if (mi_posix_memalign(&slot, 64, 64) == 0) mi_free(slot);
  if (!mi_cfree(any)) free(any);
}
int main(void) { return 0; }
"""

RIGHT_OVERRIDDEN = """
#include "mimalloc-override.h"
int main(void) {
  char* p = (char*)malloc(10);
  if (p == NULL) return 1;
  char* q = (char*)realloc(p, 20);
  if (q == NULL) { free(p); return 1; }
  q = (char*)reallocarray(q, 20, 20);
  free(q);
  free(strdup("text"));
  free(strndup("text", 2));
  free(calloc(2, 2));
  free(realpath("/", NULL));
  free(aligned_alloc(64, 64));
  cfree(memalign(64, 64));
  void* slot = NULL;
  if (posix_memalign(&slot, 64, 64) == 0) free(slot);
  return 0;
}
"""

RIGHT_OPERATORS = """
#include <memory>
#include <string>
#include <vector>
#include "mimalloc-new-delete.h"
struct Node {
  explicit Node(int n) : next(nullptr), value(n) {}
  virtual ~Node() {}
  Node* next;
  int value;
};
struct alignas(64) Wide { char c[64]; };
int main(int argc, char** argv) {
  Node* node = new Node(argc);
  std::unique_ptr<Node> other(new Node(2));
  int* numbers = new int[argc + 10];
  numbers[argc] = 1;
  Wide* wide = new Wide();
  char* raw = static_cast<char*>(operator new(100));
  raw[argc] = 2;
  char* quiet = new (std::nothrow) char[5];
  std::vector<std::string> strings(argc, std::string(argv[0]) + "a longer text than fits in a short string");
  const bool ours = mi_any_heap_contains(node) && mi_any_heap_contains(numbers) && mi_any_heap_contains(wide) &&
                    mi_any_heap_contains(strings[0].data());
  delete[] quiet;
  operator delete(raw);
  delete wide;
  delete[] numbers;
  delete node;
  for (int i = 0; i < argc * 1000; i++) { /* hot enough for the operators to be inlined */
    Node* inlined = new Node(i);
    __asm__ volatile("" : : "r"(inlined) : "memory");
    delete inlined;
  }
  return ours ? 0 : 1;
}
"""

# Each fills a block of n bytes with m: stopped when m > n.
CHECKED = [
    "char* p = mi_malloc(n); memcpy(p, source, m);",
    "char* p = mi_malloc(n); memset(source, 'x', m - 1); source[m - 1] = 0; strcpy(p, source);",
    "char* p = mi_calloc(n / 10, 10); memset(p, 1, m);",
    "char* p = mi_realloc(mi_malloc(5), n); memset(p, 1, m);",
    "char* p = mi_reallocarray(NULL, n, 1); memset(p, 1, m);",
    "char* p = mi_malloc_aligned(n, 64); memset(p, 1, m);",
    "char* p = mi_memalign(64, n); memset(p, 1, m);",
    "char* p = mi_aligned_recalloc(NULL, n, 1, 64); memset(p, 1, m);",
    "char* p = mi_heap_malloc(NULL, n); memset(p, 1, m);",
    "char* p = mi_heap_recalloc_aligned_at(NULL, NULL, n, 1, 64, 8); memset(p, 1, m);",
    "char* p = mi_theap_zalloc(NULL, n); memset(p, 1, m);",
    "char* p = mi_new_n(n, 1); memset(p, 1, m);",
]
# Not stopped, whatever m is up to the usable size: these ask for it.
ALLOWED = [
    "size_t size; char* p = mi_umalloc(n, &size); memset(p, 1, size); if (size < m) return 1;",
    "char* p = mi_malloc(n); p = mi_expand(p, mi_usable_size(p)); memset(p, 1, mi_usable_size(p)); if (!m) return 1;",
]
FORTIFIED = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mimalloc.h"
static char source[1000];
static void use(char* p) {
  __asm__ volatile("" : : "r"(p) : "memory");
  mi_free(p);
}
int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const int which = atoi(argv[1]);
  const size_t n = strtoul(argv[2], NULL, 10), m = strtoul(argv[3], NULL, 10);
  switch (which) {
%s
  }
  puts("unharmed");
  return 0;
}
"""


class Compilers:
    def __init__(self, include, library, scratch):
        os.makedirs(scratch, exist_ok=True)
        self.include, self.library, self.scratch = include, library, scratch

    def compile(self, compiler, text, options, link=False):
        """The exit status, what was said, and the program."""
        suffix = ".cc" if compiler.endswith("++") else ".c"
        source, output = os.path.join(self.scratch, "it" + suffix), os.path.join(self.scratch, "it.out")
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        mode = ["-L" + os.path.dirname(self.library), self.library, "-o", output] if link else ["-c", "-o", os.devnull]
        done = subprocess.run([compiler, "-I", self.include, source, *options, *mode], capture_output=True, text=True,
                              check=False, env={**os.environ, "LC_ALL": "C"})
        return done.returncode, done.stderr, output

    def run(self, program, *arguments):
        environment = {**os.environ, "LD_LIBRARY_PATH": os.path.dirname(self.library)}
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, env=environment)


def version(compiler):
    """Of gcc; 0 when there is none."""
    if not shutil.which(compiler):
        return 0
    command = [compiler, "-dM", "-E", "-x", "c", os.devnull]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    macros = dict(line.split(" ", 2)[1:] for line in said.splitlines() if line.count(" ") >= 2)
    return 0 if "__clang__" in macros else int(macros["__GNUC__"])


def function(language, body):
    prelude = '#include <stdlib.h>\n#include <string.h>\n#include "mimalloc.h"\n'
    linkage = 'extern "C" ' if language == "c++" else ""
    return prelude + linkage + "void use(void* p);\nvoid f(size_t n);\nvoid f(size_t n) { " + body + " }\n"


def warnings(tools):
    failed = []
    count = 0
    if version("gcc") >= 11 and shutil.which("g++"):
        for language, warning, body in WRONG:
            compiler = "g++" if language == "c++" else "gcc"
            status, said, _ = tools.compile(compiler, function(language, body), ["-O2", "-Wall"])
            count += 1
            if status != 0 or f"[-W{warning}]" not in said:
                failed.append(f"{compiler}: no -W{warning} for: {body}\n{said}")
    else:
        print("SKIPPED: wrong uses, which gcc 11 and later find (with g++)")
    right = '#include <stdlib.h>\n#include <string.h>\n#include "mimalloc.h"\n' + RIGHT
    for compiler in ("gcc", "g++", "clang", "clang++"):
        if not shutil.which(compiler):
            print(f"SKIPPED: no {compiler}")
            continue
        programs = [("right", right, False), ("overridden", RIGHT_OVERRIDDEN, True)]
        if compiler.endswith("++"):
            programs.append(("operators", RIGHT_OPERATORS, True))
        for name, text, runs in programs:
            for options in (["-O0"], ["-O3"], ["-O2", "-flto"]):
                if "-flto" in options and (not runs or compiler.startswith("clang")):
                    continue
                if compiler.endswith("++"):
                    options = [*options, "-std=c++17", "-Wno-missing-declarations"]
                status, said, program = tools.compile(compiler, text, [*options, "-Wall", "-Wextra", "-Werror"], runs)
                count += 1
                if status != 0 or said:
                    failed.append(f"{compiler} {' '.join(options)}: {name} is not clean:\n{said}")
                elif runs and tools.run(program).returncode != 0:
                    failed.append(f"{compiler} {' '.join(options)}: {name} does not run")
    print("\n".join(failed))
    print(f"{count} programs compiled, {len(failed)} wrong")
    return 1 if failed else 0 if count else SKIPPED


def fortify(tools):
    cases = "\n".join("  case %d: { %s use(p); break; }" % case for case in enumerate(CHECKED + ALLOWED))
    text = FORTIFIED % cases
    tried = failed = 0
    for compiler in ("gcc", "clang"):
        options = ["-O2", "-w", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3"]
        probe = '#include <features.h>\n#if __USE_FORTIFY_LEVEL < 3\n#error too old\n#endif\n'
        if not shutil.which(compiler) or tools.compile(compiler, probe, options)[0] != 0:
            print(f"SKIPPED: {compiler} and the C library have no _FORTIFY_SOURCE=3")
            continue
        status, said, program = tools.compile(compiler, text, options, True)
        if status != 0:
            sys.exit(said)
        for which, body in enumerate(CHECKED + ALLOWED):
            for size, stopped in ((100, False), (101, which < len(CHECKED))):
                done = tools.run(program, str(which), "100", str(size))
                tried += 1
                if stopped:
                    good = done.returncode == -signal.SIGABRT and "buffer overflow detected" in done.stderr
                else:
                    good = done.returncode == 0 and done.stdout == "unharmed\n"
                if not good:
                    failed += 1
                    print(f"{compiler}: {size} bytes into 100: status {done.returncode}, {done.stderr.strip()}: {body}")
    print(f"{tried} writes tried, {failed} not as they should be")
    return 1 if failed else 0 if tried else SKIPPED


def main():
    what, include, library, scratch = sys.argv[1:]
    tools = Compilers(include, os.path.abspath(library), os.path.abspath(scratch))
    return {"warnings": warnings, "fortify": fortify}[what](tools)


sys.exit(main())
