# SPDX-License-Identifier: MIT
"""Programs that run to their end: interpreters, tools and solvers."""

import os
import shutil

from context import PYTHON, input_file, prepares, program


@program("python3", ["python3"])
def python3(context):
    return context.run([PYTHON, "-S", input_file("work.py"), context.pick(1, 5)],
                       environment={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"})


@program("perl", ["perl"])
def perl(context):
    return context.run(["perl", input_file("work.pl"), context.pick(3, 12)],
                       environment={"PERL_HASH_SEED": "0"})


@program("ruby", ["ruby"])
def ruby(context):
    return context.run(["ruby", input_file("work.rb"), context.pick(2, 10)])


@program("node", ["node"])
def node(context):
    return context.run(["node", input_file("work.js"), context.pick(2, 10)])


@program("java", ["java"])
def java(context):
    return context.run(["java", "-Xmx256m", "-XX:+UseParallelGC", input_file("Work.java"),
                        context.pick(4, 16)])


@program("lua", ["lua5.4"])
def lua(context):
    return context.run(["lua5.4", input_file("work.lua"), context.pick(5, 20)])


@program("php", ["php"])
def php(context):
    """With php.ini, so with all of PHP's modules: PHP loads them by RTLD_DEEPBIND, and other preloaded
    allocators do not survive that."""
    return context.run(["php", "-d", "memory_limit=-1", "-d", "pcre.jit=0", input_file("work.php"),
                        context.pick(4, 15)], environment={"USE_ZEND_ALLOC": "0"})


@program("sqlite3", ["sqlite3"])
def sqlite3(context):
    rows = context.pick(60000, 400000)
    script = f"""
      CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price INT, body TEXT);
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
        INSERT INTO item
          SELECT i, 'name' || (i * 7919 % 1013), i * 31 % 997, printf('%0*d', i % 90 + 1, i) FROM n;
      CREATE INDEX by_name ON item(name, price);
      SELECT name, count(*), sum(price), max(length(body)) FROM item GROUP BY name ORDER BY 3, 1;
      SELECT a.price, count(*) FROM item a JOIN item b ON a.id = b.price GROUP BY a.price ORDER BY 1;
      SELECT length(group_concat(body, '-')), length(json_group_array(json_object('n', name, 'p', price)))
        FROM item;
      UPDATE item SET body = upper(body) || name WHERE id % 3 = 0;
      DELETE FROM item WHERE id % 7 = 0;
      SELECT count(*), sum(length(body)) FROM item;
      PRAGMA integrity_check;
    """
    return context.run(["sqlite3", "-batch", ":memory:"], stdin=context.write("script.sql", script))


@program("jq", ["jq"])
def jq(context):
    query = ("[.[] | select(.id % 3 != 0)] | group_by(.name)"
             " | map({name: .[0].name, n: length, sum: map(.list | add) | add,"
             " text: (map(.id | tostring) | join(\"-\"))}) | sort_by(.sum, .name)")
    return context.run(["jq", "-c", query, context.data_file("records.json")])


@prepares("jq")
def prepare_jq(context):
    values = context.random()
    rows = (f'{{"id":{n},"name":"record {n * 7919 % 1013}","list":[{values.randrange(999)},{n % 7},{n % 11}],'
            f'"deep":{{"a":[{{"b":"{"x" * (n % 40)}"}}]}}}}' for n in range(context.pick(25000, 150000)))
    context.write("records.json", "[" + ",\n".join(rows) + "]", context.data)


@program("xmllint", ["xmllint"])
def xmllint(context):
    document = context.data_file("items.xml")
    found = context.run(["xmllint", "--xpath", "//item[@kind='k3']/part[2]/text()", document])
    canonical = context.run(["xmllint", "--c14n", document])
    return found + canonical + context.run(["xmllint", "--format", document])


@prepares("xmllint")
def prepare_xmllint(context):
    values = context.random()
    items = (f'<item id="{n}" kind="k{values.randrange(9)}"><part>{values.random():.12f}</part>'
             f'<part>text {n}</part><note lang="en">{"word " * values.randrange(12)}</note></item>'
             for n in range(context.pick(20000, 150000)))
    context.write("items.xml", "<?xml version='1.0'?><items>" + "\n".join(items) + "</items>\n", context.data)


@program("ghostscript", ["gs"])
def ghostscript(context):
    pages = context.pick(3, 10)
    context.run(["gs", "-q", "-dNOPAUSE", "-dBATCH", "-dSAFER", "-sDEVICE=ppmraw", "-dTextAlphaBits=4",
                 "-dGraphicsAlphaBits=4", f"-r{context.pick(90, 200)}", f"-dpages={pages}",
                 "-sOutputFile=page%d.ppm", input_file("work.ps")])
    return b"".join(context.read(f"page{n}.ppm") for n in range(1, pages + 1))


@program("z3", ["z3"])
def z3(context):
    return context.run(["z3", "-smt2", context.data_file("problem.smt2")])


@prepares("z3")
def prepare_z3(context):
    """A pigeonhole problem, a factorisation with one answer, and many small ones over arrays and integers."""
    holes = context.pick(7, 8)
    lines = ["(set-option :smt.random_seed 1)", "(push)"]
    lines += [f"(declare-const p{i}_{j} Bool)" for i in range(holes + 1) for j in range(holes)]
    lines += [f"(assert (or {' '.join(f'p{i}_{j}' for j in range(holes))}))" for i in range(holes + 1)]
    lines += [f"(assert (not (and p{i}_{j} p{k}_{j})))"
              for j in range(holes) for i in range(holes + 1) for k in range(i)]
    lines += ["(check-sat)", "(pop)", "(push)", "(declare-const a (_ BitVec 32))",
              "(declare-const b (_ BitVec 32))", "(assert (= (bvmul a b) #x002e3429))",
              "(assert (bvult a b))", "(assert (bvult #x00000001 a))",
              "(assert (bvult b #x00001000))", "(check-sat)", "(get-value (a b))", "(pop)"]
    for n in range(context.pick(150, 1000)):
        lines += ["(push)", "(declare-const t (Array Int Int))", "(declare-const i Int)",
                  "(declare-const j Int)", f"(assert (= (select (store t i {n}) j) (+ j {n % 17})))",
                  f"(assert (= i (+ j {n % 2})))", f"(assert (= j {n - n % 17}))", "(check-sat)",
                  "(get-value (i j))", "(pop)"]
    context.write("problem.smt2", "\n".join(lines) + "\n", context.data)


def text_sample(context, size):
    """Compressible text of a few thousand distinct words."""
    values = context.random()
    words = ["".join(values.choices("etaoinshrdlu", k=values.randrange(2, 10))) for _ in range(3000)]
    block = " ".join(values.choice(words) for _ in range(150000)).encode()
    return b"".join(block[n * 997 % 4096:] for n in range(size // len(block) + 1))[:size]


@program("pigz", ["pigz"])
def pigz(context):
    packed = context.run(["pigz", "-p", "4", "-n", "-b", "64", "-c", context.data_file("text")])
    return packed + context.run(["pigz", "-d", "-c"], stdin=context.write("text.gz", packed))


@prepares("pigz")
def prepare_pigz(context):
    context.write("text", text_sample(context, context.pick(16, 96) << 20), context.data)


@program("xz", ["xz"])
def xz(context):
    packed = context.run(["xz", "-T2", "-3", "--block-size=512KiB", "-c", context.data_file("text")])
    return packed + context.run(["xz", "-T2", "-d", "-c"], stdin=context.write("text.xz", packed))


@prepares("xz")
def prepare_xz(context):
    context.write("text", text_sample(context, context.pick(5, 24) << 20), context.data)


@program("openssl", ["openssl"])
def openssl(context):
    many = context.data_file("many.pem")
    text = context.data_file("text")
    bundle = context.run(["openssl", "crl2pkcs7", "-nocrl", "-certfile", many])
    printed = context.run(["openssl", "pkcs7", "-print_certs", "-text"],
                          stdin=context.write("bundle.p7", bundle))
    signed = context.run(["openssl", "dgst", "-sha256", "-sign", context.data_file("key.pem"), "-hex", text])
    sealed = context.run(["openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-S", "0011223344556677", "-k", "word",
                          "-in", text])
    return bundle + printed + signed + sealed


@prepares("openssl")
def prepare_openssl(context):
    key, certificate = context.data_file("key.pem"), context.data_file("one.pem")
    context.client(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
                    "-out", certificate, "-subj", "/CN=example/O=programs", "-days", "30"])
    with open(certificate, encoding="ascii") as file:
        context.write("many.pem", file.read() * context.pick(3000, 10000), context.data)
    context.write("text", text_sample(context, context.pick(8, 64) << 20), context.data)


GIT_SETTINGS = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


@program("git", ["git"])
def git(context):
    """Repack a generated repository; what counts is its content afterwards, not the pack's bytes."""
    shutil.copytree(context.data_file("repository"), os.path.join(context.work, "repository"))
    settings = {"environment": {**GIT_SETTINGS, "HOME": context.work},
                "cwd": os.path.join(context.work, "repository")}
    context.run(["git", "-c", "pack.threads=2", "repack", "-a", "-d", "-f", "-q", "--window=20"], **settings)
    context.run(["git", "-c", "gc.auto=0", "gc", "--quiet", "--prune=now"], **settings)
    objects = context.run(["git", "rev-list", "--objects", "--all"], **settings)
    log = context.run(["git", "log", "--stat", "-p", "--pretty=%H %an %at %s"], **settings)
    return objects + log + context.run(["git", "fsck", "--full", "--no-progress"], **settings)


@prepares("git")
def prepare_git(context):
    values = context.random()
    files = [[f"line {values.randrange(10**6)} of the file" for _ in range(120)] for _ in range(60)]
    stream = []
    for commit in range(context.pick(120, 600)):
        stream += ["commit refs/heads/main", f"mark :{commit + 1}",
                   f"committer A Person <person@example.org> {1600000000 + commit} +0000",
                   "data <<END", f"commit {commit}", "END", ""]
        for number in range(60) if commit == 0 else values.sample(range(60), 6):
            files[number][values.randrange(120)] = f"changed in {commit} to {values.randrange(10**6)}"
            text = "\n".join(files[number]) + "\n"
            stream += [f"M 100644 inline folder{number % 7}/file{number}.txt", f"data {len(text)}", text]
    source = context.write("stream", "\n".join(stream) + "\n", context.data)
    environment = {**os.environ, **GIT_SETTINGS}
    repository = context.data_file("repository")
    context.client(["git", "init", "-q", "--bare", "-b", "main", repository], cwd=context.data,
                   env=environment)
    with open(source, "rb") as file:
        context.client(["git", "fast-import", "--quiet"], cwd=repository, env=environment, stdin=file)


SCENE = """
#version 3.7;
global_settings {{ assumed_gamma 1.0 max_trace_level 6 }}
camera {{ location <0, 6, -14> look_at <0, 1, 0> }}
light_source {{ <20, 30, -20> rgb 1 area_light <3, 0, 0>, <0, 0, 3>, 3, 3 }}
plane {{ y, 0 pigment {{ checker rgb 0.2, rgb 0.8 }} finish {{ reflection 0.1 }} }}
#declare N = 0;
#while (N < {count})
  #declare A = N * 2.39996;
  #declare R = 0.18 * sqrt(N);
  union {{
    sphere {{ <0, 0.3, 0>, 0.28 }}
    difference {{ cylinder {{ <0, 0, 0>, <0, 0.5, 0>, 0.2 }} sphere {{ <0, 0.5, 0>, 0.15 }} }}
    blob {{ threshold 0.6 sphere {{ <0, 0.7, 0>, 0.3, 1 }} sphere {{ <0.2, 0.8, 0>, 0.25, 1 }} }}
    text {{ internal 1 str(N, 1, 0) 0.1, 0 scale 0.3 translate <-0.1, 1, -0.1> }}
    pigment {{ rgb <mod(N, 7) / 7, mod(N, 5) / 5, mod(N, 3) / 3> }}
    normal {{ bumps 0.2 scale 0.1 }}
    finish {{ reflection 0.2 phong 0.5 }}
    translate <R * cos(A), 0, R * sin(A)>
  }}
  #declare N = N + 1;
#end
"""


@program("povray", ["povray"])
def povray(context):
    scene = context.write("scene.pov", SCENE.format(count=context.pick(150, 1500)))
    width, height = context.pick(120, 480), context.pick(90, 360)
    context.run(["povray", f"+I{scene}", "+Oout.ppm", "+FP", f"+W{width}", f"+H{height}", "+A0.3", "+WT2", "-J",
                 "-D", "-GA"], environment={"HOME": context.work})
    lines = context.read("out.ppm").split(b"\n", 8)    # the comments name the time
    return b"\n".join(line for line in lines if not line.startswith(b"#"))


@program("rocksdb", ["db_bench", "ldb"])
def rocksdb(context):
    """Debian's db_bench on one thread with a fixed seed; what counts is what the data base holds at the end."""
    database = os.path.join(context.work, "database")
    steps = "fillrandom,overwrite,readrandom,multireadrandom,seekrandom,deleterandom,compact,readseq"
    context.run(["db_bench", f"--db={database}", f"--num={context.pick(20000, 150000)}", "--seed=7", "--threads=1",
                 "--value_size=400", "--compression_type=none", "--write_buffer_size=1048576",
                 f"--benchmarks={steps}"], preload_libc=True)
    return context.client(["ldb", f"--db={database}", "scan", "--hex"])
