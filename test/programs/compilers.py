# SPDX-License-Identifier: MIT
"""Compilers over generated sources; the result is the object code."""

import shutil

from context import prepares, program


def c_source(count):
    """Functions with loops, switches, structures and calls of each other."""
    parts = ["#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <math.h>\n"]
    for n in range(count):
        cases = "".join(f"      case {k}: r += s.v[{k}] * {n + k}; break;\n" for k in range(8))
        parts.append(f"""
struct s{n} {{ int v[8]; double d; struct s{n}* next; }};
{'static' if n % 3 else 'extern'} int f{n}(int a, const char* t);
int f{n}(int a, const char* t) {{
  struct s{n} s = {{{{1, 2, {n}, 4, 5, 6, 7, 8}}, {n}.5, 0}};
  int r = 0;
  for (int i = 0; i < a; i++) {{
    switch ((i * {2 * n + 1}) & 7) {{
{cases}    }}
    if (t[i % 5] == '{chr(97 + n % 26)}') r ^= (int)(sqrt(s.d + i) * {n + 3});
  }}
  return r + (int)strlen(t){f' + f{n - 1}(a / 2, t + 1)' if n else ''};
}}
""")
    parts.append(f'int main(void) {{ printf("%d\\n", f{count - 1}(100, "generated")); return 0; }}\n')
    return "".join(parts)


def cxx_source(count):
    """Classes over standard containers: templates and names are what a C++ compiler allocates for."""
    headers = ("algorithm", "functional", "iostream", "map", "memory", "string", "unordered_map", "vector")
    parts = [f"#include <{header}>\n" for header in headers]
    for n in range(count):
        parts.append(f"""
template <int N> struct Node{n} {{
  std::map<std::string, std::vector<std::pair<int, Node{n}<N - 1>>>> children;
  std::function<int(int)> f = [](int x) {{ return x + N; }};
  int sum() const {{
    int r = f(N);
    for (auto& c : children) for (auto& v : c.second) r += v.second.sum();
    return r;
  }}
}};
template <> struct Node{n}<0> {{ int sum() const {{ return {n}; }} }};
int use{n}(const std::string& s) {{
  Node{n}<3> root;
  std::unordered_map<std::string, std::unique_ptr<Node{n}<2>>> table;
  for (char c : s) root.children[std::string(3, c)].emplace_back(c, Node{n}<2>());
  for (auto& e : root.children) table[e.first] = std::make_unique<Node{n}<2>>();
  return root.sum() + static_cast<int>(table.size());
}}
""")
    calls = " + ".join(f'use{n}("text{n}")' for n in range(count))
    return "".join(parts) + f"int main() {{ std::cout << {calls} << std::endl; return 0; }}\n"


def compile_one(context, compiler, source, language_options):
    """Object code and assembly, from one command each; they contain the source's name: it has no folder."""
    shutil.copy(context.data_file(source), context.work)
    context.run([compiler, *language_options, "-O2", "-c", source, "-o", "out.o"])
    context.run([compiler, *language_options, "-O1", "-g0", "-S", source, "-o", "out.s"])
    return context.read("out.o") + context.read("out.s")


@program("gcc", ["gcc"])
def gcc(context):
    return compile_one(context, "gcc", "generated.c", ["-std=gnu11"])


@prepares("gcc")
def prepare_gcc(context):
    context.write("generated.c", c_source(context.pick(150, 900)), context.data)


@program("gxx", ["g++"])
def gxx(context):
    return compile_one(context, "g++", "generated.cc", ["-std=c++17"])


@prepares("gxx")
def prepare_gxx(context):
    context.write("generated.cc", cxx_source(context.pick(3, 14)), context.data)


@program("clang", ["clang"])
def clang(context):
    return compile_one(context, "clang", "generated.c", ["-std=gnu11"])


@prepares("clang")
def prepare_clang(context):
    context.write("generated.c", c_source(context.pick(150, 900)), context.data)
