# SPDX-License-Identifier: MIT
"""Servers under load. The clients run on the system's malloc and are not measured; sockets are Unix sockets,
so that any number of tests may run at once."""

import contextlib
import hashlib
import os
import pwd
import shutil
import threading

from context import accepts, connect, find, prepares, program
from measure import Failure


def reply_lines(stream, count):
    """Read `count` lines that end in CR LF."""
    return [stream.readline() for _ in range(count)]


# redis: Debian's links jemalloc; preloading libc.so.6 puts glibc's malloc first for the baseline.

def redis_command(*words):
    parts = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def redis_fill(context, path, count):
    """A known mixture of all types with overwriting and deletion; returns the simple replies."""
    values = context.random()
    with connect(path) as connection, connection.makefile("rwb") as stream:
        replies = []
        for start in range(0, count, 500):
            batch = []
            for n in range(start, start + 500):
                key = values.randrange(count // 3)
                size = values.randrange(1, 60) if n % 11 else values.randrange(2000)
                batch += [redis_command("SET", f"s{key}", "v" * size),
                          redis_command("HSET", f"h{key % 500}", f"f{n % 97}", f"value {n}"),
                          redis_command("RPUSH", f"l{key % 300}", f"element {n}"),
                          redis_command("ZADD", f"z{key % 200}", n % 1009, f"member {n % 307}"),
                          redis_command("APPEND", f"a{key % 100}", "tail" * (n % 9)),
                          redis_command("DEL", f"s{values.randrange(count // 3)}")]
            stream.write(b"".join(batch))
            stream.flush()
            replies += reply_lines(stream, len(batch))
        stream.write(redis_command("DBSIZE") + redis_command("DEBUG", "DIGEST"))
        stream.flush()
        replies += reply_lines(stream, 2)
    if not replies[-1].startswith(b"+") or set(replies[-1].strip()) <= set(b"+0"):
        raise Failure(f"redis: DEBUG DIGEST answers {replies[-1]!r}")
    return b"".join(replies)


@program("redis", ["redis-server", "redis-benchmark", "redis-cli"])
def redis(context):
    path = os.path.join(context.work, "s")
    command = [find("redis-server"), "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no",
               "--enable-debug-command", "local", "--daemonize", "no"]
    with context.serve(command, lambda: accepts(path), preload_libc=True):
        load = context.client(["redis-benchmark", "-s", path, "-q", "-c", "20", "-P", "8", "-r", "100000",
                               "-d", "1000", "-n", context.pick(40000, 400000),
                               "-t", "set,get,lpush,rpop,sadd,hset,zadd"])
        load += context.client(["redis-benchmark", "-s", path, "-q", "-c", "20", "-P", "8", "-d", "1000",
                                "-n", context.pick(2000, 20000), "-t", "lrange_100"])
        if load.count(b"requests per second") < 9:
            raise Failure(f"redis-benchmark says {load!r}")
        context.client(["redis-cli", "-s", path, "FLUSHALL"])
        return redis_fill(context, path, context.pick(20000, 120000))


# PostgreSQL refuses to run as root.

def postgres_user():
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None


POSTGRES_QUERIES = """
SELECT count(*), sum(abalance) FROM pgbench_accounts;
SELECT aid, abalance FROM pgbench_accounts WHERE abalance <> 0 ORDER BY aid;
SELECT tid, tbalance FROM pgbench_tellers ORDER BY tid;
SELECT bid, bbalance, (SELECT sum(tbalance) FROM pgbench_tellers t WHERE t.bid = b.bid)
  FROM pgbench_branches b ORDER BY 1;
SELECT count(*), sum(delta) FROM pgbench_history;
CREATE TABLE word AS
  SELECT i, md5(i::text) AS w, repeat(chr(97 + i % 26), i % 200) AS t FROM generate_series(1, 40000) i;
SELECT substr(w, 1, 2), count(*), max(t), md5(string_agg(w, ',' ORDER BY i)) FROM word GROUP BY 1 ORDER BY 1;
SELECT md5(json_agg(json_build_object('i', a.i, 'w', b.w) ORDER BY a.i, b.i)::text)
  FROM word a JOIN word b ON substr(a.w, 1, 4) = substr(b.w, 29, 4);
DO $$ DECLARE r record; n numeric := 0; BEGIN
  FOR r IN SELECT * FROM word LOOP n := n + length(r.w || r.t) + r.i; END LOOP; RAISE NOTICE '%', n; END $$;
"""


@program("postgresql", ["initdb", "postgres", "pgbench", "psql"])
def postgresql(context):
    user = postgres_user()
    cluster = os.path.join(context.work, "d")
    settings = {"user": user, "environment": {"LANG": "C.UTF-8"}}
    if user:
        shutil.chown(context.work, user)
    context.run([find("initdb"), "-D", cluster, "-A", "trust", "-U", "tester", "--no-sync", "--no-locale",
                 "--encoding=UTF8"], **settings)
    server = [find("postgres"), "-D", cluster, "-k", context.work, "-c", "listen_addresses=",
              "-c", "fsync=off", "-c", "autovacuum=off", "-c", "shared_buffers=32MB", "-c", "jit=off"]
    client = ["-h", context.work, "-U", "tester"]
    path = os.path.join(context.work, ".s.PGSQL.5432")
    with context.serve(server, lambda: accepts(path), **settings) as process:
        for _ in range(200):
            if b"ready to accept connections" in process.text("stderr"):
                break
            threading.Event().wait(0.05)
        context.client([find("pgbench"), *client, "-i", "-q", "-s", context.pick(1, 4), "postgres"])
        context.client([find("pgbench"), *client, "-n", "-c", "4", "-j", "2", "--random-seed=7",
                        "-M", "prepared", "-t", context.pick(400, 4000), "postgres"])
        context.client([find("pgbench"), *client, "-n", "-c", "4", "-C", "-S", "--random-seed=7",
                        "-t", context.pick(20, 200), "postgres"])
        return context.client([find("psql"), *client, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1",
                               "-f", context.write("queries.sql", POSTGRES_QUERIES), "postgres"])


def in_parallel(count, function):
    """Call function(0..count-1) on threads; their results in order."""
    results = [None] * count
    errors = []

    def work(number):
        try:
            results[number] = function(number)
        except Exception as error:  # told to the main thread, which fails the program
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise Failure(f"client: {errors[0]!r}")
    return results


# memcached: four clients with keys of their own, so that the answers do not depend on their order.

def memcached_client(path, number, count):
    digest = hashlib.sha256()
    with connect(path) as connection, connection.makefile("rwb") as stream:
        for n in range(count):
            key = f"key{number}-{n * 7919 % 4001}"
            body = b"x" * (n * 31 % 3000) + b"%d" % n
            stream.write(f"set {key} 0 0 {len(body)}\r\n".encode() + body + b"\r\n"
                         + f"get {key} key{number}-{n // 2}\r\n".encode())
            if n % 5 == 0:
                stream.write(f"delete key{number}-{n * 31 % 4001}\r\n".encode())
            stream.flush()
            digest.update(stream.readline())
            line = stream.readline()
            while line.startswith(b"VALUE"):
                digest.update(line + stream.read(int(line.split()[3]) + 2))
                line = stream.readline()
            digest.update(line)
            if n % 5 == 0:
                digest.update(stream.readline())
    return digest.hexdigest().encode()


@program("memcached", ["memcached"])
def memcached(context):
    path = os.path.join(context.work, "s")
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    os.chmod(context.work, 0o777)
    command = [find("memcached"), "-s", path, "-a", "777", "-t", "4", "-m", "256", "-o", "no_lru_crawler",
               *user]
    count = context.pick(5000, 40000)
    with context.serve(command, lambda: accepts(path)):
        return b"\n".join(in_parallel(4, lambda number: memcached_client(path, number, count)))


# nginx: static files, compression, includes and rewriting, over kept-alive and short connections.

NGINX_CONFIGURATION = """
worker_processes 2;
pid {work}/pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {work}/t1; proxy_temp_path {work}/t2; fastcgi_temp_path {work}/t3;
  uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5;
  keepalive_requests 100000;
  gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;
  upstream self {{ server unix:{work}/s; keepalive 8; }}
  server {{
    listen unix:{work}/s;
    root {data}/files;
    etag off; add_header Last-Modified "";
    location / {{ ssi on; ssi_types *; }}
    location /again/ {{ proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://self/; }}
    location ~ ^/number/(\\d+)$ {{ return 200 "number $1 of $request_uri\\n"; }}
  }}
}}
"""


def http_get(stream, target, compressed):
    encoding = "Accept-Encoding: gzip\r\n" if compressed else ""
    stream.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{encoding}\r\n".encode())
    stream.flush()
    status = stream.readline()
    length, chunked = 0, False
    for line in iter(stream.readline, b"\r\n"):
        if not line:
            raise Failure(f"nginx: connection ends inside the answer to {target}")
        name, _, value = line.decode().strip().partition(": ")
        length = int(value) if name.lower() == "content-length" else length
        chunked = chunked or (name.lower() == "transfer-encoding" and value == "chunked")
    if not chunked:
        return status + stream.read(length)
    body = b""
    for size in iter(lambda: int(stream.readline(), 16), 0):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return status + body


def nginx_client(path, number, count):
    digest = hashlib.sha256()
    for start in range(0, count, 100):
        with connect(path) as connection, connection.makefile("rwb") as stream:
            for n in range(start, start + 100):
                target = (f"/file{n * 7 % 40}.txt", f"/again/file{n % 40}.txt", f"/number/{n * number}",
                          f"/missing{n}", f"/page{n % 5}.shtml")[n % 5]
                digest.update(http_get(stream, target, n % 3 == 0))
    return digest.hexdigest().encode()


@program("nginx", ["nginx"])
def nginx(context):
    os.chmod(context.work, 0o777)
    text = NGINX_CONFIGURATION.format(work=context.work, data=context.data)
    if os.geteuid() == 0:
        text = "user nobody nogroup;\n" + text
    path = os.path.join(context.work, "s")
    command = [find("nginx"), "-p", context.work, "-e", "stderr", "-c",
               context.write("nginx.conf", text), "-g", "daemon off;"]
    count = context.pick(1500, 12000)
    with context.serve(command, lambda: accepts(path)):
        return b"\n".join(in_parallel(4, lambda number: nginx_client(path, number, count)))


@prepares("nginx")
def prepare_nginx(context):
    values = context.random()
    folder = context.data_file("files")
    os.mkdir(folder)
    for number in range(40):
        text = " ".join(str(values.randrange(1000)) for _ in range(50 * (number + 1)))
        context.write(f"file{number}.txt", text, folder)
    for number in range(5):
        parts = "".join(f'<!--#include virtual="/file{n}.txt" -->\n' for n in range(number, number + 8))
        context.write(f"page{number}.shtml", f'<!--#set var="n" value="{number}" -->{parts}'
                                             '<!--#echo var="n" -->', folder)
