"""The text of a run spec with a comment at each field: the line that it comes from, or why it is assumed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from clusterctl.frameworks.draft import Draft
from clusterctl.json_text import json_text

_PLAIN = re.compile(r"[A-Za-z][\w./+-]*")
_RESERVED = frozenset({"true", "false", "null", "yes", "no", "on", "off"})
_WIDTH = 40
"""Column of the comments."""


def spec_text(name: str, draft: Draft, head: str) -> str:
    """The YAML of a draft."""
    rows = [
        f"# {_clean(head)}",
        "# `assumed` marks what the file does not say: replace it by what you know.",
        f"name: {name}",
        "",
        "stages:",
        f"  - kind: {draft.kind}",
        *_rows(draft.stage, "", draft, 4),
    ]
    if draft.fleet:
        rows += ["", "fleet:", *_rows(draft.fleet, "fleet.", draft, 2)]
    return "\n".join(rows) + "\n"


def _rows(data: Mapping[str, Any], prefix: str, draft: Draft, indent: int) -> Iterator[str]:
    for key, value in data.items():
        note = draft.origin.get(f"{prefix}{key}")
        if note is None and isinstance(value, dict):
            yield f"{' ' * indent}{key}:"
            yield from _rows(value, f"{prefix}{key}.", draft, indent + 2)
            continue
        row = f"{' ' * indent}{key}: {_inline(value)}"
        if note is None:
            yield row
            continue
        said = [note.where.rpartition("/")[2], note.setting] if note.what == "taken" else ["assumed:"]
        comment = " ".join(part for part in said if part)
        if note.why:
            comment += f" {note.why}" if comment.endswith(":") else f": {note.why}"
        yield f"{row:<{_WIDTH}} # {_clean(comment)}"


def _inline(value: Any) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_inline(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_inline(inner) for inner in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json_text(value)


def _clean(text: str) -> str:
    """One line, without signs that control a terminal or end a comment."""
    return re.sub(r"\s+", " ", re.sub(r"[^\S ]|[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", text)).strip()
