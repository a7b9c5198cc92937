# SPDX-License-Identifier: MIT
"""Allocation-heavy Python: json documents, dictionaries that grow and shrink, and syntax trees."""
import ast
import json
import sys
import zlib


def document(n):
    return {"id": n, "name": f"record {n}", "tags": [f"tag{n % k}" for k in range(2, 12)],
            "nested": {"values": [n * k % 1013 for k in range(20)], "text": "lorem ipsum " * (n % 7)}}


def json_round(count):
    text = json.dumps([document(n) for n in range(count)], sort_keys=True)
    return zlib.crc32(json.dumps(json.loads(text), indent=1).encode())


def dict_round(count):
    table = {}
    for n in range(count):
        table[f"key{n * 7919 % count}"] = [n, str(n)]
        if n % 3 == 0:
            table.pop(f"key{n * 31 % count}", None)
    return zlib.crc32(repr(sorted(table.items())).encode())


def ast_round(count):
    lines = [f"def f{n}(a, b={n}):\n"
             f"  c = [x * {n} for x in range(b) if x % 3]\n"
             "  return {'s': sum(c), 'a': a}\n" for n in range(count)]
    tree = ast.parse("".join(lines))
    compile(tree, "generated", "exec")
    return zlib.crc32(ast.unparse(tree).encode())


for turn in range(int(sys.argv[1])):
    print(turn, json_round(2500 + turn), dict_round(60000 + turn), ast_round(500 + turn))
