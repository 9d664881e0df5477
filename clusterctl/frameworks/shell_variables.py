"""The variables of a shell script, and whole numbers as bash reckons them in `$((...))`."""

from __future__ import annotations

import ast
import fnmatch
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from clusterctl.errors import SpecError
from clusterctl.frameworks.setting_table import unknown

MOST_WORDS = 100_000
MOST_PATTERN_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class Word:
    """A word after expansion, and the line where its text stands."""

    text: str
    line: int
    only_if: str = ""


@dataclass(slots=True)
class Variables:
    """The variables of a script: one word, or the words of an array."""

    words: dict[str, list[Word]] = field(default_factory=dict)

    def put(self, name: str, words: list[Word], *, append: bool = False, array: bool = False) -> None:
        """Set a variable, or add to it."""
        old = self.words.get(name, []) if append else []
        if len(old) + len(words) > MOST_WORDS:
            raise SpecError(f"{words[0].line}: an array grows beyond {MOST_WORDS:,} words")
        if array:
            self.words[name] = old + words
        else:
            self.words[name] = [Word("".join(w.text for w in old) + words[0].text, words[0].line, words[0].only_if)]

    def number(self, name: str) -> int | None:
        """A variable that holds a whole number."""
        words = self.words.get(name)
        return plain_int(words[0].text) if words else None


def plain_int(text: str) -> int | None:
    """A whole number, or None."""
    return int(text) if re.fullmatch(r"-?\d{1,18}", text.strip()) else None


def arithmetic(expression: str, number: Callable[[str], int | None]) -> str:
    """The value of `$((expression))`, or a mark.  number: of a variable, or None."""

    def value(match: re.Match[str]) -> str:
        found = number(match.group(1))
        return "(unknown)" if found is None else f"({found})"

    text = re.sub(r"\$?\{?\b([A-Za-z_]\w*)\}?", value, expression)
    try:
        found = _calculate(ast.parse(text.strip().replace("/", "//") or "0", mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return unknown(f"$(({expression.strip()[:80]}))")
    return str(found)


def _calculate(node: ast.expr) -> int:
    """Whole numbers only, as bash reckons.  Raises ValueError."""
    if isinstance(node, ast.Constant) and type(node.value) is int and abs(node.value) < 1 << 63:
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_calculate(node.operand)
    operation = _OPERATIONS.get(type(node.op)) if isinstance(node, ast.BinOp) else None
    if operation is None or not isinstance(node, ast.BinOp):
        raise ValueError("not arithmetic")
    found = operation(_calculate(node.left), _calculate(node.right))
    if abs(found) >= 1 << 63:
        raise ValueError("too large")
    return found


def _power(base: int, exponent: int) -> int:
    if not 0 <= exponent <= 64:
        raise ValueError("too large")
    return int(base**exponent)


_OPERATIONS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: int(a / b) if abs(a) < 1 << 52 else a // b,
    ast.Mod: lambda a, b: a % b,
    ast.Pow: _power,
}


def _strip(text: str, pattern: str, *, front: bool, longest: bool) -> str:
    if len(text) > MOST_PATTERN_CHARACTERS:
        return unknown("a text of this length, cut by a pattern")
    sizes = range(len(text) + 1)
    for size in reversed(sizes) if longest else sizes:
        part = text[:size] if front else text[len(text) - size :]
        if fnmatch.fnmatchcase(part, pattern):
            return text[size:] if front else text[: len(text) - size]
    return text


def _replaced(text: str, rest: str, count: int) -> str:
    old, _, new = rest.partition("/")
    return text.replace(old, new, count) if old and not re.search(r"[*?\[]", old) else unknown(f"{text}/{rest}")


CHANGES: Mapping[str, Callable[[str, str], str]] = {
    "%": lambda text, rest: _strip(text, rest, front=False, longest=False),
    "%%": lambda text, rest: _strip(text, rest, front=False, longest=True),
    "#": lambda text, rest: _strip(text, rest, front=True, longest=False),
    "##": lambda text, rest: _strip(text, rest, front=True, longest=True),
    "/": lambda text, rest: _replaced(text, rest, 1),
    "//": lambda text, rest: _replaced(text, rest, -1),
    ",,": lambda text, _: text.lower(),
    "^^": lambda text, _: text.upper(),
}
"""`${name%pattern}` and its like: the operator -> what it makes of (value, rest)."""


def holds(found: list[str]) -> bool | None:
    """Whether a test of two or three words holds: `-n x`, `a = b`, `1 -gt 2`; None for any other."""
    if len(found) == 2 and found[0] in ("-n", "-z"):
        return bool(found[1]) == (found[0] == "-n")
    if len(found) != 3:
        return None
    left, operator, right = found
    if operator in ("=", "==", "!="):
        return fnmatch.fnmatchcase(left, right) == (operator != "!=")
    a, b = plain_int(left), plain_int(right)
    if a is None or b is None:
        return None
    tests = {"-eq": a == b, "-ne": a != b, "-gt": a > b, "-ge": a >= b, "-lt": a < b, "-le": a <= b}
    return tests.get(operator)
