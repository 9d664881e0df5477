"""Prometheus' text format: families of samples, written, read and merged."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? +(\S+)(?: +-?\d+)?")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')
_ESCAPED = {"\\": r"\\", '"': r"\"", "\n": r"\n"}
_PLAIN = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_PARTS = ("_bucket", "_sum", "_count")


@dataclass(slots=True, kw_only=True)
class Family:
    """Samples under one name; those of a histogram end in _bucket, _sum and _count."""

    kind: str
    """counter, gauge, histogram, untyped."""
    help: str
    samples: list[tuple[str, Mapping[str, str], float]] = field(default_factory=list)
    """Name, labels, value."""


Families = dict[str, Family]


def add(to: Families, more: Families, labels: Mapping[str, str]) -> None:
    """Merge, with these labels on each of the new samples."""
    for name, family in more.items():
        own = to.setdefault(name, Family(kind=family.kind, help=family.help))
        own.samples += [(full, {**before, **labels}, value) for full, before, value in family.samples]


def write(families: Families) -> str:
    """The page that Prometheus reads."""
    lines = []
    for name, family in families.items():
        lines += [f"# HELP {name} {family.help}", f"# TYPE {name} {family.kind}"]
        for full, labels, value in family.samples:
            inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            lines.append(f"{full}{{{inner}}} {value!r}" if inner else f"{full} {value!r}")
    return "\n".join(lines) + "\n"


def parse(text: str) -> Families:
    """What `write` writes, and any other such page without timestamps.  Raises ValueError."""
    families: Families = {}
    for line in text.split("\n"):
        words = line.split(" ", 3)
        if line.startswith("# ") and len(words) >= 3:
            if words[1] in ("HELP", "TYPE"):
                family = families.setdefault(words[2], Family(kind="untyped", help=words[2].replace("_", " ")))
                setattr(family, {"HELP": "help", "TYPE": "kind"}[words[1]], words[3] if len(words) > 3 else "")
        elif line.strip() and not line.startswith("#"):
            match = _SAMPLE.fullmatch(line.strip())
            if match is None:
                raise ValueError(f"no sample: {line[:80]}")
            name = match[1]
            labels = {
                key: re.sub(r"\\.", lambda m: _PLAIN.get(m[0], m[0]), raw)
                for key, raw in _LABEL.findall(match[2] or "")
            }
            base = next((name.removesuffix(part) for part in _PARTS if name.removesuffix(part) in families), name)
            family = families.setdefault(base, Family(kind="untyped", help=base.replace("_", " ")))
            family.samples.append((name, labels, float(match[3])))
    return {name: family for name, family in families.items() if family.samples}


def _escaped(text: str) -> str:
    return "".join(_ESCAPED.get(letter, letter) for letter in text) if any(c in text for c in _ESCAPED) else text
