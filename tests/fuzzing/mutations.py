"""Ways to break a file: its bytes, its values, its keys, its shape.  Seeded, so that a find can be repeated."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import yaml

BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (99 + i, 99 + i, b",".join([b"*%c" % (98 + i if i else 97)] * 9)) for i in range(12)
)
"""YAML whose anchors expand to 9^13 values."""

WHOLE_FILES: tuple[bytes, ...] = (
    b"",
    b"\n\n\n",
    b"null",
    b"[]",
    b"{}",
    b"just a sentence",
    b"\x00" * 64,
    b"\xff\xfe" + "name: x\n".encode("utf-16-le"),
    b"\xef\xbb\xbf",
    b"- " * 5000,
    b"[" * 20000,
    b"{" * 20000,
    b"a: " * 3000 + b"1",
    b"? " * 3000,
    b"%YAML 9.9\n---\nname: x\n",
    b"--- 1\n--- 2\n",
    b"!!python/object/apply:os.system ['true']",
    b"&a [*a]",
    b"<<: *nobody",
    b"a: 1\na: 2\n",
    b"name: 'unclosed\n",
    b"\tname: x\n",
    b"9" * 100_000,
    b'{"a":' * 5000,
    BOMB,
)

BYTES = (
    b"",
    b"\n",
    b"\0" * 64,
    b"\xff\xfea\0",
    b"\xef\xbb\xbf",
    b'"',
    b",,,\n",
    b"a\n" * 9,
    b"PAR1",
    b"\x1f\x8b\x08",
    b"(\xb5/\xfd",
    b"a," * 9000,
    b"\r" * 99,
)
"""Files that are no CSV, or hardly one."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, -0.0, 0.5, 1e-300, 1e308, -1e308, float("nan"), float("inf"), float("-inf"), 2**63, 10**400,
    "", " ", "nan", "NaN", "1e999", "-5", "H1000", "H100", "ümlaut", "\u202e", "\x07", "x" * 10_000, "${HOME}", "../../etc/passwd",
    "/dev/zero", "*", "null", [], [[]], [None], [1, "a"], {}, {"": ""}, {"mean": -3}, {"mean": 3, "p95": 1}, {"file": "/nowhere"},
    {"file": "."}, [{"kind": "rlcef"}] * 200,
)  # fmt: skip


def broken(original: bytes, rng: random.Random) -> bytes:
    """`original` (YAML or JSON, as UTF-8) with one thing wrong, seldom several."""
    kind = rng.random()
    if kind < 0.1:
        return rng.choice(WHOLE_FILES)
    if kind < 0.35:
        return broken_bytes(original, rng)
    tree = yaml.safe_load(original)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        tree = broken_tree(tree, rng)
    is_json = original.lstrip().startswith(b"{")
    written = json.dumps(tree, indent=1) if is_json else yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)
    text = written.encode("utf-8", "surrogatepass")
    return broken_bytes(text, rng) if rng.random() < 0.1 else text


def broken_bytes(original: bytes, rng: random.Random) -> bytes:
    """Bytes cut off, flipped, doubled, dropped or swapped for others."""
    at = rng.randrange(len(original) + 1)
    to = min(len(original), at + rng.randrange(1, 40))
    operations: tuple[Callable[[], bytes], ...] = (
        lambda: original[:at],
        lambda: original[at:],
        lambda: original[:at] + original[to:],
        lambda: original[:at] + original[at:to] * rng.randrange(2, 30) + original[to:],
        lambda: original[:at] + bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9))) + original[to:],
        lambda: (
            original[:at]
            + rng.choice(
                (b":", b"- ", b"\t", b"{", b"}", b"[", b"]", b"'", b'"', b"&a ", b"*a", b"#", b"\x00", b"\x85")
            )
            + original[at:]
        ),
        lambda: original.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"")), rng.randrange(1, 50)),
        lambda: original + original,
    )
    return rng.choice(operations)()


def broken_tree(tree: Any, rng: random.Random) -> Any:
    """A copy of nested lists and dicts in which one node is replaced, removed, renamed, doubled or wrapped."""
    tree = copy.deepcopy(tree)
    holders = [holder for holder in _holders(tree) if len(holder)]
    if not holders:
        return rng.choice(VALUES)
    holder = rng.choice(holders)
    key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
    kind = rng.random()
    if kind < 0.55:
        holder[key] = copy.deepcopy(rng.choice(VALUES))
    elif kind < 0.7:
        del holder[key]
    elif kind < 0.85 and isinstance(holder, dict):
        value = holder.pop(key)
        holder[_misspelt(str(key), rng)] = value
    elif kind < 0.92:
        holder[key] = [holder[key]]
    elif isinstance(holder, dict):
        holder[rng.choice(("extra", "", "kind", "name", 7, None))] = rng.choice(VALUES)
    else:
        holder.append(copy.deepcopy(holder[key]))
    return tree


def _misspelt(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word) + 1)
    return rng.choice((word[:at] + word[at + 1 :], word[:at] + "x" + word[at:], word.upper(), word + "s", ""))


def _holders(tree: Any) -> list[Any]:
    found = [tree] if isinstance(tree, dict | list) else []
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    for child in children:
        found += _holders(child)
    return found
