"""YAML by hand that once ended in a traceback, a hang or a dead process, and its relatives."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

TASK = """\
task: t
dataset_path: json
dataset_kwargs: {data_files: data.jsonl}
test_split: test
output_type: multiple_choice
doc_to_text: "<image>{{ question }}"
doc_to_image: [image]
doc_to_choice: [A, B]
doc_to_target: gold
"""


def _bomb(line: str, first: str) -> str:
    """Return nine levels, each of which refers ten times to the one before."""
    levels = [line.format(i, ", ".join([f"*a{i - 1}"] * 10)) for i in range(1, 10)]
    return "\n".join([first, *levels]) + "\n"


VALUES = {
    "empty int": "!!int ''",
    "empty float": "!!float ''",
    "empty bool": "!!bool ''",
    "empty null": "!!null 'x'",
    "int of a list": "!!int [1]",
    "int of keys": "!!int {a: 1}",
    "str of a list": "!!str [1]",
    "map of text": "!!map x",
    "seq of text": "!!seq x",
    "set": "!!set {a, b}",
    "pairs": "!!pairs [a: 1]",
    "omap": "!!omap [a: 1]",
    "binary": "!!binary =",
    "a date that is none": "2024-13-45",
    "timestamp": "2024-01-01T99:99:99Z",
    "underscores": "!!int _",
    "sign alone": "!!int '-'",
    "hex alone": "!!int 0x",
    "octal 9": "!!int 09",
    "sexagesimal": "1:" * 5000 + "1",
    "100,000 digits": "9" * 100_000,
    "100,000 hex digits": "0x" + "f" * 100_000,
    "100,000 bits": "0b" + "1" * 100_000,
    "100,000 digits as text": '"' + "9" * 100_000 + '"',
    "4,000 digits as text": '"' + "9" * 4_000 + '"',
    "10**30": "1" + "0" * 30,
    "-10**30": "-1" + "0" * 30,
    "1e400": "1.0e+400",
    "infinity": ".inf",
    "not a number": ".nan",
    "infinity as text": '"inf"',
    "nan as text": '"nan"',
    "negative": "-1",
    "null": "null",
    "NUL": '"a\\0b"',
    "escape": '"\\e[31mred"',
    "right to left": '"\\u202egnp.exe"',
    "lone surrogate": '"\\ud800"',
    "line separator": '"a\\u2028b"',
    "a name too long": "x" * 5_000,
    "a path": "/dev/zero",
    "a folder": "/",
    "somebody's home": "~nosuchuser/x",
    "percent": "%",
    "alias": "*nowhere",
    "self": "&x [*x]",
    "code": "!!python/object/apply:os.system ['touch hacked']",
    "function": "!function os.system",
    "deep list": "[" * 60 + "]" * 60,
    "very deep list": "[" * 5_000 + "]" * 5_000,
    "wide list": "[" + "1, " * 15_000 + "]",
    "list of lists": "[" + "[], " * 15_000 + "]",
    "wide keys": "{" + ", ".join(f"k{i}: 1" for i in range(8_000)) + "}",
    "braces": '"' + "{{ " * 2_000 + '"',
    "pattern": '"((a+)+)+$"',
    "open group": '"("',
}
"""Text of a value -> what it is."""

FILES: dict[str, bytes] = {
    "empty": b"",
    "blank": b"\n\n",
    "NULs": b"\0" * 1000,
    "control": b"a: \x01\x02",
    "not UTF-8": b"task: \xff\xfe\xfa",
    "UTF-16": TASK.encode("utf-16"),
    "UTF-16 cut": TASK.encode("utf-16")[:-1],
    "UTF-16 without mark": TASK.encode("utf-16-le"),
    "UTF-32": TASK.encode("utf-32"),
    "byte order mark": b"\xef\xbb\xbf" + TASK.encode(),
    "carriage returns": TASK.replace("\n", "\r").encode(),
    "tabs": TASK.replace(" ", "\t").encode(),
    "two documents": (TASK + "---\n" + TASK).encode(),
    "1,000 documents": b"--- {a: 1}\n" * 1000,
    "cut": TASK[:-20].encode() + b" [",
    "depth 60 in lists": b"[" * 60,
    "depth 100,000 in lists": b"[" * 100_000 + b"]" * 100_000,
    "depth 100,000 in keys": b"{a: " * 100_000 + b"}" * 100_000,
    "depth 100,000 in blocks": b"- " * 100_000,
    "depth 100,000 of questions": b"? " * 100_000,
    "depth by indent": b"".join(b" " * i + b"a:\n" for i in range(700)),
    "aliases": _bomb("a{0}: &a{0} [{1}]", "a0: &a0 [x]").encode(),
    "aliases in keys": _bomb("? &a{0} [{1}]\n: 1", "? &a0 [x]\n: 1").encode(),
    "merges": _bomb("a{0}: &a{0} {{<<: [{1}], k{0}: 1}}", "a0: &a0 {x: 1}").encode(),
    "merge of itself": b"task: &a\n  <<: *a\n",
    "merge of itself below": b"a: &a\n  x: 1\n  y: {<<: *a}\n",
    "merge of text": b"a: {<<: x}\n",
    "merge of lists": b"a: {<<: [[x]]}\n",
    "merge at the top": b"x: &x {task: t}\n<<: *x\n",
    "many merges": b"a: &a {" + b", ".join(b"k%d: 1" % i for i in range(2_000)) + b"}\n"
    + b"".join(b"m%d: {<<: *a}\n" % i for i in range(2_000)),
    "chain of merges": b"a0: &a0 {x: 1}\n"
    + b"".join(b"a%d: &a%d {<<: *a%d, k%d: 1}\n" % (i, i, i - 1, i) for i in range(1, 1_000)),
    "many anchors": b"".join(b"k%d: &a%d x\n" % (i, i) for i in range(9_000)),
    "many aliases": b"a: &a x\nb: [" + b"*a, " * 30_000 + b"]\n",
    "many repeated keys": b"a: 1\n" * 9_000,
    "many code tags": b"a: [" + b"!x y, " * 9_000 + b"]\n",
    "many odd keys": b"".join(b"%d: 1\n" % i for i in range(9_000)),
    "many unknown keys": TASK.encode() + b"".join(b"k%d: 1\n" % i for i in range(9_000)),
    "many unknown keys, no kind": b"".join(b"tasq%d: 1\n" % i for i in range(9_000)),
    "many faulty cells": b"study: s\ncells: [" + b"{readout: x, condition: 3}, " * 3_000 + b"]\n",
    "many faulty hints": b"study: s\ncells: [{readout: prompted}]\nhints: {weak: '"
    + b"{{ x }}" * 9_000 + b"'}\n",
    "a long key": b"task: t\n? " + b"k" * 400_000 + b"\n: 1\n",
    "a long key that is near": b"? task" + b"k" * 900 + b"\n: 1\n",
    "a long line": b"task: " + b"t" * 400_000 + b"\n",
    "a long tag": b"task: !" + b"t" * 400_000 + b" x\n",
    "a long anchor": b"task: &" + b"t" * 400_000 + b" x\n",
    "a long comment": TASK.encode() + b"#" * 400_000,
    "30 MB": b"a: x\n" * 6_000_000,
    "a key of keys": b"? {a: 1}\n: 1\n",
    "a key of lists": b"? [a]\n: 1\n",
    "a key of null": b"~: 1\n",
    "the key =": b"=: 1\ntask: t\n",
    "the key NUL": b'"a\\0": 1\ntask: t\n',
    "only a scalar": b"secret-of-somebody",
    "only a date": b"2024-01-01",
    "directive": b"%SECRET x\n---\na: 1\n",
    "YAML 9": b"%YAML 9.9\n---\na: 1\n",
    "includes itself": b"include: it.yaml\n",
    "includes a folder": b"include: .\n",
    "includes a device": b"include: /dev/zero\n",
    "includes the terminal": b"include: /dev/stdin\n",
    "includes a pipe": b"include: pipe.yaml\n",
    "includes memory": b"include: /proc/self/mem\n",
    "includes the environment": b"include: /proc/self/environ\n",
    "includes a NUL": b'include: "a\\0b"\n',
    "includes a long name": b"include: " + b"x" * 5_000 + b"\n",
    "includes a long path": b"include: " + b"x/" * 5_000 + b"\n",
    "includes keys": b"include: {a: 1}\n",
    "includes numbers": b"include: [1, 2.5, null]\n",
    "includes much": b"include: [" + b"big.yaml, " * 500 + b"]\n",
    "includes many": b"include: [" + b", ".join(b"many/%d.yaml" % i for i in range(2_000)) + b"]\n",
    "a chain of includes": b"include: chain/0.yaml\n",
    "a tree of includes": b"include: [tree/0a.yaml, tree/0b.yaml]\n",
}  # fmt: skip
for _name, _value in VALUES.items():
    FILES[f"value, {_name}"] = TASK.replace("task: t\n", f"task: {_value}\n").encode()


def surroundings(folder: Path) -> None:
    """Write what the files above include."""
    os.mkfifo(folder / "pipe.yaml")
    for inner in ("many", "chain", "tree"):
        (folder / inner).mkdir()
    (folder / "big.yaml").write_bytes(b"a: " + b"x" * 400_000 + b"\n")
    for i in range(2_000):
        (folder / f"many/{i}.yaml").write_text(f"k{i}: 1\n")
        (folder / f"chain/{i}.yaml").write_text(f"include: {i + 1}.yaml\nk{i}: 1\n")
    for i in range(12):
        below = f"include: [{i + 1}a.yaml, {i + 1}b.yaml]\n"
        (folder / f"tree/{i}a.yaml").write_text(below)
        (folder / f"tree/{i}b.yaml").write_text(below)


SPECIAL: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "folder": os.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "memory": lambda path: path.symlink_to("/proc/self/mem"),
    "environment": lambda path: path.symlink_to("/proc/self/environ"),
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "1 GB": lambda path: (path.touch(), os.truncate(path, 1 << 30))[0],
    "unreadable": lambda path: path.touch(0o000),
}
"""What makes a path that is no ordinary file -> its name."""
