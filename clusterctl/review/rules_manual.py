"""The manual of the rules, docs/rules.md: rules_manual.md, then every built-in rule, as the code has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from planners.rules.built_in import RULES
from planners.rules.rule import Rule


def rules_manual() -> str:
    """docs/rules.md."""
    parts = [Path(__file__).with_suffix(".md").read_text("utf-8"), "## Built-in rules\n"]
    for group in dict.fromkeys(rule.group for rule in RULES.values()):
        rows = [_row(rule) for rule in RULES.values() if rule.group == group]
        header = ["| rule | level | broken where | why | settings |", "| --- | --- | --- | --- | --- |"]
        parts.append("\n".join([f"### {group.capitalize()}\n", *header, *rows, ""]))
    return "\n".join(parts)


def _row(rule: Rule) -> str:
    cells = (f"`{rule.id}`", rule.level, rule.summary, rule.why, "; ".join(_settings(rule)) or "-")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _settings(rule: Rule) -> Iterator[str]:
    for name, field in rule.setting.model_fields.items():
        if name == "strict":
            yield "`strict` (false)"
        elif name != "level":
            yield f"`{name}` ({_default(field.default)}): {(field.description or '').removesuffix('.')}"


def _default(value: Any) -> str:
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
