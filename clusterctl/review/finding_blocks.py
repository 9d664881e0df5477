"""The findings of a review in Markdown: what must be mended, then what is advised, then what was silenced."""

from __future__ import annotations

from collections.abc import Sequence

from clusterctl.review.value import Finding
from clusterctl.ui.markdown_text import code, escape


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """Mandatory before advisory before silenced, new before old, then by place."""
    return sorted(findings, key=lambda found: (*rank(found), not found.is_new, found.rule, found.file, found.line or 0))


def rank(found: Finding) -> tuple[bool, bool]:
    """Sorts by how much a finding matters."""
    return found.silence is not None, found.level != "mandatory"


def place(found: Finding) -> str:
    """`infra/main.py:12`, else the name of a resource or the path of a spec."""
    if found.file:
        return found.file if found.line is None else f"{found.file}:{found.line}"
    return found.subject.rpartition("::")[2]


def findings_block(findings: Sequence[Finding], most: int) -> str:
    """A list; empty where there is no finding."""
    listed = ordered(findings)
    lines = [f"- {_sentence(found)}" for found in listed[:most]]
    if len(listed) > most:
        lines.append(f"- …and {len(listed) - most:,} more")
    return "\n".join(lines)


def level_words(found: Finding) -> str:
    """`Mandatory`, `Advice`, `Silenced until 2026-12-31`; what the base breaks as well is said to be old."""
    if found.silence is not None:
        return f"Silenced until {found.silence.expires}"
    word = "Mandatory" if found.level == "mandatory" else "Advice"
    return word if found.is_new else f"{word}, as before"


def _sentence(found: Finding) -> str:
    parts = [f"**{level_words(found)}**: {escape(found.message, 400)} ({code(found.rule)} at {code(place(found))})."]
    if found.silence is not None:
        parts.append(f"Silenced because: {escape(found.silence.reason)}")
    elif found.why:
        parts.append(f"Why: {escape(found.why)}")
    return " ".join(parts)
