# SPDX-License-Identifier: MIT
"""Compilers and linkers over generated sources; the result is the object code."""

import shutil

from context import prepares, program

DEBIAN_RUSTC = "/usr/bin/rustc"


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


@program("lld", ["ld.lld"])
def lld(context):
    """A shared library of many objects, with symbols, relocations and debugging information merged. It leaves
    by _exit, so that only its start tells which malloc served it."""
    objects = [context.data_file(f"part{n}.o") for n in range(context.pick(8, 40))]
    many = [name for _ in range(context.pick(25, 50)) for name in objects]    # the first of equal names counts
    context.run(["ld.lld", "-shared", "--build-id=sha1", "--threads=2", "-z", "muldefs", "--gc-sections", "-O2",
                 *many, "-o", "out.so"], counted=False)
    return context.read("out.so")


@prepares("lld")
def prepare_lld(context):
    source = context.write("part.c", c_source(context.pick(40, 100)).replace("int main", "int start"), context.data)
    for n in range(context.pick(8, 40)):
        names = [f"-D{name}{k}={name}{n}_{k}" for name in "fs" for k in range(100)] + [f"-Dstart=start{n}"]
        context.client(["gcc", "-std=gnu11", "-O1", "-g", "-fPIC", "-ffunction-sections", *names, "-c", source,
                        "-o", context.data_file(f"part{n}.o")])


def rust_source(count):
    """Generic types, traits and collections, monomorphised for each number."""
    parts = ["use std::collections::{BTreeMap, HashMap};\n",
             "pub trait Shape { fn area(&self) -> f64; fn name(&self) -> String; }\n"]
    for n in range(count):
        parts.append(f"""
#[derive(Clone, Debug, PartialEq)]
pub struct S{n}<T> {{ pub items: Vec<T>, pub names: BTreeMap<String, T>, pub size: f64 }}
impl<T: Clone + std::fmt::Debug> Shape for S{n}<T> {{
    fn area(&self) -> f64 {{ self.size * {n}.5 + self.items.len() as f64 }}
    fn name(&self) -> String {{ format!("{{:?}} of {n}", self.items.iter().rev().take(3).collect::<Vec<_>>()) }}
}}
pub fn f{n}(text: &str) -> Result<u64, String> {{
    let mut seen: HashMap<char, Vec<u{8 << n % 4}>> = HashMap::new();
    for (i, c) in text.chars().enumerate() {{ seen.entry(c).or_default().push(i as u{8 << n % 4}); }}
    let s = S{n} {{ items: vec![(1u8, text.to_string())], names: BTreeMap::new(), size: text.len() as f64 }};
    let shapes: Vec<Box<dyn Shape>> = vec![Box::new(s.clone()), Box::new(s)];
    match shapes.iter().map(|x| x.area() as u64 + x.name().len() as u64).max() {{
        Some(m) if m > {n} => Ok(m + seen.values().map(|v| v.len() as u64).sum::<u64>()),
        Some(m) => Err(format!("small: {{m}}")),
        None => Err("none".into()),
    }}
}}
""")
    return "".join(parts)


@program("rustc", [DEBIAN_RUSTC])
def rustc(context):
    """Debian's: the compiler that rustup installs carries an allocator of its own."""
    shutil.copy(context.data_file("generated.rs"), context.work)
    context.run([DEBIAN_RUSTC, "--edition", "2021", "--crate-type", "lib", "-C", "opt-level=2", "-C", "codegen-units=1",
                 "--emit", "asm", "-o", "out.s", "generated.rs"])
    return context.read("out.s")


@prepares("rustc")
def prepare_rustc(context):
    context.write("generated.rs", rust_source(context.pick(6, 60)), context.data)
